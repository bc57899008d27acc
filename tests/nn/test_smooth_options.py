"""Smoothing convolutions with any options: the identity keeps outputs, and gradients reach the smoother."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from smoothjax import nn
from tests.support import assert_close, random

UNSTRIDED: dict[str, dict[str, Any]] = {
    "depthwise": {"feature_group_count": 4},
    "grouped": {"feature_group_count": 2, "padding": "VALID"},
    "rates by axis": {"kernel_dilation": (2, 3)},
    "one rate of 1": {"kernel_dilation": (1, 3), "feature_group_count": 4},
    "same": {"padding": "same"},
    "SAME_LOWER": {"padding": "SAME_LOWER", "kernel_size": (2, 4)},
    "CIRCULAR": {"padding": "CIRCULAR", "feature_group_count": 4},
    "REFLECT": {"padding": "REFLECT", "kernel_size": (2, 3)},
    "precision": {"precision": "highest"},
    "preferred": {"preferred_element_type": jnp.float32, "dtype": jnp.bfloat16},
    "float16": {"dtype": jnp.float16, "param_dtype": jnp.float16, "feature_group_count": 4},
    "mixed pads": {"padding": (1, (3, 2))},
}
STRIDED: dict[str, dict[str, Any]] = {
    "strided": {"strides": 2},
    "depthwise strided": {"strides": (2, 1), "feature_group_count": 4, "padding": "SAME_LOWER"},
    "circular strided": {"strides": 2, "padding": "CIRCULAR"},
}
CASES = [(s, name) for s in ("ss_conv", "group_interaction") for name in UNSTRIDED] + [
    ("ss_conv", name) for name in STRIDED
]


def _conv(**options: Any) -> Any:
    options = {"kernel_size": (3, 3), "kernel_dilation": 2} | options
    return nnx.Conv(4, 8, rngs=nnx.Rngs(0), **options)


@pytest.mark.parametrize(("smoothing", "name"), CASES)
def test_outputs_stay_and_gradients_reach_the_smoother(smoothing, name):
    conv, x = _conv(**(UNSTRIDED | STRIDED)[name]), random(0, 2, 11, 9, 4)
    expected = conv(x)
    layer, paths = nn.smooth(conv, smoothing, rngs=nnx.Rngs(0))
    assert (paths, paths.skipped, paths.refused) == ([()], {}, {})

    @nnx.jit
    def value_and_gradient(layer):
        def loss(layer):
            y = layer(x)
            return jnp.mean(y.astype(jnp.float32) ** 2), y

        return nnx.grad(loss, has_aux=True)(layer)

    gradient, y = value_and_gradient(layer)
    assert y.dtype == expected.dtype
    assert_close(y.astype(jnp.float32), expected.astype(jnp.float32), 1e-5 if y.dtype == jnp.float32 else 3e-3)
    assert np.count_nonzero(gradient.smoother[...]) > gradient.smoother.size / 2
    rates = np.broadcast_to(conv.kernel_dilation, 2)
    assert layer.smoother.shape == (tuple(2 * rates - 1) if smoothing == "ss_conv" else (rates.prod(), rates.prod()))


@pytest.mark.parametrize("smoothing", ["ss_conv", "group_interaction"])
def test_circular_layers_stay_circular_whatever_is_learnt(smoothing):
    """The smoother pads like the convolution: rolling a map rolls its output."""
    layer, _ = nn.smooth(_conv(padding="CIRCULAR"), smoothing, rngs=nnx.Rngs(0))
    layer.smoother[...] = random(1, *layer.smoother.shape)
    x = random(0, 1, 8, 10, 4)
    moved = jnp.roll(x, (2, 4), (1, 2))
    assert_close(layer(moved), jnp.roll(layer(x), (2, 4), (1, 2)))


def test_reflected_maps_are_filtered_as_they_are_reflected():
    """Beyond the border a filter reads the reflected map, not zeros."""
    layer, _ = nn.smooth(_conv(padding="REFLECT"), "ss_conv", rngs=nnx.Rngs(0))
    layer.smoother[...] = jnp.full((3, 3), 1 / 9)
    ones = jnp.ones((1, 6, 6, 4))
    assert_close(layer(ones), jnp.broadcast_to(layer(ones)[:, 2:3, 2:3], (1, 6, 6, 8)))


@pytest.mark.parametrize("smoothing", nn.CAUSAL_SMOOTHINGS[1:])
def test_causal_depthwise_layers_stay_causal(smoothing):
    conv: Any = nnx.Conv(4, 4, 3, kernel_dilation=2, padding="CAUSAL", feature_group_count=4, rngs=nnx.Rngs(0))
    x = random(0, 1, 13, 4)
    layer, _ = nn.smooth(conv, smoothing, rngs=nnx.Rngs(0))
    assert isinstance(layer, nn.CausalDilatedConv)
    assert_close(layer(x), conv(x))
    layer.smoother[...] = random(1, *layer.smoother.shape)
    moved = jnp.abs(layer(x.at[0, 6].add(1.0)) - layer(x)).max((0, 2)) > 0
    assert jnp.flatnonzero(moved)[0] == 6


class Plain(nnx.Conv):
    """As in real code: a convolution with its own defaults."""

    def __init__(self, features: int, *, rngs: nnx.Rngs):
        super().__init__(features, features, (3, 3), kernel_dilation=2, use_bias=False, rngs=rngs)
        self.stage = features


class Helpful(Plain):
    """A subclass with a method that a replacement would lack."""

    def norm(self) -> jax.Array:
        return jnp.sum(self.kernel[...] ** 2)


class Taken(Plain):
    """A subclass whose constructor sets an attribute that a smoothed layer needs."""

    def __init__(self, features: int, *, rngs: nnx.Rngs):
        super().__init__(features, rngs=rngs)
        self.before = None


def test_subclasses_that_define_a_constructor_alone():
    conv, x = Plain(4, rngs=nnx.Rngs(0)), random(0, 1, 7, 7, 4)
    layer, _ = nn.smooth(conv, "ss_conv", rngs=nnx.Rngs(0))
    assert layer.stage == 4
    assert_close(layer(x), conv(x))
    for kind, reason in ((Helpful, "which defines norm"), (Taken, "attributes that a DilatedConv also has, before")):
        with pytest.raises(ValueError, match=reason):
            nn.smooth([kind(4, rngs=nnx.Rngs(0))], "ss_conv", rngs=nnx.Rngs(0))


@pytest.mark.parametrize(
    "smoothing", ["ss_conv", "group_interaction", "circulant_group_interaction", "aggregated_filters"]
)
@pytest.mark.parametrize("kind", [nnx.Conv, nn.DilatedConv])
def test_stacked_layers_get_a_smoother_each(smoothing, kind):
    """Made by `nnx.vmap` and run by `nnx.scan`, like the blocks of a deep network."""
    rate: Any = {"kernel_dilation": 2} if kind is nnx.Conv else {"rate": 2}

    @nnx.split_rngs(splits=3)
    @nnx.vmap
    def make(rngs):
        return kind(2, 2, (3, 3), rngs=rngs, **rate)

    def run(stack, x):
        return nnx.scan(lambda x, layer: (layer(x), None), in_axes=(nnx.Carry, 0))(x, stack)[0]

    model: Any = nnx.List([make(nnx.Rngs(0))])
    x = random(0, 1, 7, 7, 2)
    expected = run(model[0], x)
    model, paths = nn.smooth(model, smoothing, rngs=nnx.Rngs(0))
    assert paths == [(0,)]
    assert model[0].smoother.shape[0] == 3
    for smoother in nn.smoothers(model).values():
        np.testing.assert_array_equal(smoother.parameter[...], smoother.initial)
    if smoothing != "aggregated_filters":
        assert_close(run(model[0], x), expected)
    gradient = nnx.grad(lambda stack: jnp.sum(run(stack, x) ** 2))(model[0]).smoother[...]
    assert all(float(jnp.abs(one).max()) > 0 for one in gradient)
    assert not np.allclose(gradient[0], gradient[1])
