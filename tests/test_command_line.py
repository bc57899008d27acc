"""The answers of every command line to arguments that it does not understand."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest
import tyro

from smoothjax.command_line import parse
from smoothjax.datasets.__main__ import main as data
from smoothjax.diagnose.__main__ import main as diagnose


@dataclass(frozen=True)
class _Predict:
    """Options with a required folder and optional files."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    images: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="IMAGES...")] = ()
    """Images."""
    flip: bool = False
    """Whether to mirror."""
    tile: tuple[int, int] | None = None
    """Height and width."""


@dataclass(frozen=True)
class _Time:
    """Options with only choices."""

    parts: tyro.conf.Positional[tuple[Literal["ops", "layers"], ...]] = ()
    """Parts."""
    quick: bool = False
    """Whether to be quick."""


def _parsed(kind, text):
    return parse(kind, text.split(), "program")


@pytest.mark.parametrize("word", ["on", "0", "no"])
def test_what_a_command_lacks_is_no_value_of_a_switch(word):
    """`predict --flip on`: a missing run, which may have any name, was taken for a wrong value."""
    assert _parsed(_Predict, f"--flip {word}") == _Predict(Path(word), flip=True)
    assert _parsed(_Predict, f"--tile 2 3 --flip {word}") == _Predict(Path(word), flip=True, tile=(2, 3))


def test_a_file_is_no_value_of_a_switch(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for text in ("run --flip 1", "--flip 1 run"):
        (tmp_path / "1").unlink(missing_ok=True)
        if text.startswith("run"):
            with pytest.raises(SystemExit):
                _parsed(_Predict, text)
            assert "--flip is on or off and takes no value, got 1: write --flip" in capsys.readouterr().err
        (tmp_path / "1").touch()
        assert _parsed(_Predict, text).flip
    # No file of a command that takes none.
    with pytest.raises(SystemExit):
        _parsed(_Predict, "run --no-flip=0")
    assert "write --flip" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (_Predict, "", "RUN must be given: Folder of the run."),
        (_Predict, "--tile 2 3", "RUN must be given: Folder of the run."),
        (_Predict, "run --tile 2x3", "--tile takes 2 whole numbers or None, got 2x3: write --tile 2 3"),
        (
            _Time,
            "ops layer",
            "PARTS takes some of ops, layers, with spaces between them, got ops layer: write ops layers",
        ),
        (_Time, "--quick off", "--quick is on or off and takes no value, got off: write --no-quick"),
    ],
)
def test_is_answered_by_a_sentence(kind, text, message, capsys):
    with pytest.raises(SystemExit) as stop:
        _parsed(kind, text)
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"error: {message}\n"


@pytest.mark.parametrize(
    ("main", "text", "message"),
    [
        (
            data,
            "show camvid --augmented Yes",
            "--augmented is on or off and takes no value, got Yes: write --augmented",
        ),
        (data, "show x --crop-size 12x12", "--crop-size takes 2 whole numbers, got 12x12: write --crop-size 12 12"),
        (data, "show x --images 1e1", "--images takes a whole number, got 1e1: write --images 10"),
        (data, "info x --classes", "--classes takes one value or None, got nothing"),
        (data, "info x y", "the command has no place for y: it takes only options, which begin with --"),
        (data, "info x --chanels 1", "unknown option --chanels: did you mean --channels?"),
        (data, "info x --data-channels one", "--channels takes a whole number, got one"),
        (data, "prepare coco2015 --year 2016", "--year takes one of 2014, 2015, 2017 or None, got 2016"),
        (data, "prepare folder --val-fraction 0,2", "--val-fraction takes a number, got 0,2: write --val-fraction 0.2"),
        (data, "prepare voc --source x", "unknown data set 'voc': did you mean voc2012?"),
        (data, "inof x", "unknown command 'inof': did you mean info?"),
        (diagnose, "picture a.png --white 12bit", "--white takes a whole number or None, got 12bit"),
        (diagnose, "picture a.png --json Yes", "--json is on or off and takes no value, got Yes: write --json"),
        (diagnose, "network a:b --input 1,9,9,3 --layout nhwc", "--layout takes one of channels_last, channels_first"),
        (diagnose, "network a:b", "--input must be given: Shape of its input"),
        (diagnose, "network --input 1,9,9,3", "TARGET must be given: MODULE:NAME of a network"),
        (diagnose, "pictures a.png", "unknown command 'pictures': did you mean picture?"),
    ],
)
def test_of_the_library_too(main, text, message, capsys):
    """`data` and `diagnose` printed boxes about their types, where studies give an answer."""
    with pytest.raises(SystemExit) as stop:
        main(text.split())
    assert stop.value.code == 2
    answer = capsys.readouterr().err
    assert re.match(f"error: {re.escape(message)}", answer)
    assert answer.count("\n") == 1


def test_the_command_line_of_diagnose_says_what_it_can_do(capsys):
    assert diagnose(["--help"]) == 0
    told = capsys.readouterr().out
    assert "commands:\n  picture " in told
    assert "\n  network " in told
    assert "examples:\n  python -m smoothjax.diagnose picture " in told
