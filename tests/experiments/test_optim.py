"""Loss, optimiser and learning rate by `--optim`, for all studies with label maps."""

import re
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.common.config import with_options
from experiments.common.dense.optimizer import make_loss
from experiments.common.dense.study import has_independent_classes
from experiments.common.plain import from_dict, to_dict
from experiments.pixel_dcn.config import PRESETS as UPSAMPLING
from experiments.segmentation.config import Config, DataConfig
from experiments.segmentation.presets import PRESETS
from experiments.segmentation.study import STUDY
from smoothjax import data, datasets, models, training
from tests.experiments.made_runs import placed

SHAPES = Config(data=DataConfig(name="shapes", image_size=(40, 40), crop_size=(33, 33), train_images=3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "dise"}, "--optim.loss: the loss 'dise' names 'dise', which is not a loss: did you mean dice?"),
        ({"loss": "focal(gamma=-1)"}, "--optim.loss: the loss 'focal(gamma=-1)' must have options NAME=NUMBER"),
        (
            {"loss": "dice", "class_weights": "enet"},
            "--optim.class-weights is for bce, cross_entropy, focal, ohem",
        ),
        ({"loss": "focal", "label_smoothing": 0.1}, "--optim.label-smoothing is for cross_entropy, ohem, got"),
        ({"warmup": 0.1}, "--optim.warmup is an option of one_cycle and cosine, got 0.1 with --optim.schedule poly"),
        ({"warmup": 1.0, "schedule": "cosine"}, "--optim.warmup must be a share in [0, 1), got 1.0: leave it out"),
        ({"clip_norm": 0.0}, "--optim.clip-norm must be positive and finite, got 0.0: leave it out, or try 1"),
    ],
)
def test_refuses_before_data_are_opened(options, message):
    for preset in (PRESETS["demo"], UPSAMPLING["demo"]):
        config = with_options(preset.config, {"optim.schedule": "poly"})
        with pytest.raises(ValueError, match=re.escape(message)):
            with_options(config, {f"optim.{name}": value for name, value in options.items()}).validate()


@pytest.mark.parametrize("presets", [PRESETS, UPSAMPLING])
def test_a_power_without_a_poly_rate_is_refused(presets):
    """Only if it is given: the power in a preset with a poly rate may stay when another schedule is chosen."""
    preset = presets["demo"].config
    config = with_options(preset, {"optim.power": 0.7, "optim.schedule": "cosine"})
    with pytest.raises(ValueError, match=r"--optim.power is an option of poly, got 0.7 .* add --optim.schedule poly"):
        config.check_given(preset)
    with_options(config, {"optim.schedule": "poly"}).check_given(preset)
    for each in presets.values():
        other = with_options(placed(each.config), {"optim.schedule": "cosine", "model.batch_norm": "trained"})
        other.validate()
        other.check_given(placed(each.config))


@pytest.mark.parametrize("weights", ["enet", (1.0, 2.0), None])
def test_class_weights_survive_their_file(weights):
    """As a rule or as numbers: the file holds text or a list."""
    config = with_options(Config(), {"optim.class_weights": weights})
    assert from_dict(Config, to_dict(config)) == config
    broken = to_dict(config)
    broken["optim"]["class_weights"] = "rare"
    with pytest.raises(
        ValueError, match=r"optim.class_weights must be one of auto, enet, median_frequency, got 'rare'"
    ):
        from_dict(Config, broken)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("schedule", ["poly", "one_cycle", "cosine", "constant"])
