"""Dynamic sampling: its definition in loops, bilinear interpolation, and PyTorch's values."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smoothjax import ops
from tests.ops.cases import assert_defined
from tests.support import assert_close, random


def _summed(x, offsets, factors):
    """Computes each output pixel as the sum over all input pixels, weighted by a tent around its point."""
    sizes, groups = x.shape[1:-1], offsets.shape[-2]
    out = np.zeros((*offsets.shape[:-2], x.shape[-1]))
    for place in itertools.product(*map(range, out.shape)):
        group = place[-1] * groups // x.shape[-1]
        for pixel in itertools.product(*map(range, sizes)):
            weight = 1.0
            for axis, (step, size) in enumerate(zip(factors, sizes, strict=True)):
                point = (place[1 + axis] + 0.5) / step - 0.5 + offsets[(*place[:-1], group, axis)]
                weight *= max(0.0, 1 - abs(min(max(point, 0), size - 1) - pixel[axis]))
            out[place] += weight * x[(place[0], *pixel, place[-1])]
    return out


def _arguments(sizes, factors, groups, dtype):
    places = [step * size for step, size in zip(factors, sizes, strict=True)]
    return random(0, 2, *sizes, 4, dtype=dtype), random(1, 2, *places, groups, len(sizes), dtype=dtype)


@pytest.mark.as_users
@pytest.mark.parametrize(
    ("sizes", "factors", "groups", "dtype"),
    [
        ((5,), (3,), 4, "float64"),
        ((3, 4), (2, 2), 2, "float64"),
        ((4, 1), (1, 3), 1, "float64"),
        ((2, 3, 2), (2, 2, 2), 2, "float64"),
        ((3, 4), (2, 2), 2, "float32"),
        ((3, 4), (2, 2), 2, "bfloat16"),
    ],
)
def test_it_is_its_definition(sizes, factors, groups, dtype):
    """Offsets of a pixel and more reach far beyond the border of small maps."""
    with jax.enable_x64(dtype == "float64"):
        assert_defined(ops.dysample, _summed, *_arguments(sizes, factors, groups, dtype), factors)


@pytest.mark.parametrize("factor", [2, 3, (1, 4)])
def test_without_offsets_it_is_bilinear_interpolation(factor):
    x = random(0, 2, 5, 4, 3)
    height, width = np.multiply(factor, (5, 4))
    expected = jax.image.resize(x, (2, height, width, 3), "linear")
    assert_close(ops.dysample(x, jnp.zeros((1, height, width, 3, 2)), factor=factor), expected)


def test_it_is_that_of_pytorch():
    """`interpolate(..., align_corners=False)` and `grid_sample(..., padding_mode="border")` of PyTorch 2.13."""
    x = jnp.array([0.0, 1.0, 4.0, 9.0, 16.0, 25.0]).reshape(1, 2, 3, 1)
    offsets = (jnp.arange(48.0).reshape(1, 4, 6, 1, 2) * 7 % 11 - 5) / 4
    assert_close(ops.dysample(x, jnp.zeros_like(offsets)).ravel(), jnp.asarray(BILINEAR_OF_PYTORCH))
    assert_close(ops.dysample(x, offsets).ravel(), jnp.asarray(SAMPLED_OF_PYTORCH))


def test_whole_pixels_are_a_shift_and_points_beyond_the_border_lie_on_it():
    x, one = random(0, 1, 6, 5, 2), jnp.zeros((1, 12, 10, 1, 2)).at[..., 0].set(1.0)
    plain = ops.dysample(x, jnp.zeros_like(one))
    assert_close(ops.dysample(x, one)[:, :-3], plain[:, 2:-1])
    assert_close(ops.dysample(x, 1000 * one), jnp.broadcast_to(plain[:, -1:], plain.shape))
    assert_close(ops.dysample(x, -1000 * one), jnp.broadcast_to(plain[:, :1], plain.shape))


def test_every_group_has_points_of_its_own():
    x, offsets = random(0, 2, 3, 4, 6), random(1, 2, 6, 8, 3, 2)
    parts = [ops.dysample(x[..., 2 * g : 2 * g + 2], offsets[..., g : g + 1, :]) for g in range(3)]
    assert_close(ops.dysample(x, offsets), jnp.concatenate(parts, -1))


def test_a_point_that_is_no_number_spoils_its_pixel_alone():
    x, offsets = random(0, 1, 3, 4, 2), jnp.zeros((1, 6, 8, 1, 2))
    y = ops.dysample(x, offsets.at[0, 2, 3, 0, 1].set(jnp.nan))
    assert np.isnan(y[0, 2, 3]).all()
    assert np.isnan(y).sum() == 2


BILINEAR_OF_PYTORCH = [
    0.0, 0.25, 0.75, 1.75, 3.25, 4.0, 2.25, 2.875, 4.125, 5.875, 8.125, 9.25,
    6.75, 8.125, 10.875, 14.125, 17.875, 19.75, 9.0, 10.75, 14.25, 18.25, 22.75, 25.0,
]  # fmt: skip
SAMPLED_OF_PYTORCH = [
    0.25, 2.5, 0.0, 14.125, 4.0, 1.0, 6.75, 12.5, 3.25, 2.875, 20.5, 4.0,
    4.75, 9.0, 14.25, 4.0, 6.5, 22.75, 9.0, 10.0, 9.0, 16.0, 4.0, 19.75,
]  # fmt: skip
