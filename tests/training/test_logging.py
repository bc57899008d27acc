import errno
import json
import math
from pathlib import Path
from typing import Any

import pytest

from smoothjax.training import RunLog
from tests.support import board_values


def _lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def _board(folder: Path) -> list[tuple[int, str, float]]:
    return [(step, value.tag, value.simple_value) for step, value in board_values(folder)]


def test_writes_the_three_places(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with RunLog(tmp_path) as log:
        log.scalars(20, "train", {"loss": 0.5, "learning_rate": 0.25})
        assert len(_lines(tmp_path)) == 1  # at once: a killed run keeps its curves
        log.scalars(20, "val", {"mean_iou": 0.75})
    assert _lines(tmp_path) == [
        {"step": 20, "split": "train", "loss": 0.5, "learning_rate": 0.25},
        {"step": 20, "split": "val", "mean_iou": 0.75},
    ]
    assert _board(tmp_path) == [(20, "train/loss", 0.5), (20, "train/learning_rate", 0.25), (20, "val/mean_iou", 0.75)]
    assert capsys.readouterr().out == ("step 20  train  loss 0.5  learning_rate 0.25\nstep 20  val  mean_iou 0.75\n")


def test_a_resumed_log_has_each_step_once(tmp_path: Path) -> None:
    with RunLog(tmp_path, console=False) as log:
        for step in (10, 20, 30):
            log.scalars(step, "train", {"loss": 1 / step})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 15, "split": "tra')  # the line that a kill tore
    with RunLog(tmp_path, resume_step=20, console=False) as log:
        assert [line["step"] for line in _lines(tmp_path)] == [10, 20]
        log.scalars(30, "train", {"loss": 7.0})
    assert [(line["step"], line["loss"]) for line in _lines(tmp_path)] == [(10, 0.1), (20, 0.05), (30, 7.0)]
    assert [path.name for path in tmp_path.glob("*.tmp")] == []


def test_a_new_run_starts_an_empty_log(tmp_path: Path) -> None:
    for _ in range(2):
        with RunLog(tmp_path, console=False) as log:
            log.scalars(1, "train", {"loss": 1.0})
    assert len(_lines(tmp_path)) == 1


def test_what_is_not_finite_is_null(tmp_path: Path) -> None:
    with RunLog(tmp_path, console=False) as log:
        log.scalars(1, "val", {"iou_sky": math.nan, "loss": math.inf})
    assert "NaN" not in (tmp_path / "metrics.jsonl").read_text()
    assert _lines(tmp_path) == [{"step": 1, "split": "val", "iou_sky": None, "loss": None}]


def test_other_processes_write_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jax.process_index", lambda: 1)
    with RunLog(tmp_path / "run") as log:
        log.scalars(1, "train", {"loss": 1.0})
    assert not (tmp_path / "run").exists()


class _Full:
    """A file on a full disk."""

    def __init__(self, file: Any):
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    write = write_event = close = lambda self, *_: self.flush()


def _fill(log: RunLog, *, events: bool) -> None:
    if events:
        log._events._inner = _Full(log._events._inner)
    else:
        log._file.close()
        log._file = _Full(log._file)  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("events", [True, False])
def test_a_full_disk_is_one_sentence(events: bool, tmp_path: Path) -> None:
    """TensorBoard's thread ends at the first error; without a guard the run would wait for it forever."""
    message = rf"^the log of {tmp_path} could not be written \(No space left on device\): free space there"

    def train() -> None:
        with RunLog(tmp_path, console=False) as log:
            _fill(log, events=events)
            for step in range(100):
                log.scalars(step, "train", {"loss": 1.0})

    with pytest.raises(OSError, match=message):
        train()


@pytest.mark.parametrize("events", [True, False])
def test_a_full_disk_while_closing_hides_no_error(events: bool, tmp_path: Path) -> None:
    def train() -> None:
        with RunLog(tmp_path, console=False) as log:
            _fill(log, events=events)
            raise ValueError("the one that matters")

    with pytest.raises(ValueError, match="the one that matters"):
        train()
