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


_ON_REQUEST = pytest.mark.skipif(
    not huge_pages._are_on_request(), reason="this system has no glibc 2.35, or grants huge pages always or never"
)


def _starts(
    folder: Path, tunables: str | None, module: str, *arguments: str, note: str = _NOTE
) -> tuple[list[str], int]:
    """The settings of all processes that a program becomes, and its exit status."""
    (folder / "sitecustomize.py").write_text(note)
    ours = ("GLIBC_TUNABLES", "SMOOTHJAX_RESTARTED")
    variables = {name: value for name, value in os.environ.items() if name not in ours}
    variables |= {"STARTS": str(folder / "starts"), "PYTHONPATH": str(folder)}
    if tunables is not None:
        variables["GLIBC_TUNABLES"] = tunables
    command = [sys.executable, "-m", *module.split(), *arguments]
    run = subprocess.run(command, env=variables, cwd=Path(__file__).parents[2], capture_output=True, input=b"c\nq\n")
    return (folder / "starts").read_text().splitlines(), run.returncode


@_ON_REQUEST
@pytest.mark.parametrize(
    ("tunables", "expected"),
    [
        ("glibc.malloc.check=0", ["glibc.malloc.check=0", "glibc.malloc.check=0:glibc.malloc.hugetlb=1"]),
        ("glibc.malloc.hugetlb=0", ["glibc.malloc.hugetlb=0"]),
        ("glibc.malloc.hugetlb=1", ["glibc.malloc.hugetlb=1"]),
    ],
)
def test_what_the_user_sets_is_kept(tmp_path, tunables, expected):
    """Other tunables, and a choice of pages; the command fails, since there is no such run."""
    command = ("experiments.segmentation", "evaluate", str(tmp_path / "missing"))
    assert _starts(tmp_path, tunables, *command) == (expected, 1)


@_ON_REQUEST
@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("experiments.segmentation", "evaluate missing"),
        ("experiments.segmentation", "train camvid --data.root missing"),
        ("experiments.vae", "compare celeba --data.root missing"),
        ("experiments.gridding", "compare demo --first 0"),
        ("experiments.gridding.unlabelled", "--out missing/file.json"),
        ("experiments.erf", "--runs missing"),
        ("experiments.timing", "--json missing/file.json"),
    ],
)
def test_programs_restart_once_with_their_words(tmp_path, module, arguments):
    """All that compute on large buffers; these commands then fail at once, by their own words."""
    assert _starts(tmp_path, None, module, *arguments.split()) == (["", "glibc.malloc.hugetlb=1"], 1)


@_ON_REQUEST
def test_a_setting_that_is_taken_away_is_not_asked_for_again(tmp_path):
    """The program would restart for ever."""
    starts, status = _starts(
        tmp_path,
        None,
        "experiments.segmentation",
        "evaluate",
        "missing",
        note=f"{_NOTE}\nos.environ.pop('GLIBC_TUNABLES', None)",
    )
    assert (len(starts), status) == (2, 1)


def test_help_answers_at_once(tmp_path):
    """A restart would cost what the answer itself does."""
    assert _starts(tmp_path, None, "experiments.segmentation", "--help") == ([""], 0)


def test_a_debugger_keeps_its_session(tmp_path):
    """A restarted debugger forgets its breakpoints."""
    assert _starts(tmp_path, None, "pdb -m experiments.segmentation", "evaluate", "missing")[0] == [""]


@pytest.fixture
def program(monkeypatch, tmp_path):
    """A program of ours, in a process with huge pages on request."""
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "experiments.segmentation"])
    monkeypatch.setattr(huge_pages.platform, "libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.setattr(huge_pages, "_POLICY", tmp_path / "enabled")
    (tmp_path / "enabled").write_text("always [madvise] never")
    for name in ("GLIBC_TUNABLES", "SMOOTHJAX_RESTARTED"):
        monkeypatch.delenv(name, raising=False)
    started = []
    monkeypatch.setattr(os, "execve", lambda *arguments: started.append(arguments))
    return started


def test_a_program_restarts(program, monkeypatch):
    """Without this the next tests could not fail."""
    huge_pages.use_huge_pages()
    ((_, words, variables),) = program
    assert words[1:] == ["-m", "experiments.segmentation"]
    assert not huge_pages.has_huge_pages()
    monkeypatch.setenv("GLIBC_TUNABLES", variables["GLIBC_TUNABLES"])
    assert huge_pages.has_huge_pages()


@pytest.mark.parametrize(
    ("library", "policy", "has"),
    [
        (("glibc", "2.31"), "always [madvise] never", False),
        (("", ""), "always [madvise] never", False),
        (("glibc", "2.36"), "always madvise [never]", False),
        (("glibc", "2.36"), "[always] madvise never", True),
        (("glibc", "2.36"), None, False),
    ],
)
def test_other_systems_go_on_as_they_are(program, monkeypatch, tmp_path, library, policy, has):
    """Older glibc, other C libraries, and pages that are huge always, never, or of which the system says nothing."""
    monkeypatch.setattr(huge_pages.platform, "libc_ver", lambda: library)
    (tmp_path / "enabled").unlink()
    if policy:
        (tmp_path / "enabled").write_text(policy)
    huge_pages.use_huge_pages()
    assert not program
    monkeypatch.setenv("GLIBC_TUNABLES", huge_pages.SETTING)
    assert huge_pages.has_huge_pages() is has


def test_a_process_that_may_not_start_anew_goes_on(program, monkeypatch):
    """Only speed is lost."""

    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "execve", refuse)
    huge_pages.use_huge_pages()
