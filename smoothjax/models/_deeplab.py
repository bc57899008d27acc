"""DeepLabv2: a dilated encoder, its degridding, and a choice of output layers."""

from typing import Any, TypeAlias, Unpack, get_args

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from .. import nn
from .._checks import check_choice, check_images, check_int, check_rates, check_rngs
from ..names import Degridding, DegriddingLayersName, EfficientNetLite, Encoder, EncoderDegridding, Head
from ._degridding import DEGRIDDING_LAYERS, DEGRIDDING_RATES, DegriddingLayers
from ._dilated_stack import DilatedStackEncoder
from ._duc import DenseUpsamplingHead
from ._efficientnet_lite import EfficientNetLiteEncoder
from ._encoder import DEGRIDDINGS, EncoderOptions
from ._resnet import ResNetEncoder

ENCODERS: tuple[Encoder, ...] = get_args(Encoder)
"""The encoders of `DeepLab`, each kind from the shallowest."""

DenseEncoder: TypeAlias = ResNetEncoder | EfficientNetLiteEncoder | DilatedStackEncoder
"""The classes of encoders of `DeepLab`."""

HEADS: tuple[Head, ...] = get_args(Head)
"""The output layers of `DeepLab`, by name."""

HEAD_RATES: dict[str, tuple[int, ...]] = {"aspp": (6, 12, 18, 24), "large_fov": (12,)}
"""Dilation rates of the 3x3 convolutions of each output layer, in cells of the 1/8 grid."""

_RATES_REMEDY = "use e.g. (6, 12, 18, 24)"


