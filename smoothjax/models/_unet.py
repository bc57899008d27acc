"""U-Net with a choice of up-sampling."""

from collections.abc import Callable
from functools import partial
from typing import get_args

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from .. import nn
from .._checks import check_choice, check_dtypes, check_images, check_int, check_rngs
from ..names import BatchNormMode, PhaseOrder
from ._conv import Conv
from ._norm import BATCH_NORM_MODES, BatchNorm

UPSAMPLINGS = nn.UPSAMPLINGS
"""The up-sampling methods of `UNet` and `ConvVAE`: those of `nn.UpConv`."""

_HE = nnx.initializers.he_normal()


class UNet(nnx.Module):
    """U-Net with a choice of up-sampling layers (Gao et al., 2017, Sec. 3.1, and the authors' code).

    At depth 5, as in the paper, four blocks lead down and four up. A block down has two 3x3 convolutions, whose C
    channels are kept, and 2x2 max pooling. A block up has the chosen layer, C to C channels; concatenation with the C
    kept channels of its level; and two 3x3 convolutions, 2C to C and C to C/2. The bottom goes from C to 2C channels
    and back. Batch normalisation and ReLU follow each convolution and each up-sampling layer, except the last
    convolution, C to classes, which has no ReLU. Batch normalisation learns a shift but no scale.

    `model(images)` maps `[N, H, W, in_features]` to float32 logits `[N, H, W, num_classes]`. A new model is in
    evaluation mode and can be called under `jax.jit` as a closure; `train()` switches to batch statistics.

    Args:
      num_classes: number of classes, at least 2.
      upsampling: `"dcl"` (6x6), `"ipixel_dcl"`, `"pixel_dcl"`, `"fast_pixel_dcl"` (the paper's PixelDCL),
        `"resize_conv"`, `"sub_pixel"`, `"sub_pixel_blur"`, `"carafe"` or `"dysample"`; see `nn.UpConv`.
      order: order of the phases of `"ipixel_dcl"` and `"pixel_dcl"`, `"figure"` or `"equations"`; see
        `ops.pixel_order`.
      depth: number of levels, at least 2.
      width: channels of the first level, doubled at each next level. The paper only states twice as many for MS-COCO as
        for PASCAL VOC; 64 is the original U-Net.
      in_features: channels of the images, 3 for RGB.
      batch_norm: `"trained"`, or `"frozen"` (statistics and shift stay as they are).
      momentum: decay of the running batch statistics in a step.
      epsilon: added to the variance in batch normalisation.
      dtype: dtype of the convolutions; batch normalisation is computed in float32.
      rngs: source of randomness; every method draws the same kernels outside the up-sampling from the same seed.

    Raises:
      ValueError: an option is invalid; when called, images are not `[N, H, W, in_features]` of a float dtype, or a size
        is not a multiple of `2**(depth - 1)`.

    Example:
      >>> import jax.numpy as jnp
      >>> from flax import nnx
      >>> from smoothjax import models
      >>> make = lambda: models.UNet(num_classes=5, upsampling="fast_pixel_dcl", rngs=nnx.Rngs(0))
      >>> model = nnx.eval_shape(make)  # only shapes; make() or nnx.jit(make)() gives it weights
      >>> nnx.eval_shape(lambda model, x: model(x), model, jnp.ones((1, 64, 96, 3))).shape
      (1, 64, 96, 5)

    References:
      Gao et al., Pixel Deconvolutional Networks, 2017, Sec. 3.1 and the authors' code; Ronneberger et al., U-Net, 2015.
    """

    down: "nnx.List[ConvBlock]"
    bottom: "ConvBlock"
    up: "nnx.List[ConvBlock]"
    up_norms: nnx.List[BatchNorm]
    upsampling: nnx.List[nn.UpConv]
    num_classes: int
    depth: int
    in_features: int

    def __init__(
        self,
        *,
        num_classes: int,
        upsampling: nn.Upsampling = "dcl",
        order: PhaseOrder | None = None,
        depth: int = 5,
        width: int = 64,
        in_features: int = 3,
        batch_norm: BatchNormMode = "trained",
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        dtype: DTypeLike | None = None,
        rngs: nnx.Rngs,
    ):
        check_rngs(rngs)
        check_dtypes(dtype=dtype)
        num_classes = check_int("num_classes", num_classes, minimum=2, remedy="count the background as a class")
        depth = check_int("depth", depth, minimum=2, remedy="5 is the paper's")
        width = check_int("width", width, remedy="64 is the original U-Net")
        in_features = check_int("in_features", in_features, remedy="3 is RGB, 1 is grey")
        check_choice("upsampling", upsampling, UPSAMPLINGS)
        check_choice("order", order, (None, *get_args(PhaseOrder)))
        check_choice("batch_norm", batch_norm, BATCH_NORM_MODES)
        # The authors' batch normalisation has no scale: the next convolution absorbs it. After the last convolution
        # nothing does, so there the logits of a class have variance 1 over a batch.
        norm = partial(BatchNorm, mode=batch_norm, momentum=momentum, epsilon=epsilon, use_scale=False, rngs=rngs)
        block = partial(ConvBlock, norm=norm, dtype=dtype, rngs=rngs)
        channels = [width * 2**level for level in range(depth - 1)]
        self.down = nnx.List(block(c_in, c, c) for c_in, c in zip([in_features, *channels], channels, strict=False))
        self.bottom = block(channels[-1], 2 * channels[-1], channels[-1])
        self.up = nnx.List(
            block(2 * c, c, c // 2 if level else num_classes, final=level == 0)
            for level, c in reversed(list(enumerate(channels)))
        )
        self.up_norms = nnx.List(norm(c) for c in reversed(channels))
        # Last, so that everything else is the same for every method. Batch normalisation would cancel a bias.
        self.upsampling = nnx.List(
            nn.UpConv(c, c, method=upsampling, order=order, use_bias=False, dtype=dtype, rngs=rngs)
            for c in reversed(channels)
        )
        self.num_classes, self.depth, self.in_features = num_classes, depth, in_features

    def __call__(self, images: jax.Array) -> jax.Array:
        """Maps images `[N, H, W, in_features]` to float32 logits `[N, H, W, num_classes]`."""
        check_images(images, self.in_features)
        step = 2 ** (self.depth - 1)
        if any(isinstance(size, int) and size % step for size in images.shape[1:3]):
            raise ValueError(
                f"images of a U-Net of depth {self.depth} must have a height and width that are multiples of {step}, "
                f"got {images.shape[1]} x {images.shape[2]}: resize them (smoothjax.data.resize)"
            )
        x, kept = images, []
        for block in self.down:
            kept.append(block(x))
            x = nnx.max_pool(kept[-1], (2, 2), strides=(2, 2))
        x = self.bottom(x)
        for upsample, norm, block in zip(self.upsampling, self.up_norms, self.up, strict=True):
            x = block(jnp.concatenate([nnx.relu(norm(upsample(x))), kept.pop()], -1))
        return x.astype(jnp.promote_types(jnp.float32, images.dtype))


class ConvBlock(nnx.Module):
    """Two 3x3 convolutions, each with batch normalisation and ReLU; a final block has no ReLU at its end."""

    conv1: nnx.Conv
    bn1: BatchNorm
    conv2: nnx.Conv
    bn2: BatchNorm
    final: bool

    def __init__(
        self,
        features: int,
        channels: int,
        out: int,
        *,
        final: bool = False,
        norm: Callable[[int], BatchNorm],
        dtype: DTypeLike | None,
        rngs: nnx.Rngs,
    ):
        conv = partial(Conv, kernel_size=(3, 3), use_bias=False, dtype=dtype, kernel_init=_HE, rngs=rngs)
        self.conv1, self.bn1 = conv(features, channels), norm(channels)
        self.conv2, self.bn2 = conv(channels, out), norm(out)
        self.final = final

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[N, H, W, features]` to `[N, H, W, out]`."""
        x = self.bn2(self.conv2(nnx.relu(self.bn1(self.conv1(x)))))
        return x if self.final else nnx.relu(x)
