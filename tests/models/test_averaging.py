"""Averaged and tiled predictions."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from smoothjax import ops
from smoothjax.models import Averaging, average_logits
from smoothjax.models._averaging import window_starts
from tests.support import assert_close, random

KERNEL = random(3, 3, 3, 3, 4)


def _local(images):
    """A network that sees one pixel around each: a window changes nothing far from its borders."""
    return ops.dilated_conv(images, KERNEL)


def _pixelwise(images):
    return jnp.einsum("nhwc,cd->nhwd", images, KERNEL[0, 0])


def test_by_default_it_is_the_network_itself():
    images = random(0, 2, 20, 17, 3)
    np.testing.assert_array_equal(average_logits(_local, images, (20, 17), Averaging()), _local(images))
    assert average_logits(_local, images, (40, 30), Averaging()).shape == (2, 40, 30, 4)


@pytest.mark.parametrize("size", [(50, 41), (16, 90), (48, 17)])
def test_tiles_give_what_the_whole_gives(size):
    """Exactly, for a network of single pixels: the windows cover every pixel, and their weights add to 1."""
    images = random(0, 2, *size, 3)
    tiled = jax.jit(lambda images: average_logits(_pixelwise, images, size, Averaging(tile=(24, 16))))(images)
    assert_close(tiled, _pixelwise(images))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.uint8])
def test_tiles_have_the_dtype_of_the_logits(dtype):
    """Networks in half precision have logits of float32; windows were added up in the dtype of the images."""
    images = jnp.round(100 * jnp.abs(random(0, 1, 40, 41, 3))).astype(dtype)
    tiled = average_logits(lambda x: _pixelwise(x.astype(jnp.float32)), images, (40, 41), Averaging(tile=(24, 16)))
    assert tiled.dtype == jnp.float32
    assert_close(tiled, _pixelwise(images.astype(jnp.float32)))


def test_borders_of_tiles_weigh_little():
    images = random(0, 1, 64, 64, 3)
    whole, tiled = _local(images), average_logits(_local, images, (64, 64), Averaging(tile=(24, 24)))
    error = jnp.abs(whole - tiled).max(-1)
    assert float(error.mean()) < 0.05 * float(jnp.abs(whole).mean())


def test_an_image_smaller_than_the_tile_is_looked_at_whole():
    images = random(0, 1, 18, 20, 3)
    np.testing.assert_array_equal(average_logits(_local, images, (18, 20), Averaging(tile=(32, 32))), _local(images))


@pytest.mark.parametrize(("length", "window"), [(100, 33), (64, 24), (25, 24), (1024, 513), (24, 24)])
def test_tiles_cover_the_image_and_overlap_by_a_third(length, window):
    begins = window_starts(length, window)
    assert begins[0] == 0
    assert begins[-1] + window == length
    assert all(b - a <= 2 * window / 3 + 1 for a, b in itertools.pairwise(begins))


def test_mirror_images():
    """A mirrored image gives the mirrored result."""
    images = random(0, 1, 12, 13, 3)
    look = lambda images: average_logits(_local, images, (12, 13), Averaging(flip=True))
    assert_close(look(images[:, :, ::-1])[:, :, ::-1], look(images))
    plain = jnp.log((jax.nn.softmax(_local(images)) + jax.nn.softmax(_local(images[:, :, ::-1]))[:, :, ::-1]) / 2)
    assert_close(look(images), plain)


def test_mirror_images_of_any_size_are_exported():
    """A symbolic size was multiplied by the scale 1.0, and was then no longer a size."""
    size = export.symbolic_shape("h, w")
    images = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
    look = jax.jit(lambda x: average_logits(lambda seen: 2 * seen, x, x.shape[1:3], Averaging(flip=True)))
    assert export.export(look)(images).out_avals[0].shape == images.shape


def test_scales_average_probabilities():
    images = random(0, 1, 12, 16, 3)
    half = jax.image.resize(images, (1, 6, 8, 3), "linear")
    expected = jax.nn.softmax(_local(images)) + jax.image.resize(jax.nn.softmax(_local(half)), (1, 12, 16, 4), "linear")
    assert_close(average_logits(_local, images, (12, 16), Averaging(scales=(1.0, 0.5))), jnp.log(expected / 2))


def test_independent_classes_average_their_own_probabilities():
    """A softmax has no meaning after binary cross entropy: it would give some pixels another class."""
    images = 3 * random(0, 1, 6, 8, 3)
    look = Averaging(flip=True, independent=True)
    found = average_logits(_local, images, (6, 8), look)
    mean = (jax.nn.sigmoid(_local(images)) + jax.nn.sigmoid(_local(images[:, :, ::-1]))[:, :, ::-1]) / 2
    assert_close(jax.nn.sigmoid(found), mean)
    # A certain class stays finite, and keeps its place before another certain one.
    certain = jnp.array([50.0, 40.0, -50.0]).reshape(1, 1, 1, 3)
    assert_close(average_logits(lambda _: certain, jnp.zeros((1, 1, 1, 3)), (1, 1), look), certain)


def test_memory_is_that_of_one_window():
    """For the maps between image and logits, here of 64 channels; the logits themselves are kept whole."""

    def wide(images):
        x = ops.dilated_conv(images, jnp.ones((3, 3, 3, 64)))
        return ops.dilated_conv(jax.nn.relu(x), jnp.ones((3, 3, 64, 2)))

    def memory(averaging):
        shape = jax.ShapeDtypeStruct((1, 512, 512, 3), jnp.float32)
        compiled = jax.jit(lambda x: average_logits(wide, x, (512, 512), averaging)).lower(shape).compile()
        return compiled.memory_analysis().temp_size_in_bytes  # pyright: ignore[reportOptionalMemberAccess]

    assert memory(Averaging(tile=(64, 64))) < memory(Averaging()) / 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tile": (8, 64)}, "tile must be at least 16 16 pixels, got 8 64"),
        ({"scales": ()}, "scales must be positive numbers, at least one"),
        ({"scales": (1.0, -1.0)}, "scales must be positive numbers"),
        ({"scales": 0.5}, "scales must be positive numbers, at least one, got 0.5"),
        ({"scales": (None,)}, "scales must be positive numbers"),
    ],
)
def test_refuses_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        Averaging(**options)