class DeepLab(nnx.Module):
    """DeepLabv2 with a choice of degridding in the last two stages of its encoder (Wang & Ji, KDD 2018, Sec. 4.1).

    `model(images)` maps `[N, H, W, C]` to float32 logits `[N, ceil(H / 8), ceil(W / 8), num_classes]` at the default
    output stride 8; with the default padding cell i sits on pixel 8i, and `upsample_logits` brings them back to full
    size. The head `"duc"` gives full size directly, `[N, H, W, num_classes]`. A new model is in evaluation mode and can
    be called under `jax.jit` as a closure; `train()` switches to batch statistics. All trainable parameters, smoothing
    included, are `nnx.Param`. With ResNet-101, group interaction adds 1,136 parameters and SS convolution 354.

    Args:
      encoder: `"resnet10"`, `"resnet18"`, `"resnet34"`, `"resnet50"`, `"resnet101"` or `"resnet152"`; or
        `"efficientnet_lite0"` to `"efficientnet_lite4"`, whose dilated convolutions, which smoothing acts on, are
        depthwise, unlike those of the paper; or `"dilated_stack"`, dilated layers at full resolution (output stride 1),
        which show gridding best.
      head: `"aspp"`, four 3x3 convolutions of rates 6, 12, 18, 24, each straight to classes, summed; or `"large_fov"`,
        a single convolution of rate 12; or `"duc"`, dense up-sampling convolution, see `DenseUpsamplingHead`.
      num_classes: number of classes, at least 2.
      smoothing: `"none"`; `"multigrid"`, `"group_interaction"`, `"ss_conv"`, `"circulant_group_interaction"`,
        `"average_filter"`, `"gaussian_filter"` or `"aggregated_filters"` in the encoder, see there; `"drn"` or `"lfe"`,
        layers between encoder and head, see `DegriddingLayers`, without those whose rate is above the encoder's.
      head_rates: dilation rates of the head, in cells, to override the default on maps much smaller than the published
        ones; DUC has none.
      rngs: source of randomness; every choice of smoothing draws the same kernels from the same seed, except for a head
        with other inputs.
      options: all other options of the encoder, by keyword: output_stride (by default 8), padding (by default
        symmetric), batch_norm, momentum, epsilon, width, in_features (C, 3 for RGB), remat, dtype, which the other
        layers share, stride_in and stride_unit of residual encoders, and stem of the dilated stack, which has neither
        output_stride nor padding.

    Attributes:
      encoder: the `ResNetEncoder`, `EfficientNetLiteEncoder` or `DilatedStackEncoder`.
      degridding: the `DegriddingLayers`, or None.
      head: a `SummedHead` or a `DenseUpsamplingHead`.

    Raises:
      ValueError: an option is invalid, or does not fit another; when called, images are not `[N, H, W, C]`
        of a float dtype.

    Example:
      >>> import jax.numpy as jnp
      >>> from flax import nnx
      >>> from smoothjax import models
      >>> make = lambda: models.DeepLab(encoder="resnet18", num_classes=5, smoothing="ss_conv", rngs=nnx.Rngs(0))
      >>> model = nnx.eval_shape(make)  # shapes only; make() or nnx.jit(make)() gives it weights
      >>> nnx.eval_shape(lambda model, x: model(x), model, jnp.ones((1, 65, 81, 3))).shape
      (1, 9, 11, 5)

    References:
      Chen et al., DeepLab: Semantic Image Segmentation with Deep Convolutional Nets, Atrous Convolution, and Fully
      Connected CRFs, 2017; Wang & Ji, KDD 2018, Sec. 4; Wang et al., Understanding Convolution for Semantic
      Segmentation, 2018.
    """

    encoder: DenseEncoder
    degridding: DegriddingLayers | None
    head: "SummedHead | DenseUpsamplingHead"
    num_classes: int
    output_stride: int

    def __init__(
        self,
        *,
        encoder: Encoder = "resnet101",
        head: Head = "aspp",
        num_classes: int,
        smoothing: Degridding = "none",
        head_rates: tuple[int, ...] | None = None,
        rngs: nnx.Rngs,
        **options: Unpack[EncoderOptions],
    ):
        check_rngs(rngs)
        check_choice("encoder", encoder, ENCODERS)
        check_choice("head", head, HEADS)
        num_classes = check_int("num_classes", num_classes, minimum=2, remedy="count the background as a class")
        check_choice("smoothing", smoothing, (*DEGRIDDINGS, *DEGRIDDING_LAYERS))
        if head_rates is not None:
            head_rates = check_rates("head_rates", head_rates, _RATES_REMEDY)
            if head == "duc":
                raise ValueError(f"head 'duc' has no dilation rates, got head_rates {head_rates}: leave them out")
        layers: DegriddingLayersName | None = None
        in_encoder: EncoderDegridding = "none"
        if smoothing == "drn" or smoothing == "lfe":
            layers = smoothing
        else:
            in_encoder = smoothing
        if layers and options.get("output_stride") == 32:
            raise ValueError(
                f"smoothing {smoothing!r} has nothing to degrid at output_stride 32: use 8 or 16, or 'none'"
            )
        self.encoder = _make_encoder(encoder, in_encoder, rngs, options)
        stride, dtype = self.encoder.output_stride, self.encoder.dtype
        features = _degridding_features(self.encoder) if layers else self.encoder.out_features
        if head == "duc":
            self.head = DenseUpsamplingHead(features, num_classes, factor=stride, dtype=dtype, rngs=rngs)
        else:
            rates = head_rates or HEAD_RATES[head]
            self.head = SummedHead(features, num_classes, rates=rates, dtype=dtype, rngs=rngs)
        # Last, so that everything else is the same for every choice.
        self.degridding = nnx.data(None)
        if layers:
            self.degridding = DegriddingLayers(
                self.encoder.out_features,
                features,
                rates=tuple(rate for rate in DEGRIDDING_RATES[layers] if rate <= 32 // stride),
                batch_norm=self.encoder.batch_norm,
                momentum=self.encoder.momentum,
                epsilon=self.encoder.epsilon,
                dtype=dtype,
                rngs=rngs,
            )
        self.num_classes, self.output_stride = num_classes, stride

    def __call__(self, images: jax.Array) -> jax.Array:
        """Maps images `[N, H, W, C]` to float32 logits `[N, ceil(H / stride), ceil(W / stride), num_classes]`.

        With the head `"duc"` to `[N, H, W, num_classes]`.
        """
        check_images(images, self.encoder.in_features)
        x = self.encoder(images)
        x = x if self.degridding is None else self.degridding(x)
        dense = {"spatial_shape": images.shape[1:3]} if isinstance(self.head, DenseUpsamplingHead) else {}
        return self.head(x, **dense).astype(jnp.promote_types(jnp.float32, images.dtype))


def _make_encoder(name: Encoder, smoothing: EncoderDegridding, rngs: nnx.Rngs, options: EncoderOptions) -> DenseEncoder:
    """An encoder by name; its cell i sits on pixel stride * i unless the options change that."""
    lite, stack = name in get_args(EfficientNetLite), name == "dilated_stack"
    strided = "residual and EfficientNet encoders"
    for option, has, of in (
        ("stride_in", not (lite or stack), "residual encoders"),
        ("stride_unit", not (lite or stack), "residual encoders"),
        ("output_stride", not stack, strided),
        ("padding", not stack, strided),
        ("stem", stack, "the encoder dilated_stack"),
    ):
        if option in options and not has:
            raise ValueError(
                f"{option} is an option of {of}, got {options[option]!r} with encoder {name!r}: leave it out"
            )
    plain: Any = options
    if stack:
        return DilatedStackEncoder(smoothing=smoothing, rngs=rngs, **plain)
    if not lite:
        return ResNetEncoder(int(name.removeprefix("resnet")), smoothing=smoothing, rngs=rngs, **plain)
    chosen: Any = {"output_stride": 8, "padding": "symmetric", **options}
    variant: Any = name.removeprefix("efficientnet_lite")
    return EfficientNetLiteEncoder(variant, smoothing=smoothing, classifier=False, rngs=rngs, **chosen)


def _degridding_features(encoder: DenseEncoder) -> int:
    """Channels of the layers after the encoder: those of the last stage of a basic ResNet, or fewer if the encoder has
    fewer."""
    return 8 * encoder.width if isinstance(encoder, ResNetEncoder) else encoder.out_features


class SummedHead(nnx.Module):
    """The output layers of DeepLab: 3x3 dilated convolutions from features straight to classes, summed.

    Args:
      in_features: channels of the features.
      num_classes: channels of the logits.
      rates: dilation rate of each convolution, in cells.
      dtype: dtype of the computation.
      rngs: source of randomness.

    Raises:
      ValueError: in_features or num_classes is not an int >= 1, or rates is not a nonempty tuple of them.

    Example:
      >>> import jax.numpy as jnp
      >>> from flax import nnx
      >>> from smoothjax import models
      >>> head = models.SummedHead(16, 5, rates=(6, 12, 18, 24), rngs=nnx.Rngs(0))
      >>> head(jnp.ones((1, 9, 9, 16))).shape
      (1, 9, 9, 5)
    """

    branches: nnx.List[nn.DilatedConv]

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        rates: tuple[int, ...],
        dtype: DTypeLike | None = None,
        rngs: nnx.Rngs,
    ):
        in_features = check_int("in_features", in_features, remedy="count the channels of the features")
        num_classes = check_int("num_classes", num_classes, remedy="count the channels of the logits")
        rates = check_rates("rates", rates, _RATES_REMEDY)
        init = nnx.initializers.normal(0.01)
        self.branches = nnx.List(
            nn.DilatedConv(in_features, num_classes, (3, 3), rate=rate, dtype=dtype, kernel_init=init, rngs=rngs)
            for rate in rates
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps features `[N, H, W, in_features]` to logits `[N, H, W, num_classes]`."""
        first, *others = (branch(x) for branch in self.branches)
        return sum(others, first)
