"""EfficientNet-Lite as a dense encoder: the last depthwise convolutions dilated instead of strided."""

import itertools
import math
from collections.abc import Callable
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias, get_args

import jax
from flax import nnx
from jax.typing import DTypeLike

from .. import nn, ops
from .._checks import check_bool, check_choice
from ..names import BatchNormMode, EfficientNetLiteVariant, EncoderDegridding, EncoderPadding
from ._conv import Conv
from ._encoder import HE, BaseEncoder, applied, check_dilation
from ._norm import BatchNorm

EFFICIENTNET_LITE_SIZES = MappingProxyType({"0": 224, "1": 240, "2": 260, "3": 280, "4": 300})
"""Height and width in pixels of the images that each variant of EfficientNet-Lite was trained on."""

EFFICIENTNET_LITE_PADDINGS: tuple[EncoderPadding, ...] = ("same", "symmetric")

_VARIANTS: tuple[EfficientNetLiteVariant, ...] = get_args(EfficientNetLiteVariant)
# Factors of channels and of blocks in a stage, by variant.
_SCALING = {"0": (1.0, 1.0), "1": (1.0, 1.1), "2": (1.1, 1.2), "3": (1.2, 1.4), "4": (1.4, 1.8)}
_STEM, _HEAD, _CLASSES = 32, 1280, 1000  # the same in all variants
_DIVISOR = 8  # of all channels
# A depthwise convolution has one filter per channel: its taps decide the variance, not the number of channels.
_HE_DEPTHWISE = nnx.initializers.variance_scaling(2.0, "fan_in", "normal")
# A plain convolution at rate 1, else a dilated one: types do not distinguish the two.
_Depthwise: TypeAlias = Any


class _Stage(NamedTuple):
    """A stage of variant 0: blocks, taps of the depthwise convolution along an axis, and so on."""

    blocks: int
    taps: int
    stride: int
    expansion: int
    features: int


_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)


