"""Programs restart once, with huge pages for large buffers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.common import huge_pages

# Each process that starts with this module on its path notes the setting that it got.
_NOTE = """
import os, pathlib
with pathlib.Path(os.environ["STARTS"]).open("a") as file:
    print(os.environ.get("GLIBC_TUNABLES", ""), file=file)
"""


def _starts(folder: Path, tunables: str | None, *arguments: str) -> tuple[list[str], int]:
    """The settings of all processes that a command of a study becomes, and its exit status."""
    (folder / "sitecustomize.py").write_text(_NOTE)
    variables = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    variables |= {"STARTS": str(folder / "starts"), "PYTHONPATH": str(folder)}
    if tunables is not None:
        variables["GLIBC_TUNABLES"] = tunables
    command = [sys.executable, "-m", "experiments.segmentation", *arguments]
    run = subprocess.run(command, env=variables, cwd=Path(__file__).parents[2], capture_output=True)
    return (folder / "starts").read_text().splitlines(), run.returncode


@pytest.mark.skipif("[madvise]" not in huge_pages._policy(), reason="this system grants huge pages always or never")
@pytest.mark.parametrize(
    ("tunables", "expected"),
    [
        (None, ["", "glibc.malloc.hugetlb=1"]),
        ("glibc.malloc.check=0", ["glibc.malloc.check=0", "glibc.malloc.check=0:glibc.malloc.hugetlb=1"]),
        ("glibc.malloc.hugetlb=0", ["glibc.malloc.hugetlb=0"]),
        ("glibc.malloc.hugetlb=1", ["glibc.malloc.hugetlb=1"]),
    ],
)
def test_a_command_restarts_once_and_keeps_what_is_set(tmp_path, tunables, expected):
    """It kept its words (a run that is not there: status 1), other tunables, and a choice of the user."""
    assert _starts(tmp_path, tunables, "evaluate", str(tmp_path / "missing")) == (expected, 1)


def test_help_answers_at_once(tmp_path):
    """A restart would cost what the answer itself does."""
    assert _starts(tmp_path, None, "--help") == ([""], 0)


@pytest.mark.parametrize(
    ("library", "policy"),
    [(("glibc", "2.31"), "[madvise]"), (("", ""), "[madvise]"), (("glibc", "2.36"), "always madvise [never]")],
)
def test_other_systems_go_on_as_they_are(monkeypatch, tmp_path, library, policy):
    """Older glibc, other C libraries, and Linux without huge pages: a restart would bring nothing."""
    monkeypatch.setattr(huge_pages.platform, "libc_ver", lambda: library)
    monkeypatch.setattr(huge_pages, "_POLICY", tmp_path / "enabled")
    (tmp_path / "enabled").write_text(policy)
    monkeypatch.setenv("GLIBC_TUNABLES", "")
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", huge_pages.__spec__)  # as if it were a program of ours
    monkeypatch.setattr(os, "execve", lambda *_: pytest.fail("the process restarted"))
    huge_pages.use_huge_pages()
    assert not huge_pages.has_huge_pages()
