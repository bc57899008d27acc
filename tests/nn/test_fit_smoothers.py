"""Smoothers fitted only to images: phases that disagree converge, and smooth content stays."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from smoothjax import models, nn


def _smoother(layer):
    return np.asarray(layer.smoother[...])


def _layer(rate: Any = 2, taps=(3, 3), smoothing: nn.Smoothing = "ss_conv", **options: Any):
    layer = nn.DilatedConv(1, 1, taps, rate=rate, smoothing=smoothing, rngs=nnx.Rngs(0), **options)
    layer.kernel[...] = jnp.zeros_like(layer.kernel[...]).at[tuple(n // 2 for n in taps)].set(1.0)
    return layer


def _images(rate=2, grid=1.0, noise=0.3):
    """A wave, plus noise and a constant for each phase: no two phases agree about the wave."""
    rows, columns = np.mgrid[:48, :48]
    phases = np.random.default_rng(0).normal(size=(4, rate, rate))
    board = phases[:, rows % rate, columns % rate] - phases.mean((1, 2))[:, None, None]
    wave = np.sin(rows / 9 + columns / 14) + noise * np.random.default_rng(1).normal(size=(4, 48, 48))
    return jnp.asarray((wave + grid * board)[..., None], jnp.float32)


@pytest.mark.parametrize("rate", [2, 3])
def test_what_alternates_with_the_phases_goes_and_the_rest_stays(rate):
    """Less than a tenth of the grid's energy remains, and nearly all of a slow wave's."""
    layer = _layer(rate)
    model = nnx.Sequential(layer)
    left = nn.fit_smoothers(model, _images(rate), preserve=10.0)
    assert list(left) == [("layers", 0)]
    assert left[("layers", 0)] < 0.1
    smoother = _smoother(layer)
    assert smoother.sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(smoother, smoother.T, atol=1e-6)
    np.testing.assert_allclose(smoother, smoother[::-1], atol=1e-6)
    inner = (slice(None), slice(8, -8), slice(8, -8))
    wave, board = _images(rate, grid=0, noise=0), _images(rate, noise=0) - _images(rate, grid=0, noise=0)
    assert float(jnp.abs(model(wave) - wave)[inner].max()) < 0.1
    assert float((model(board)[inner] ** 2).mean()) < 0.15 * float((board[inner] ** 2).mean())


def test_maps_without_a_grid_keep_the_identity():
    """The stronger the preservation, the closer a filter stays to the identity."""
    found = []
    for preserve, grid in ((1000.0, 0.0), (1000.0, 1.0), (10.0, 1.0)):
        layer = _layer()
        nn.fit_smoothers(nnx.Sequential(layer), _images(grid=grid), preserve=preserve)
        found.append(_smoother(layer)[1, 1])
    assert found[0] > 0.97
    assert found[0] > found[1] > found[2]


def test_a_layer_is_fitted_behind_those_before_it():
    """The second layer need not remove what the first has removed; other layers and weights stay."""
    layers = [_layer(), _layer(), _layer(smoothing="group_interaction"), _layer(strides=2)]
    kernels = [np.asarray(layer.kernel[...]) for layer in layers]
    left = nn.fit_smoothers(nnx.Sequential(*layers), _images(), preserve=10.0)
    assert list(left) == [("layers", 0), ("layers", 1)]
    assert _smoother(layers[1])[1, 1] > _smoother(layers[0])[1, 1]
    np.testing.assert_array_equal(_smoother(layers[2]), np.eye(4))
    for layer, kernel in zip(layers, kernels, strict=True):
        np.testing.assert_array_equal(layer.kernel[...], kernel)
        assert layer.after is None


def test_rates_by_axis_and_maps_of_zeros():
    layer = _layer(rate=(2, 1))
    assert nn.fit_smoothers(nnx.Sequential(layer, jax.nn.relu), jnp.zeros((1, 24, 24, 1))) == {("layers", 0): 1.0}
    np.testing.assert_array_equal(_smoother(layer), [[0.0], [1.0], [0.0]])


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (lambda: jnp.abs, {}, "model must be a Flax NNX module that can be called"),
        (lambda: nnx.Sequential(_layer(smoothing="none")), {}, 'must hold a DilatedConv with smoothing="ss_conv"'),
        (lambda: nnx.Sequential(_layer()), {"preserve": 0.0}, "preserve must be above 0"),
        (lambda: nnx.Sequential(_layer()), {"preserve": float("inf")}, "preserve must be above 0 and finite, got inf"),
        (lambda: nnx.Sequential(_layer()), {"images": _images()[:0]}, "images must hold at least one input"),
        (lambda: nnx.Sequential(_layer()), {"images": jnp.nan * _images()}, "images must give finite outputs, got NaN"),
        (lambda: nnx.Sequential(_layer()), {"images": 1e25 * _images()}, "images must give finite outputs, got NaN"),
    ],
)
def test_refuses(model, options, message):
    with pytest.raises(ValueError, match=message):
        nn.fit_smoothers(model(), **({"images": _images()} | options))


def test_a_refusal_changes_nothing():
    """The smoothers once became the identity before images were refused."""
    first, second = _layer(), _layer()
    model = nnx.Sequential(first, lambda y: 1e30 * y, second)  # the second layer's spectrum is infinite
    nn.fit_smoothers(nnx.Sequential(first), _images())
    before = [_smoother(layer) for layer in (first, second)]
    with pytest.raises(ValueError, match=r"infinity in the layer \('layers', 2\)"):
        nn.fit_smoothers(model, _images())
    for layer, expected in zip((first, second), before, strict=True):
        np.testing.assert_array_equal(_smoother(layer), expected)


def test_a_weight_of_any_size_gives_numbers():
    """At 1e38 the equations once left the range, and the filter was NaN."""
    layer = _layer()
    nn.fit_smoothers(nnx.Sequential(layer), _images(), preserve=1e38)
    assert np.isfinite(_smoother(layer)).all()


class _Inside(nnx.Module):
    def __init__(self):
        self.layer = _layer()

    @nnx.remat
    def __call__(self, x):
        return self.layer(x)


def test_layers_inside_transformations_are_refused_in_a_sentence():
    """What they record is out of reach, which JAX once said instead; the library's own networks are fitted."""
    with pytest.raises(ValueError, match=r"outside of transformations such as nnx\.remat"):
        nn.fit_smoothers(_Inside(), _images())
    own = models.DeepLab(num_classes=2, encoder="resnet18", width=2, smoothing="ss_conv", remat=True, rngs=nnx.Rngs(0))
    images = jnp.asarray(np.random.default_rng(0).normal(size=(1, 65, 65, 3)), jnp.float32)
    assert nn.fit_smoothers(own, images)
    causal = nnx.Sequential(nn.CausalDilatedConv(1, 1, 3, rate=2, smoothing="ss_conv", rngs=nnx.Rngs(0)))
    with pytest.raises(ValueError, match=r"a CausalDilatedConv or another smoothing is not fitted"):
        nn.fit_smoothers(causal, _images())
