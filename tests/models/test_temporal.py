"""The causal temporal network: causality, receptive field, and smoothing that starts as nothing."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from smoothjax import analysis, models, nn
from tests.support import assert_close, build, random

each_smoothing = pytest.mark.parametrize("smoothing", nn.CAUSAL_SMOOTHINGS)
STEPS = 64
SMALL: Any = {"in_features": 2, "width": 4, "depth": 4}


def _model(smoothing: Any = "none", learnt=True, **options) -> Any:
    options = {**SMALL, **options}
    model = build(lambda rngs: models.TemporalConvNet(3, smoothing=smoothing, rngs=rngs, **options))
    if learnt and smoothing != "none":
        blocks: Any = model.blocks
        for seed, block in enumerate(blocks):
            block.conv.smoother[...] = random(seed, *block.conv.smoother.shape)
    return model


@pytest.fixture(scope="module", params=[(s, k) for s in nn.CAUSAL_SMOOTHINGS for k in (2, 3)], ids=str)
def jacobian(request):
    """A network, and the derivative of output step t by input step s, `[t, s]`."""
    smoothing, taps = request.param
    model = _model(smoothing, kernel_size=taps)
    derivative = jax.jit(jax.jacrev(lambda x: model(x)[0].sum(-1)))(random(9, 1, STEPS, 2))
    return model, np.abs(np.asarray(derivative)).sum((1, 3))


def test_no_output_moves_with_a_later_input(jacobian):
    _, derivative = jacobian
    assert not np.triu(derivative, 1).any()  # exactly
    assert (np.diagonal(derivative) > 0).all()


def test_sees_as_far_back_as_it_says(jacobian):
    model, derivative = jacobian
    back = [t - int(np.flatnonzero(row)[0]) + 1 for t, row in enumerate(derivative)]
    assert max(back) == model.receptive_field
    period = model.rates[-1]
    if model.smoothing == "group_interaction":
        # Less by as many steps as the output has to go to the end of its block.
        assert back[-period:] == [model.receptive_field - period + 1 + phase for phase in range(period)]
    else:
        assert set(back[-period:]) == {model.receptive_field}
    # Rates that double leave no hole: every step back to there is seen.
    assert (derivative[-1, STEPS - back[-1] :] > 0).all()


def test_the_receptive_field_in_numbers():
    # 2 taps: 1 + (1 + 2 + 4 + 8); with SS convolution (0 + 2 + 6 + 14) more; with group interaction 8 - 1.
    expected = {"none": 16, "ss_conv": 38, "group_interaction": 23}
    for smoothing, steps in expected.items():
        model = nnx.eval_shape(lambda s=smoothing: models.TemporalConvNet(3, smoothing=s, **SMALL, rngs=nnx.Rngs(0)))
        assert model.receptive_field == steps


@pytest.mark.parametrize(("smoothing", "kind"), [("group_interaction", "symbols"), ("ss_conv", "numbers")])
def test_starts_as_the_baseline(smoothing, kind):
    options = {"vocabulary": 5, "in_features": None} if kind == "symbols" else {}
    x = jnp.arange(50).reshape(2, 25) % 5 if kind == "symbols" else random(0, 2, 25, 2)
    plain, smoothed = _model(**options), _model(smoothing, learnt=False, **options)
    chex.assert_trees_all_equal(
        *(jax.tree.map(lambda leaf: leaf[...], nnx.to_pure_dict(nnx.state(m.head))) for m in (plain, smoothed))
    )
    assert_close(smoothed(x), plain(x))


def test_numbers_of_parameters():
    def count(smoothing):
        model = nnx.eval_shape(lambda: models.TemporalConvNet(3, smoothing=smoothing, **SMALL, rngs=nnx.Rngs(0)))
        return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))

    plain = count("none")
    # Input 2 -> 4, four blocks of convolution (2 taps), linear layer and normalisation, normalisation, output 4 -> 3.
    assert plain == (2 * 4 + 4) + 4 * ((2 * 16 + 4) + (16 + 4) + 8) + 8 + (4 * 3 + 3)
    assert count("ss_conv") - plain == sum(2 * rate - 1 for rate in (1, 2, 4, 8))
    assert count("group_interaction") - plain == sum(rate**2 for rate in (1, 2, 4, 8))


@each_smoothing
def test_what_was_said_stays_said(smoothing):
    # Outputs do not change when the sequence goes on: it can be written on step by step.
    model, x = _model(smoothing), random(3, 1, 37, 2)
    assert_close(model(x[:, :21]), model(x)[:, :21])


def test_the_last_block_has_gridding_and_smoothing_cures_it():
    x = random(0, 4, 32, 4)

    def imbalance(smoothing):
        block = _model(smoothing).blocks[-1]
        field = analysis.effective_receptive_field(lambda x: block(x)[:, -1:], x)
        return analysis.phase_imbalance(field, rate=8)

    assert imbalance("none") == 1.0
    assert imbalance("ss_conv") < 0.5
    assert imbalance("group_interaction") < 0.5


def test_bfloat16_inside_float32_outside():
    model, reference = _model("ss_conv", dtype=jnp.bfloat16), _model("ss_conv")
    x = random(0, 2, 20, 2)
    assert model(x).dtype == jnp.float32
    assert_close(model(x), reference(x), 5e-2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vocabulary": 5}, "vocabulary or in_features must be given, and not both, got 5 and 2"),
        ({"in_features": None}, "vocabulary or in_features must be given, and not both, got None and None"),
        ({"in_features": None, "vocabulary": 0}, "vocabulary must be an int >= 1, got 0"),
        ({"depth": 0}, "depth must be an int >= 1, got 0"),
        ({"width": 0}, "width must be an int >= 1, got 0"),
        ({"kernel_size": 4}, "kernel_size must be one of 2, 3, got 4"),
        ({"smoothing": "multigrid"}, "smoothing must be one of none, group_interaction, ss_conv, got 'multigrid'"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        models.TemporalConvNet(3, **{"in_features": 2, **options}, rngs=nnx.Rngs(0))


def test_refuses_other_inputs():
    numbers, symbols = _model(), _model(vocabulary=5, in_features=None)
    for model, inputs, message in (
        (numbers, jnp.ones((2, 8, 3)), r"inputs must be \[N, T, 2\] of a float dtype, got float32\[2, 8, 3\]"),
        (numbers, jnp.ones((8, 2)), r"inputs must be \[N, T, 2\]"),
        (symbols, jnp.ones((2, 8)), r"inputs must be \[N, T\] symbols of an int dtype, got float32\[2, 8\]"),
        (symbols, jnp.ones(8, jnp.int32), r"inputs must be \[N, T\] symbols"),
    ):
        with pytest.raises(ValueError, match=message):
            model(inputs)
