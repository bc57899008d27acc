"""The denoiser of dilated layers: its start, and which pixels it mixes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from smoothjax import models
from tests.support import assert_close, build, random

_IMAGES = 100 + 40 * random(0, 2, 9, 10, 3)


def _denoiser(**options):
    return build(lambda rngs: models.DilatedDenoiser(**({"width": 6, "rates": (2, 2)} | options), rngs=rngs))


def _trained(**options):
    """A denoiser with a head away from its start at zero."""
    model = _denoiser(**options)
    model.head.kernel[...] = 0.1 * random(1, *model.head.kernel.shape)
    return model


@pytest.mark.parametrize("smoothing", models.DEGRIDDINGS)
def test_a_new_denoiser_returns_its_image(smoothing):
    """In training, too; a head that is not zero would start with noise of its own."""
    model = _denoiser(smoothing=smoothing)
    np.testing.assert_array_equal(model(_IMAGES), _IMAGES)
    model.train()
    np.testing.assert_array_equal(model(_IMAGES), _IMAGES)


def test_it_subtracts_what_it_predicts():
    model = _trained()
    assert float(jnp.abs(model.noise(_IMAGES)).max()) > 1
    np.testing.assert_array_equal(model(_IMAGES), _IMAGES - model.noise(_IMAGES))


@pytest.mark.parametrize("smoothing", ["group_interaction", "ss_conv"])
def test_every_smoothing_starts_as_the_baseline(smoothing):
    assert_close(_trained(smoothing=smoothing).noise(_IMAGES), _trained().noise(_IMAGES), 1e-4)


def _mixes(model, smoothing):
    """Whether pixels of the other three phases move the noise at a pixel."""
    for stage in model.encoder.stages if smoothing else ():
        stage.conv.smoother[...] += 0.1
    seen = np.abs(np.asarray(jax.grad(lambda x: model.noise(x)[0, 4, 4].sum())(_IMAGES))).sum((0, 3)) > 0
    assert seen[::2, ::2].sum() > 4
    seen[::2, ::2] = False
    return seen.any()


@pytest.mark.parametrize(
    ("stem", "smoothing", "mixes"), [(1, "none", False), (1, "ss_conv", True), (1, "group_interaction", True),
                                     (1, "multigrid", True), (3, "none", True)]
)  # fmt: skip
def test_the_four_phases_mix_only_in_the_stem_or_by_a_cure(stem, smoothing, mixes):
    """Behind a 1x1 stem the network restores four images; a 3x3 head would hide that."""
    model = _trained(stem=stem, smoothing=smoothing, rates=(2, 2, 2) if smoothing == "multigrid" else (2, 2))
    assert _mixes(model, smoothing in ("ss_conv", "group_interaction")) == mixes


def test_in_bfloat16_the_image_keeps_its_digits():
    model = _denoiser(dtype=jnp.bfloat16)
    assert model.noise(_IMAGES).dtype == jnp.float32
    np.testing.assert_array_equal(model(_IMAGES), _IMAGES)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stem": 2}, "stem must be one of 1, 3, 5, got 2"),
        ({"rates": ()}, "rates must be"),
        ({"smoothing": "lfe"}, "smoothing must be one of none, multigrid, "),
        ({"width": 0}, "width must be"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        nnx.eval_shape(lambda: models.DilatedDenoiser(**options, rngs=nnx.Rngs(0)))


@pytest.mark.parametrize("images", [np.zeros((8, 8, 3), np.float32), np.zeros((1, 8, 8, 1), np.float32),
                                    np.zeros((1, 8, 8, 3), np.uint8)])  # fmt: skip
def test_wrong_images(images):
    with pytest.raises(ValueError, match=r"images must be \[N, H, W, 3\] of a float dtype"):
        _denoiser()(jnp.asarray(images))
