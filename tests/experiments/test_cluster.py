"""Two processes on one machine train as one, through the command line."""

import json
import os
import signal
import socket
import time

import numpy as np
import pytest

from experiments.common.cluster import Cluster
from tests.experiments.command_line import TINY_U_NET, parameters, variables
from tests.forks import Server

_OPTIONS = ["train", "demo", *TINY_U_NET, "--steps", "24", "--checkpoint-every", "2", "--log-every", "1"]


@pytest.fixture
def servers():
    """A server for each of two processes, with everything that the command imports."""
    names = ("experiments.pixel_dcn.__main__", "experiments.pixel_dcn.study", "experiments.common.train")
    with (
        Server(*names, variables=variables(cache=False)) as first,
        Server(*names, variables=variables(cache=False)) as second,
    ):
        yield first, second


def _start_both(servers, folder):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    common = [*_OPTIONS, "--run", folder / "run", "--coordinator", address, "--processes", "2"]
    return [server.start(*common, "--process-index", index, folder=folder) for index, server in enumerate(servers)]


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
    with pytest.raises(ValueError, match=r"found no cluster in the environment \(coordinator_address .* describe it"):
        Cluster(distributed=True).join()


@pytest.mark.slow
def test_two_processes_one_killed_both_resumed(servers, tmp_path):
    """A run that is killed, stopped and interrupted in turn ends like an undisturbed one."""
    for name in ("broken", "whole"):
        (tmp_path / name).mkdir()
    processes = _start_both(servers, tmp_path / "broken")
    _wait_for_step(6, tmp_path / "broken", processes)
    processes[1].kill()
    # The other one cannot go on, and notices by itself or is ended, as a scheduler does.
    time.sleep(3)
    processes[0].kill()
    for process in processes:
        process.communicate()
    assert not (tmp_path / "broken/run/result.json").exists()

    # A signal to either stops both, at the same step.
    for step, number, codes in ((12, signal.SIGTERM, [143, 143]), (18, signal.SIGINT, [143, 130])):
        processes = _start_both(servers, tmp_path / "broken")
        _wait_for_step(step, tmp_path / "broken", processes)
        os.kill(processes[1].pid, number)
        outputs = [process.communicate(timeout=120) for process in processes]
        assert [process.returncode for process in processes] == codes, outputs
        assert f"resuming {tmp_path / 'broken/run'} from step" in outputs[0][0]
        assert "stopped by SIGTERM after step" in outputs[0][0]

    outputs = {name: _finish(_start_both(servers, tmp_path / name)) for name in ("broken", "whole")}
    assert f"resuming {tmp_path / 'broken/run'} from step" in outputs["broken"][0]
    for first, second in outputs.values():
        assert "mean IoU" in first
        assert "step" not in second  # one process speaks for both
    assert len(json.loads((tmp_path / "whole/run/environment.json").read_text())) == 1
    broken, whole = (parameters(tmp_path / name / "run", "pixel_dcn") for name in ("broken", "whole"))
    assert broken.keys() == whole.keys()
    for path, leaf in broken.items():
        np.testing.assert_array_equal(leaf, whole[path], err_msg=path)
    lines = [json.loads(line) for line in (tmp_path / "broken/run/metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["split"] == "train"] == list(range(1, 25))


def _wait_for_step(step, folder, processes):
    log, deadline = folder / "run/metrics.jsonl", time.monotonic() + 240
    while not (log.exists() and f'"step": {step}, "split": "train"' in log.read_text()):
        for process in processes:
            assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
