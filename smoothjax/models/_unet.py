"""U-Net with a choice of up-sampling."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from .. import nn
from .._checks import check_choice, check_images, check_int
from ..names import BatchNormMode
from ._conv import Conv
from ._norm import BATCH_NORM_MODES, BatchNorm

UPSAMPLINGS = nn.UPSAMPLINGS
"""The up-sampling methods of `UNet` and `ConvVAE`: those of `nn.UpConv`."""

_HE = nnx.initializers.he_normal()


class UNet(nnx.Module):
    """U-Net whose up-sampling layers are chosen by name (Gao et al., 2017, Sec. 3.1).

    Levels of two 3x3 convolutions, each with batch normalisation and ReLU; down by 2x2 max pooling, up by the layer
    of choice from 2C to C channels, to which the C channels of the same level are joined. At depth 5, as in the paper:
    four blocks down, four up, input 256x256x3. `model(images)` maps `[N, H, W, 3]` to float32 logits
    `[N, H, W, num_classes]`, from a 1x1 convolution at full resolution. A new model is in evaluation mode and can be
    called under `jax.jit` as a closure; `train()` switches to batch statistics.

    Args:
      num_classes: number of classes, at least 2.
      upsampling: `"dcl"` (6x6), `"ipixel_dcl"`, `"pixel_dcl"`, `"fast_pixel_dcl"` (the paper's PixelDCL),
        `"resize_conv"` or `"sub_pixel"`; see `nn.UpConv`.
      depth: number of levels, at least 2.
      width: channels of the first level, doubled at each next one; 64 in the paper, 128 for the 81 classes of MS-COCO.
      batch_norm: `"trained"`, or `"frozen"` (statistics, scale and bias stay as they are).
      momentum: decay of the running batch statistics in a step.
      epsilon: added to the variance in batch normalisation.
      dtype: dtype of the convolutions; batch normalisation is computed in float32.
      rngs: source of randomness; every method draws the same kernels outside the up-sampling from the same seed.

    Raises:
      ValueError: an option is invalid; when called, images are not `[N, H, W, 3]` of a float dtype, or a
        size is no multiple of `2**(depth - 1)`.

    Example:
      >>> import jax.numpy as jnp
      >>> from flax import nnx
      >>> from smoothjax import models
      >>> make = lambda: models.UNet(num_classes=5, upsampling="fast_pixel_dcl", rngs=nnx.Rngs(0))
      >>> model = nnx.eval_shape(make)  # shapes only; make() or nnx.jit(make)() gives it weights
      >>> nnx.eval_shape(lambda model, x: model(x), model, jnp.ones((1, 64, 96, 3))).shape
      (1, 64, 96, 5)

    References:
      Gao et al., Pixel Deconvolutional Networks, 2017, Sec. 3.1 and the authors' code; Ronneberger et al., U-Net, 2015.
    """

    down: "nnx.List[ConvBlock]"
    up: "nnx.List[ConvBlock]"
    head: nnx.Conv
    upsampling: nnx.List[nn.UpConv]
    num_classes: int
    depth: int

    def __init__(
        self,
        *,
        num_classes: int,
        upsampling: nn.Upsampling = "dcl",
        depth: int = 5,
        width: int = 64,
        batch_norm: BatchNormMode = "trained",
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        dtype: DTypeLike | None = None,
        rngs: nnx.Rngs,
    ):
        num_classes = check_int("num_classes", num_classes, minimum=2, remedy="count the background as a class")
        depth = check_int("depth", depth, minimum=2, remedy="5 is the paper's")
        width = check_int("width", width, remedy="64 is the paper's")
        check_choice("upsampling", upsampling, UPSAMPLINGS)
        check_choice("batch_norm", batch_norm, BATCH_NORM_MODES)
        norm = partial(BatchNorm, mode=batch_norm, momentum=momentum, epsilon=epsilon, rngs=rngs)
        block = partial(ConvBlock, norm=norm, dtype=dtype, rngs=rngs)
        channels = [width * 2**level for level in range(depth)]
        self.down = nnx.List(block(c_in, c_out) for c_in, c_out in zip([3, *channels], channels, strict=False))
        self.up = nnx.List(block(2 * c, c) for c in reversed(channels[:-1]))
        self.head = Conv(width, num_classes, (1, 1), dtype=dtype, rngs=rngs)
        # Last, so that all the rest is the same for every method.
        self.upsampling = nnx.List(
            nn.UpConv(2 * c, c, method=upsampling, dtype=dtype, rngs=rngs) for c in reversed(channels[:-1])
        )
        self.num_classes, self.depth = num_classes, depth

    def __call__(self, images: jax.Array) -> jax.Array:
        """Maps images `[N, H, W, 3]` to float32 logits `[N, H, W, num_classes]`."""
        check_images(images)
        step = 2 ** (self.depth - 1)
        if any(isinstance(size, int) and size % step for size in images.shape[1:3]):
            raise ValueError(
                f"images of a U-Net of depth {self.depth} must have a height and width that are multiples of {step}, "
                f"got {images.shape[1]} x {images.shape[2]}: resize them (smoothjax.data.resize)"
            )
        x, skips = images, []
        for level, block in enumerate(self.down):
            if level:
                skips.append(x)
                x = nnx.max_pool(x, (2, 2), strides=(2, 2))
            x = block(x)
        for upsample, block, skip in zip(self.upsampling, self.up, reversed(skips), strict=True):
            x = block(jnp.concatenate([skip, upsample(x)], -1))
        return self.head(x).astype(jnp.promote_types(jnp.float32, images.dtype))


class ConvBlock(nnx.Module):
    """Two 3x3 convolutions, each with batch normalisation and ReLU."""

    conv1: nnx.Conv
    bn1: BatchNorm
    conv2: nnx.Conv
    bn2: BatchNorm

    def __init__(self, features: int, out: int, *, norm: Any, dtype: DTypeLike | None, rngs: nnx.Rngs):
        conv = partial(Conv, kernel_size=(3, 3), use_bias=False, dtype=dtype, kernel_init=_HE, rngs=rngs)
        self.conv1, self.bn1 = conv(features, out), norm(out)
        self.conv2, self.bn2 = conv(out, out), norm(out)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[N, H, W, features]` to `[N, H, W, out]`."""
        x = nnx.relu(self.bn1(self.conv1(x)))
        return nnx.relu(self.bn2(self.conv2(x)))
