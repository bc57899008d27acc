"""Fixed filters before a dilated convolution, and their aggregation: laws, parameters, and the end of gridding."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from smoothjax import nn, ops
from tests.support import assert_close, random

FIXED = {"average_filter": nn.average_filter, "gaussian_filter": nn.gaussian_filter}
FILTERS = (*FIXED, "aggregated_filters")
each_fixed = pytest.mark.parametrize("smoothing", FIXED)
each_filter = pytest.mark.parametrize("smoothing", FILTERS)


def _layer(smoothing: Any, ndim=2, rate=2, **options) -> Any:
    return nn.DilatedConv(3, 4, (3,) * ndim, rate=rate, smoothing=smoothing, rngs=nnx.Rngs(0), **options)


@each_fixed
@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("rate", [1, 2, 4])
def test_fixed_filters_are_low_pass(smoothing, ndim, rate):
    taps = np.asarray(FIXED[smoothing](rate, ndim))
    assert taps.shape == (2 * rate - 1,) * ndim
    assert taps.sum() == pytest.approx(1, abs=1e-5)
    assert taps.min() > 0
    for axis in range(ndim):
        np.testing.assert_allclose(np.flip(taps, axis), taps, rtol=1e-5)
        np.testing.assert_allclose(np.moveaxis(taps, axis, 0), taps, rtol=1e-5)


def test_the_average_is_flat_and_the_gaussian_has_a_deviation_of_one_pixel():
    assert np.ptp(np.asarray(nn.average_filter(4, 2))) == 0
    taps = np.asarray(nn.gaussian_filter(4, 2))
    np.testing.assert_allclose(taps[3] / taps[3, 3], np.exp(-(np.arange(-3, 4) ** 2) / 2), rtol=1e-5)
    wide = np.asarray(nn.gaussian_filter(8, 1))
    assert np.sum(wide * np.arange(-7, 8) ** 2) == pytest.approx(1, abs=1e-5)


@each_filter
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_a_constant_stays_that_constant_away_from_the_border(smoothing, dtype):
    with jax.enable_x64(dtype == "float64"):
        x = jnp.full((1, 17, 17, 3), 3.0, dtype)
        plain, smoothed = (_layer(s, dtype=dtype)(x) for s in ("none", smoothing))
        assert smoothed.dtype == dtype
        inside = (slice(None), slice(3, -3), slice(3, -3))  # a filter and a convolution away from the zeros outside
        # The aggregated filter starts from float32 parameters.
        tolerance = {"float64": 1e-6, "float32": 1e-5}.get(dtype)
        assert_close(smoothed[inside], plain[inside], tolerance)


@each_fixed
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_a_fixed_filter_is_an_ss_convolution_of_constant_weights(smoothing, ndim):
    layer, x = _layer(smoothing, ndim, rate=2), random(0, 2, *(9, 8, 7)[:ndim], 3)
    filtered = ops.ss_conv(x, FIXED[smoothing](2, ndim))
    assert_close(layer(x), _layer("none", ndim)(filtered))


def test_aggregation_is_the_weighted_sum_of_four_layers():
    layer, x = _layer("aggregated_filters", rate=3, use_bias=False), random(0, 2, 11, 9, 3)
    layer.smoother[...], layer.aggregation[...] = random(1, 5, 5), random(2, 4)
    ss_conv = _layer("ss_conv", rate=3, use_bias=False)
    ss_conv.smoother[...] = layer.smoother[...]
    parts = [*(_layer(s, rate=3, use_bias=False) for s in ("none", *FIXED)), ss_conv]
    weights = jax.nn.softmax(layer.aggregation[...])
    expected = sum(weight * part(x) for weight, part in zip(weights, parts, strict=True))
    assert_close(layer(x), expected)


def test_aggregation_starts_with_equal_weights_and_learns_them():
    layer, x = _layer("aggregated_filters"), random(0, 2, 9, 9, 3)
    quarter = sum(_layer(s)(x) for s in ("none", *FIXED, "ss_conv")) / 4
    assert_close(layer(x), quarter)
    gradient = nnx.grad(lambda layer: jnp.mean((layer(x) - 1.0) ** 2))(layer)
    for name in ("aggregation", "smoother"):
        assert float(jnp.abs(gradient[name][...]).max()) > 1e-4


@pytest.mark.parametrize(("smoothing", "extra"), [*((s, 0) for s in FIXED), ("aggregated_filters", 7 * 7 + 4)])
def test_parameters(smoothing, extra):
    state = nnx.state(_layer(smoothing, rate=4, param_dtype=jnp.bfloat16), nnx.Param)
    flat = dict(nnx.to_flat_state(state))
    assert {leaf.dtype for leaf in jax.tree.leaves(state)} == {jnp.dtype(jnp.bfloat16)}
    assert sum(math.prod(leaf.shape) for path, leaf in flat.items() if nn.is_smoother(path)) == extra
    assert {path for path in flat if not nn.is_smoother(path)} == {("kernel",), ("bias",)}


def _seen_by_neighbours(smoothing: Any) -> tuple[set[int], set[int]]:
    """Inputs that two neighbouring outputs of three layers of rate 2 depend on."""
    layers = [
        nn.DilatedConv(1, 1, (3,), rate=2, smoothing=smoothing, kernel_init=nnx.initializers.ones, rngs=nnx.Rngs(0))
        for _ in range(3)
    ]
    x = jnp.zeros((1, 31, 1))
    jacobian: Any = jax.jacobian(lambda x: nnx.Sequential(*layers)(x)[0, 15:17, 0])(x)
    first, second = (set(np.flatnonzero(np.asarray(row).ravel()).tolist()) for row in jacobian)
    return first, second


def test_neighbours_share_no_input_without_a_filter():
    first, second = _seen_by_neighbours("none")
    assert first.isdisjoint(second)
    assert len(first) == len(second) == 7


@each_filter
def test_neighbours_share_inputs_behind_a_filter(smoothing):
    first, second = _seen_by_neighbours(smoothing)
    assert len(first & second) >= 0.9 * len(first)
    assert first == set(range(min(first), max(first) + 1))  # and none is left out between


@each_filter
def test_smoothing_of_a_model_that_knows_nothing_of_it(smoothing):
    conv, x = nnx.Conv(3, 4, (3, 3), kernel_dilation=2, rngs=nnx.Rngs(0)), random(0, 1, 9, 9, 3)
    layer, paths = nn.smooth(conv, smoothing, rngs=nnx.Rngs(0))
    assert paths == [()]
    assert layer.kernel is conv.kernel
    reference = _layer(smoothing)
    reference.kernel, reference.bias = conv.kernel, conv.bias
    assert_close(layer(x), reference(x))
    assert float(jnp.abs(layer(x) - conv(x)).max()) > 1e-2  # low-pass at once
    plain, _ = nn.smooth(_layer("none"), smoothing, rngs=nnx.Rngs(0))
    assert_close(plain(x), _layer(smoothing)(x))