def test_multipliers_and_exemptions_hold_for_all(optimizer, schedule):
    """Without a gradient an update is -rate * multiplier * decay * w; smoothing parameters and biases do not move."""
    options = {"optimizer": optimizer, "schedule": schedule, "weight_decay": 0.5, "clip_norm": 1.0, "momentum": 0.0}
    config = with_options(
        SHAPES, {"optim.learning_rate": 0.2, "steps": 100} | {f"optim.{k}": options[k] for k in options}
    )
    config.validate()
    params = {"encoder": {"kernel": jnp.ones(2), "smoother": jnp.ones(2)},
              "head": {"kernel": jnp.ones(2), "bias": jnp.ones(2)}}  # fmt: skip
    chain, rate = STUDY.make_optimizer(config, params)
    updates, _ = chain.update(jax.tree.map(jnp.zeros_like, params), chain.init(params), params)
    first = {"poly": 0.2, "constant": 0.2, "one_cycle": 0.2 / 25, "cosine": 0.2 / 6}[schedule]
    assert float(jnp.asarray(rate(0))) == pytest.approx(first, rel=1e-5)
    expected = {"encoder": {"kernel": -0.5, "smoother": 0.0}, "head": {"kernel": -5.0, "bias": 0.0}}
    jax.tree.map(lambda u, e: np.testing.assert_allclose(u, first * e, rtol=1e-5, atol=1e-9), updates, expected)


def test_class_weights_by_a_rule_are_counted_once(monkeypatch):
    """Lines about them have names; the run folder keeps them, and only another rule counts again."""
    config = with_options(SHAPES, {"optim.class_weights": "enet"})
    source = STUDY.open_split(config, "train")
    learnt, kept, text = STUDY.measured(config, source, {}, progress=False)
    weights = datasets.class_weights(datasets.count_labels(source), "enet")
    assert isinstance(learnt.optim.class_weights, tuple)
    np.testing.assert_allclose(learnt.optim.class_weights, weights)
    assert "class weights by the rule enet, counted on train:" in text
    for name, weight in zip(data.SHAPES.names, weights, strict=True):
        assert f"  {name}: {weight:.3g} (" in text

    def counted(*arguments, **options):
        raise AssertionError("it has counted again")

    monkeypatch.setattr(datasets, "count_labels", counted)
    again, same, text = STUDY.measured(config, source, kept, progress=False)
    assert (again, same) == (learnt, kept)
    assert "as counted at the first start" in text
    for other in ({**kept, "rule": "median_frequency"}, {**kept, "weights": {"a": 1.0}}, {**kept, "pixels": 3}):
        with pytest.raises(AssertionError, match="counted again"):
            STUDY.measured(config, source, other, progress=False)
    assert STUDY.measured(SHAPES, source, {}, progress=False) == (SHAPES, {}, "")


def test_the_loss_takes_what_was_measured():
    logits, labels = (
        jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 2)), jnp.float32),
        jnp.array([[0, 1, 255]] * 2),
    )
    config = with_options(SHAPES, {"optim.loss": "focal + 0.5 dice", "optim.class_weights": (1.0, 3.0)})
    expected = training.weighted_loss("focal + 0.5 dice", class_weights=(1.0, 3.0))(logits, labels)
    np.testing.assert_array_equal(make_loss(config.optim)(logits, labels), expected)
    with pytest.raises(ValueError, match=r"--optim.class-weights enet has not been measured"):
        make_loss(with_options(SHAPES, {"optim.class_weights": "enet"}).optim)


def test_a_calibration_error_needs_one_reading_of_logits():
    """If both bce and a softmax read the logits, the probabilities would have no single meaning."""
    source = STUDY.open_split(SHAPES, "val")
    study, config = replace(STUDY, calibration=True), with_options(SHAPES, {"optim.loss": "dice + bce"})
    study.check_scored_data(SHAPES, source.classes, source)
    STUDY.check_scored_data(config, source.classes, source)
    with pytest.raises(ValueError, match="--calibration needs one reading of logits"):
        study.check_scored_data(config, source.classes, source)
    alone = with_options(SHAPES, {"optim.loss": "bce"})
    study.check_scored_data(alone, source.classes, source)


