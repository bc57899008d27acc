"""The study of causal networks over time, through the command line, and its parts."""

import dataclasses
import hashlib
import json
import math
import shlex
import shutil
from functools import partial
from pathlib import Path
from typing import Any, cast, get_args

import jax
import numpy as np
import pytest
from flax import nnx
from PIL import Image

from experiments.common.run_folder import from_dict, to_dict
from experiments.sequence.__main__ import PROGRAM, main
from experiments.sequence.config import Config, DataConfig, Method, ModelConfig
from experiments.sequence.gridding import measure, smoothing_parameters
from experiments.sequence.presets import PRESETS
from experiments.sequence.runs import Predictor, Trained
from experiments.sequence.scores import sums
from experiments.sequence.study import STUDY
from experiments.sequence.tasks import AddingTask, CopyTask, TextTask, open_task
from smoothjax import analysis, training
from tests.experiments.command_line import run as run_study
from tests.support import assert_close, random

METHODS = get_args(Method)
TINY = shlex.split(
    "--model.width 4 --model.depth 3 --batch-size 8 --eval-batch-size 8 --log-every 1 --data.symbols 2 "
    "--data.alphabet 3 --data.delay 4 --data.length 8 --data.val-examples 11"
)
TEXT = "the cat sat on the mat. a dog sat by the cat. they sat and sat, the dog and the cat. " * 3

run = partial(run_study, study="sequence")


def _main(*arguments: object, status: int = 0) -> None:
    """Runs a command in this process, on its eight devices."""
    assert main([str(argument) for argument in arguments]) == status


