"""Large-kernel attention: its three convolutions, its smoothing at the identity, and its size."""

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from smoothjax import analysis, nn, ops
from tests.support import assert_close, build, random


def _layer(features=4, **options):
    return build(lambda rngs: nn.LargeKernelAttention(features, rngs=rngs, **options))


def _value(parameter):
    return parameter[...]


def test_it_is_what_its_equations_say():
    layer, x = _layer(), random(0, 2, 12, 11, 4)
    for number, conv in enumerate((layer.local, layer.dilated, layer.mixing)):
        conv.bias[...] = random(number, 4)
    y = ops.depthwise_conv(x, _value(layer.local.kernel)[:, :, 0]) + _value(layer.local.bias).reshape(1, 1, 1, 4)
    y = ops.depthwise_conv(y, _value(layer.dilated.kernel)[:, :, 0], rate=3)
    y = y + _value(layer.dilated.bias).reshape(1, 1, 1, 4)
    y = ops.dilated_conv(y, _value(layer.mixing.kernel)) + _value(layer.mixing.bias).reshape(1, 1, 1, 4)
    assert_close(layer(x), x * y)
    assert_close(layer(x[0]), (x * y)[0])


@pytest.mark.parametrize("smoothing", ["ss_conv", "group_interaction"])
def test_a_smoothing_starts_as_the_identity_and_is_found(smoothing):
    plain, smoothed, x = _layer(), _layer(smoothing=smoothing), random(0, 1, 12, 11, 4)
    assert_close(smoothed(x), plain(x))
    ((path, smoother),) = nn.smoothers(smoothed).items()
    assert (path, smoother.kind) == (("dilated", "smoother"), smoothing)
    smoothed.dilated.smoother[...] = random(1, *smoothed.dilated.smoother.shape)
    assert float(jnp.abs(smoothed(x) - plain(x)).max()) > 0.1


@pytest.mark.parametrize(("smoothing", "more"), [("none", 0), ("ss_conv", 25), ("group_interaction", 81)])
def test_counts(smoothing, more):
    """Two depthwise kernels, a 1x1, three biases; smoothing adds a number that does not depend on the channels."""
    for features in (8, 64):
        layer = nnx.eval_shape(
            lambda features=features: nn.LargeKernelAttention(features, smoothing=smoothing, rngs=nnx.Rngs(0))
        )
        found = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(layer, nnx.Param)))
        assert found == features * (5 * 5 + 7 * 7) + features**2 + 3 * features + more


def test_the_local_convolution_keeps_gridding_away():
    """It has the size of an SS filter at its rate; a single tap would leave nine separate classes of pixels."""
    shape = jax.ShapeDtypeStruct((1, 24, 24, 2), jnp.float32)
    pairs = {size: nnx.eval_shape(lambda size=size: nn.LargeKernelAttention(2, local_kernel_size=size,
                                                                           rngs=nnx.Rngs(0)))
             for size in ((5, 5), (1, 1))}  # fmt: skip
    verdicts = {
        size: analysis.certify(nnx.Sequential(layer.local, layer.dilated), shape).verdict
        for size, layer in pairs.items()
    }
    assert verdicts == {(5, 5): "no gridding", (1, 1): "gridding proven"}


@pytest.mark.parametrize(("ndim", "rate"), [(1, 2), (3, 2), (2, (1, 3))])
def test_other_dimensions_and_rates(ndim, rate):
    layer = nnx.eval_shape(
        lambda: nn.LargeKernelAttention(2, rate=rate, kernel_size=(3,) * ndim, smoothing="ss_conv", rngs=nnx.Rngs(0))
    )
    rates = rate if isinstance(rate, tuple) else (rate,) * ndim
    assert layer.local.kernel_size == tuple(2 * one - 1 for one in rates)
    x = jax.ShapeDtypeStruct((1, *(7,) * ndim, 2), jnp.bfloat16)
    assert nnx.eval_shape(lambda layer, x: layer(x), layer, x).shape == x.shape


@pytest.mark.parametrize("given", [jnp.float32, jnp.bfloat16])
def test_the_result_has_the_dtype_of_the_computation(given):
    """Also for wider maps, whose product with the attention would be as wide."""
    layer = nnx.eval_shape(
        lambda: nn.LargeKernelAttention(2, rate=2, kernel_size=(3,), dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
    )
    found = nnx.eval_shape(lambda layer, x: layer(x), layer, jax.ShapeDtypeStruct((1, 7, 2), given))
    assert found.dtype == jnp.bfloat16


def test_bfloat16():
    layer, x = _layer(smoothing="ss_conv"), random(0, 1, 9, 9, 4)
    expected = layer(x)
    for conv in (layer.local, layer.dilated, layer.mixing):
        conv.dtype = jnp.bfloat16
    assert_close(layer(x.astype(jnp.bfloat16)), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": 0}, r"features must be an int >= 1, got 0: pass the number of channels"),
        ({"features": 4, "smoothing": "blur"}, r"smoothing must be one of none, .* got 'blur'"),
        (
            {"features": 4, "local_kernel_size": (5,)},
            r"local_kernel_size must have as many axes as kernel_size, got \(5,\) with \(7, 7\): leave it out",
        ),
        ({"features": 4, "kernel_size": 7}, r"kernel_size must be a tuple .* got 7"),
    ],
)
def test_refuses_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        nn.LargeKernelAttention(rngs=nnx.Rngs(0), **options)
