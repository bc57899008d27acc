"""Processes to stop and kill, without the seconds that each needs for imports."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

_SERVER = """
import gc, importlib, json, os, sys

main = importlib.import_module(sys.argv[1]).main
for name in sys.argv[2:]:
    importlib.import_module(name)
gc.freeze()  # a collection would copy what is shared
for line in sys.stdin:
    arguments, folder, output = json.loads(line)
    child = os.fork()
    if child == 0:
        os.chdir(folder)
        for number, name, flags in (
            (0, os.devnull, os.O_RDONLY),
            (1, output + ".out", os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
            (2, output + ".err", os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        ):
            os.dup2(os.open(name, flags), number)
        sys.argv[1:] = arguments
        sys.exit(main(arguments))
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Forked:
    """A process with the interface of `subprocess.Popen`.

    Attributes:
      pid: its number.
      returncode: its exit status, minus the signal that has killed it; None while it runs.
    """

    def __init__(self, server: "subprocess.Popen[bytes]", output: Path):
        assert server.stdout is not None
        self._numbers, self._output = server.stdout, output
        self.pid, self.returncode = int(self._numbers.readline()), None

    def poll(self) -> int | None:
        """The exit status, None while the process runs."""
        return self._wait(0)

    def kill(self) -> None:
        """Kills the process, unless it has ended, without a chance to clean up."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)

    def communicate(self, timeout: float = 300) -> tuple[str, str]:
        """Waits for the end; returns standard output and standard error."""
        if self._wait(timeout) is None:
            self.kill()
            raise TimeoutError(f"the process still runs after {timeout:g} s")
        return self._output.with_suffix(".out").read_text(), self._output.with_suffix(".err").read_text()

    def _wait(self, seconds: float) -> int | None:
        if self.returncode is None and select.select([self._numbers], [], [], seconds)[0]:
            self.returncode = int(self._numbers.readline())
        return self.returncode


class Server:
    """Has imported modules, and is forked for each start of a command, one after the other.

    A process may be forked as long as it has no threads: importing JAX starts none, its first array does.

    Args:
      module: has the command, `main(arguments)`.
      others: further modules to import.
      variables: of the environment, beside those of this process; read by what is imported.
    """

    def __init__(self, module: str, *others: str, variables: Mapping[str, str] = {}):
        # Sources are compiled once, whatever the environment.
        environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": ""} | dict(variables)
        command = [sys.executable, "-c", _SERVER, module, *others]
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self._started = 0

    def start(self, *arguments: object, folder: Path) -> Forked:
        """Runs the command in a folder, where its outputs are kept."""
        assert self._process.stdin is not None
        self._started += 1
        output = folder / f"output-{self._process.pid}-{self._started}"
        line = json.dumps([[*map(str, arguments)], str(folder), str(output)])
        self._process.stdin.write(f"{line}\n".encode())
        return Forked(self._process, output)

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()