class EfficientNetLiteEncoder(BaseEncoder):
    """EfficientNet-Lite at output stride 8, 16 or 32, with or without its classifier.

    `encoder(images)` maps `[N, H, W, 3]` to the maps after the last block, and `encoder.logits(images)` to logits of
    the 1,000 classes of ImageNet. Blocks are inverted bottlenecks with ReLU6 and no squeeze-and-excitation. A removed
    stride becomes the dilation rate of all later depthwise convolutions, while the convolution that lost it keeps its
    rate: at output stride 8, six convolutions of variant 0 have rate 2 and four have rate 4. Every cell of the maps at
    output stride 32 has the same value at 16 and 8. `smoothing` acts on the dilated depthwise convolutions; the
    networks of Wang & Ji have standard convolutions there. Starts in evaluation mode; `train()` switches batch
    normalisation to batch statistics. Dropout and stochastic depth of the published training are left out.

    Args:
      variant: `"0"` to `"4"`, from the smallest.
      output_stride: input pixels per cell of the output, 8, 16 or 32.
      smoothing: degridding of the dilated depthwise convolutions. `"multigrid"` changes rates, counted over all
        successive convolutions of one rate; all others smooth each of them, see `nn.DilatedConv`.
      classifier: whether it has the layers after the last block, which `logits` needs.
      padding: padding of strided convolutions, TensorFlow's SAME as published, `"same"`, or `"symmetric"`. With the
        latter output cell i sits on input pixel `output_stride * i`; with SAME only if the size minus 1 is a multiple
        of the output stride, and up to `output_stride - 1` pixels beyond it at other sizes.
      batch_norm: `"trained"`, or `"frozen"` (statistics, scale and bias stay as they are).
      momentum: decay of the running batch statistics in a step.
      epsilon: added to the variance in batch normalisation.
      width: channels of the first layer; 32 is the published network. All others but the classifier's change by the
        same factor, rounded to multiples of 8.
      in_features: channels of the images, 3 for RGB.
      remat: whether the backward pass recomputes the activations within each block instead of keeping them: less
        memory, about a third more time.
      dtype: dtype of the convolutions; batch normalisation is computed in float32.
      rngs: source of randomness; every choice of smoothing draws the same kernels from the same seed.

    Attributes:
      out_features: channels of the output.
      variant, output_stride, smoothing, padding, batch_norm, momentum, epsilon, width, in_features, remat, dtype: the
        options.

    Raises:
      ValueError: an option is invalid, or the smoothing has no layer to act on (output stride 32).

    Example:
      >>> from flax import nnx
      >>> from smoothjax import models
      >>> encoder = nnx.eval_shape(lambda: models.EfficientNetLiteEncoder("0", rngs=nnx.Rngs(0)))  # shapes only
      >>> encoder.out_features
      320

    References:
      Tan & Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, 2019; EfficientNet-Lite, as
      published in tensorflow/tpu, models/official/efficientnet/lite.
    """

    _usual_width = f"{_STEM} is the published network"

    conv1: nnx.Conv
    bn1: BatchNorm
    stages: "nnx.List[nnx.List[_InvertedBottleneck]]"
    classifier: "_Classifier | None"
    variant: EfficientNetLiteVariant
    padding: EncoderPadding
    out_features: int

    def __init__(
        self,
        variant: EfficientNetLiteVariant,
        *,
        output_stride: int = 32,
        smoothing: EncoderDegridding = "none",
        classifier: bool = True,
        padding: EncoderPadding = "same",
        batch_norm: BatchNormMode = "trained",
        momentum: float = 0.9,
        epsilon: float = 1e-3,
        width: int = _STEM,
        in_features: int = 3,
        remat: bool = False,
        dtype: DTypeLike | None = None,
        rngs: nnx.Rngs,
    ):
        super().__init__(
            output_stride, smoothing, batch_norm, momentum, epsilon, width, in_features, remat, dtype, rngs
        )
        check_choice("variant", variant, _VARIANTS)
        check_dilation(output_stride, smoothing)
        check_choice("padding", padding, EFFICIENTNET_LITE_PADDINGS)
        classifier = check_bool("classifier", classifier)
        self.variant, self.padding = variant, padding
        layers = _Layers(self._norm(rngs), self._layer_smoothing(), padding, dtype, rngs)
        self.conv1, self.bn1 = layers.conv(self.in_features, self.width, 3, stride=2), layers.norm(self.width)
        stages = []
        for stage in block_plan(variant, output_stride, smoothing, self.width):
            stages.append(nnx.List(_InvertedBottleneck(block, layers) for block in stage))
            self.out_features = stage[-1].out_features
        self.stages = nnx.List(stages)
        # Last, so that the encoder is the same with and without the classifier.
        self.classifier = nnx.data(_Classifier(self.out_features, layers) if classifier else None)

    @property
    def name(self) -> str:
        """Its name in `DeepLab`, such as `"efficientnet_lite0"`."""
        return f"efficientnet_lite{self.variant}"

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps images `[N, H, W, in_features]` to features `[N, ceil(H / stride), ceil(W / stride), out_features]`."""
        x = jax.nn.relu6(self.bn1(self.conv1(x)))
        apply = applied(self.remat)
        for blocks in self.stages:
            for block in blocks:
                x = apply(block, x)
        return x

    def logits(self, x: jax.Array) -> jax.Array:
        """Maps images `[N, H, W, in_features]` to logits of ImageNet's classes `[N, 1000]`, in the published order.

        Raises:
          ValueError: the encoder has no classifier.
        """
        if self.classifier is None:
            raise ValueError(
                "logits needs the layers after the encoder, got one built with classifier=False: build it with "
                "classifier=True, or load it by weights.efficientnet_lite_from_torch"
            )
        return self.classifier(self(x))


class BlockPlan(NamedTuple):
    """A block: channels before, within and after the depthwise convolution, the convolution itself, and the
    shortcut."""

    in_features: int
    expanded: int
    out_features: int
    taps: int
    stride: int
    rate: int
    residual: bool


def block_plan(
    variant: EfficientNetLiteVariant, output_stride: int, smoothing: EncoderDegridding, width: int = _STEM
) -> list[list[BlockPlan]]:
    """The blocks of each stage."""
    channels, depth = _SCALING[variant]
    features, stride, rate = width, 2, 1  # those after the first layer
    plan: list[list[BlockPlan]] = []
    for index, stage in enumerate(_STAGES):
        ends = index in (0, len(_STAGES) - 1)  # the first and the last stage are never deeper
        out = _rounded(stage.features * channels * width / _STEM)
        blocks = []
        for block in range(stage.blocks if ends else math.ceil(depth * stage.blocks)):
            step, following = stage.stride if block == 0 else 1, rate
            if step * stride > output_stride:
                step, following = 1, rate * stage.stride
            expanded = features * stage.expansion
            blocks.append(BlockPlan(features, expanded, out, stage.taps, step, rate, residual=block > 0))
            features, stride, rate = out, stride * step, following
        plan.append(blocks)
    if smoothing != "multigrid":
        return plan
    rates = iter(_multigrid([block.rate for blocks in plan for block in blocks]))
    return [[block._replace(rate=next(rates)) for block in blocks] for blocks in plan]


def _multigrid(rates: list[int]) -> list[int]:
    """Multigrid over every run of equal rates."""
    runs = [(rate, len(list(run))) for rate, run in itertools.groupby(rates)]
    return [new for rate, count in runs for new in (ops.multigrid_rates(rate, count) if rate > 1 else (1,) * count)]


def _rounded(channels: float) -> int:
    """The nearest multiple of 8, but not less than nine tenths."""
    nearest = max(_DIVISOR, int(channels + _DIVISOR / 2) // _DIVISOR * _DIVISOR)
    return nearest + _DIVISOR if nearest < 0.9 * channels else nearest


class _Layers(NamedTuple):
    """Makes the layers of an encoder with its options."""

    norm: Callable[[int], BatchNorm]
    smoothing: nn.Smoothing
    padding: EncoderPadding
    dtype: DTypeLike | None
    rngs: nnx.Rngs

    def conv(self, features: int, out: int, taps: int, *, stride: int = 1) -> nnx.Conv:
        """A convolution over all channels."""
        return self._conv(features, out, taps, stride, 1, HE)

    def depthwise(self, block: BlockPlan) -> _Depthwise:
        """A depthwise convolution, smoothed if it is dilated."""
        features, taps = block.expanded, block.taps
        if block.rate == 1:
            return self._conv(features, features, taps, block.stride, features, _HE_DEPTHWISE)
        return nn.DilatedConv(
            features,
            features,
            (taps, taps),
            rate=block.rate,
            smoothing=self.smoothing,
            padding=block.rate * (taps // 2),
            feature_group_count=features,
            use_bias=False,
            dtype=self.dtype,
            kernel_init=_HE_DEPTHWISE,
            rngs=self.rngs,
        )

    def _conv(self, features: int, out: int, taps: int, stride: int, groups: int, init: nnx.Initializer) -> nnx.Conv:
        return Conv(
            features,
            out,
            (taps, taps),
            strides=stride,
            padding="SAME" if stride > 1 and self.padding == "same" else taps // 2,
            feature_group_count=groups,
            use_bias=False,
            dtype=self.dtype,
            kernel_init=init,
            rngs=self.rngs,
        )


class _InvertedBottleneck(nnx.Module):
    """1x1 to more channels, depthwise, 1x1 back to fewer, and a shortcut except in the first block of a stage."""

    expand: nnx.List[nnx.Conv | BatchNorm]
    depthwise: _Depthwise
    bn1: BatchNorm
    project: nnx.Conv
    bn2: BatchNorm
    residual: bool

    def __init__(self, block: BlockPlan, layers: _Layers):
        widens = block.expanded != block.in_features
        self.expand = nnx.List(
            (layers.conv(block.in_features, block.expanded, 1), layers.norm(block.expanded)) if widens else ()
        )
        self.depthwise, self.bn1 = layers.depthwise(block), layers.norm(block.expanded)
        self.project, self.bn2 = layers.conv(block.expanded, block.out_features, 1), layers.norm(block.out_features)
        self.residual = block.residual

    def __call__(self, x: jax.Array) -> jax.Array:
        y = x
        for layer in self.expand:
            y = layer(y)
        y = jax.nn.relu6(y) if self.expand else y
        y = jax.nn.relu6(self.bn1(self.depthwise(y)))
        y = self.bn2(self.project(y))
        return x + y if self.residual else y


class _Classifier(nnx.Module):
    """The layers after the last block: 1x1, mean over the image, classes."""

    conv: nnx.Conv
    bn: BatchNorm
    linear: nnx.Linear

    def __init__(self, features: int, layers: _Layers):
        self.conv, self.bn = layers.conv(features, _HEAD, 1), layers.norm(_HEAD)
        self.linear = nnx.Linear(_HEAD, _CLASSES, dtype=layers.dtype, rngs=layers.rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = jax.nn.relu6(self.bn(self.conv(x)))
        return self.linear(x.mean((1, 2)))
