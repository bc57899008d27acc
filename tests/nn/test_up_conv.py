"""Up-sampling layers: one interface, fair initial values, and the alternatives without checkerboards."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from smoothjax import nn, ops
from tests.support import assert_close, build, random

GENERAL = [method for method in nn.UPSAMPLINGS if method != "fast_pixel_dcl"]
#: They start by averaging pixels, which takes variance from white noise.
AVERAGING = ("sub_pixel_blur", "carafe", "dysample")


@pytest.mark.parametrize("method", nn.UPSAMPLINGS)
def test_every_method_takes_the_others_place(method):
    layer = build(lambda rngs: nn.UpConv(3, 5, method=method, rngs=rngs))
    x = random(0, 2, 5, 6, 3)
    y = layer(x)
    assert y.shape == (2, 10, 12, 5)
    assert_close(layer(x[0]), y[0])
    assert_close(layer(x[None]), y[None])
    layer.bias[...] = jnp.arange(5.0)
    assert_close(layer(x), y + jnp.arange(5.0).reshape(1, 1, 1, 5))
    assert nn.UpConv(3, 5, method=method, use_bias=False, rngs=nnx.Rngs(0)).bias is None


@pytest.mark.parametrize("method", GENERAL)
@pytest.mark.parametrize(("factor", "ndim"), [(3, 2), (2, 1), (2, 3), (4, 1)])
def test_other_factors_and_dimensions(method, factor, ndim):
    layer = build(lambda rngs: nn.UpConv(3, 2, method=method, factor=factor, kernel_size=(3,) * ndim, rngs=rngs))
    sizes = (5, 4, 3)[:ndim]
    assert layer(random(0, 2, *sizes, 3)).shape == (2, *(factor * size for size in sizes), 2)


@pytest.mark.parametrize("method", nn.UPSAMPLINGS)
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_dtype(method, dtype):
    layer = build(lambda rngs: nn.UpConv(3, 2, method=method, dtype=jnp.dtype(dtype), rngs=rngs))
    assert layer(random(0, 1, 4, 4, 3)).dtype == dtype
    assert {p.dtype for p in jax.tree.leaves(nnx.state(layer, nnx.Param))} == {jnp.dtype("float32")}


@pytest.mark.parametrize(
    ("method", "kernel_size"),
    [
        *((method, None) for method in nn.UPSAMPLINGS if method not in AVERAGING),
        *(("dcl", (4, 4)), ("fast_pixel_dcl", (1, 3))),
    ],
)
def test_white_noise_keeps_its_variance(method, kernel_size):
    """A network starts with the same scale for every method, away from the border, where zeros enter."""
    # Pixels of a sample are few and their neighbours alike; a gain that is missing is a factor of 2 or more.
    assert _variances(method, kernel_size) == pytest.approx([1.0] * 4, rel=0.3)


def test_uneven_overlap_starts_uneven():
    """The phases see 4, 2, 2 and 1 taps of a 3x3 kernel; their mean is kept."""
    variances = _variances("dcl", (3, 3))
    assert variances == pytest.approx([16 / 9, 8 / 9, 8 / 9, 4 / 9], rel=0.2)
    assert np.mean(variances) == pytest.approx(1.0, rel=0.2)


def _variances(method, kernel_size) -> list[float]:
    """The variance of each phase, for white noise of variance 1."""
    layer = build(lambda rngs: nn.UpConv(64, 256, method=method, kernel_size=kernel_size, rngs=rngs))
    y = np.asarray(layer(random(0, 1, 16, 16, 64)))[:, 4:-4, 4:-4]
    return [float(phase.var()) for phase in ops.periodic_subsample(y, rate=2)]


def test_empty_batches():
    for method in nn.UPSAMPLINGS:
        layer = build(lambda rngs, method=method: nn.UpConv(3, 2, method=method, rngs=rngs))
        assert layer(jnp.zeros((0, 4, 5, 3))).shape == (0, 8, 10, 2)


@pytest.mark.parametrize(
    ("method", "weights"),
    [
        *(("dcl", 36), ("ipixel_dcl", 81), ("pixel_dcl", 54), ("fast_pixel_dcl", 27)),
        *(("resize_conv", 9), ("sub_pixel", 36), ("sub_pixel_blur", 36)),
    ],
)
def test_counts(method, weights):
    """Weights per channel pair; the fast form has 27, of which 22 are live."""
    layer = nnx.eval_shape(lambda: nn.UpConv(7, 7, method=method, use_bias=False, rngs=nnx.Rngs(0)))
    assert sum(leaf.size for leaf in jax.tree.leaves(nnx.state(layer, nnx.Param))) == 49 * weights


def test_icnr_starts_as_nearest_interpolation():
    layer = build(lambda rngs: nn.UpConv(3, 4, method="sub_pixel", rngs=rngs))
    x = random(0, 1, 5, 5, 3)
    low = ops.dilated_conv(x, layer.kernel[..., :4])
    assert_close(layer(x), jnp.repeat(jnp.repeat(low, 2, 1), 2, 2))


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_resize_conv(interpolation):
    layer = build(lambda rngs: nn.UpConv(3, 4, method="resize_conv", interpolation=interpolation, rngs=rngs))
    x = random(0, 1, 5, 4, 3)
    resized = jax.image.resize(x, (1, 10, 8, 3), "linear" if interpolation == "bilinear" else "nearest")
    assert_close(layer(x), ops.dilated_conv(resized, layer.kernel[...]))


def test_an_order_of_ones_own():
    order = [[(1, 1)], [(0, 0), (0, 1), (1, 0)]]
    layer = build(lambda rngs: nn.UpConv(3, 4, method="ipixel_dcl", order=order, rngs=rngs))
    assert [kernel.shape[-2] for kernel in layer.kernels] == [3, 7, 7, 7]
    x = random(0, 1, 5, 4, 3)
    assert_close(layer(x), ops.ipixel_deconv(x, [kernel[...] for kernel in layer.kernels], order=order))


def test_the_layer_can_be_split_and_merged():
    layer = build(lambda rngs: nn.UpConv(3, 4, method="pixel_dcl", rngs=rngs))
    graph, params = nnx.split(layer)
    x = random(0, 1, 3, 3, 3)
    apply = jax.jit(lambda params, x: nnx.merge(graph, params)(x))
    assert_close(apply(nnx.to_pure_dict(params), x), layer(x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "deconv"}, r"method must be one of dcl, ipixel_dcl, .*, got 'deconv': pick one"),
        ({"method": "dcl", "factor": 1}, r"factor must be an int >= 2, got 1"),
        ({"method": "dcl", "factor": 1.5}, r"factor must be an int >= 2, got 1\.5"),
        (
            {"method": "fast_pixel_dcl", "factor": 3},
            r"two dimensions \(Fig\. 6\), got factor 3.*use pixel_dcl",
        ),
        ({"method": "fast_pixel_dcl", "kernel_size": (3,)}, r"two dimensions .*kernel_size \(3,\): use pixel_dcl"),
        (
            {"method": "fast_pixel_dcl", "kernel_size": (2, 2)},
            r"must be odd for its cross.*got \(2, 2\): use \(3, 3\)",
        ),
        (
            {"method": "fast_pixel_dcl", "kernel_size": (1, 1)},
            r"a tap besides the centre, got \(1, 1\): two of the four phases would always be 0; use \(3, 3\)",
        ),
        ({"method": "dcl", "kernel_size": 6}, r"kernel_size must be a tuple.*got 6"),
        ({"method": "dcl", "margins": ((1, 1),)}, r"margins must be 2 pairs \(low, high\) of ints.*got \(\(1, 1\),\)"),
        ({"method": "dcl", "order": (((0, 0),),)}, r"order is an option of only ipixel_dcl and pixel_dcl"),
        (
            {"method": "pixel_dcl", "order": (((0, 0),),)},
            r"order must be .*every one of the 4 phases",
        ),
        (
            {"method": "resize_conv", "interpolation": "cubic"},
            r"interpolation must be one of nearest, bilinear, got 'cubic'",
        ),
    ],
)
def test_refuses_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        nn.UpConv(3, 4, rngs=nnx.Rngs(0), **options)
