"""Circulant group interaction: its laws, its relation to group interaction, and the effect of shifts."""

import itertools
import math
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from smoothjax import nn, ops
from tests.support import assert_close, random

NAME = "circulant_group_interaction"


def _layer(smoothing: Any = NAME, rates: tuple[int, ...] = (2, 2), **options) -> Any:
    options = {"padding": "CIRCULAR", "use_bias": False} | options
    layer: Any = nn.DilatedConv(2, 3, (3,) * len(rates), rate=rates, smoothing=smoothing, rngs=nnx.Rngs(0), **options)
    layer.smoother[...] = random(1, *layer.smoother.shape, dtype=layer.smoother.dtype)
    return layer


def _matrix(smoother: jax.Array) -> jax.Array:
    """The circulant weight of group interaction, by the definition: row i, column j have the weight of j - i."""
    rates, weights = smoother.shape, np.asarray(smoother)
    phases = list(itertools.product(*map(range, rates)))
    rows = [[weights[tuple((b - a) % r for a, b, r in zip(i, j, rates, strict=True))] for j in phases] for i in phases]
    return jnp.asarray(rows)


@pytest.mark.parametrize("rates", [(1,), (2,), (3,), (4,), (2, 2), (3, 2), (2, 1, 3)])
def test_it_is_the_mean_of_group_interaction_over_all_places_of_its_grid(rates):
    """The blocks of `ops.ss_block_fc` begin at the first pixel; zeros before it move them, zeros complete them."""
    sizes = (9, 7, 5)[: len(rates)]
    x, smoother = random(0, 1, *sizes, 2), random(1, *rates)
    found = []
    for begun in itertools.product(*map(range, rates)):
        moved = jnp.pad(x, ((0, 0), *((first, 0) for first in begun), (0, 0)))
        mixed = ops.ss_block_fc(moved, _matrix(smoother), rate=rates)
        found.append(mixed[(slice(None), *(slice(first, None) for first in begun))])
    assert_close(ops.ss_conv(x, nn.circulant_filter(smoother)), sum(found) / math.prod(rates))


@pytest.mark.parametrize("rates", [(3,), (4,), (2, 3), (2, 2, 2)])
def test_on_maps_of_the_period_of_the_rate_it_is_the_matrix(rates):
    """On such maps all places of the grid are equal."""
    period = random(0, 1, *rates, 2)
    x, smoother = jnp.tile(period, (1, *(3,) * len(rates), 1)), random(1, *rates)
    sides = tuple((rate - 1, rate - 1) for rate in rates)
    around = jnp.pad(x, ((0, 0), *sides, (0, 0)), mode="wrap")
    filtered = ops.ss_conv(around, nn.circulant_filter(smoother), padding="VALID")
    assert_close(filtered, ops.ss_block_fc(x, _matrix(smoother), rate=rates))


@pytest.mark.parametrize("rates", [(3,), (2, 2), (4, 3), (2, 2, 2)])
def test_it_commutes_with_cyclic_shifts_by_one_pixel(rates):
    """Along each axis and along all together, on sides that are multiples of the rate."""
    layer, x = _layer(rates=rates), random(0, 1, *(2 * rate for rate in rates), 2)
    y, axes = layer(x), tuple(range(1, len(rates) + 1))
    for shifted in ((1,), axes):
        assert_close(layer(jnp.roll(x, (1,) * len(shifted), shifted)), jnp.roll(y, (1,) * len(shifted), shifted))


def test_the_papers_does_not_nor_does_a_circulant_matrix_on_one_grid():
    """Both commute only with shifts by whole blocks: after one pixel, other pixels share a block."""
    layer, x = _layer("group_interaction"), random(0, 1, 6, 8, 2)
    for matrix in (layer.smoother[...], _matrix(random(1, 2, 2))):
        layer.smoother[...] = matrix
        assert_close(layer(jnp.roll(x, 2, 1)), jnp.roll(layer(x), 2, 1))
        assert float(jnp.abs(layer(jnp.roll(x, 1, 1)) - jnp.roll(layer(x), 1, 1)).max()) > 0.1


@pytest.mark.parametrize("options", [{}, {"strides": 2}, {"feature_group_count": 2}, {"padding": "REFLECT"}])
def test_it_starts_as_the_identity(options):
    conv: Any = nnx.Conv(2, 4, (3, 3), kernel_dilation=(3, 2), rngs=nnx.Rngs(0), **options)
    x = random(0, 2, 11, 9, 2)
    expected = conv(x)
    layer, paths = nn.smooth(conv, NAME, rngs=nnx.Rngs(0))
    assert (paths, layer.smoother.shape) == ([()], (3, 2))
    chex.assert_trees_all_equal(nn.circulant_filter(layer.smoother[...]), ops.identity_smoother((3, 2), 2))
    assert_close(layer(x), expected)
    gradient = nnx.grad(lambda layer: jnp.mean((layer(x) - 1.0) ** 2))(layer)
    assert np.all(np.abs(gradient.smoother[...]) > 0)


@pytest.mark.parametrize("rates", [(3,), (4, 3)])
def test_the_transpose_has_the_weights_of_the_opposite_differences(rates):
    x, y = (random(seed, 1, *(2 * rate for rate in rates), 1) for seed in (0, 2))
    one = jnp.ones((1,) * len(rates) + (1, 1))  # a convolution that changes nothing

    def mixed(maps, smoother):
        layer: Any = nn.DilatedConv(
            1, 1, (1,) * len(rates), rate=rates, smoothing=NAME, padding="CIRCULAR", use_bias=False, rngs=nnx.Rngs(0)
        )
        layer.kernel[...], layer.smoother[...] = one, smoother
        return layer(maps)

    smoother = random(1, *rates)
    opposite = smoother[np.ix_(*(-np.arange(rate) % rate for rate in rates))]
    (transposed,) = jax.linear_transpose(lambda maps: mixed(maps, smoother), x)(y)
    assert_close(transposed, mixed(y, opposite))
    assert_close(jnp.vdot(mixed(x, smoother), y), jnp.vdot(x, mixed(y, opposite)), 1e-5)


@pytest.mark.parametrize("rates", [(5,), (2, 3), (2, 3, 4)])
def test_it_has_a_parameter_for_every_difference_of_phases(rates):
    (smoother,) = nn.smoothers(_layer(rates=rates)).values()
    assert (smoother.kind, smoother.ndim, smoother.parameter.size) == (NAME, len(rates), math.prod(rates))
    chex.assert_trees_all_equal(nn.identity_smoothing(NAME, rates, len(rates)), smoother.initial)
    assert smoother.initial.sum() == smoother.initial.ravel()[0] == 1


def test_bfloat16():
    layer, wide = (_layer(dtype=dtype, param_dtype=dtype, padding="SAME") for dtype in ("bfloat16", "float32"))
    for name in ("kernel", "smoother"):
        getattr(wide, name)[...] = getattr(layer, name)[...].astype(jnp.float32)
    x = random(0, 1, 6, 6, 2, dtype=jnp.bfloat16)
    assert layer(x).dtype == jnp.bfloat16
    assert_close(layer(x), wide(x))
