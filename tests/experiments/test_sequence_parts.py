"""The parts of the study of causal networks over time: tasks, presets, networks and their gridding."""

import dataclasses
import math
from pathlib import Path
from typing import Any, cast, get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from experiments.common.network import Trees
from experiments.common.plain import from_dict, to_dict
from experiments.common.train import prepare
from experiments.sequence.config import PRESETS, Config, DataConfig, Method, ModelConfig
from experiments.sequence.gridding import measure, smoothing_parameters
from experiments.sequence.sample import Predictor
from experiments.sequence.scores import sums
from experiments.sequence.study import STUDY
from experiments.sequence.tasks import AddingTask, CopyTask, TextTask, open_task
from smoothjax import analysis, training
from tests.experiments.command_line import TEXT
from tests.support import assert_close, random

METHODS = get_args(Method)


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
    alphabet = task.alphabet or ""
    assert "".join(alphabet[s] for part in ("train", "val") for s in task.parts[part]) == TEXT
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
    c = (task.alphabet or "").index("c")
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
    found = sums(logits, batch)
    log_p = np.log(np.asarray(nnx.softmax(logits)))
    expected = -(log_p[0, 2, 2] + log_p[0, 3, 0] + log_p[1, 1, 1])
    assert float(found["loss"]) == pytest.approx(expected, rel=1e-5)
    assert float(found["score"]) == pytest.approx(expected / math.log(2), rel=1e-5)
    assert float(found["steps"]) == 3
    numbers: Any = {"target": np.zeros((2, 5)), "weight": batch["weight"]}
    expected = float(logits[0, 2, 0] ** 2 + logits[0, 3, 0] ** 2 + logits[1, 1, 0] ** 2)
    assert float(sums(logits[..., :1], numbers)["score"]) == pytest.approx(expected, rel=1e-5)


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


# The networks.


def test_smoothing_parameters_are_those_that_count():
    for method, expected in {"none": 0, "ss_conv": 1 + 3 + 7, "group_interaction": 1 + 3 + 10}.items():
        config = Config(model=ModelConfig(smoothing=cast(Any, method), width=2, depth=3))
        network = STUDY.build_network(config, open_task(config.data))
        assert smoothing_parameters(network.model()) == expected


def test_gridding_is_that_of_a_block_at_what_enters_it():
    """The open rectifiers depend on the features before the block, not behind it."""
    config = Config(model=ModelConfig(smoothing="ss_conv", width=4, depth=3))
    task = CopyTask(4, 5, 5, 6)
    network = STUDY.build_network(config, task)
    examples = task.split("val")
    found = measure(network.model(), examples)
    inputs = np.stack([example["input"][:12] for example in examples])
    model = network.model()
    block = analysis.between(model, inputs, "blocks.2")
    expected = analysis.effective_receptive_field(lambda x: block(x)[:, -1:], block.features(inputs))
    assert found.rate == 4
    assert_close(found.fields["block"], expected, 1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_writing_on_sees_the_whole_past(method):
    # However long it gets: what is cut off is beyond the receptive field, and blocks stay where they were.
    config = Config(model=ModelConfig(smoothing=method, width=4, depth=3), data=DataConfig())
    task = CopyTask(4, 5, 3, 1)
    network = STUDY.build_network(config, task)
    params = jax.tree_util.tree_map_with_path(
        lambda path, leaf: random(1, *leaf.shape) if path[-1].key == "smoother" else leaf, network.params
    )
    model = network.model(Trees(params, network.model_state))
    predict = Predictor(model)
    symbols = np.random.default_rng(0).integers(0, task.vocabulary or 0, 61).astype(np.int32)
    whole = model(jnp.asarray(symbols[None]))[0]
    for count in (1, 5, *range(28, 38), 61):
        assert_close(predict(symbols[:count]), np.asarray(whole[count - 1]), 1e-4)


def test_a_delay_beyond_the_receptive_field_is_told(capsys):
    config = Config(model=ModelConfig(width=2, depth=3), data=DataConfig(symbols=2, delay=5), batch_size=8)
    prepare(STUDY, config, training.data_mesh(), progress=False)
    assert capsys.readouterr().out == ""
    longer = dataclasses.replace(config, data=dataclasses.replace(config.data, delay=6))
    prepare(STUDY, longer, training.data_mesh(), progress=False)
    said = capsys.readouterr().out
    assert "an output sees 8 steps, and what it is to copy came 8 steps before: take a larger --model.depth" in said
