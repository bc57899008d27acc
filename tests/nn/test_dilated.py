"""The dilated convolutional layer: identity at the start, and a smoothing that learns."""

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


def _layer(smoothing: Any = "none", ndim=2, rate=2, **options) -> Any:
    return nn.DilatedConv(3, 4, (3,) * ndim, rate=rate, smoothing=smoothing, rngs=nnx.Rngs(0), **options)


@each_smoothing
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("rate", [1, 2, 3])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_starts_as_the_unsmoothed_layer(smoothing, padding, rate, dtype):
    with jax.enable_x64(dtype == "float64"):
        x = random(0, 2, 11, 9, 3, dtype=dtype)
        plain = _layer(rate=rate, padding=padding, dtype=dtype)(x)
        smoothed = _layer(smoothing, rate=rate, padding=padding, dtype=dtype)(x)
        assert smoothed.dtype == dtype
        # Bitwise where the convolution runs at the same size. Completing the last blocks makes XLA convolve another
        # size, whose sums it may order differently.
        if smoothing == "ss_conv" or all(size % rate == 0 for size in plain.shape[1:-1]):
            chex.assert_trees_all_equal(smoothed, plain)
        assert_close(smoothed, plain, 1e-2 if dtype == "bfloat16" else 1e-5)


@each_smoothing
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_every_number_of_axes(smoothing, ndim):
    x = random(0, 2, *(7, 6, 5)[:ndim], 3)
    chex.assert_trees_all_close(_layer(smoothing, ndim)(x), _layer("none", ndim)(x), atol=1e-5)


@each_smoothing
def test_one_training_step_changes_the_smoothing_and_the_output(smoothing):
    layer, x = _layer(smoothing), random(0, 2, 9, 9, 3)
    before = layer(x)
    gradient = nnx.grad(lambda layer: jnp.mean((layer(x) - 1.0) ** 2))(layer)
    assert float(jnp.max(jnp.abs(gradient.smoother[...]))) > 1e-3
    # Only the smoothing makes a step: kernel and bias stay.
    layer.smoother[...] -= 0.1 * gradient.smoother[...]
    assert float(jnp.max(jnp.abs(layer(x) - before))) > 1e-3


@pytest.mark.parametrize(("smoothing", "shape"), [("none", None), ("group_interaction", (16, 16)), ("ss_conv", (7, 7))])
def test_parameters(smoothing, shape):
    layer = _layer(smoothing, rate=4, param_dtype=jnp.bfloat16)
    state = nnx.to_pure_dict(nnx.state(layer, nnx.Param))
    assert set(state) == {"kernel", "bias"} | ({"smoother"} if shape else set())
    if shape:
        assert state["smoother"].shape == shape
    assert {leaf.dtype for leaf in jax.tree.leaves(state)} == {jnp.dtype(jnp.bfloat16)}


def test_the_bias_is_added_last():
    layer = _layer("group_interaction")
    layer.bias[...] = jnp.arange(4.0)
    layer.smoother[...] = jnp.zeros((4, 4))
    out = layer(random(0, 1, 6, 6, 3))
    chex.assert_trees_all_equal(out, jnp.broadcast_to(jnp.arange(4.0).reshape(1, 1, 1, 4), out.shape))


def test_any_operation_before_and_after():
    before, after = nn.SSBlockFC(2, 2, rngs=nnx.Rngs(0)), nn.SSConv((3, 3), rngs=nnx.Rngs(0))
    before.smoother[...] = random(1, 4, 4)
    after.smoother[...] = random(2, 3, 3)
    layer, x = _layer(before=before, after=after, use_bias=False), random(0, 1, 9, 8, 3)
    expected = ops.ss_block_fc(x, before.smoother[...], rate=2)
    expected = ops.ss_conv(ops.dilated_conv(expected, layer.kernel[...], rate=2), after.smoother[...])
    assert_close(layer(x), expected)
    paths = [path for path, _ in nnx.to_flat_state(nnx.state(layer, nnx.Param))]
    assert sorted(filter(nn.is_smoother, paths)) == [("after", "smoother"), ("before", "smoother")]


