"""The lock of a run folder: one process at a time, and no lock remains."""

import errno
import fcntl
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from smoothjax.training import lock_folder


def test_a_second_process_is_refused_by_the_name_of_the_first(tmp_path: Path) -> None:
    with lock_folder(tmp_path / "run"):
        # The lock belongs to the opened file, so that a second one in this process is as good as another process.
        with pytest.raises(BlockingIOError) as raised, lock_folder(tmp_path / "run"):
            pass
        message = str(raised.value)
        assert f"{tmp_path / 'run'} is in use by process {os.getpid()} on {socket.gethostname()} since 2" in message
        assert message.endswith("another run needs another folder")
        assert "\n" not in message
    with lock_folder(tmp_path / "run"):  # released
        pass


_HOLD = """
import fcntl, os, sys
descriptor = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o666)
fcntl.flock(descriptor, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def test_the_system_releases_the_lock_of_a_dead_process(tmp_path: Path) -> None:
    """A mere lock file would have to be deleted by hand after every kill."""
    command = [sys.executable, "-I", "-S", "-c", _HOLD, str(tmp_path / "run.lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(BlockingIOError, match="is in use by another process"), lock_folder(tmp_path):
            pass
        other.kill()
        other.wait()
        with lock_folder(tmp_path):
            pass


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"host": 1}'])
def test_a_damaged_lock_file_is_no_obstacle(text: str, tmp_path: Path) -> None:
    (tmp_path / "run.lock").write_text(text)
    with lock_folder(tmp_path):
        assert f'"process": {os.getpid()}' in (tmp_path / "run.lock").read_text()


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("data")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.lock").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match=r"run\.lock"), lock_folder(tmp_path / "run"):
        pass
    assert (tmp_path / "precious").read_text() == "data"


def test_a_file_system_without_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with lock_folder(tmp_path):
        pass
    assert re.search(r"run\.lock cannot be locked \(No locks available\): make sure", capsys.readouterr().out)
