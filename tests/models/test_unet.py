"""U-Net and DeepLab with a choice of up-sampling."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from smoothjax import models, nn
from tests.support import assert_close, build, random


def _params(model):
    state = nnx.to_pure_dict(nnx.state(model, nnx.Param))
    return {
        tuple(getattr(key, "key", key) for key in path): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(state)
    }


@functools.cache
def _shapes(upsampling, width=64, num_classes=21):
    make = lambda: models.UNet(num_classes=num_classes, upsampling=upsampling, width=width, rngs=nnx.Rngs(0))
    return {path: leaf.shape for path, leaf in _params(nnx.eval_shape(make)).items()}


def test_the_authors_network():
    """Every kernel of the authors' code at 64 channels, written out; the 6x6 of DCL is the paper's."""
    shapes = _shapes("dcl")

    def kernels(part, *names):
        blocks = sorted({path[1] for path in shapes if path[0] == part})
        return [tuple(shapes[part, block, name, "kernel"] for name in names) for block in blocks]

    assert kernels("down", "conv1", "conv2") == [
        ((3, 3, 3, 64), (3, 3, 64, 64)), ((3, 3, 64, 128), (3, 3, 128, 128)),
        ((3, 3, 128, 256), (3, 3, 256, 256)), ((3, 3, 256, 512), (3, 3, 512, 512)),
    ]  # fmt: skip
    assert [shapes["bottom", name, "kernel"] for name in ("conv1", "conv2")] == [(3, 3, 512, 1024), (3, 3, 1024, 512)]
    assert [shapes["upsampling", level, "kernel"] for level in range(4)] == [
        (6, 6, 512, 512), (6, 6, 256, 256), (6, 6, 128, 128), (6, 6, 64, 64)
    ]  # fmt: skip
    assert kernels("up", "conv1", "conv2") == [
        ((3, 3, 1024, 512), (3, 3, 512, 256)), ((3, 3, 512, 256), (3, 3, 256, 128)),
        ((3, 3, 256, 128), (3, 3, 128, 64)), ((3, 3, 128, 64), (3, 3, 64, 21)),
    ]  # fmt: skip
    # A shift for each channel that is normalised, no scale, no bias.
    assert {path[-1] for path in shapes if path[-1] != "kernel"} == {"bias"}
    assert not [path for path in shapes if path[-1] == "bias" and path[-2] not in ("bn1", "bn2", *range(4))]
    shifts = sum(shape[0] for path, shape in shapes.items() if path[-1] == "bias")
    level = 64 + 128 + 256 + 512
    assert shifts == 2 * level + (1024 + 512) + level + (level + 256 + 128 + 64 + 21)


@pytest.mark.parametrize(
    ("upsampling", "sets"), [("dcl", 4 * 9), ("ipixel_dcl", 9 * 9), ("pixel_dcl", 6 * 9), ("fast_pixel_dcl", 3 * 9)]
)
def test_weights_of_the_up_sampling(upsampling, sets):
    """From C to C channels: the layer's taps times C^2 weights, without a bias that the norm would cancel."""
    shapes = _shapes(upsampling)
    counted = sum(math.prod(shape) for path, shape in shapes.items() if path[0] == "upsampling")
    assert counted == sets * (64**2 + 128**2 + 256**2 + 512**2)


run_state = jax.jit(lambda graph, state, images: nnx.merge(graph, state)(images), static_argnums=0)


def test_norms_behind_up_sampling_and_last_convolution():
    """ReLU comes between up-sampling layer and skip connection; batch norm, not the last convolution, sets the scale.

    With a large negative shift behind the up-sampling layers nothing of the levels below is seen. In training, the
    logits of each class have mean 0 and variance 1, however large the last kernel is.
    """
    model = build(lambda rngs: models.UNet(num_classes=3, depth=2, width=4, rngs=rngs))
    images = random(0, 2, 8, 12, 3)

    def run():
        graph, state = nnx.split(model)
        return run_state(graph, state, images)

    bias, kernel = model.up_norms[0].bias, model.bottom.conv1.kernel
    assert bias is not None
    bias[...] = jnp.full_like(bias[...], -1e4)
    blind = run()
    kernel[...] = kernel[...] + 1
    np.testing.assert_array_equal(run(), blind)
    bias[...] = jnp.zeros_like(bias[...])
    assert float(jnp.abs(run() - blind).max()) > 0.01

    model.train()
    last = model.up[0].conv2.kernel
    last[...] = 100 * last[...]
    logits = np.asarray(run())
    np.testing.assert_allclose(logits.mean((0, 1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(logits.var((0, 1, 2)), 1, atol=1e-3)


@pytest.mark.parametrize("upsampling", models.UPSAMPLINGS)
def test_only_the_up_sampling_differs(upsampling):
    def outside(name):
        return {path: shape for path, shape in _shapes(name).items() if path[0] != "upsampling"}

    assert outside(upsampling) == outside("dcl")


@functools.cache
def _built(upsampling):
    return build(lambda rngs: models.UNet(num_classes=5, upsampling=upsampling, depth=3, width=4, rngs=rngs))


@pytest.mark.parametrize("upsampling", models.UPSAMPLINGS)
def test_it_runs_and_starts_from_the_same_weights(upsampling):
    model, reference = _built(upsampling), _built("dcl")
    images = random(0, 2, 16, 24, 3)
    logits = jax.jit(lambda images: model(images))(images)
    assert (logits.shape, logits.dtype) == ((2, 16, 24, 5), jnp.float32)
    for path, leaf in _params(reference).items():
        if path[0] != "upsampling":
            np.testing.assert_array_equal(leaf, _params(model)[path])


def test_modes():
    """Batch statistics in training, running ones otherwise; bfloat16 keeps float32 logits."""
    model = build(lambda rngs: models.UNet(num_classes=3, depth=2, width=4, dtype=jnp.bfloat16, rngs=rngs))
    images = 3 * random(0, 2, 8, 8, 3) + 1
    calm = model(images)
    before = model.down[0].bn1.mean[...]
    np.testing.assert_array_equal(model(images), calm)
    np.testing.assert_array_equal(before, model.down[0].bn1.mean[...])
    model.train()
    assert float(jnp.abs(model(images) - calm).max()) > 0.01
    assert float(jnp.abs(before - model.down[0].bn1.mean[...]).max()) > 0.01
    assert calm.dtype == jnp.float32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 1}, "num_classes must be an int >= 2, got 1: count the background"),
        ({"num_classes": 5, "depth": 1}, "depth must be an int >= 2, got 1"),
        ({"num_classes": 5, "width": 0}, "width must be an int >= 1, got 0"),
        ({"num_classes": 5, "upsampling": "deconv"}, "upsampling must be one of dcl, .*, got 'deconv'"),
        ({"num_classes": 5, "batch_norm": "off"}, "batch_norm must be one of trained, frozen, got 'off'"),
    ],
)
def test_refuses_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        models.UNet(rngs=nnx.Rngs(0), **options)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 16, 20, 3), "depth 4 must have a height and width that are multiples of 8, got 16 x 20: resize them"),
        ((16, 16, 3), r"images must be \[N, H, W, 3\] of a float dtype, got float32\[16, 16, 3\]"),
    ],
)
def test_refuses_bad_images(shape, message):
    model = nnx.eval_shape(lambda: models.UNet(num_classes=5, depth=4, width=4, rngs=nnx.Rngs(0)))
    with pytest.raises(ValueError, match=message):
        model(jnp.zeros(shape))


