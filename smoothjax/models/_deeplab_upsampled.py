"""DeepLab with learnt up-sampling to full resolution."""

from typing import get_args

import jax
import jax.numpy as jnp
from flax import nnx

from .. import nn
from .._checks import check_choice, check_rngs
from ..names import PhaseOrder
from ._conv import Conv
from ._deeplab import DeepLab
from ._duc import DenseUpsamplingHead


class DeepLabUpsampled(nnx.Module):
    """DeepLab followed by up-sampling blocks, back to full resolution (Gao et al., 2017, Sec. 3.1, Table 1).

    Each block is an up-sampling layer by 2 and a 3x3 convolution, on the class logits, with ReLU between the layers:
    three blocks at output stride 8, as published. `model(images)` maps `[N, H, W, C]` of any size to float32 logits
    `[N, H, W, num_classes]`: at stride 8 the blocks give `8 * ceil(H / 8)` rows, of which the first H are kept, since
    cell i of DeepLab sits on pixel 8i. The paper only describes a block as "a deconvolutional layer followed by a
    convolutional layer"; 3x3 and ReLU are ours. A new model is in evaluation mode.

    Args:
      deeplab: the network to extend, in place; its head is `"aspp"` or `"large_fov"`.
      upsampling: `"dcl"` (6x6), `"ipixel_dcl"`, `"pixel_dcl"`, `"fast_pixel_dcl"` (the paper's PixelDCL),
        `"resize_conv"`, `"sub_pixel"`, `"sub_pixel_blur"`, `"carafe"` or `"dysample"`; see `nn.UpConv`.
      order: order of the phases of `"ipixel_dcl"` and `"pixel_dcl"`, `"figure"` or `"equations"`; see
        `ops.pixel_order`.
      rngs: source of randomness; every method draws the same kernels outside the up-sampling from the same seed.

    Raises:
      ValueError: upsampling is unknown, or the head is `"duc"`, which up-samples by itself, or the output stride
        is 1; when called, images are not `[N, H, W, C]` of a float dtype.

    Example:
      >>> import jax.numpy as jnp
      >>> from flax import nnx
      >>> from smoothjax import models
      >>> def make():
      ...     rngs = nnx.Rngs(0)
      ...     deeplab = models.DeepLab(encoder="resnet18", num_classes=5, rngs=rngs)
      ...     return models.DeepLabUpsampled(deeplab, upsampling="fast_pixel_dcl", rngs=rngs)
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
        deeplab: DeepLab,
        *,
        upsampling: nn.Upsampling = "dcl",
        order: PhaseOrder | None = None,
        rngs: nnx.Rngs,
    ):
        check_rngs(rngs)
        check_choice("upsampling", upsampling, nn.UPSAMPLINGS)
        check_choice("order", order, (None, *get_args(PhaseOrder)))
        if isinstance(deeplab.head, DenseUpsamplingHead):
            raise ValueError(
                "deeplab's head must be one of aspp, large_fov, got 'duc', which up-samples by itself: build it with "
                "head='aspp'"
            )
        if deeplab.output_stride == 1:
            raise ValueError(
                "deeplab must have an output stride above 1, got an encoder at full resolution: there is nothing to "
                "up-sample"
            )
        classes, dtype = deeplab.num_classes, deeplab.encoder.dtype
        blocks = deeplab.output_stride.bit_length() - 1  # each doubles the size
        self.deeplab = deeplab
        self.convs = nnx.List(Conv(classes, classes, (3, 3), dtype=dtype, rngs=rngs) for _ in range(blocks))
        # Last, so that everything else is the same for every method.
        self.upsampling = nnx.List(
            nn.UpConv(classes, classes, method=upsampling, order=order, dtype=dtype, rngs=rngs) for _ in range(blocks)
        )
        self.num_classes = classes

    def __call__(self, images: jax.Array) -> jax.Array:
        """Maps images `[N, H, W, C]` to float32 logits `[N, H, W, num_classes]`."""
        x = self.deeplab(images)
        for index, (upsample, conv) in enumerate(zip(self.upsampling, self.convs, strict=True)):
            x = conv(nnx.relu(upsample(x if index == 0 else nnx.relu(x))))
        height, width = images.shape[1:3]
        return x[:, :height, :width].astype(jnp.promote_types(jnp.float32, images.dtype))
