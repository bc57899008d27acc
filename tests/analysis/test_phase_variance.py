"""Up-sampled constants: which layers preserve them, and by how much others fail."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from smoothjax import analysis, nn, ops
from tests.support import random


def _constants(ndim, channels=4, size=7, seed=0):
    return jnp.broadcast_to(random(seed, 3, *(1,) * ndim, channels), (3, *(size,) * ndim, channels))


def _layer(method, ndim=2, factor=2, **options):
    return nn.UpConv(4, 2, method=method, factor=factor, kernel_size=(3,) * ndim, rngs=nnx.Rngs(0), **options)


@pytest.mark.parametrize(("ndim", "factor"), [(1, 2), (2, 2), (2, 3), (3, 2)])
def test_the_disease_and_the_cures(ndim, factor):
    """A transposed convolution has it; a resize convolution never; a sub-pixel convolution not at its start (ICNR)."""
    x = _constants(ndim)
    assert analysis.phase_variance(_layer("dcl", ndim, factor), x, factor=factor) > 0.1
    for method in ("resize_conv", "sub_pixel"):
        assert analysis.phase_variance(_layer(method, ndim, factor), x, factor=factor) < 1e-12
    trained = _layer("sub_pixel", ndim, factor)
    trained.kernel[...] = trained.kernel[...] + 0.3 * random(1, *trained.kernel.shape)
    assert analysis.phase_variance(trained, x, factor=factor) > 0.01


@pytest.mark.parametrize("method", nn.UPSAMPLINGS)
def test_both_measures_agree_about_which_layers_have_it(method):
    x = _constants(2, size=14)
    layer = _layer(method)
    found = analysis.phase_variance(layer, x, factor=2)
    energy = float(analysis.checkerboard_energy(layer(x), factor=2, border=6))
    free = ("resize_conv", "sub_pixel", "sub_pixel_blur", "carafe", "dysample")
    assert (found < 1e-12, energy < 1e-3) == (method in free,) * 2
    assert found <= 1


def test_bilinear_interpolation_keeps_a_constant():
    assert analysis.phase_variance(_layer("resize_conv", interpolation="bilinear"), _constants(2), factor=2) < 1e-12


def test_several_layers_count_as_one_of_their_product():
    def cascade(method):
        first, second = (nn.UpConv(c, c, method=method, rngs=nnx.Rngs(c)) for c in (4, 4))
        return lambda x: second(jnp.tanh(first(x)))

    x = _constants(2, size=9)
    assert analysis.phase_variance(cascade("resize_conv"), x, factor=4) < 1e-12
    assert analysis.phase_variance(cascade("dcl"), x, factor=4) > 0.1


def test_by_hand():
    """A line with phases 1 and 3: mean 2, variance 1, power 5. With a mean of 0 the measure is 1."""

    def layer(x, phases):
        return ops.reinterlace(jnp.stack([x * value for value in phases]), rate=2)

    x = jnp.ones((1, 5, 1))
    assert analysis.phase_variance(lambda x: layer(x, (1.0, 3.0)), x, factor=2) == pytest.approx(1 / 5)
    assert analysis.phase_variance(lambda x: layer(x, (2.0, -2.0)), x, factor=2) == pytest.approx(1.0)
    assert analysis.phase_variance(lambda x: layer(x, (2.0, 2.0)), x, factor=2) == 0.0


def test_scale_changes_nothing_and_a_bias_lowers_it():
    layer, x = _layer("dcl"), _constants(2)
    found = analysis.phase_variance(layer, x, factor=2)
    for scale in (1e-3, -50.0):
        assert analysis.phase_variance(lambda x, scale=scale: scale * layer(x), x, factor=2) == pytest.approx(found)
    assert analysis.phase_variance(lambda x: layer(x) + 10, x, factor=2) < 0.1 * found


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: analysis.phase_variance(lambda x: x, x, factor=2), r"must up-sample by factor = 2, from \(7, 7\)"),
        (lambda x: analysis.phase_variance(lambda x: x, x, factor=1), "factor must be an int >= 2, got 1"),
        (lambda x: analysis.phase_variance(_layer("dcl"), random(0, *x.shape), factor=2), "inputs must be constant"),
        (lambda x: analysis.phase_variance(_layer("dcl"), x[:, :2], factor=2), "at least 3 units along every"),
        (lambda x: analysis.phase_variance(_layer("dcl"), 0 * x, factor=2), "to zero everywhere"),
        (
            lambda x: analysis.phase_variance(
                lambda x: jnp.repeat(jnp.cumsum(x, 1), 2, 1).repeat(2, 2), x + 0, factor=2
            ),
            "sees the borders",
        ),
    ],
)
def test_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call(_constants(2))


def test_an_independent_count_of_phases():
    """Against the variance of the phases' means over the whole inside of the map."""
    layer, x = _layer("dcl"), _constants(2, size=11)
    inside = np.asarray(layer(x), np.float64)[:, 4:-4, 4:-4]
    means = np.stack([inside[:, i::2, j::2].mean((1, 2)) for i in range(2) for j in range(2)])
    expected = (means.var(0).sum() * 4) / ((means**2).sum())
    assert analysis.phase_variance(layer, x, factor=2) == pytest.approx(expected, rel=1e-5)
