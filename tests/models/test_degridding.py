"""Remedies that change the network: layers after the encoder, and dense up-sampling convolution."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from smoothjax import models, nn, ops
from tests.support import assert_close, build, random

each_remedy = pytest.mark.parametrize("name", models.DEGRIDDING_LAYERS)


def _count(model):
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))


def _abstract(**options) -> Any:
    options = {"encoder": "resnet18", "num_classes": 5} | options
    return nnx.eval_shape(lambda: models.DeepLab(**options, rngs=nn.traced_rngs(0)))


def _out(model, *size):
    return nnx.eval_shape(lambda m, x: m(x), model, jax.ShapeDtypeStruct((2, *size, 3), jnp.float32))


@each_remedy
@pytest.mark.parametrize("encoder", ["resnet18", "resnet101"])
def test_parameters_counted_by_hand(name, encoder):
    """3x3 kernels without bias, scale and bias of the normalisation; and a head that sees 512 channels."""
    plain, degridded = (_abstract(encoder=encoder, smoothing=smoothing) for smoothing in ("none", name))
    features, count = plain.encoder.out_features, len(models.DEGRIDDING_RATES[name])
    layers = 9 * features * 512 + (count - 1) * 9 * 512 * 512 + count * 2 * 512
    heads = 4 * 9 * (512 - features) * 5
    assert _count(degridded) - _count(plain) == layers + heads
    assert _out(degridded, 65, 80).shape == (2, 9, 10, 5)


@pytest.mark.parametrize(("name", "at_8", "at_16"), [("drn", [2, 2, 1, 1], [2, 2, 1, 1]), ("lfe", [4, 2, 1], [2, 1])])
def test_rates_fall_to_one_from_at_most_the_encoders(name, at_8, at_16):
    for stride, rates in ((8, at_8), (16, at_16)):
        model = _abstract(smoothing=name, output_stride=stride)
        assert [conv.rate for conv in model.degridding.convs] == rates
        assert {block.conv2.smoothing for stage in model.encoder.stages[3:] for block in stage} == {"none"}


def test_no_shortcut_leads_past_the_layers():
    """With convolutions that pass nothing on, nothing arrives."""
    layers = models.DegriddingLayers(3, 4, rates=(2, 1), rngs=nnx.Rngs(0))
    layers.convs[1].kernel[...] = jnp.zeros_like(layers.convs[1].kernel[...])
    assert not bool(jnp.any(layers(random(0, 1, 9, 9, 3))))


class _Row(nnx.Module):
    """A dilated stack of positive weights along one row of an image, and what may follow it."""

    def __init__(self, name: str | None):
        ones = nnx.initializers.ones
        self.stack = nnx.List(
            nn.DilatedConv(1, 1, (1, 3), rate=2, kernel_init=ones, rngs=nnx.Rngs(0)) for _ in range(3)
        )
        rates = models.DEGRIDDING_RATES[name] if name else (1,)
        self.after = models.DegriddingLayers(1, 1, rates=rates, rngs=nnx.Rngs(0))
        for conv in self.after.convs:
            conv.kernel[...] = jnp.ones_like(conv.kernel[...])
        self.degridded = name is not None

    def __call__(self, x):
        for conv in self.stack:
            x = conv(x)
        return self.after(x) if self.degridded else x


def _seen_by_neighbours(name: str | None) -> tuple[set[int], set[int]]:
    model, x = _Row(name), jnp.ones((1, 1, 61, 1))
    jacobian: Any = jax.jit(jax.jacobian(lambda x: model(x)[0, 0, 30:32, 0]))(x)
    first, second = (set(np.flatnonzero(np.asarray(row).ravel()).tolist()) for row in jacobian)
    return first, second


def test_neighbours_share_no_input_without_them_and_most_with_them():
    first, second = _seen_by_neighbours(None)
    assert first.isdisjoint(second)
    for name in models.DEGRIDDING_LAYERS:
        first, second = _seen_by_neighbours(name)
        assert len(first & second) >= 0.8 * len(first)


def test_batch_norm_of_the_layers_follows_the_option():
    model = _abstract(smoothing="drn", batch_norm="frozen")
    assert {norm.mode for norm in model.degridding.norms} == {"frozen"}


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_duc_is_a_1x1_convolution_for_each_phase(dtype):
    factor, classes = 4, 3
    head: Any = models.DenseUpsamplingHead(6, classes, factor=factor, dtype=dtype, rngs=nnx.Rngs(0))
    head.conv.bias[...] = random(1, factor**2 * classes)
    x = random(0, 2, 5, 4, 6, dtype=dtype)
    logits = head(x)
    assert logits.shape == (2, 20, 16, classes)
    assert logits.dtype == dtype
    kernel = head.conv.kernel[...].astype(dtype).reshape(6, factor**2, classes)
    bias = head.conv.bias[...].astype(dtype).reshape(factor**2, 1, 1, 1, classes)
    phases = jnp.stack([x @ kernel[:, phase] + bias[phase] for phase in range(factor**2)])
    assert_close(logits, ops.reinterlace(phases, rate=factor))
    for row, column in ((0, 0), (1, 3), (3, 0)):
        assert_close(logits[:, row::factor, column::factor], phases[factor * row + column])
    np.testing.assert_array_equal(head(x, spatial_shape=(17, 16)), logits[:, :17])


@pytest.mark.parametrize(("output_stride", "size"), [(8, (65, 80)), (16, (65, 80)), (8, (64, 64))])
def test_duc_gives_a_logit_of_every_pixel(output_stride, size):
    model = _abstract(head="duc", output_stride=output_stride)
    out = _out(model, *size)
    assert (out.shape, out.dtype) == ((2, *size, 5), jnp.float32)
    assert _count(model.head) == 513 * 5 * output_stride**2


def test_duc_and_its_gradient_in_bfloat16():
    model: Any = build(
        lambda rngs: models.DeepLab(
            encoder="resnet18", head="duc", num_classes=3, width=4, smoothing="lfe", dtype=jnp.bfloat16, rngs=rngs
        )
    )
    gradient = nnx.jit(nnx.grad(lambda m, x: jnp.mean(m(x) ** 2)))(model, random(0, 1, 33, 33, 3))
    for part in ("head", "degridding"):
        for leaf in jax.tree.leaves(gradient[part]):
            assert leaf.dtype == jnp.float32
            assert bool(jnp.isfinite(leaf).all())
    assert float(jnp.abs(gradient["degridding"]["convs"][0]["kernel"][...]).max()) > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"smoothing": "hdc"}, "smoothing must be one of none, multigrid, .*, drn, lfe, got 'hdc'"),
        ({"smoothing": "drn", "output_stride": 32}, "'drn' has nothing to degrid at output_stride 32: use 8 or 16"),
        ({"smoothing": "average_filter", "output_stride": 32}, "no dilated layer to act on at output_stride 32"),
        ({"head": "duc", "head_rates": (1,)}, r"head 'duc' has no dilation rates, got head_rates \(1,\): leave them"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        _abstract(**options)


def test_refuses_what_makes_no_network():
    with pytest.raises(ValueError, match="head must be one of aspp, large_fov, got 'duc'"):
        models.DeepLabUpsampled(_abstract(encoder="resnet18", head="duc", num_classes=3, width=4), rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"rates must be a tuple of ints >= 1, got \(\)"):
        models.DegriddingLayers(4, 4, rates=(), rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="factor must be an int >= 1, got 0"):
        models.DenseUpsamplingHead(4, 3, factor=0, rngs=nnx.Rngs(0))
