"""The study of causal networks over time from end to end, through the command line."""

import hashlib
import json
import math
import shlex
import shutil
from functools import partial

import pytest

from experiments.sequence.__main__ import PROGRAM, main
from experiments.sequence.study import STUDY
from tests.experiments.command_line import TEXT, check_pictures
from tests.experiments.command_line import call_on_one as run_study

_SMALL = shlex.split("--model.width 4 --model.depth 3 --batch-size 8 --eval-batch-size 8 --log-every 1")
_COPY = [*_SMALL, *shlex.split("--data.symbols 2 --data.alphabet 3 --data.delay 4 --data.val-examples 11")]
_ADDING = [*_SMALL, *shlex.split("--data.length 8 --data.val-examples 11")]
_TEXT = [*_SMALL, *shlex.split("--data.length 8")]

run = partial(run_study, study="sequence")


def _main(*arguments: object, status: int = 0) -> None:
    """Runs a command in this process, on its eight devices."""
    assert main([str(argument) for argument in arguments]) == status


# Refusals.


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not a file: name a text in UTF-8"),
        (b"", "is empty"),
        (b"caf\xe9 " * 100, "must be text in UTF-8, but byte 3 is not"),
        (b"short", "is too short: of its 5 characters 0 are held out"),
        (b"a" * 1000, "must have at least 2 different characters, got 'a'"),
    ],
)
def test_unsuitable_files_are_refused(content, message, tmp_path, capsys):
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)
    _main("train", "text", "--data.file", path, "--run", tmp_path / "run", status=1)
    err = capsys.readouterr().err
    assert err.startswith(f"error: --data.file {path}")
    assert message in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("model.width", 0), ("model.depth", 1), ("data.symbols", 0), ("data.alphabet", 1), ("data.delay", 0)),
        *(("data.length", 3), ("data.val-examples", 0), ("data.val-share", 1.0), ("optim.learning-rate", 0)),
    ],
)
def test_options_out_of_range_are_refused(option, value, tmp_path, capsys):
    _main("train", "demo", f"--{option}", value, "--run", tmp_path / "run", status=1)
    err = capsys.readouterr().err
    assert err.startswith(f"error: --{option} must be ")
    assert ": " in err.removeprefix("error: ")


