"""Frequency selection: bands that add up to the input, the identity at the start, and the published masks."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from smoothjax import nn
from tests.support import assert_close, random


def _layer(features=4, **options):
    return nn.FrequencySelection(features, rngs=nnx.Rngs(0), **options)


def test_it_starts_as_the_identity_inside_of_a_convolution():
    x = random(0, 2, 9, 12, 4)
    assert_close(_layer()(x), x)
    plain, selected = (
        nn.DilatedConv(4, 3, (3, 3), rate=2, before=before, rngs=nnx.Rngs(0)) for before in (None, _layer())
    )
    assert_close(selected(x), plain(x), 1e-4)


@pytest.mark.parametrize("size", [(8, 8), (9, 12), (7, 5)])
def test_it_is_the_published_layer(size):
    """Shifted spectra and boxes around their middle, in plain NumPy."""
    layer, x = _layer(), random(0, 1, *size, 4)
    layer.kernel[...], layer.bias[...] = random(1, 3, 3, 4, 3), random(2, 3)
    height, width = size
    padded = np.pad(np.asarray(x[0], np.float64), ((1, 1), (1, 1), (0, 0)))
    logits = sum(
        padded[i : i + height, j : j + width] @ np.asarray(layer.kernel[i, j], np.float64) for i, j in np.ndindex(3, 3)
    )
    weights = 2 / (1 + np.exp(-logits - np.asarray(layer.bias[...], np.float64)))
    spectrum = np.fft.fftshift(np.fft.fft2(x[0], axes=(0, 1)), axes=(0, 1))
    above, expected = np.asarray(x[0], np.float64), np.zeros((*size, 4))
    for band, k in enumerate((2, 4, 8)):
        mask = np.zeros((*size, 1))
        rows, columns = (slice(round(n / 2 - n / (2 * k)), round(n / 2 + n / (2 * k))) for n in size)
        mask[rows, columns] = 1
        below = np.fft.ifft2(np.fft.ifftshift(spectrum * mask, axes=(0, 1)), axes=(0, 1)).real
        expected += weights[..., band : band + 1] * (above - below)
        above = below
    assert_close(layer(x)[0], expected + above)


def test_the_fastest_pattern_can_be_removed_and_a_constant_stays():
    layer = _layer(1)
    layer.bias[...] = jnp.array([-50.0, 0.0, 0.0])
    checkerboard = jnp.indices((16, 16)).sum(0).reshape(1, 16, 16, 1) % 2 - 0.5
    assert float(jnp.abs(layer(checkerboard)).max()) < 1e-5
    assert_close(layer(checkerboard + 3), jnp.full((1, 16, 16, 1), 3.0))


@pytest.mark.parametrize("ndim", [1, 3])
def test_other_dimensions_and_bfloat16(ndim):
    layer, x = _layer(2, kernel_size=(3,) * ndim, divisors=(2,), dtype=jnp.bfloat16), random(0, 1, *(6,) * ndim, 2)
    assert layer.kernel.shape == (*(3,) * ndim, 2, 1)
    assert layer(x).dtype == jnp.bfloat16
    assert_close(layer(x), x)
    assert_close(layer(x[0]), x[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": 0}, r"features must be an int >= 1, got 0"),
        (
            {"divisors": (4, 2)},
            r"divisors must grow from the highest band to the lowest, got \(4, 2\): use \(2, 4, 8\)",
        ),
        ({"divisors": (0, 2)}, r"divisors must be a tuple of ints >= 1, got \(0, 2\): use \(2, 4, 8\) for octaves"),
    ],
)
def test_refuses_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        nn.FrequencySelection(**({"features": 4, "rngs": nnx.Rngs(0)} | options))