@pytest.fixture(scope="module", autouse=True)
def quick_compilation():
    """Tiny networks in processes of their own: their programs need not be fast."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
        yield


# The tasks.


def test_copy_repeats_what_came_a_fixed_time_before():
    task = CopyTask(symbols=5, alphabet=7, delay=6, examples=3)
    seen = set()
    for seed in range(40):
        example = task.draw(np.random.default_rng(seed))
        inputs, target, weight = (example[name] for name in ("input", "target", "weight"))
        assert inputs.shape == target.shape == weight.shape == (task.length,) == (16,)
        assert weight.tolist() == [0] * 11 + [1] * 5
        assert target[11:].tolist() == inputs[:5].tolist()
        assert inputs[5:].tolist() == [0] * 5 + [8] + [0] * 5  # blanks, the signal, blanks
        assert task.vocabulary == task.out_features == 9
        seen |= set(inputs[:5].tolist())
    assert seen == set(range(1, 8))
    assert task.trivial.score == pytest.approx(math.log2(7))
    assert task.trivial.accuracy == pytest.approx(1 / 7)


def test_adding_asks_for_the_sum_of_the_marked_numbers():
    task = AddingTask(length=9, examples=400)
    answers = []
    for example in task.split("test"):
        numbers, marks = example["input"].T
        assert example["input"].shape == (9, 2)
        assert (marks[:4].sum(), marks[4:].sum()) == (1, 1)
        assert example["target"][-1] == pytest.approx(numbers[marks == 1].sum())
        assert example["weight"].tolist() == [0] * 8 + [1]
        answers.append(example["target"][-1])
    assert np.mean((np.array(answers) - 1) ** 2) == pytest.approx(task.trivial.score, abs=0.03)


def test_splits_are_the_same_for_every_run_and_differ_from_each_other():
    first, again = (CopyTask(10, 8, 4, 6).split("val") for _ in range(2))
    other = CopyTask(10, 8, 4, 6).split("test")
    for a, b, c in zip(first, again, other, strict=True):
        assert a["input"].tolist() == b["input"].tolist() != c["input"].tolist()


@pytest.mark.parametrize("length", [4, 7, 8, 40])
def test_every_held_out_character_is_scored_once(length):
    task = TextTask(TEXT, length, 0.3)
    assert "".join(task.alphabet[s] for part in ("train", "val") for s in task.parts[part]) == TEXT
    held_out = task.parts["val"]
    scored = [symbol for e in task.split("val") for symbol in e["target"][e["weight"] == 1].tolist()]
    assert scored == held_out[1:].tolist()
    for index, example in enumerate(task.split("val")):
        assert example["input"][1:].tolist() == example["target"][:-1].tolist()
        # Whatever is scored has half a stretch before it, but for the beginning of the text.
        assert index == 0 or not example["weight"][: length // 2].any()


def test_training_stretches_lie_in_the_training_part():
    task = TextTask("ab" * 20 + "c" * 10, 6, 0.2)
    drawn = [task.draw(np.random.default_rng(seed)) for seed in range(200)]
    c = task.alphabet.index("c")
    assert not any(c in example["input"] or c in example["target"] for example in drawn)
    assert len({tuple(example["input"]) for example in drawn}) == 2  # abab.., baba..


def test_frequencies_of_characters_are_the_trivial_answer():
    task = TextTask("aaab" * 10 + "aabb" * 3, 4, 12 / 52)
    p, held_out = 31 / 42, "aabb" * 3
    expected = -np.mean([math.log2(p if c == "a" else 1 - p) for c in held_out[1:]])
    assert task.trivial.score == pytest.approx(expected)
    assert task.trivial.accuracy == pytest.approx(5 / 11)


def test_sums_count_scored_steps_alone():
    logits = random(0, 2, 5, 3)
    batch: Any = {"target": np.array([[0, 1, 2, 0, 1]] * 2), "weight": np.array([[0, 0, 1, 1, 0], [0, 1, 0, 0, 0]])}
    found = sums(logits, batch, real=False)
    log_p = np.log(np.asarray(nnx.softmax(logits)))
    expected = -(log_p[0, 2, 2] + log_p[0, 3, 0] + log_p[1, 1, 1])
    assert float(found["loss"]) == pytest.approx(expected, rel=1e-5)
    assert float(found["score"]) == pytest.approx(expected / math.log(2), rel=1e-5)
    assert float(found["steps"]) == 3
    numbers: Any = {"target": np.zeros((2, 5)), "weight": batch["weight"]}
    expected = float(logits[0, 2, 0] ** 2 + logits[0, 3, 0] ** 2 + logits[1, 1, 0] ** 2)
    assert float(sums(logits[..., :1], numbers, real=True)["score"]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is no file: name a text in UTF-8"),
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


# The configuration.


@pytest.mark.parametrize("name", PRESETS)
def test_presets(name):
    config = PRESETS[name].config
    if name == "text":
        with pytest.raises(ValueError, match=r"--data\.file must name the text to learn from, got none"):
            config.validate()
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, file=Path("book.txt")))
    config.validate()
    assert from_dict(Config, to_dict(config)) == config
    for method in METHODS:
        assert config.with_method(method).method == method
    if name != "text":
        # The network sees the step that matters most, the first one.
        model = config.model
        assert (model.kernel_size - 1) * (2**model.depth - 1) + 1 >= open_task(config.data).length - config.data.symbols


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


def test_smoothing_parameters_are_those_that_count():
    for method, expected in {"none": 0, "ss_conv": 1 + 3 + 7, "group_interaction": 1 + 3 + 10}.items():
        config = Config(model=ModelConfig(smoothing=cast(Any, method), width=2, depth=3))
        network = STUDY.build_network(config, open_task(config.data))
        assert smoothing_parameters(nnx.merge(network.eval_graph, network.params, network.model_state)) == expected


def test_gridding_is_that_of_a_block_at_what_enters_it():
    """Which rectifiers are open depends on the features: those before the block, not behind it."""
    config = Config(model=ModelConfig(smoothing="ss_conv", width=4, depth=3))
    task = CopyTask(4, 5, 5, 6)
    network = STUDY.build_network(config, task)
    optimizer, _ = STUDY.make_optimizer(config)
    state = training.create_state(network.params, network.model_state, optimizer)
    examples = task.split("val")
    found = measure(network, state, examples)
    inputs = np.stack([example["input"][:12] for example in examples])
    model = nnx.merge(network.eval_graph, network.params, network.model_state)
    block = analysis.between(model, inputs, "blocks.2")
    expected = analysis.effective_receptive_field(lambda x: block(x)[:, -1:], block.features(inputs))
    assert found.rate == 4
    assert_close(found.fields["block"], expected, 1e-5)


# From end to end.


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Every method, one seed, three steps."""
    folder = tmp_path_factory.mktemp("compare")
    out, _ = run("compare", "demo", *TINY, "--steps", 3, "--evaluate-every", 2, folder=folder)
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
    for picture in ("erf.png", "curves.png"):
        with Image.open(report / picture) as image:
            assert min(image.size) > 300
            assert np.asarray(image.convert("L")).std() > 5


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


def test_a_stopped_run_continues_as_if_it_had_not_been(compared, tmp_path):
    whole, again = compared[0] / "ss_conv-seed0", tmp_path / "again"
    shutil.copytree(whole, again)
    (again / "result.json").unlink()
    (last,) = (again / "checkpoints").glob("3*")
    shutil.rmtree(last)
    options = ("--steps", 3, "--evaluate-every", 2, "--model.smoothing", "ss_conv", "--run", "again")
    out, _ = run("train", "demo", *TINY, *options, folder=tmp_path)
    assert "step 3  train" in out
    assert "step 2  train" not in out
    first, second = (json.loads((path / "result.json").read_text()) for path in (whole, again))
    assert second["val"] == first["val"]


