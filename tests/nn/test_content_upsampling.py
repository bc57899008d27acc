"""CARAFE, DySample and the blur as layers: initial values, results, sizes, and options."""

import math
from functools import partial

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from smoothjax import analysis, nn, ops
from tests.support import assert_close, build, random


def _layer(method, c_in=4, c_out=4, **options):
    return build(lambda rngs: nn.UpConv(c_in, c_out, method=method, use_bias=False, rngs=rngs, **options))


def _stirred(layer, scale=0.5):
    """The layer with weights far from their start, as training might leave them."""
    flat = nnx.to_flat_state(nnx.state(layer, nnx.Param))
    moved = [
        (path, leaf.replace(leaf[...] + scale * random(seed, *leaf.shape))) for seed, (path, leaf) in enumerate(flat)
    ]
    nnx.update(layer, nnx.from_flat_state(moved))
    return layer


def _repeated(x, factor):
    return jnp.repeat(jnp.repeat(x, factor, 1), factor, 2)


@pytest.mark.parametrize("factor", [2, 3])
def test_carafe_starts_as_box_filtered_nearest_interpolation(factor):
    layer, x = _layer("carafe", factor=factor), random(0, 2, 5, 6, 4)
    expected = _repeated(ops.ss_conv(x, jnp.full((5, 5), 1 / 25)), factor)
    assert_close(layer(x), expected, 0.05)
    layer.kernels[1][...] = jnp.zeros_like(layer.kernels[1][...])
    assert_close(layer(x), expected)


@pytest.mark.parametrize("dynamic_scope", [False, True])
def test_dysample_starts_as_bilinear_interpolation(dynamic_scope):
    layer, x = _layer("dysample", dynamic_scope=dynamic_scope), random(0, 2, 5, 6, 4)
    expected = jax.image.resize(x, (2, 10, 12, 4), "linear")
    assert_close(layer(x), expected, 0.02)
    layer.kernels[0][...] = jnp.zeros_like(layer.kernels[0][...])
    assert_close(layer(x), expected)


def test_a_dynamic_scope_starts_as_the_static_one():
    """Half of the sigmoid of 0 is a quarter."""
    static, dynamic = (_layer("dysample", dynamic_scope=value) for value in (False, True))
    for layer in (static, dynamic):
        layer.kernels[0][...] = random(1, *layer.kernels[0].shape)
    x = random(0, 1, 5, 6, 4)
    assert_close(static(x), dynamic(x))
    dynamic.kernels[1][...] = random(2, *dynamic.kernels[1].shape)
    assert float(jnp.abs(static(x) - dynamic(x)).max()) > 0.1


def _pixel_shuffled(y, factor):
    """PyTorch's pixel shuffle: channels before phases, `[C * r * r, H, W]`."""
    channels, height, width = y.shape[0] // factor**2, *y.shape[1:]
    apart = y.reshape(channels, factor, factor, height, width).transpose(0, 3, 1, 4, 2)
    return apart.reshape(channels, factor * height, factor * width)


