"""A killed and restarted run ends with bitwise the same parameters as an undisturbed one."""

import gc
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import chex
import jax
import pytest

from smoothjax.training import Checkpoints, Stopped, TrainState
from tests.forks import ROOT, Server

_TOY = Path(__file__).with_name("toy.py")


def _variables() -> dict[str, str]:
    """Environment variables of a process that trains."""
    cache = jax.config.jax_compilation_cache_dir  # pyright: ignore[reportAttributeAccessIssue]
    variables = {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "2"}
    variables |= {"JAX_COMPILATION_CACHE_DIR": str(cache)} if cache else {}
    return variables | {"PYTHONDONTWRITEBYTECODE": ""}  # the sources are compiled once


def _start(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    environment = os.environ | _variables()
    command = [sys.executable, str(_TOY), str(folder), *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    with _start(folder, *arguments) as process:
        out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def _arrays(folder: Path, toy: ModuleType, step: int = 20) -> dict[str, bytes]:
    with Checkpoints(folder / "checkpoints", read_only=True) as checkpoints:
        restored = checkpoints.restore_latest(toy.make_state())
    assert restored is not None
    assert restored.step == step
    leaves = jax.tree_util.tree_leaves_with_path(jax.device_get(restored.state))
    return {jax.tree_util.keystr(path): leaf.tobytes() for path, leaf in leaves}


def test_killed_between_two_checkpoints_in_mid_epoch(toy: ModuleType, tmp_path: Path) -> None:
    # An epoch has 6 batches and a checkpoint is saved every 5: batch 13 is neither's edge.
    killed = _run(tmp_path / "killed", "--kill-at", "13")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    steps = sorted(int(path.name) for path in (tmp_path / "killed" / "checkpoints").iterdir() if path.name.isdigit())
    assert steps == [5, 10]

    resumed = _run(tmp_path / "killed")
    assert resumed.returncode == 0, resumed.stderr
    assert "from step 10 of 20" in resumed.stdout
    whole = _run(tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    assert "resuming" not in whole.stdout

    expected, found = _arrays(tmp_path / "whole", toy), _arrays(tmp_path / "killed", toy)
    assert found == expected
    for folder in ("whole", "killed"):
        lines = [json.loads(line) for line in (tmp_path / folder / "metrics.jsonl").read_text().splitlines()]
        assert [line["step"] for line in lines] == [4, 8, 12, 16, 20]


@pytest.mark.parametrize("stop", [3, 6, 10, 11])
def test_any_place_of_the_stop_gives_the_same_bits(stop: int, toy: ModuleType, tmp_path: Path) -> None:
    # At, before and after the ends of epochs.
    toy.fit(tmp_path / "split", max_steps=stop, devices=2)
    split = toy.fit(tmp_path / "split", max_steps=14, devices=2)
    whole = toy.fit(tmp_path / "whole", max_steps=14, devices=2)
    chex.assert_trees_all_equal(jax.device_get(split.state), jax.device_get(whole.state))


def test_a_damaged_newest_checkpoint_costs_only_its_steps(
    toy: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy.fit(tmp_path / "split", max_steps=12)
    for path in (tmp_path / "split" / "checkpoints" / "12" / "iterator").iterdir():
        path.write_text("")
    split = toy.fit(tmp_path / "split", max_steps=14)
    assert "is damaged (ValueError" in (said := capsys.readouterr().out)
    assert "from step 10 of 14" in said
    whole = toy.fit(tmp_path / "whole", max_steps=14)
    chex.assert_trees_all_equal(jax.device_get(split.state), jax.device_get(whole.state))


def _signal_at(batch_index: int, number: signal.Signals, toy: ModuleType) -> Any:
    def change(index: int, batch: Any) -> Any:
        if index == batch_index:
            os.kill(os.getpid(), number)
        return batch

    return toy.Wrapped(toy.make_iterator(), change)


def _checkpoint_steps(folder: Path) -> list[int]:
    return sorted(int(path.name) for path in (folder / "checkpoints").iterdir() if path.name.isdigit())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_after_the_running_step(
    number: signal.Signals, code: int, toy: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Stopped) as stopped:
        toy.fit(tmp_path / "split", max_steps=14, iterator=_signal_at(7, number, toy))
    assert stopped.value.code == code
    assert signal.getsignal(number) is before
    where = tmp_path / "split" / "checkpoints" / "8"
    assert (
        f"stopped by {number.name} after step 8 of 14, which is saved in {where}; the same command"
        in capsys.readouterr().out
    )
    assert _checkpoint_steps(tmp_path / "split") == [5, 8]
    split = toy.fit(tmp_path / "split", max_steps=14, iterator=_signal_at(-1, number, toy))
    whole = toy.fit(tmp_path / "whole", max_steps=14)
    chex.assert_trees_all_equal(jax.device_get(split.state), jax.device_get(whole.state))


def _assert_cut_short(toy: ModuleType, folder: Path, interrupt: Callable[[], object]) -> None:
    """`interrupt` sends a signal at the start of a long evaluation."""

    def evaluate(state: TrainState) -> dict[str, float]:
        interrupt()
        time.sleep(60)
        return {"mean_iou": 0.5}

    with pytest.raises(Stopped):
        toy.fit(folder, max_steps=14, evaluate=evaluate, evaluate_every=6)
    with Checkpoints(folder / "checkpoints", read_only=True) as checkpoints:
        assert (checkpoints.steps, checkpoints.best_step) == ([5, 6], None)


def test_a_signal_cuts_an_evaluation_short(toy: ModuleType, tmp_path: Path) -> None:
    _assert_cut_short(toy, tmp_path, lambda: os.kill(os.getpid(), signal.SIGTERM))


def test_a_signal_during_the_collection_of_garbage_is_not_lost(
    toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """JAX has a callback there, and Python only prints exceptions raised in one: the evaluation ran to its end."""
    before, dropped = signal.getsignal(signal.SIGTERM), list[object]()
    monkeypatch.setattr(sys, "unraisablehook", dropped.append)

    def callback(phase: str, info: dict[str, int]) -> None:
        gc.callbacks.remove(callback)
        signal.raise_signal(signal.SIGTERM)

    def interrupt() -> None:
        gc.callbacks.append(callback)
        gc.collect()

    _assert_cut_short(toy, tmp_path, interrupt)
    assert dropped == []
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_after_the_last_step_stops_what_comes_next(
    number: signal.Signals, code: int, toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is too late for this run; a comparison would start the next one and never notice it."""
    save = Checkpoints.save

    def signalled(self: Checkpoints, step: int, *arguments: Any, **options: Any) -> None:
        if step == 8:
            os.kill(os.getpid(), number)
        save(self, step, *arguments, **options)

    monkeypatch.setattr(Checkpoints, "save", signalled)
    with pytest.raises(Stopped) as stopped:
        toy.fit(tmp_path, max_steps=8)
    assert stopped.value.code == code
    assert _checkpoint_steps(tmp_path) == [5, 8]
    assert int(toy.fit(tmp_path, max_steps=8).state.step) == 8  # complete


def test_the_last_evaluation_is_made_up_for(toy: ModuleType, tmp_path: Path) -> None:
    """Interrupted, it leaves the last checkpoint without rank: the same command evaluates, logs and ranks it."""
    seen: list[int] = []

    def cut(state: TrainState) -> dict[str, float]:
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("the signal has not come")

    def whole(state: TrainState) -> dict[str, float]:
        seen.append(int(state.step))
        return {"mean_iou": 0.5}

    for _ in range(2):  # a signal may come again
        with pytest.raises(Stopped):
            toy.fit(tmp_path, max_steps=4, evaluate=cut)
    for _ in range(2):  # once is enough
        result = toy.fit(tmp_path, max_steps=4, evaluate=whole)
        assert (result.metrics, result.best_step, result.best_value) == ({"mean_iou": 0.5}, 4, 0.5)
    assert seen == [4]
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line for line in lines if line["split"] == "val"] == [{"step": 4, "split": "val", "mean_iou": 0.5}]


def test_a_second_signal_acts_at_once(toy: ModuleType, tmp_path: Path) -> None:
    def twice(index: int, batch: Any) -> Any:
        if index == 7:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
        return batch

    with pytest.raises(KeyboardInterrupt):
        toy.fit(tmp_path, iterator=toy.Wrapped(toy.make_iterator(), twice))
    assert _checkpoint_steps(tmp_path) == [5]


def test_a_full_disk_leaves_the_checkpoints_before(toy: ModuleType, tmp_path: Path) -> None:
    full = _run(tmp_path / "run", "--full-at", "7")
    assert full.returncode == 1
    message = full.stderr[full.stderr.rindex("\nOSError: a checkpoint") :]
    assert f"could not be written to {tmp_path / 'run' / 'checkpoints'} (" in message
    assert "The checkpoints of the steps [5] are intact: free space there or make the folder writable" in message
    assert _checkpoint_steps(tmp_path / "run") == [5]
    run = toy.fit(tmp_path / "run", devices=2, iterator=toy.Wrapped(toy.make_iterator(), lambda _, batch: batch))
    whole = toy.fit(tmp_path / "whole", devices=2)
    chex.assert_trees_all_equal(jax.device_get(run.state), jax.device_get(whole.state))


@pytest.mark.slow
def test_twenty_kills_at_random_moments(toy: ModuleType, tmp_path: Path) -> None:
    """With a checkpoint every second step, a save is often running; every second kill waits for one."""
    rng, steps = random.Random(0), 220
    options = ("--max-steps", str(steps), "--checkpoint-every", "2")
    torn = 0
    with Server("tests.training.toy", variables=_variables()) as server:
        for kill in range(1, 21):
            # A little further each time, so that every start gets somewhere.
            target = kill * steps // 22 + rng.randrange(8)
            process = server.start(tmp_path / "killed", *options, folder=tmp_path)
            while process.poll() is None and max(_saved(tmp_path / "killed"), default=0) < target:
                time.sleep(0.001)
            time.sleep(rng.random() * 0.3)
            while kill % 2 and process.poll() is None and not _is_saving(tmp_path / "killed"):
                time.sleep(0.001)
            process.kill()
            _, err = process.communicate()
            assert process.returncode == -signal.SIGKILL, err
            torn += _is_saving(tmp_path / "killed")
    assert torn >= 3, torn
    for name in ("killed", "whole"):
        finished = _run(tmp_path / name, *options)
        assert finished.returncode == 0, finished.stderr
    assert _arrays(tmp_path / "killed", toy, steps) == _arrays(tmp_path / "whole", toy, steps)


def _is_saving(folder: Path) -> bool:
    return any((folder / "checkpoints").glob("*tmp*"))


def _saved(folder: Path) -> list[int]:
    return _checkpoint_steps(folder) if (folder / "checkpoints").is_dir() else []


@pytest.mark.slow
def test_two_processes_train_and_resume_as_one(toy: ModuleType, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    processes = [_start(tmp_path / "two", "--process", str(index), "--port", port) for index in range(2)]
    outputs = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert "from step 12 of 20" in outputs[0][0]
    assert "resuming" not in outputs[1][0]  # one process speaks for all

    whole = toy.fit(tmp_path / "one", devices=4)
    with Checkpoints(tmp_path / "two" / "checkpoints", read_only=True) as checkpoints:
        two = checkpoints.restore_latest(whole.state)
    assert two is not None
    chex.assert_trees_all_close(jax.device_get(two.state), jax.device_get(whole.state), rtol=1e-5, atol=1e-6)
    lines = [json.loads(line) for line in (tmp_path / "two" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [4, 8, 12, 16, 20]