def test_adding_trains(tmp_path, capsys):
    options = ("--steps", 1, "--methods", "group_interaction", "--out", tmp_path / "out")
    _main("compare", "adding", *TINY, *options)
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
    run("train", "text", *TINY, *options, folder=folder)
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
    """Neither the text nor a result, and the characters of a run of an earlier version."""
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "run"
    shutil.copytree(learnt[1], run)
    result = (run / "result.json").read_text()
    (run / "result.json").unlink()
    options = ("--prompt", "the cat", "--length", 3)
    _main("sample", run, *options)
    first = capsys.readouterr().out
    assert first.startswith("the cat")
    _main("evaluate", run, status=1)
    assert "text.txt, the text, is not there: name it with evaluate RUN --data-file" in capsys.readouterr().err
    # Damage is told by name; what is not needed is not read.
    for content in ("[1]", "{"):
        (run / "result.json").write_text(content)
        _main("sample", run, *options)
        assert capsys.readouterr().out == first
    (run / "data.json").unlink()
    _main("sample", run, *options, status=1)
    assert f"error: {run}/result.json is damaged, it must hold a JSON object" in capsys.readouterr().err
    (run / "result.json").write_text(json.dumps(json.loads(result) | {"alphabet": "".join(sorted(set(TEXT)))}))
    _main("sample", run, *options)
    assert capsys.readouterr().out == first


def test_a_run_goes_on_with_its_own_text(learnt, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run, moved, other = tmp_path / "run", tmp_path / "moved.txt", tmp_path / "other.txt"
    shutil.copytree(learnt[1], run)
    moved.write_text(TEXT)
    options = (*TINY, "--steps", 2, "--model.smoothing", "group_interaction", "--run", run)
    _main("train", "text", "--data.file", moved, *options)
    assert "is finished" in capsys.readouterr().out
    (run / "result.json").unlink()
    # Other characters, and the same ones in another sequence, which no shape would tell.
    for text in (TEXT.replace("cat", "fox"), TEXT[::-1]):
        other.write_text(text)
        _main("train", "text", "--data.file", other, *options, status=1)
        err = capsys.readouterr().err
        assert f"{run} holds a run on other data: it has learnt --data.file text.txt with the SHA-256 " in err
        assert f"--data.file {other} has {hashlib.sha256(text.encode()).hexdigest()}: name the first one" in err
    (run / "result.json").write_text("[1]")
    _main("train", "text", "--data.file", moved, *options, status=1)
    assert f"error: {run}/result.json is damaged" in capsys.readouterr().err


def test_another_text_is_scored_with_the_learnt_characters(learnt, tmp_path, monkeypatch, capsys):
    folder, path = learnt
    monkeypatch.chdir(folder)
    other = tmp_path / "other.txt"
    other.write_text("a cat and a dog sat on the mat. " * 4)  # fewer characters than were learnt
    _main("evaluate", path, "--data-file", other)
    assert "bits per character" in capsys.readouterr().out
    scored = json.loads((path / "evaluation-val.json").read_text())
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
    assert "only a text can be written on" in capsys.readouterr().err
    _main("evaluate", path, "--data-file", "text.txt", status=1)
    assert "--data-file is for texts" in capsys.readouterr().err


@pytest.mark.parametrize("method", METHODS)
def test_writing_on_sees_the_whole_past(method):
    # However long it gets: what is cut off is beyond the receptive field, and blocks stay where they were.
    config = Config(model=ModelConfig(smoothing=method, width=4, depth=3), data=DataConfig())
    task = CopyTask(4, 5, 3, 1)
    network = STUDY.build_network(config, task)
    params = jax.tree_util.tree_map_with_path(
        lambda path, leaf: random(1, *leaf.shape) if path[-1].key == "smoother" else leaf, network.params
    )
    optimizer, _ = STUDY.make_optimizer(config)
    state = training.create_state(params, network.model_state, optimizer)
    predict = Predictor(Trained(config, network, state, 0))
    symbols = np.random.default_rng(0).integers(0, task.vocabulary or 0, 61).astype(np.int32)
    whole = nnx.merge(network.eval_graph, params, network.model_state)(symbols[None])[0]
    for count in (1, 5, *range(28, 38), 61):
        assert_close(predict(symbols[:count]), np.asarray(whole[count - 1]), 1e-4)


def test_a_delay_beyond_the_receptive_field_is_told(capsys):
    config = Config(model=ModelConfig(width=2, depth=3), data=DataConfig(symbols=2, delay=5), batch_size=8)
    STUDY.prepare(config, training.data_mesh(), progress=False)
    assert capsys.readouterr().out == ""
    longer = dataclasses.replace(config, data=dataclasses.replace(config.data, delay=6))
    STUDY.prepare(longer, training.data_mesh(), progress=False)
    said = capsys.readouterr().out
    assert "an output sees 8 steps, and what it is to copy came 8 steps before: take a larger --model.depth" in said


def test_help_answers_without_jax(capsys):
    assert PROGRAM.default == ("compare", "demo")
    _main("--help")
    out = capsys.readouterr().out
    for words in ("train PRESET", "compare PRESET", "evaluate RUN", "sample RUN --prompt ... ", "demo", "text"):
        assert words in out
