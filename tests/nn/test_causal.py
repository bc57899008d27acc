"""The causal dilated convolutional layer: it never sees the future, and otherwise smooths as in the paper."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from smoothjax import nn, ops
from tests.support import assert_close, random

SMOOTHED = ("group_interaction", "ss_conv")
each_smoothing = pytest.mark.parametrize("smoothing", SMOOTHED)
STEPS = 23


def _layer(smoothing: Any = "none", rate=4, taps=2, learnt=True, **options) -> Any:
    options = {"rate": rate, "smoothing": smoothing, **options}
    layer: Any = nn.CausalDilatedConv(3, 4, taps, rngs=nnx.Rngs(0), **options)
    if learnt and smoothing != "none":
        layer.smoother[...] = random(1, *layer.smoother.shape, dtype=layer.smoother.dtype)
    return layer


def _seen(layer: Any) -> np.ndarray:
    """Whether output step t depends on input step s, `[t, s]`."""
    jacobian = jax.jit(jax.jacrev(lambda x: layer(x)[0].sum(-1)))(random(2, 1, STEPS, layer.in_features))
    return np.asarray(jnp.abs(jacobian).sum((1, 3)) > 0)


@pytest.mark.parametrize("smoothing", nn.CAUSAL_SMOOTHINGS)
@pytest.mark.parametrize(("rate", "taps"), [(1, 2), (3, 3), (4, 2), (5, 1)])
def test_sees_what_it_says_and_nothing_later(smoothing, taps, rate):
    seen = _seen(_layer(smoothing, rate, taps))
    for t, row in enumerate(seen):
        comb = [t - tap * rate for tap in range(taps)]
        if smoothing == "ss_conv":
            expected = {s - back for s in comb for back in range(2 * rate - 1)}
        elif smoothing == "group_interaction":
            expected = {s - back for s in comb for back in range(t % rate + 1)}
        else:
            expected = set(comb)
        assert set(np.flatnonzero(row)) == {s for s in expected if s >= 0}, t


@each_smoothing
def test_the_papers_layer_looks_ahead(smoothing):
    # The test above can fail: padding on the left is not enough for a causal layer.
    layer = nn.DilatedConv(3, 4, (2,), rate=4, smoothing=smoothing, padding=((4, 0),), rngs=nnx.Rngs(0))
    layer.smoother[...] = random(1, *layer.smoother.shape)
    jacobian: Any = jax.jacrev(lambda x: layer(x)[0].sum(-1))(random(2, 1, STEPS, 3))
    assert np.triu(np.abs(jacobian).sum((1, 3)), 1).any()


@pytest.mark.parametrize("smoothing", nn.CAUSAL_SMOOTHINGS)
def test_the_past_does_not_change_when_time_goes_on(smoothing):
    layer, x = _layer(smoothing), random(2, 2, STEPS, 3)
    whole = layer(x)
    for steps in (4, 17):
        assert_close(layer(x[:, :steps]), whole[:, :steps])


@each_smoothing
@pytest.mark.parametrize(("rate", "dtype"), [(1, "float32"), (5, "float32"), (2, "bfloat16"), (2, "float64")])
def test_starts_as_the_unsmoothed_layer(smoothing, rate, dtype):
    with jax.enable_x64(dtype == "float64"):
        x = random(0, 2, STEPS, 3, dtype=dtype)
        plain, smoothed = (_layer(s, rate, learnt=False, dtype=dtype)(x) for s in ("none", smoothing))
        assert smoothed.dtype == dtype
        assert_close(smoothed, plain, 1e-2 if dtype == "bfloat16" else 1e-5)


def test_is_a_sum_over_the_past():
    layer, x = _layer(taps=3, rate=2), random(0, 1, 9, 3)
    layer.bias[...] = random(1, 4)
    expected = np.zeros((9, 4)) + np.asarray(layer.bias[...])
    for t in range(9):
        for tap in range(3):
            if t - (2 - tap) * 2 >= 0:
                expected[t] += np.asarray(x[0, t - (2 - tap) * 2] @ layer.kernel[tap])
    assert_close(layer(x)[0], expected)


def test_a_causal_filter_is_the_papers_filter_later():
    # Shifted by rate - 1 steps, the filter that looks ahead is the one that does not: the same smoothing.
    layer, x = _layer("ss_conv", rate=4), random(0, 2, STEPS, 3)
    late = jnp.pad(x, ((0, 0), (3, 0), (0, 0)))[:, :STEPS]
    ahead = ops.ss_dilated_conv(late, layer.kernel[...], layer.smoother[...], rate=4, padding=((4, 0),))
    assert_close(layer(x)[:, :-3], ahead[:, :-3])


def test_group_interaction_is_the_papers_with_a_masked_weight():
    layer, x = _layer("group_interaction", rate=3), random(0, 2, STEPS, 3)
    groups = ops.periodic_subsample(_layer(rate=3)(x), rate=3)
    mixed = ops.group_interaction(groups, jnp.tril(layer.smoother[...]))
    assert_close(layer(x), ops.reinterlace(mixed, rate=3, spatial_shape=(STEPS,)))


def test_masked_weights_change_nothing_and_get_no_gradient():
    layer, x = _layer("group_interaction"), random(0, 2, STEPS, 3)
    gradient = nnx.grad(lambda layer: jnp.sum(layer(x) ** 2))(layer).smoother[...]
    assert not np.triu(gradient, 1).any()
    assert (np.asarray(gradient)[np.tril_indices(4)] != 0).all()
    before = layer(x)
    layer.smoother[...] += jnp.triu(jnp.full((4, 4), 7.0), 1)
    chex.assert_trees_all_equal(layer(x), before)


@pytest.mark.parametrize(("smoothing", "shape"), [("none", None), ("group_interaction", (4, 4)), ("ss_conv", (7,))])
def test_parameters(smoothing, shape):
    layer = _layer(smoothing, param_dtype=jnp.bfloat16, use_bias=False)
    state = nnx.to_pure_dict(nnx.state(layer, nnx.Param))
    assert {name: leaf.shape for name, leaf in state.items()} == {"kernel": (2, 3, 4)} | (
        {"smoother": shape} if shape else {}
    )
    assert {leaf.dtype for leaf in state.values()} == {jnp.dtype(jnp.bfloat16)}


@pytest.mark.parametrize("smoothing", nn.CAUSAL_SMOOTHINGS)
def test_any_batch_axes(smoothing):
    layer, x = _layer(smoothing), random(0, 2, 3, STEPS, 3)
    assert_close(layer(x)[1], layer(x[1]))
    assert_close(layer(x)[1, 2], layer(x[1, 2]))


def test_the_bias_is_added_last():
    layer = _layer("group_interaction", learnt=False)
    layer.bias[...], layer.smoother[...] = jnp.arange(4.0), jnp.zeros((4, 4))
    chex.assert_trees_all_equal(layer(random(0, 1, 6, 3)), jnp.broadcast_to(jnp.arange(4.0), (1, 6, 4)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"smoothing": "multigrid"}, "smoothing must be one of none, group_interaction, ss_conv, got 'multigrid'"),
        ({"rate": 0}, "rate must be an int >= 1, got 0"),
        ({"taps": 0}, "kernel_size must be"),
        ({"taps": (2, 2)}, "kernel_size must be"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        _layer(**arguments, learnt=False)
