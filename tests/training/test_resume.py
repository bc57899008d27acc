"""A run that is killed and started again ends with bitwise the parameters of one that is not."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import chex
import jax
import pytest

from smoothjax.training import Checkpoints

_TOY = Path(__file__).with_name("toy.py")
_ROOT = Path(__file__).resolve().parents[2]


def _start(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    cache = jax.config.jax_compilation_cache_dir  # pyright: ignore[reportAttributeAccessIssue]
    environment = os.environ | {"PYTHONPATH": str(_ROOT), "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "2"}
    environment |= {"JAX_COMPILATION_CACHE_DIR": str(cache)} if cache else {}
    command = [sys.executable, str(_TOY), str(folder), *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    with _start(folder, *arguments) as process:
        out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def _arrays(folder: Path, toy: ModuleType) -> dict[str, bytes]:
    with Checkpoints(folder / "checkpoints", read_only=True) as checkpoints:
        restored = checkpoints.restore_latest(toy.make_state())
    assert restored is not None
    assert restored.step == 20
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
    assert "is damaged (JSONDecodeError" in (said := capsys.readouterr().out)
    assert "from step 10 of 14" in said
    whole = toy.fit(tmp_path / "whole", max_steps=14)
    chex.assert_trees_all_equal(jax.device_get(split.state), jax.device_get(whole.state))


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