# From end to end.


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Every method, one seed, three steps."""
    folder = tmp_path_factory.mktemp("compare")
    out, _ = run("compare", "demo", *_COPY, "--steps", 3, "--evaluate-every", 2, folder=folder)
    return folder / "runs/sequence/demo", out


def test_compare_ends_with_a_table_a_report_and_figures(compared):
    report, out = compared
    text = (report / "report.md").read_text()
    for row in (*STUDY.labels.values(), "guessing"):
        assert f"\n| {row} " in out
        assert f"\n| {row} " in text
    for column in ("bits per symbol", "accuracy %", "extra parameters", "gridding, last block", "s / step"):
        assert f"| {column} " in out
    results = {name: runs[0] for name, runs in json.loads((report / "report.json").read_text())["results"].items()}
    assert {name: r["smoothing_parameters"] for name, r in results.items()} == {
        "none": 0,
        "group_interaction": 14,
        "ss_conv": 11,
    }
    assert results["none"]["gridding"] == 1
    for result in results.values():
        assert (result["gridding_rate"], result["sequences"], result["steps_per_sequence"]) == (4, 11, 8)
        assert 0 < result["val"]["score"] == pytest.approx(result["val"]["loss"] / math.log(2))
        assert 0 <= result["gridding_network"] <= 1
    # Three steps have moved the smoothing off the identity.
    assert results["ss_conv"]["gridding"] < 1
    assert results["group_interaction"]["gridding"] < 1
    check_pictures(report, "erf.png", "curves.png")


def test_evaluate_finds_what_training_found(compared, capsys):
    folder = compared[0] / "ss_conv-seed0"
    _main("evaluate", folder)
    out = capsys.readouterr().out
    for words in (
        "bits per symbol",
        "accuracy",
        "trivial: guessing",
        "gridding of the block of rate 4",
        "11 sequences",
    ):
        assert words in out
    evaluated = json.loads((folder / "evaluation-val.json").read_text())
    trained = json.loads((folder / "result.json").read_text())
    for name, value in trained["val"].items():
        assert evaluated[name] == pytest.approx(value, rel=1e-4)
    assert evaluated["gridding"] == pytest.approx(trained["gridding"], rel=1e-3)
    _main("evaluate", folder, "--split", "tset", status=1)
    assert "--split must be one of train, val, test, got 'tset'" in capsys.readouterr().err


@pytest.mark.slow
def test_a_stopped_run_continues_as_if_it_had_not_been(compared, tmp_path):
    whole, again = compared[0] / "ss_conv-seed0", tmp_path / "again"
    shutil.copytree(whole, again)
    (again / "result.json").unlink()
    (last,) = (again / "checkpoints").glob("3*")
    shutil.rmtree(last)
    options = ("--steps", 3, "--evaluate-every", 2, "--model.smoothing", "ss_conv", "--run", "again")
    out, _ = run("train", "demo", *_COPY, *options, folder=tmp_path)
    assert "step 3  train" in out
    assert "step 2  train" not in out
    first, second = (json.loads((path / "result.json").read_text()) for path in (whole, again))
    assert second["val"] == first["val"]


def test_adding_trains(tmp_path, capsys):
    # Of the eight devices, three sequences would leave five idle: the evaluation batch is filled up.
    options = ("--steps", 1, "--eval-batch-size", 3, "--methods", "group_interaction", "--out", tmp_path / "out")
    _main("compare", "adding", *_ADDING, *options)
    out = capsys.readouterr().out
    assert "| mean squared error " in out
    assert "\n| always 1 " in out
    assert "accuracy" not in out.split("| method")[1]
    following = f"python -m experiments.sequence evaluate {tmp_path / 'out'}/group_interaction-seed0"
    assert out.endswith(f"show it. Next, for example:\n  {following}\n")


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """A text, learnt for a few steps."""
    folder = tmp_path_factory.mktemp("text")
    (folder / "text.txt").write_text("\ufeff" + TEXT, encoding="utf-8")
    options = ("--data.file", "text.txt", "--steps", 2, "--model.smoothing", "group_interaction")
    run("train", "text", *_TEXT, *options, folder=folder)
    return folder, folder / "runs/sequence/text/group_interaction-seed0"


def test_a_text_is_learnt_and_written_on(learnt, monkeypatch, capsys):
    folder, path = learnt
    monkeypatch.chdir(folder)
    result = json.loads((path / "result.json").read_text())
    kept = json.loads((path / "data.json").read_text())
    assert kept["alphabet"] == "".join(sorted(set(TEXT)))
    assert kept["sha256"] == hashlib.sha256(TEXT.encode()).hexdigest()  # without the byte order mark
    assert result["unit"] == "bits per character"
    _main("sample", path, "--prompt", "the cat", "--length", 30)
    first = capsys.readouterr().out.removesuffix("\n")
    assert first.startswith("the cat")
    assert len(first) == 37
    assert set(first) <= set(TEXT)
    _main("sample", path, "--prompt", "the cat", "--length", 30, "--seed", 1)
    assert capsys.readouterr().out.removesuffix("\n") != first
    for options, message in (
        (("--prompt", "the Cat"), "--prompt has characters that the training text lacks, 'C'"),
        (("--prompt", ""), "--prompt must have at least one character"),
        (("--prompt", "a", "--length", 0), "--length must be at least 1"),
        (("--prompt", "a", "--temperature", -1), "--temperature must be finite and not negative"),
        (("--prompt", "a", "--seed", -1), "--seed must not be negative"),
    ):
        _main("sample", path, *options, status=1)
        assert message in capsys.readouterr().err


def test_writing_on_needs_no_text(learnt, tmp_path, monkeypatch, capsys):
    """It needs neither the text nor a result, only the record of the characters."""
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "run"
    shutil.copytree(learnt[1], run)
    (run / "result.json").unlink()
    options = ("--prompt", "the cat", "--length", 3)
    _main("sample", run, *options)
    first = capsys.readouterr().out
    assert first.startswith("the cat")
    _main("evaluate", run, status=1)
    assert "text.txt, the text, is not there: name it with evaluate RUN --data-file" in capsys.readouterr().err
    # Files that are not needed are not read.
    for content in ("[1]", "{"):
        (run / "result.json").write_text(content)
        _main("sample", run, *options)
        assert capsys.readouterr().out == first
    (run / "data.json").unlink()
    _main("sample", run, *options, status=1)
    assert f"error: {run} does not say which characters it has learnt, data.json is missing" in capsys.readouterr().err


def test_a_run_goes_on_with_its_own_text(learnt, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run, moved, other = tmp_path / "run", tmp_path / "moved.txt", tmp_path / "other.txt"
    shutil.copytree(learnt[1], run)
    moved.write_text(TEXT)
    options = (*_TEXT, "--steps", 2, "--model.smoothing", "group_interaction", "--run", run)
    _main("train", "text", "--data.file", moved, *options)
    assert "is finished" in capsys.readouterr().out
    (run / "result.json").unlink()
    # Other characters, and the same ones in another order, which no shape would reveal.
    for text in (TEXT.replace("cat", "fox"), TEXT[::-1]):
        other.write_text(text)
        _main("train", "text", "--data.file", other, *options, status=1)
        err = capsys.readouterr().err
        assert f"{run} holds a run on other data: what it has learnt from, --data.file text.txt there" in err
        assert f" there, {hashlib.sha256(text.encode()).hexdigest()} now" in err
    (run / "result.json").write_text("[1]")
    _main("train", "text", "--data.file", moved, *options, status=1)
    assert f"error: {run}/result.json is damaged" in capsys.readouterr().err


def test_another_text_is_scored_with_the_learnt_characters(learnt, tmp_path, monkeypatch, capsys):
    folder, path = learnt
    monkeypatch.chdir(folder)
    other = tmp_path / "other.txt"
    other.write_text("a cat and a dog sat on the mat. " * 4)  # fewer characters than were learnt
    _main("evaluate", path)
    own = (path / "evaluation-val.json").read_text()
    _main("evaluate", path, "--data-file", other)
    out = capsys.readouterr().out
    assert "bits per character" in out
    assert f"{other} is not the data that {path} has learnt from" in out
    assert (path / "evaluation-val.json").read_text() == own
    (file,) = path.glob("evaluation-val-of-other.txt-*.json")
    scored = json.loads(file.read_text())
    assert scored["text"] == str(other)
    assert scored["sha256"] == hashlib.sha256(other.read_bytes()).hexdigest()
    other.write_text("ein Hund und eine Katze. " * 4)
    _main("evaluate", path, "--data-file", other, status=1)
    assert f"--data.file {other} has characters that the training text lacks" in capsys.readouterr().err
    _main("evaluate", path, "--split", "test", status=1)
    assert "--split must be train or val for a text, got 'test'" in capsys.readouterr().err


def test_only_texts_are_written_on(compared, capsys):
    path = compared[0] / "none-seed0"
    _main("sample", path, "--prompt", "a", status=1)
    assert "only a text can be continued" in capsys.readouterr().err
    _main("evaluate", path, "--data-file", "text.txt", status=1)
    assert "--data-file is for texts" in capsys.readouterr().err


def test_help_answers_without_jax(capsys):
    assert PROGRAM.default == ("compare", "demo")
    _main("--help")
    out = capsys.readouterr().out
    for words in ("train PRESET", "compare PRESET", "evaluate RUN", "sample RUN --prompt ... ", "demo", "text"):
        assert words in out
