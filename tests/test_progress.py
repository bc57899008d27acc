"""The progress of a long task: a bar on a terminal, lines elsewhere, nothing for a quick task."""

import io
import itertools

import pytest

from smoothjax import progress
from smoothjax.progress import Progress, track


@pytest.fixture
def clock(monkeypatch):
    """A clock that advances by a second at every reading."""
    monkeypatch.setattr(progress.time, "monotonic", itertools.count().__next__)


def test_a_quick_task_shows_nothing(capsys):
    assert list(track(range(5), "count", 5)) == [0, 1, 2, 3, 4]
    assert capsys.readouterr() == ("", "")


def test_a_long_task_says_how_far_it_is_and_how_long_it_takes(clock, capsys):
    """A line after five seconds, then ever fewer, with rate and remaining time from units and seconds."""
    with Progress(1000, "evaluate val", unit="images", initial=10) as shown:
        for _ in range(100):
            shown.note(loss="1.2")
            shown.update(2)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "evaluate val: 20 of 1,000 images, 2 images a second, 08:10 left, loss 1.2"
    assert 2 <= len(lines) <= 5


def test_the_rate_is_of_this_time_and_the_end_has_no_remaining_time(clock, capsys):
    with Progress(None, "read", unit="files", initial=500) as shown:
        for _ in range(9):
            shown.update()
    assert capsys.readouterr().err.startswith("read: 505 files, 1 s each\n")


def test_the_first_update_compiles_and_is_no_part_of_the_rate(monkeypatch, capsys):
    """Otherwise the first line of a run of minutes would announce hours."""
    times = iter([0.0, 22.0, 33.0])
    monkeypatch.setattr(progress.time, "monotonic", times.__next__)
    with Progress(200, "train") as shown:
        shown.update()
        shown.update(11)
    assert capsys.readouterr().err.splitlines() == [
        "train: 1 of 200 steps, the first after 22 s",
        "train: 12 of 200 steps, 1 s each, 03:08 left",
    ]


def test_what_is_not_shown_is_counted(clock, capsys):
    with Progress(9, "hidden", shown=False) as shown:
        for _ in range(9):
            shown.update()
    assert shown.done == 9
    assert capsys.readouterr().err == ""


def test_a_terminal_shows_a_bar_with_rate_and_remaining_time(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(progress, "_DELAY", 0)
    with Progress(4, "train", unit="steps") as shown:
        shown.update(2)
        shown.note(epoch="0.5")
        assert shown._bar is not None
        shown._bar.refresh()
        assert "train:  50%" in terminal.getvalue()
        assert "steps/s" in terminal.getvalue()
        assert "epoch=0.5" in terminal.getvalue()
