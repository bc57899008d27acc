"""`segment` gives the classes of `average_logits`, and holds no more than a few rows of windows."""

import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

from smoothjax import models, ops
from smoothjax.models._linear import linear_weights, resampled_columns, resampled_rows
from tests.support import assert_close, random

KERNEL = random(3, 3, 3, 3, 4)


@jax.jit
def _network(images):
    return ops.dilated_conv(images / 100, KERNEL)


def _image(*size):
    return np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("size", "options"),
    [
        ((50, 61), {"tile": (24, 20)}),
        ((50, 18), {"tile": (24, 24), "flip": True}),
        ((24, 70), {"tile": (24, 24), "scales": (0.75, 1.0)}),
        ((140, 45), {"tile": (64, 32), "scales": (1.25, 0.5), "flip": True}),
        ((20, 30), {"tile": (64, 64), "scales": (1.5,), "flip": True}),
        ((33, 30), {}),
        ((33, 30), {"scales": (1.0, 0.5), "flip": True}),
        ((50, 40), {"tile": (24, 24), "scales": (0.75, 1.0), "flip": True, "independent": True}),
    ],
)
def test_the_same_classes_as_of_the_whole_image(size, options):
    """Except for ties, although with tiles neither the image nor its logits exist in floating point."""
    image = _image(*size)
    logits = models.average_logits(_network, jnp.asarray(image, jnp.float32)[None], size, models.Averaging(**options))
    found = models.segment(_network, image, **options)
    assert (found.shape, found.dtype) == (size, np.uint8)
    ordered = np.sort(np.asarray(logits)[0], -1)
    clear = ordered[..., -1] - ordered[..., -2] > 1e-4
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(found[clear], np.asarray(logits.argmax(-1))[0][clear])


@pytest.mark.parametrize("logits", [(40.0, 50.0, -50.0), (-60.0, -50.0, -90.0)])
def test_of_independent_classes_that_are_all_certain_the_most_certain_is_taken(logits):
    """Probabilities near 1, or near 0, round to the same number; their odds decide, as for the whole image."""
    found = models.segment(
        lambda images: jnp.broadcast_to(jnp.array(logits), (*images.shape[:3], 3)),
        _image(20, 24), tile=(16, 16), flip=True, independent=True,
    )  # fmt: skip
    assert (found == 1).all()


def test_no_more_is_held_than_a_few_rows_of_windows():
    """Memory does not grow with the height of an image; holding a view, or its logits, would show."""

    def many(images):
        return jnp.zeros((*images.shape[:3], 48))

    def peak(height):
        image = _image(height, 32)
        tracemalloc.start()
        models.segment(many, image, tile=(32, 32), scales=(1.0, 1.25), flip=True)
        held = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return held

    peak(500)  # compiles
    assert peak(3000) < 1.2 * peak(1000)


def test_a_prepared_window_is_a_window_of_the_prepared_image():
    """Preprocessing of single pixels may come before or after the windows."""
    image = _image(40, 50)
    prepared = (image - np.float32(100)) / np.float32(50)
    options = {"tile": (24, 24), "scales": (1.0, 0.8)}
    np.testing.assert_array_equal(
        models.segment(_network, image, prepare=lambda part: (part - np.float32(100)) / np.float32(50), **options),
        models.segment(_network, prepared, **options),
    )


class _Coarse(nnx.Module):
    """Logits on a grid of 8 pixels, from normalised features whose statistics must not change."""

    output_stride = 8

    def __init__(self):
        self.norm = nnx.BatchNorm(3, rngs=nnx.Rngs(0))

    def __call__(self, images):
        return self.norm(images[:, ::8, ::8])


def test_a_network_is_used_in_evaluation_mode_and_at_its_stride():
    image, model = _image(32, 27), _Coarse()
    mean = np.asarray(model.norm.mean[...]).copy()
    cells = jnp.asarray(image[::8, ::8], jnp.float32)[None]
    expected = models.upsample_logits(cells, (32, 27), stride=8).argmax(-1)[0]
    agree = (models.segment(model, image) == np.asarray(expected)).mean()
    assert agree > 0.99  # ties
    np.testing.assert_array_equal(model.norm.mean[...], mean)
    assert not model.norm.use_running_average


@pytest.mark.parametrize(("length", "new"), [(100, 130), (130, 100), (77, 77), (5, 300), (300, 7)])
def test_parts_are_resampled_like_the_whole(length, new):
    """The numbers equal `jax.image.resize`, in any portions."""
    x = random(0, length, length, 2)
    expected = jax.image.resize(x, (new, new, 2), "linear")
    across = resampled_columns(np.asarray(x), new)
    rows = np.concatenate(list(resampled_rows(np.array_split(across, 7), length, new)))
    assert_close(rows, expected)
    first, weights = linear_weights(length, new, new // 2, new)
    assert_close(np.tensordot(weights, across[first : first + weights.shape[1]], 1), expected[new // 2 :])


def test_refuses_what_is_no_image():
    with pytest.raises(ValueError, match=r"image must be \[H, W, C\], got shape \(1, 8, 8, 3\): pass one image"):
        models.segment(_network, np.zeros((1, 8, 8, 3)))
    with pytest.raises(ValueError, match="tile must be at least 16 16 pixels, got 8 64"):
        models.segment(_network, np.zeros((8, 8, 3)), tile=(8, 64))
    with pytest.raises(ValueError, match=r"model must return logits \[N, H', W', classes\], got tuple: return"):
        models.segment(lambda images: (images,), np.zeros((8, 8, 3), np.uint8))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="the Linen module Dense has no variables: bind them"):
        models.segment(linen.Dense(2), np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(ValueError, match="stride must be an int >= 1, got 0"):
        models.segment(_network, np.zeros((8, 8, 3)), stride=0)


@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_nan_is_no_class(tile):
    """It would be class 0 everywhere, which looks like an answer."""
    image = np.zeros((20, 20, 3), np.float32)
    image[3, 3] = np.nan
    with pytest.raises(ValueError, match="model must give logits, got NaN: look for NaN in the image after prepare"):
        models.segment(lambda x: jnp.ones((*x.shape[:3], 2)) * x.sum(), image, prepare=lambda x: x, tile=tile)


@pytest.mark.parametrize("compiled", [True, False])
def test_an_image_of_other_channels_is_refused_by_its_shape(compiled):
    """Only the convolution at fault was named, in XLA's words."""
    network = nnx.Conv(3, 5, (3, 3), rngs=nnx.Rngs(0))
    model = network if compiled else lambda images: network(images)
    with pytest.raises(ValueError, match=r"of shape \[1, 9, 8, 4\] it does not: .* an image of as many channels"):
        models.segment(model, np.zeros((9, 8, 4), np.uint8))
