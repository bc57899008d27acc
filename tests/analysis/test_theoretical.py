"""The theoretical receptive field: arithmetic, and the support of the effective one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from smoothjax import analysis, models, nn, ops
from tests.support import build, random


def _sides(field):
    return tuple(int(np.ptp(places)) + 1 for places in np.nonzero(field))


@pytest.mark.parametrize(("ndim", "rate"), [(1, 4), (2, 3), (3, 2)])
def test_of_one_layer_it_is_arithmetic(ndim, rate):
    """Only taps; whole blocks after group interaction; `2 * rate - 2` more around an SS convolution."""
    shape = jax.ShapeDtypeStruct((1, *(12 * rate // ndim,) * ndim, 2), jnp.float32)

    def field(smoothing):
        layer = nn.DilatedConv(2, 3, (3,) * ndim, rate=rate, smoothing=smoothing, rngs=nnx.Rngs(0))
        return analysis.theoretical_receptive_field(layer, shape)

    plain, interaction, shared = (field(name) for name in ("none", "group_interaction", "ss_conv"))
    assert (_sides(plain), plain.sum()) == ((2 * rate + 1,) * ndim, 3**ndim)
    assert (_sides(interaction), interaction.sum()) == ((3 * rate,) * ndim, (3 * rate) ** ndim)
    assert (_sides(shared), shared.sum()) == ((4 * rate - 1,) * ndim, (4 * rate - 1) ** ndim)


@pytest.mark.parametrize(("smoothing", "side", "cells"), [("none", 25, 169), ("group_interaction", 28, 784)])
def test_of_a_network_it_is_the_support_of_the_gradient(smoothing, side, cells):
    """Rate 2 then 4, in blocks with shortcuts, and batch normalisation; smoothing away from the identity."""
    model = build(lambda rngs: models.ResNetEncoder(18, width=4, smoothing=smoothing, rngs=rngs))
    images = random(0, 2, 257, 265, 3)
    block = analysis.between(_moved(model), images, "stages.2.1", "stages.3.0")
    features = block.features(images)
    theory = analysis.theoretical_receptive_field(block, features)
    assert (_sides(theory), theory.sum()) == ((side, side), cells)
    np.testing.assert_array_equal(analysis.effective_receptive_field(block, features) > 0, theory)


def _moved(model):
    for _, layer in nnx.iter_graph(model):
        if getattr(layer, "smoother", None) is not None:
            layer.smoother[...] += 0.1
    return model


def test_weights_do_not_count_and_structure_does():
    zeros, mask = jnp.zeros((3, 2, 2)), np.array([1, 0, 1], bool)

    def support(function, length=9):
        return np.nonzero(analysis.theoretical_receptive_field(function, jnp.ones((1, length, 2))))[0].tolist()

    assert support(lambda x: ops.dilated_conv(x, zeros, rate=2)) == [2, 4, 6]
    assert support(lambda x: ops.dilated_conv(x, zeros * mask[:, None, None], rate=2)) == [2, 6]
    assert support(lambda x: x + np.float32(0) * ops.dilated_conv(x, zeros, rate=2)) == [2, 4, 6]
    assert support(lambda x: jnp.where(jnp.arange(9)[:, None] < 3, x, 0) + jnp.roll(x, 2, 1)) == [2]
    assert support(lambda x: jax.nn.relu(x - 5) * (x > 3)) == [4]
    assert support(lambda x: nnx.max_pool(x, (3,), strides=(2,), padding="SAME")) == [3, 4, 5]
    assert support(lambda x: nnx.avg_pool(jax.nn.gelu(x), (3,), padding="SAME")) == [3, 4, 5]
    assert support(lambda x: jax.image.resize(x, (1, 18, 2), "linear")) == [4, 5]
    assert support(lambda x: x / (1 + x.mean((1, 2), keepdims=True))) == list(range(9))
    assert support(lambda x: jax.lax.scan(lambda c, _: (jnp.roll(c, 1, 1), None), x, None, 3)[0]) == [1]
    assert support(lambda x: jnp.ones_like(x)) == []
    # A softmax may hold a `stop_gradient`, whose argument counts: the value depends on it.
    assert support(lambda x: jax.nn.softmax(jnp.roll(x, 1, 1))) == [3]
    assert support(lambda x: jax.nn.softmax(x, 1)) == list(range(9))
    assert support(lambda x: jax.scipy.special.logsumexp(x[:, :7], 1, keepdims=True)) == list(range(7))
    assert support(lambda x: jax.lax.stop_gradient(jnp.roll(x, 2, 1))) == [2]
    assert support(lambda x: jax.lax.cummax(x, 1)) == list(range(5))
    assert support(lambda x: jax.lax.cumprod(x, 1, reverse=True)) == list(range(4, 9))
    assert support(lambda x: x[:, 1:4].prod(1, keepdims=True)) == [1, 2, 3]
    # Any branch may be taken, whether the input decides or something else.
    for turn in (lambda x: x.sum() > 0, lambda x: zeros.sum() > 0):
        assert support(lambda x, turn=turn: jax.lax.cond(turn(x), lambda x: jnp.roll(x, 1, 1), jnp.abs, x)) == [3, 4]
    assert support(lambda x: x * jax.lax.cond(x.sum() > 0, lambda: 1.0, lambda: 0.0)) == [4]


@pytest.mark.parametrize("method", nn.UPSAMPLINGS)
def test_of_an_upsampling_it_holds_the_gradient(method):
    """For every up-sampling layer of the package; smaller than the whole input."""
    layer = build(lambda rngs: nn.UpConv(2, 2, method=method, rngs=rngs))
    maps = random(0, 4, 9, 9, 2)
    if method == "dysample":  # it may read anywhere
        with pytest.raises(ValueError, match="function contains the operation gather, whose receptive field is not"):
            analysis.theoretical_receptive_field(layer, maps)
        return
    theory = analysis.theoretical_receptive_field(layer, maps)
    found = analysis.effective_receptive_field(layer, maps) > 0
    assert found.any()
    np.testing.assert_array_equal(theory | found, theory)
    assert max(_sides(theory)) < 9


def test_deep_blocks_stay_in_range():
    """Counts of paths through 60 layers are above the largest float32."""
    kernel = jnp.ones((3, 8, 8))

    def block(x):
        for _ in range(60):
            x = ops.dilated_conv(x, kernel) + x
        return x

    theory = analysis.theoretical_receptive_field(block, jnp.ones((1, 131, 8)))
    assert np.nonzero(theory)[0].tolist() == list(range(5, 126))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: jnp.sort(x, 1), "function contains the operation sort"),
        (lambda x: jax.lax.top_k(x, 2)[0], "function contains the operation top_k"),
        (lambda x: jax.lax.while_loop(lambda x: x.sum() < 9, lambda x: x + 1, x), "write it with lax.scan"),
        (
            lambda x: jax.lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, jnp.roll(c[1], 1, 1)), (0, x))[1],
            r"a loop of an unknown number of turns \(while\)",
        ),
        (lambda x: x.sum(1), "function must return maps of 1 spatial axes"),
    ],
)
def test_refuses(function, message):
    with pytest.raises(ValueError, match=message):
        analysis.theoretical_receptive_field(function, jnp.ones((1, 5, 2)))