def test_a_loss_with_bce_reads_each_class_by_itself(monkeypatch):
    """Also in a sum with other losses: views were averaged by a softmax, which ignores what only bce has taught."""
    losses = ("bce", "dice + bce", "0.1 bce + cross_entropy", "cross_entropy + dice")
    found = [has_independent_classes(with_options(SHAPES, {"optim.loss": loss})) for loss in losses]
    assert found == [True, True, True, False]
    # One view prefers the first class; the other finds neither, and a softmax would have it sure of the second.
    logits = jnp.array([[[[1.0, -1.0], [-9.0, -5.0]]]])
    monkeypatch.setattr(type(STUDY), "logits", lambda *_: logits)
    study, image = replace(STUDY, averaging=models.Averaging(flip=True)), jnp.ones((1, 1, 2, 3))
    model: Any = None
    classes = [
        study.segment(with_options(SHAPES, {"optim.loss": loss}), model, image, (1, 2)).tolist() for loss in losses
    ]
    assert classes == [[[[0, 0]]]] * 3 + [[[[1, 1]]]]


def test_another_optimizer_needs_a_rate_of_its_own():
    """The rate of SGD, fifty times too large for AdamW, was silently kept."""
    preset = PRESETS["demo"].config
    adamw = with_options(preset, {"optim.optimizer": "adamw"})
    with pytest.raises(
        ValueError, match=r"the 0.05 of this preset is for sgd: add --optim.learning-rate, such as 0.001"
    ):
        adamw.check_given(preset)
    with_options(adamw, {"optim.learning_rate": 0.05}).check_given(preset)
    adamw.check_given(adamw)
    unet = UPSAMPLING["demo"].config
    with pytest.raises(ValueError, match=r"is for adamw: add --optim.learning-rate, such as 0.01"):
        with_options(unet, {"optim.optimizer": "sgd"}).check_given(unet)


def test_smoothing_parameters_have_a_factor_of_the_rate():
    """The network, the head and its smoothers each move by their own share of a step of AdamW."""
    config = with_options(
        PRESETS["demo"].config.with_method("ss_conv"),
        {
            "optim.optimizer": "adamw",
            "optim.schedule": "constant",
            "optim.learning_rate": 0.01,
            "optim.smoothing_multiplier": 20.0,
            "optim.head_kernel_multiplier": 3.0,
            "optim.weight_decay": 0.0,
        },
    )
    params = {
        "encoder": {"conv": {"kernel": jnp.ones(2), "smoother": jnp.ones(2)}},
        "head": {"conv": {"kernel": jnp.ones(2)}},
    }
    optimizer, _ = STUDY.make_optimizer(config, params)
    updates, _ = optimizer.update(jax.tree.map(jnp.ones_like, params), optimizer.init(params), params)
    moved = jax.tree.map(lambda update: round(float(update[0]), 4), updates)
    assert moved == {
        "encoder": {"conv": {"kernel": -0.01, "smoother": -0.2}},
        "head": {"conv": {"kernel": -0.03}},
    }


@pytest.mark.parametrize(("optimizer", "factor"), [("sgd", 64.0), ("adamw", 1.0)])
def test_the_head_of_a_duc_has_a_larger_rate_only_where_gradients_set_the_step(optimizer, factor):
    """With AdamW, 64 times the rate would be 64 times the step, and the head would diverge."""
    given = {"optim.optimizer": optimizer, "optim.schedule": "constant", "optim.learning_rate": 0.001}
    config = with_options(PRESETS["demo"].config.with_method("duc"), {**given, "optim.head_kernel_multiplier": 1.0})
    params = {"encoder": {"kernel": jnp.zeros(2)}, "head": {"kernel": jnp.zeros(2)}}
    optimizer, _ = STUDY.make_optimizer(config, params)
    updates: Any = optimizer.update(jax.tree.map(jnp.ones_like, params), optimizer.init(params), params)[0]
    head, encoder = (float(updates[name]["kernel"][0]) for name in ("head", "encoder"))
    assert head / encoder == pytest.approx(factor)
