"""Two processes on one machine train as one, through the command line."""

import json
import os
import signal
import socket
import time

import numpy as np
import pytest

from experiments.common.cluster import Cluster
from tests.experiments.command_line import TINY, parameters, start

_OPTIONS = ["train", "demo", *TINY, "--steps", "12", "--checkpoint-every", "2", "--log-every", "1"]


def _start_both(folder):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    common = [*_OPTIONS, "--run", folder / "run", "--coordinator", address, "--processes", "2"]
    return [start(*common, "--process-index", index, folder=folder, cache=False) for index in range(2)]


def _finish(processes):
    outputs = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    return [out for out, _ in outputs]


def test_without_options_there_is_one_process_and_without_a_cluster_an_error(monkeypatch):
    def initialize(*arguments):
        assert arguments == (None, None, None)
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr("jax.distributed.initialize", initialize)
    Cluster().join()
    with pytest.raises(ValueError, match=r"found no cluster in the environment \(coordinator_address .* by hand with"):
        Cluster(distributed=True).join()


@pytest.mark.slow
def test_two_processes_one_killed_both_resumed(tmp_path):
    for name in ("killed", "stopped", "interrupted", "whole"):
        (tmp_path / name).mkdir()
    processes = _start_both(tmp_path / "killed")
    _wait_for_step(6, tmp_path / "killed", processes)
    processes[1].kill()
    # The other one cannot go on, and notices by itself or is ended, as a scheduler does.
    time.sleep(3)
    processes[0].kill()
    for process in processes:
        process.communicate()
    assert not (tmp_path / "killed/run/result.json").exists()

    # A signal to either stops both, at the same step.
    for name, number, codes in (("stopped", signal.SIGTERM, [143, 143]), ("interrupted", signal.SIGINT, [143, 130])):
        processes = _start_both(tmp_path / name)
        _wait_for_step(4, tmp_path / name, processes)
        os.kill(processes[1].pid, number)
        outputs = [process.communicate(timeout=120) for process in processes]
        assert [process.returncode for process in processes] == codes, outputs
        assert "stopped by SIGTERM after step" in outputs[0][0]

    outputs = {name: _finish(_start_both(tmp_path / name)) for name in ("killed", "stopped", "interrupted", "whole")}
    for name in ("killed", "stopped", "interrupted"):
        assert f"resuming {tmp_path / name / 'run'} from step" in outputs[name][0]
    for first, second in outputs.values():
        assert "mean IoU" in first
        assert "step" not in second  # one process speaks for both
    assert len(json.loads((tmp_path / "whole/run/environment.json").read_text())) == 1
    whole = parameters(tmp_path / "whole/run")
    for name in ("killed", "stopped", "interrupted"):
        for path, leaf in parameters(tmp_path / name / "run").items():
            np.testing.assert_array_equal(leaf, whole[path], err_msg=path)
        lines = [json.loads(line) for line in (tmp_path / name / "run/metrics.jsonl").read_text().splitlines()]
        assert [line["step"] for line in lines if line["split"] == "train"] == list(range(1, 13))


def _wait_for_step(step, folder, processes):
    log, deadline = folder / "run/metrics.jsonl", time.monotonic() + 240
    while not (log.exists() and f'"step": {step}, "split": "train"' in log.read_text()):
        for process in processes:
            assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
