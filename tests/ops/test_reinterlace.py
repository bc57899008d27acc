"""Periodic subsampling and reinterlacing: the definition, the inverse, and the effect of a crop."""

import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from smoothjax import ops
from tests.ops.cases import EXAMPLES, maps, rates


@settings(max_examples=EXAMPLES, deadline=None)
@given(x=maps(), rate=rates(5))
def test_group_g_is_the_phase_in_row_major_order(x, rate):
    groups = np.asarray(ops.periodic_subsample(jnp.asarray(x), rate=rate))
    padded = np.pad(x, [(0, 0), *((0, -size % rate) for size in x.shape[1:-1]), (0, 0)])
    for index, phase in enumerate(itertools.product(range(rate), repeat=x.ndim - 2)):
        expected = padded[(slice(None), *(slice(p, None, rate) for p in phase))]
        chex.assert_trees_all_equal(groups[index], expected.astype(np.float32))


@settings(max_examples=EXAMPLES, deadline=None)
@given(x=maps(), rate=rates(5))
def test_reinterlace_is_the_inverse(x, rate):
    x = jnp.asarray(x)
    groups = jax.jit(lambda x: ops.periodic_subsample(x, rate=rate))(x)
    chex.assert_shape(groups, (rate ** (x.ndim - 2), x.shape[0], *(-(-s // rate) for s in x.shape[1:-1]), x.shape[-1]))
    chex.assert_trees_all_equal(ops.reinterlace(groups, rate=rate, spatial_shape=x.shape[1:-1]), x)
    again = jax.jit(lambda groups: ops.periodic_subsample(ops.reinterlace(groups, rate=rate), rate=rate))
    chex.assert_trees_all_equal(again(groups), groups)


def test_figure_3():
    groups = ops.periodic_subsample(jnp.arange(100.0).reshape(1, 10, 10, 1), rate=2)
    chex.assert_shape(groups, (4, 1, 5, 5, 1))
    assert groups[1, 0, 0, :, 0].tolist() == [1, 3, 5, 7, 9]
    assert groups[2, 0, :, 0, 0].tolist() == [10, 30, 50, 70, 90]


def test_spatial_shape_crops_at_the_end():
    groups = ops.periodic_subsample(jnp.arange(6.0).reshape(1, 6, 1), rate=3)
    assert ops.reinterlace(groups, rate=3, spatial_shape=[4]).ravel().tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("count", "spatial_shape", "message"),
    [
        (9, None, r"groups must hold rate\*\*d = 2 \* 2 = 4 phases.*\(9, 1, 2, 2, 1\)"),
        (3, None, r"groups must hold rate\*\*d = 2 \* 2 = 4 phases on its first axis, got shape \(3, 1, 2, 2, 1\)"),
        (4, (5, 4), r"spatial_shape must be 2 ints between 1 and \(4, 4\), got \(5, 4\)"),
        (4, (0, 4), r"spatial_shape must be 2 ints between 1 and \(4, 4\), got \(0, 4\)"),
        (4, (4,), r"spatial_shape must be 2 ints.*one int for each spatial axis"),
        (4, (np.int64(9), 4), r"spatial_shape must be 2 ints"),
        (4, (True, 4), r"spatial_shape must be 2 ints"),
        (4, (3.0, 4), r"spatial_shape must be 2 ints"),
        (4, 4, r"spatial_shape must be 2 ints.*got 4"),
    ],
)
def test_reinterlace_refuses(count, spatial_shape, message):
    with pytest.raises(ValueError, match=message):
        ops.reinterlace(jnp.zeros((count, 1, 2, 2, 1)), rate=2, spatial_shape=spatial_shape)
