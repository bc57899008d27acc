"""Residual networks as dense encoders: the last stages dilated instead of strided."""

from collections.abc import Callable
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias, get_args

import jax
from flax import nnx
from jax.typing import DTypeLike

from .. import nn, ops
from .._checks import check_choice
from ..names import BatchNormMode, EncoderDegridding, EncoderPadding, StrideIn, StrideUnit
from ._conv import Conv
from ._encoder import HE, BaseEncoder, applied, check_dilation
from ._norm import BatchNorm

_BASIC = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
_BOTTLENECK = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
RESNET_BLOCKS = MappingProxyType(_BASIC | _BOTTLENECK)
"""The number of blocks in each stage of a residual network, by its depth: up to 34 basic ones, then bottlenecks."""

DEPTHS = tuple(RESNET_BLOCKS)
# A plain convolution at rate 1, else a dilated one: types do not distinguish the two.
_Conv3x3: TypeAlias = Any


class ResNetEncoder(BaseEncoder):
    """ResNet without its classifier, at output stride 8, 16 or 32.

    As in DeepLabv2, removed strides become dilation rates: at output stride 8 all 3x3 convolutions of the last two
    stages have rates 2 and 4 (in basic blocks both convolutions of a block). `smoothing` acts on these layers. With
    symmetric padding, output cell i sits on input pixel `output_stride * i`. Starts in evaluation mode; `train()`
    switches batch normalisation to batch statistics.

    Args:
      depth: 10, 18 or 34 (basic blocks), 50, 101 or 152 (bottlenecks). 10 has one block per stage, half of the layers
        of 18, for small data and quick experiments.
      output_stride: input pixels per cell of the output, 8, 16 or 32.
      smoothing: degridding of the dilated stages. `"multigrid"` changes rates, counted over the 3x3 convolutions of a
        stage; all others smooth each of them, see `nn.DilatedConv`.
      stride_in: the convolution of a bottleneck that holds a stage's stride: the first `"1x1"` (v1, Caffe and DeepLab)
        or the `"3x3"` (v1.5). Basic blocks have it in their first 3x3.
      stride_unit: the block that holds a stride: the `"first"` of the stage that follows, or the `"last"` of the stage
        before, as in TF-slim.
      padding: padding of the first convolution and the pooling, `"symmetric"` or TensorFlow's SAME, which pads even
        sizes more at their end: `"same"`, both, or `"same_pool"`, only the pooling, as in TF-slim. SAME moves the
        position of cell i towards the end: by 1 pixel in the convolution at even sizes, and by 2 in the pooling at
        sizes whose half, rounded up, is even.
      batch_norm: `"trained"`, or `"frozen"` (statistics, scale and bias stay as they are).
      momentum: decay of the running batch statistics in a step.
      epsilon: added to the variance in batch normalisation.
      width: channels of the first stage; 64 is the published network.
      in_features: channels of the images, 3 for RGB.
      remat: whether the backward pass recomputes the activations within each block instead of keeping them: less
        memory, about a third more time.
      dtype: dtype of the convolutions; batch normalisation is computed in float32.
      rngs: source of randomness; every choice of smoothing draws the same kernels from the same seed.

    Attributes:
      out_features: channels of the output. depth, output_stride, smoothing, stride_in, stride_unit, padding,
        batch_norm, momentum, epsilon, width, in_features, remat, dtype: the options.

    Raises:
      ValueError: an option is invalid, or the smoothing has no layer to act on (output stride 32).

    Example:
      >>> from flax import nnx
      >>> from smoothjax import models
      >>> encoder = nnx.eval_shape(lambda: models.ResNetEncoder(101, rngs=nnx.Rngs(0)))  # shapes only
      >>> encoder.out_features
      2048

    References:
      He et al., Deep Residual Learning for Image Recognition, 2016; Chen et al., DeepLab (v2), 2017; Wang & Ji, KDD
      2018, Sec. 4.1 and 4.2.
    """

    _usual_width = "64 is the published network"

    conv1: nnx.Conv
    bn1: BatchNorm
    stages: "nnx.List[nnx.List[_BasicBlock | _Bottleneck]]"
    depth: int
    stride_in: StrideIn
    stride_unit: StrideUnit
    padding: EncoderPadding

    def __init__(
        self,
        depth: int,
        *,
        output_stride: int = 8,
        smoothing: EncoderDegridding = "none",
        stride_in: StrideIn = "1x1",
        stride_unit: StrideUnit = "first",
        padding: EncoderPadding = "symmetric",
        batch_norm: BatchNormMode = "trained",
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        width: int = 64,
        in_features: int = 3,
        remat: bool = False,
        dtype: DTypeLike | None = None,
        rngs: nnx.Rngs,
    ):
        super().__init__(
            output_stride, smoothing, batch_norm, momentum, epsilon, width, in_features, remat, dtype, rngs
        )
        check_choice("depth", depth, DEPTHS)
        check_dilation(output_stride, smoothing)
        check_choice("stride_in", stride_in, get_args(StrideIn))
        check_choice("stride_unit", stride_unit, get_args(StrideUnit))
        check_choice("padding", padding, get_args(EncoderPadding))
        block = _BasicBlock if depth in _BASIC else partial(_Bottleneck, stride_in=stride_in)
        self.depth, self.stride_in, self.stride_unit, self.padding = depth, stride_in, stride_unit, padding
        layers = _Layers(self._norm(rngs), self._layer_smoothing(), dtype, rngs)
        self.conv1 = layers.conv(self.in_features, self.width, 7, stride=2, padding="SAME" if padding == "same" else 3)
        self.bn1 = layers.norm(self.width)
        features, stages = self.width, []
        plan = stage_plan(depth, output_stride, smoothing)
        for stage, (_, rates) in enumerate(plan):
            strides = _strides(plan, stage, stride_unit)
            blocks: list[_BasicBlock | _Bottleneck] = []
            for block_rates, stride in zip(rates, strides, strict=True):
                blocks.append(block(features, self.width * 2**stage, stride, block_rates, layers))
                features = blocks[-1].out_features
            stages.append(nnx.List(blocks))
        self.stages = nnx.List(stages)
        self.out_features = features

    @property
    def name(self) -> str:
        """Its name in `DeepLab`, such as `"resnet101"`."""
        return f"resnet{self.depth}"

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps images `[N, H, W, in_features]` to features `[N, ceil(H / stride), ceil(W / stride), out_features]`."""
        x = nnx.relu(self.bn1(self.conv1(x)))
        padding: Any = ((1, 1), (1, 1)) if self.padding == "symmetric" else "SAME"
        x = nnx.max_pool(x, (3, 3), strides=(2, 2), padding=padding)
        apply = applied(self.remat)
        for blocks in self.stages:
            for block in blocks:
                x = apply(block, x)
        return x


def stage_plan(depth: int, output_stride: int, smoothing: EncoderDegridding) -> list[tuple[int, list[tuple[int, ...]]]]:
    """Stride and dilation rates of each stage: one tuple per block, with the rates of its 3x3 convolutions."""
    units = RESNET_BLOCKS[depth]
    convolutions = 2 if depth in _BASIC else 1
    plan = []
    for stage, blocks in enumerate(units):
        wanted = 4 * 2**stage  # the output stride of the classification network after this stage
        rate = max(1, wanted // output_stride)
        stride = 1 if stage == 0 or rate > 1 else 2
        count = blocks * convolutions
        rates = ops.multigrid_rates(rate, count) if rate > 1 and smoothing == "multigrid" else (rate,) * count
        plan.append((stride, [rates[i : i + convolutions] for i in range(0, count, convolutions)]))
    return plan


def _strides(plan: list[tuple[int, list[tuple[int, ...]]]], stage: int, stride_unit: StrideUnit) -> list[int]:
    """Stride of each block of a stage."""
    strides = [1] * len(plan[stage][1])
    if stride_unit == "first":
        strides[0] = plan[stage][0]
    elif stage + 1 < len(plan):
        strides[-1] = plan[stage + 1][0]
    return strides


class _Layers(NamedTuple):
    """Makes the layers of an encoder with its options."""

    norm: Callable[[int], BatchNorm]
    smoothing: nn.Smoothing
    dtype: DTypeLike | None
    rngs: nnx.Rngs

    def conv(self, features: int, out: int, taps: int, *, stride: int = 1, padding: str | int = "SAME") -> nnx.Conv:
        """A convolution that is not dilated."""
        return Conv(features, out, (taps, taps), strides=stride, padding=padding, **self._common())

    def conv3x3(self, features: int, out: int, *, stride: int = 1, rate: int) -> _Conv3x3:
        """A convolution of the stages, smoothed if it is dilated."""
        if rate == 1:
            return self.conv(features, out, 3, stride=stride, padding=1)
        return nn.DilatedConv(features, out, (3, 3), rate=rate, smoothing=self.smoothing, **self._common())

    def _common(self) -> dict[str, Any]:
        return {"use_bias": False, "dtype": self.dtype, "kernel_init": HE, "rngs": self.rngs}


class _Block(nnx.Module):
    """The shortcut, shared by both kinds of blocks: projected if the channels change, else subsampled by the stride."""

    shortcut: nnx.List[nnx.Conv | BatchNorm]
    out_features: int
    stride: int

    def __init__(self, features: int, out: int, stride: int, layers: _Layers):
        self.out_features, self.stride = out, stride
        projection = (layers.conv(features, out, 1, stride=stride), layers.norm(out)) if features != out else ()
        self.shortcut = nnx.List(projection)

    def _shortcut(self, x: jax.Array) -> jax.Array:
        if not self.shortcut:
            return x if self.stride == 1 else x[:, :: self.stride, :: self.stride]
        for layer in self.shortcut:
            x = layer(x)
        return x


class _BasicBlock(_Block):
    conv1: _Conv3x3
    bn1: BatchNorm
    conv2: _Conv3x3
    bn2: BatchNorm

    def __init__(self, features: int, channels: int, stride: int, rates: tuple[int, ...], layers: _Layers):
        super().__init__(features, channels, stride, layers)
        self.conv1, self.bn1 = layers.conv3x3(features, channels, stride=stride, rate=rates[0]), layers.norm(channels)
        self.conv2, self.bn2 = layers.conv3x3(channels, channels, rate=rates[1]), layers.norm(channels)

    def __call__(self, x: jax.Array) -> jax.Array:
        y = nnx.relu(self.bn1(self.conv1(x)))
        return nnx.relu(self.bn2(self.conv2(y)) + self._shortcut(x))


class _Bottleneck(_Block):
    conv1: nnx.Conv
    bn1: BatchNorm
    conv2: _Conv3x3
    bn2: BatchNorm
    conv3: nnx.Conv
    bn3: BatchNorm

    def __init__(
        self,
        features: int,
        channels: int,
        stride: int,
        rates: tuple[int, ...],
        layers: _Layers,
        *,
        stride_in: StrideIn,
    ):
        out = 4 * channels
        super().__init__(features, out, stride, layers)
        first, second = (stride, 1) if stride_in == "1x1" else (1, stride)
        self.conv1, self.bn1 = layers.conv(features, channels, 1, stride=first), layers.norm(channels)
        self.conv2, self.bn2 = layers.conv3x3(channels, channels, stride=second, rate=rates[0]), layers.norm(channels)
        self.conv3, self.bn3 = layers.conv(channels, out, 1), layers.norm(out)

    def __call__(self, x: jax.Array) -> jax.Array:
        y = nnx.relu(self.bn1(self.conv1(x)))
        y = nnx.relu(self.bn2(self.conv2(y)))
        return nnx.relu(self.bn3(self.conv3(y)) + self._shortcut(x))