@pytest.mark.parametrize("before", [lambda x: 2 * x, nn.SSConv((3, 3), rngs=nnx.Rngs(0))])
def test_functions_and_modules_before(before):
    layer, x = _layer(before=before), random(0, 1, 9, 9, 3)
    graph, state = nnx.split(layer)
    expected = layer(x)
    assert_close(nnx.jit(lambda layer, x: layer(x))(layer, x), expected)
    assert_close(jax.jit(lambda state, x: nnx.merge(graph, state)(x))(state, x), expected)


def test_any_number_of_batch_axes():
    layer, x = _layer("ss_conv"), random(0, 2, 3, 7, 7, 3)
    stacked = jnp.stack([layer(part) for part in x])
    chex.assert_trees_all_close(layer(x), stacked, atol=1e-6)
    chex.assert_trees_all_close(layer(x[0, 0]), stacked[0, 0], atol=1e-6)


@pytest.mark.parametrize("smoothing", nn.SMOOTHINGS)
def test_every_smoothing_starts_from_the_same_kernel(smoothing):
    chex.assert_trees_all_equal(_layer(smoothing).kernel[...], _layer().kernel[...])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_size": "3"}, r"kernel_size must be a tuple .* got '3': write e.g. \(3, 3\)"),
        ({"kernel_size": (3, 0)}, r"kernel_size must be a tuple .* got \(3, 0\)"),
        ({"kernel_size": (3, 3, 3, 3)}, r"kernel_size must be a tuple .* one to three spatial axes"),
        ({"rate": 0}, "rate must be an int >= 1, got 0"),
        ({"rate": (2, 2, 2)}, r"rate must be an int >= 1 or 2 ints, one for each spatial axis, got \(2, 2, 2\)"),
        (
            {"padding": "causal"},
            "padding must be one of 'SAME', .*, or one int or pair .* 2 spatial axes, got 'causal'",
        ),
        ({"padding": -1}, "padding must be one of 'SAME', .* got -1: use 'SAME'"),
        ({"padding": (1, (1, 2), 3)}, "padding must be one of 'SAME'"),
        ({"strides": 0}, "strides must be an int >= 1, got 0"),
        ({"strides": 2, "smoothing": "group_interaction"}, r"group_interaction mixes .* got strides \(2, 2\): use ss_"),
        (
            {"feature_group_count": 2},
            "feature_group_count must divide in_features and out_features, got 2 with 3 and 4",
        ),
        ({"smoothing": "gauss"}, "smoothing must be one of none, group_interaction, ss_conv, .*, got 'gauss'"),
    ],
)
def test_refuses(options, message):
    arguments = {"kernel_size": (3, 3), "rate": 2} | options
    with pytest.raises(ValueError, match=message):
        nn.DilatedConv(3, 4, rngs=nnx.Rngs(0), **arguments)


@pytest.mark.parametrize("smoothing", nn.SMOOTHINGS)
def test_takes_the_options_of_flax(smoothing):
    """A layer built directly equals `nnx.Conv` with the same options while its smoothing is the identity."""
    strides = 1 if smoothing == "group_interaction" else 2
    options = {"strides": strides, "feature_group_count": 2, "padding": 2, "precision": "highest"}
    x = random(0, 2, 13, 4)
    conv = nnx.Conv(4, 6, 3, kernel_dilation=2, rngs=nnx.Rngs(0), **options)
    layer = nn.DilatedConv(4, 6, 3, rate=2, smoothing=smoothing, rngs=nnx.Rngs(0), **options)
    assert layer.kernel.shape == conv.kernel.shape == layer.kernel_shape
    assert (layer.padding, layer.kernel_size) == (((2, 2),), (3,))
    assert layer(x).shape == conv(x).shape
    if smoothing in ("none", *SMOOTHED):
        assert_close(layer(x), conv(x))
    with pytest.raises(ValueError, match=r"inputs must have the 4 channels of this layer .* got shape \(2, 13, 3\)"):
        layer(x[..., :3])


def test_jit_closure_and_pmap():
    layer, x = _layer("group_interaction"), random(0, 8, 9, 9, 3)
    assert_close(jax.jit(lambda x: layer(x))(x), layer(x))
    assert_close(np.asarray(jax.pmap(lambda x: layer(x))(x[:, None]))[:, 0], layer(x))