def _predicted(layer, x, index):
    """One convolution of a layer, by a loop over its taps, and with the channel order of PyTorch's pixel shuffle."""
    kernel, bias = (np.asarray(part[index][...], np.float64) for part in (layer.kernels, layer.biases))
    pads = [(taps // 2, taps // 2) for taps in kernel.shape[:2]]
    padded = np.pad(x, [*pads, (0, 0)])
    total = np.zeros((*x.shape[:2], kernel.shape[-1])) + bias
    for i, j in np.ndindex(*kernel.shape[:2]):
        total += padded[i : i + x.shape[0], j : j + x.shape[1]] @ kernel[i, j]
    return total


def _channels_first(y, phases):
    """From phases before channels, `[H, W, P * C]`, to PyTorch's order."""
    height, width, total = y.shape
    return y.reshape(height, width, phases, -1).transpose(3, 2, 0, 1).reshape(total, height, width)


@pytest.mark.usefixtures("x64")
def test_carafe_is_the_published_layer():
    """Compressor, encoder, pixel shuffle, softmax, and the sum over the neighbourhood, in plain NumPy."""
    layer = _stirred(_layer("carafe", factor=2, kernel_size=(3, 3), compressed_features=5))
    x = np.asarray(random(0, 4, 5, 4), np.float64)
    logits = _pixel_shuffled(_channels_first(_predicted(layer, _predicted(layer, x, 0), 1), 4), 2)
    weights = np.exp(logits) / np.exp(logits).sum(0)
    padded = np.pad(x, [(1, 1), (1, 1), (0, 0)])
    expected = np.zeros((8, 10, 4))
    for row, column, tap in np.ndindex(8, 10, 9):
        i, j = row // 2 + tap // 3, column // 2 + tap % 3
        expected[row, column] += weights[tap, row, column] * padded[i, j]
    assert_close(layer(jnp.asarray(x)), expected, 1e-6)  # the weights are float32


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("dynamic_scope", [False, True])
def test_dysample_is_the_published_layer(dynamic_scope):
    """Offsets, pixel shuffle, and the sum of the input under a tent around each point, in plain NumPy."""
    layer = _stirred(_layer("dysample", groups=2, dynamic_scope=dynamic_scope))
    x = np.asarray(random(0, 4, 5, 4), np.float64)
    scope = 0.5 / (1 + np.exp(-_predicted(layer, x, 1))) if dynamic_scope else 0.25
    offsets = _pixel_shuffled(_channels_first(scope * _predicted(layer, x, 0), 4), 2).reshape(2, 2, 8, 10)
    expected = np.zeros((8, 10, 4))
    for row, column, channel in np.ndindex(8, 10, 4):
        place = np.array([row + 0.5, column + 0.5]) / 2 - 0.5 + offsets[channel // 2, :, row, column]
        height, width = (
            np.maximum(0, 1 - np.abs(np.clip(at, 0, size - 1) - np.arange(size)))
            for at, size in zip(place, (4, 5), strict=True)
        )
        expected[row, column, channel] = height @ x[..., channel] @ width
    assert_close(layer(jnp.asarray(x)), expected, 1e-6)


def test_carafe_commutes_with_its_projection():
    """Every channel is reassembled alike, so the 1x1 convolution may come afterwards, at a higher price."""
    layer, x = _stirred(_layer("carafe", c_out=6)), random(0, 2, 5, 4, 4)
    after = _layer("carafe")
    for mine, theirs in zip((*after.kernels, *after.biases), (*layer.kernels, *layer.biases), strict=True):
        mine[...] = theirs[...]
    assert after.kernel is None
    assert_close(layer(x), ops.dilated_conv(after(x), layer.kernel[...]))


@pytest.mark.parametrize("factor", [2, 3])
def test_the_blur_is_average_pooling_behind_the_sub_pixel_convolution(factor):
    plain, blurred = (_stirred(_layer(method, factor=factor)) for method in ("sub_pixel", "sub_pixel_blur"))
    x = random(0, 2, 4, 5, 4)
    padded = jnp.pad(plain(x), ((0, 0), (factor - 1, 0), (factor - 1, 0), (0, 0)), mode="edge")
    assert_close(blurred(x), nnx.avg_pool(padded, (factor, factor)))


@pytest.mark.parametrize("method", ["sub_pixel", "sub_pixel_blur", "carafe", "dysample"])
def test_whose_constants_stay_constant_whatever_is_learnt(method):
    """The law of the blur and of weights that sum to 1; a sub-pixel convolution has it only at its start."""
    layer = _stirred(_layer(method))
    found = analysis.phase_variance(layer, jnp.broadcast_to(random(1, 3, 1, 1, 4), (3, 12, 12, 4)), factor=2)
    assert (found < 1e-10) == (method != "sub_pixel")


@pytest.mark.parametrize("channels", [8, 256])
def test_counts(channels):
    """As the papers count: a 1x1 to 64 channels and a 3x3 to 4 kernels of 25 taps; 32 offsets of one channel each."""
    counts = {}
    cases: tuple[tuple[nn.Upsampling, bool], ...] = (("carafe", False), ("dysample", False), ("dysample", True))
    for method, dynamic in cases:
        make = partial(nn.UpConv, channels, channels, method=method, dynamic_scope=dynamic, use_bias=False)
        state = nnx.state(nnx.eval_shape(lambda make=make: make(rngs=nnx.Rngs(0))), nnx.Param)
        counts[method, dynamic] = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(state))
    assert counts == {
        ("carafe", False): (channels + 1) * 64 + (9 * 64 + 1) * 100,
        ("dysample", False): (channels + 1) * 32,
        ("dysample", True): 2 * (channels + 1) * 32,
    }


def test_groups_divide_the_channels():
    found = {c: nn.UpConv(3, c, method="dysample", rngs=nnx.Rngs(0)).groups for c in (1, 5, 6, 8, 21)}
    assert found == {1: 1, 5: 1, 6: 3, 8: 4, 21: 3}


@pytest.mark.parametrize("method", ["sub_pixel_blur", "carafe", "dysample"])
def test_bfloat16_and_every_gradient(method):
    """Close to float32, and all parameters learn from the start."""
    layer, x = _stirred(_layer(method, c_out=6), 0.1), random(0, 1, 5, 4, 4)
    graph, params = nnx.split(layer)

    @jax.jit
    def pull(params, x):
        return jax.value_and_grad(lambda params: jnp.sum(jnp.sin(nnx.merge(graph, params)(x))))(params)

    _, gradients = pull(params, x)
    assert all(float(jnp.abs(leaf).max()) > 0 for leaf in jax.tree.leaves(gradients))
    layer.dtype = jnp.bfloat16
    rounded = layer(x)
    layer.dtype = None
    assert rounded.dtype == jnp.bfloat16
    assert_close(rounded, layer(x), 5e-2)  # points and kernels are also predicted in bfloat16


@pytest.mark.parametrize("method", ["sub_pixel_blur", "carafe", "dysample"])
def test_they_export_for_any_number_of_images_of_any_size(method):
    layer = _stirred(_layer(method), 0.1)
    shape = jax.export.symbolic_shape("n, h, w, 4")
    exported = jax.export.export(jax.jit(lambda x: layer(x)))(jax.ShapeDtypeStruct(shape, jnp.float32))
    for size in ((1, 4, 5, 4), (2, 6, 3, 4)):
        x = random(0, *size)
        assert_close(exported.call(x), layer(x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "dysample", "groups": 3}, r"groups must divide out_features, got 3 with 4: leave it out"),
        ({"method": "carafe", "groups": 2}, r"groups is an option of only dysample, got 2 with 'carafe': leave it out"),
        ({"method": "dcl", "dynamic_scope": True}, r"dynamic_scope is an option of only dysample, got True with 'dcl'"),
        ({"method": "dysample", "compressed_features": 8}, r"compressed_features is an option of only carafe, got 8"),
        ({"method": "carafe", "compressed_features": 0}, r"compressed_features must be an int >= 1, got 0"),
        (
            {"method": "carafe", "kernel_size": (4, 4)},
            r"kernel_size of carafe must be odd .* got \(4, 4\): use \(5, 5\)",
        ),
    ],
)
def test_refuses_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        nn.UpConv(3, 4, rngs=nnx.Rngs(0), **options)