@pytest.mark.parametrize("upsampling", ["dcl", "fast_pixel_dcl"])
@pytest.mark.parametrize("size", [(40, 33), (57, 48)])
def test_deeplab_upsampled_has_the_size_of_its_input(upsampling, size):
    model = nnx.eval_shape(lambda: _upsampled(nnx.Rngs(0), upsampling, width=8, num_classes=6))
    out = nnx.eval_shape(lambda model, x: model(x), model, jnp.zeros((2, *size, 3)))
    assert out.shape == (2, *size, 6)


@pytest.mark.parametrize(("output_stride", "blocks"), [(16, 4), (32, 5)])
def test_deeplab_upsampled_undoes_the_output_stride(output_stride, blocks):
    """With three blocks at every stride the logits would be smaller than the image."""
    model = nnx.eval_shape(lambda: _upsampled(nnx.Rngs(0), "dcl", width=4, num_classes=3, output_stride=output_stride))
    assert len(model.upsampling) == len(model.convs) == blocks
    assert nnx.eval_shape(lambda model, x: model(x), model, jnp.zeros((1, 50, 70, 3))).shape == (1, 50, 70, 3)


def _upsampled(rngs: nnx.Rngs, upsampling: nn.Upsampling = "dcl", **options: Any) -> models.DeepLabUpsampled:
    deeplab = models.DeepLab(encoder="resnet18", rngs=rngs, **options)
    return models.DeepLabUpsampled(deeplab, upsampling=upsampling, rngs=rngs)


def test_deeplab_upsampled_is_deeplab_and_three_blocks():
    model = build(functools.partial(_upsampled, width=4, num_classes=5, smoothing="ss_conv", head_rates=(1,)))
    images = random(0, 1, 33, 33, 3)
    x = model.deeplab(images)
    assert x.shape == (1, 5, 5, 5)
    for index in range(3):
        layer = model.upsampling[index]
        assert isinstance(layer, nn.UpConv)
        assert layer.kernel_size == (6, 6)
        x = model.convs[index](nnx.relu(layer(x)))
        x = x if index == 2 else nnx.relu(x)
    assert x.shape == (1, 40, 40, 5)
    # Cell i sits on pixel 8i: what is beyond the image is at the end.
    assert_close(model(images), x[:, :33, :33])
    assert float(jnp.abs(x).max()) > 0


def test_deeplab_upsampled_refuses_an_unknown_method():
    with pytest.raises(ValueError, match=r"upsampling must be one of dcl, .*, got 'bilinear'"):
        nnx.eval_shape(lambda: _upsampled(nnx.Rngs(0), "bilinear", num_classes=5))  # pyright: ignore[reportArgumentType]


def test_counts_of_numpy():
    counts: Any = {"num_classes": np.int64(5), "depth": np.int32(2), "width": np.uint8(2)}
    model = nnx.eval_shape(lambda: models.UNet(**counts, rngs=nnx.Rngs(0)))
    assert (type(model.num_classes), type(model.depth)) == (int, int)
    assert hash(nnx.split(model)[0]) == hash(
        nnx.split(nnx.eval_shape(lambda: models.UNet(num_classes=5, depth=2, width=2, rngs=nnx.Rngs(0))))[0]
    )
    with pytest.raises(ValueError, match="depth must be an int >= 2, got True of type bool: 5 is the paper's"):
        models.UNet(num_classes=5, depth=True, rngs=nnx.Rngs(0))
