"""DeepLab with learnt up-sampling to full resolution."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from .. import nn
from .._checks import check_choice
from ..names import BatchNormMode, Degridding, Encoder, EncoderPadding, Head, StrideIn, StrideUnit
from ._deeplab import HEAD_RATES, DeepLab

_BLOCKS = 3


class DeepLabUpsampled(nnx.Module):
    """DeepLab followed by three up-sampling blocks, back to full resolution (Gao et al., 2017, Sec. 3.1, Table 1).

    Each block is an up-sampling layer by 2 and a 3x3 convolution, on the class logits, with ReLU between the layers.
    `model(images)` maps `[N, H, W, 3]` of any size to float32 logits `[N, H, W, num_classes]`: the blocks give
    `8 * ceil(H / 8)` rows, of which the first H are kept, since cell i of DeepLab sits on pixel 8i. The paper says no
    more than "a deconvolutional layer followed by a convolutional layer" of each block; 3x3 and ReLU are ours. A new
    model is in evaluation mode.

    Args:
      upsampling: `"dcl"` (6x6), `"ipixel_dcl"`, `"pixel_dcl"`, `"fast_pixel_dcl"` (the paper's PixelDCL),
        `"resize_conv"` or `"sub_pixel"`; see `nn.UpConv`.
      num_classes: number of classes, at least 2.
      encoder, head, smoothing, head_rates, stride_in, stride_unit, padding, batch_norm: see `DeepLab`.
      momentum, epsilon, width, remat, dtype: see `DeepLab`.
      rngs: source of randomness; every method draws the same kernels outside the up-sampling from the same seed.

    Raises:
      ValueError: an option is none of the above, or the head is `"duc"`, which up-samples by itself; when called,
        images are not `[N, H, W, 3]` of a float dtype.

    Example:
      >>> import jax.numpy as jnp
      >>> from flax import nnx
      >>> from smoothjax import models
      >>> make = lambda: models.DeepLabUpsampled(encoder="resnet18", num_classes=5, rngs=nnx.Rngs(0))
      >>> model = nnx.eval_shape(make)
      >>> nnx.eval_shape(lambda model, x: model(x), model, jnp.ones((1, 65, 81, 3))).shape
      (1, 65, 81, 5)

    References:
      Gao et al., Pixel Deconvolutional Networks, 2017, Sec. 3.1 and Table 1.
    """

    deeplab: DeepLab
    convs: nnx.List[nnx.Conv]
    upsampling: nnx.List[nn.UpConv]
    num_classes: int

    def __init__(
        self,
        *,
        upsampling: nn.Upsampling = "dcl",
        num_classes: int,
        encoder: Encoder = "resnet101",
        head: Head = "aspp",
        smoothing: Degridding = "none",
        head_rates: tuple[int, ...] | None = None,
        stride_in: StrideIn = "1x1",
        stride_unit: StrideUnit = "first",
        padding: EncoderPadding = "symmetric",
        batch_norm: BatchNormMode = "trained",
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        width: int = 64,
        remat: bool = False,
        dtype: Any = None,
        rngs: nnx.Rngs,
    ):
        check_choice("upsampling", upsampling, nn.UPSAMPLINGS)
        check_choice("head", head, tuple(HEAD_RATES))  # DUC would have nothing left to up-sample
        self.deeplab = DeepLab(
            encoder=encoder,
            head=head,
            num_classes=num_classes,
            smoothing=smoothing,
            head_rates=head_rates,
            stride_in=stride_in,
            stride_unit=stride_unit,
            padding=padding,
            batch_norm=batch_norm,
            momentum=momentum,
            epsilon=epsilon,
            width=width,
            remat=remat,
            dtype=dtype,
            rngs=rngs,
        )
        self.convs = nnx.List(
            nnx.Conv(num_classes, num_classes, (3, 3), dtype=dtype, rngs=rngs) for _ in range(_BLOCKS)
        )
        # Last, so that all the rest is the same for every method.
        self.upsampling = nnx.List(
            nn.UpConv(num_classes, num_classes, method=upsampling, dtype=dtype, rngs=rngs) for _ in range(_BLOCKS)
        )
        self.num_classes = num_classes

    def __call__(self, images: jax.Array) -> jax.Array:
        """Maps images `[N, H, W, 3]` to float32 logits `[N, H, W, num_classes]`."""
        x = self.deeplab(images)
        for index, (upsample, conv) in enumerate(zip(self.upsampling, self.convs, strict=True)):
            x = conv(nnx.relu(upsample(x if index == 0 else nnx.relu(x))))
        height, width = images.shape[1:3]
        return x[:, :height, :width].astype(jnp.promote_types(jnp.float32, images.dtype))
