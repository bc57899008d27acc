"""The checkerboard measure: patterns that it finds, patterns that it ignores, and its invariances."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from smoothjax.analysis import checkerboard_energy
from tests.support import random

SPATIAL = "DHW"


def _layout(ndim):
    spatial = SPATIAL[-ndim:]
    return f"N{spatial}C", f"{spatial}IO", f"N{spatial}C"


def _transposed(x, kernel, factor):
    ndim = x.ndim - 2
    return lax.conv_transpose(x, kernel, (factor,) * ndim, "SAME", dimension_numbers=_layout(ndim))


def _resize(x, kernel, factor):
    ndim = x.ndim - 2
    for axis in range(1, ndim + 1):
        x = jnp.repeat(x, factor, axis)
    return lax.conv_general_dilated(x, kernel, (1,) * ndim, "SAME", dimension_numbers=_layout(ndim))


def _natural(*shape, seed=0, slope=1.5):
    """Random images whose amplitude falls with frequency to the power of minus `slope`, like that of photographs."""
    frequencies = np.meshgrid(*(np.fft.fftfreq(size) for size in shape[1:-1]), indexing="ij")
    radius = np.sqrt(sum(f**2 for f in frequencies))
    radius.flat[0] = 1 / max(shape[1:-1])
    axes = range(1, len(shape) - 1)
    noise = np.fft.fftn(np.random.default_rng(seed).standard_normal(shape), axes=axes)
    images = np.fft.ifftn(noise * (radius**-slope)[None, ..., None], axes=axes).real
    return jnp.asarray(images / images.std(), jnp.float32)


def _board(factor, *shape):
    """A pattern of period `factor`: 1 where all coordinates are multiples of it."""
    hits = [np.arange(size) % factor == 0 for size in shape]
    return jnp.asarray(np.prod(np.meshgrid(*hits, indexing="ij"), 0), jnp.float32)[None, ..., None]


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_a_resize_convolution_of_a_constant_has_none(ndim, factor):
    small = (14, 12, 13)[:ndim] if ndim < 3 else (12, 12, 12)
    constant = jnp.full((1, *small, 4), 0.37)
    kernel = random(0, *(3,) * ndim, 4, 2)
    assert float(checkerboard_energy(_resize(constant, jnp.ones_like(kernel), factor), factor=factor)) <= 1e-6
    assert float(checkerboard_energy(_resize(constant, kernel, factor), factor=factor)) <= 1e-6


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("size", ["3", "3 * factor"])
def test_a_random_transposed_convolution_has_one(size, factor):
    kernel = random(0, *(3 if size == "3" else 3 * factor,) * 2, 8, 4)
    constant = jnp.full((1, 14, 13, 8), 0.37)
    assert float(checkerboard_energy(_transposed(constant, kernel, factor), factor=factor)) > 1
    features = jax.nn.relu(random(1, 8, 16, 16, 8))
    assert float(checkerboard_energy(_transposed(features, kernel, factor), factor=factor)) > 1


@pytest.mark.parametrize("ndim", [1, 3])
def test_a_random_transposed_convolution_has_one_in_other_dimensions(ndim):
    constant = jnp.ones((1, *(14,) * ndim, 4))
    assert float(checkerboard_energy(_transposed(constant, random(0, *(6,) * ndim, 4, 2), 2))) > 1


@pytest.mark.parametrize(("factor", "shape"), [(2, (96,)), (2, (64, 56)), (3, (64, 64)), (4, (64, 64)), (2, (32,) * 3)])
@pytest.mark.parametrize("slope", [1.0, 2.0])
def test_natural_images_have_none(factor, shape, slope):
    images = _natural(32, *shape, 3, slope=slope)
    assert float(checkerboard_energy(images, factor=factor)) < 0.1


def test_edges_along_an_axis_are_no_checkerboard():
    bars = jnp.broadcast_to(_natural(64, 64, 1, 3), (64, 64, 64, 3))
    assert float(checkerboard_energy(bars)) < 0.1
    assert float(checkerboard_energy(bars + 0.1 * _board(2, 64, 64))) > 1


@pytest.mark.parametrize(("factor", "shape"), [(2, (96,)), (2, (64, 56)), (3, (64, 64)), (4, (64, 64)), (2, (32,) * 3)])
def test_it_rises_with_an_added_checkerboard(factor, shape):
    images, board = _natural(8, *shape, 3), _board(factor, *shape)
    strengths = [float(checkerboard_energy(images + a * board, factor=factor)) for a in (0.3, 0.5, 1.0, 2.0)]
    assert strengths[0] > 0.1
    assert strengths == sorted(strengths)
    # Far above the images it is the power of the pattern: twice the amplitude, four times the power.
    assert strengths[3] == pytest.approx(4 * strengths[2], rel=0.3)


def test_any_pattern_of_the_period_counts():
    images, rows, columns = _natural(8, 64, 64, 3), *np.indices((64, 64))
    for pattern in ((-1.0) ** rows, (-1.0) ** columns, (-1.0) ** (rows + columns)):
        assert float(checkerboard_energy(images + 0.1 * jnp.asarray(pattern[None, ..., None], jnp.float32))) > 1


def test_another_period_is_not_seen():
    images = _natural(8, 64, 64, 3)
    assert float(checkerboard_energy(images + 0.5 * _board(3, 64, 64), factor=3)) > 1
    assert float(checkerboard_energy(images + 0.5 * _board(3, 64, 64), factor=2)) < 0.1


@pytest.mark.parametrize("kind", ["images", "pattern"])
def test_scale_and_offset_change_nothing(kind):
    maps = _natural(4, 48, 48, 3) + 0.1 * _board(2, 48, 48) if kind == "images" else _board(2, 48, 48)
    reference = float(checkerboard_energy(maps))
    assert reference > 1
    for scaled in (255 * maps, 1e-3 * maps, -maps, 1e-25 * maps, 1e20 * maps):
        assert float(checkerboard_energy(scaled)) == pytest.approx(reference, rel=1e-3)
    if kind == "images":
        assert float(checkerboard_energy(maps + 7)) == pytest.approx(reference, rel=1e-3)


def test_the_order_of_the_axes_changes_nothing():
    maps = _natural(4, 64, 48, 3) + 0.1 * _board(2, 64, 48)
    turned = maps.transpose(0, 2, 1, 3)
    assert float(checkerboard_energy(turned)) == pytest.approx(float(checkerboard_energy(maps)), rel=1e-4)


def test_borders_do_not_count():
    maps = _natural(8, 64, 64, 3)
    inside = jnp.pad(jnp.zeros((1, 56, 56, 1)), ((0, 0), (4, 4), (4, 4), (0, 0)), constant_values=1)
    spoilt = maps + 50 * inside * _board(2, 64, 64)
    assert float(checkerboard_energy(spoilt)) == float(checkerboard_energy(maps)) < 0.1
    assert float(checkerboard_energy(spoilt, border=0)) > 0.1


def test_a_constant_and_nothing_at_all_have_none():
    assert float(checkerboard_energy(jnp.zeros((1, 32, 32, 1)))) == 0
    assert float(checkerboard_energy(jnp.full((1, 32, 32, 1), 1e6 / 3))) == 0


def test_dtypes(x64):
    maps = _natural(4, 48, 48, 3) + 0.3 * _board(2, 48, 48)
    single = checkerboard_energy(maps)
    double, half = (checkerboard_energy(maps.astype(dtype)) for dtype in (jnp.float64, jnp.bfloat16))
    assert (single.dtype, double.dtype, half.dtype) == (jnp.float32, jnp.float64, jnp.float32)
    assert float(double) == pytest.approx(float(single), rel=1e-4)
    assert float(half) > 1


def test_it_is_a_pure_function():
    maps = _natural(4, 48, 48, 3) + 0.1 * _board(2, 48, 48)
    reference = float(checkerboard_energy(maps))
    assert float(jax.jit(checkerboard_energy)(maps)) == pytest.approx(reference, rel=1e-4)
    assert float(jax.vmap(checkerboard_energy)(maps[None])[0]) == pytest.approx(reference, rel=1e-4)
    assert np.isfinite(jax.grad(partial(checkerboard_energy))(maps)).all()


@pytest.mark.parametrize("maps", [jnp.zeros((32, 32)), jnp.zeros((1,) * 6)])
def test_refuses_another_rank(maps):
    with pytest.raises(AssertionError, match=r"maps must be \[N, \*S, C\] with one to three spatial axes S, got shape"):
        checkerboard_energy(maps)


def test_refuses_integers():
    with pytest.raises(AssertionError, match=r"maps must be floating point, got uint8: cast them, e.g. maps / 255.0"):
        checkerboard_energy(jnp.zeros((1, 32, 32, 3), jnp.uint8))


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((1, 32, 32, 3), {"factor": 1}, "factor must be an int >= 2, got 1: give a number of pixels"),
        ((1, 32, 32, 3), {"factor": 2.0}, "factor must be an int >= 2, got 2.0"),
        ((1, 32, 32, 3), {"factor": True}, "factor must be an int >= 2, got True"),
        ((1, 32, 32, 3), {"border": -1}, "border must be an int >= 0, got -1"),
        (
            (1, 32, 23, 3),
            {},
            r"maps must have at least 8 \* factor = 16 pixels along every spatial axis between borders of 4, got "
            "32x23: measure larger maps, or give a smaller border",
        ),
        ((1, 47, 47, 3), {"factor": 4}, r"8 \* factor = 32 pixels .* between borders of 8, got 47x47"),
        ((0, 32, 32, 3), {}, r"maps must hold something, got shape \(0, 32, 32, 3\)"),
    ],
)
def test_refuses(shape, options, message):
    with pytest.raises(ValueError, match=message):
        checkerboard_energy(jnp.zeros(shape), **options)
