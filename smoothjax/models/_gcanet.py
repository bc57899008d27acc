"""GCANet, an image-restoration network built on smoothed dilated convolutions, and its inputs and outputs."""

from functools import partial
from typing import Any, get_args

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from .. import nn
from .._checks import check_choice, check_dtypes, check_images, check_int, check_rngs
from ..names import RestorationTask
from ._conv import Conv

TASKS: tuple[RestorationTask, ...] = get_args(RestorationTask)
"""The tasks of `GCANet`."""


_RATES = (2, 2, 2, 4, 4, 4, 1)
_GATED = (3, 6)  # the features after these blocks, and those before the first, are gated
_EPSILON = 1e-5
_CENTRE = 128.0


class GCANet(nnx.Module):
    """Gated context aggregation network, which removes haze or rain from images (Chen et al., WACV 2019).

    The layers: two 3x3 convolutions and one of stride 2; six residual blocks of smoothed dilated 3x3 convolutions of
    rates 2, 2, 2, 4, 4, 4, and one block of plain convolutions; the sum of three levels of features, weighted by a
    gate for each level and pixel; a 4x4 transposed convolution of factor 2, a 3x3 and a 1x1 convolution. Affine
    instance normalisation and ReLU follow all except the gate and the last layer.

    `model(x)` maps `gcanet_input(images)`, `[N, H, W, 4]`, to its raw output `[N, H, W, 3]`, float32 in units of 0 ..
    255: for `"dehaze"` the residual, before the image is added, for `"derain"` the unclipped image; `gcanet_image`
    makes the image from either. Instance normalisation uses the statistics of the current image, so evaluation and
    training are the same. All parameters, smoothing included, are `nnx.Param`.

    Args:
      task: `"dehaze"`, or `"derain"`, which has a ReLU at the end.
      smoothing: smoothing of the twelve dilated convolutions, `"ss_conv"` as published, or another of `nn.DilatedConv`.
      width: channels of all layers; 64 is the published network.
      dtype: dtype of the convolutions; instance normalisation is computed in float32.
      rngs: source of randomness; every choice of smoothing draws the same kernels from the same seed.

    Raises:
      ValueError: an option is invalid; when called, x is not `[N, H, W, 4]` of a float dtype, or a size is
        odd.

    Example:
      >>> import jax.numpy as jnp
      >>> from flax import nnx
      >>> from smoothjax import models
      >>> model = nnx.eval_shape(lambda: models.GCANet(task="dehaze", rngs=nnx.Rngs(0)))
      >>> x = models.gcanet_input(jnp.full((1, 32, 48, 3), 200.0))
      >>> nnx.eval_shape(lambda model, x: model(x), model, x).shape
      (1, 32, 48, 3)

    References:
      Chen et al., Gated Context Aggregation Network for Image Dehazing and Deraining, WACV 2019.
    """

    conv1: nnx.Conv
    norm1: "InstanceNorm"
    conv2: nnx.Conv
    norm2: "InstanceNorm"
    conv3: nnx.Conv
    norm3: "InstanceNorm"
    blocks: "nnx.List[_Block]"
    gate: nnx.Conv
    deconv3: nn.UpConv
    norm4: "InstanceNorm"
    deconv2: nnx.Conv
    norm5: "InstanceNorm"
    deconv1: nnx.Conv
    task: RestorationTask
    smoothing: nn.Smoothing

    def __init__(
        self,
        *,
        task: RestorationTask,
        smoothing: nn.Smoothing = "ss_conv",
        width: int = 64,
        dtype: DTypeLike | None = None,
        rngs: nnx.Rngs,
    ):
        check_rngs(rngs)
        check_dtypes(dtype=dtype)
        check_choice("task", task, TASKS)
        check_choice("smoothing", smoothing, nn.SMOOTHINGS)
        width = check_int("width", width, remedy="64 is the published network")
        conv = partial(Conv, kernel_size=(3, 3), padding=1, dtype=dtype, rngs=rngs)
        norm = partial(InstanceNorm, width, rngs=rngs)
        self.conv1, self.norm1 = conv(4, width, use_bias=False), norm()
        self.conv2, self.norm2 = conv(width, width, use_bias=False), norm()
        self.conv3, self.norm3 = conv(width, width, strides=2, use_bias=False), norm()
        self.blocks = nnx.List(_Block(width, rate, smoothing, dtype=dtype, rngs=rngs) for rate in _RATES)
        self.gate = conv(3 * width, 3)
        self.deconv3 = nn.UpConv(width, width, method="dcl", kernel_size=(4, 4), dtype=dtype, rngs=rngs)
        self.norm4 = norm()
        self.deconv2, self.norm5 = conv(width, width), norm()
        self.deconv1 = Conv(width, 3, (1, 1), dtype=dtype, rngs=rngs)
        self.task, self.smoothing = task, smoothing

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `gcanet_input(images)`, `[N, H, W, 4]`, to the raw output `[N, H, W, 3]`, float32."""
        _check_input(x)
        y = nnx.relu(self.norm1(self.conv1(x)))
        y = nnx.relu(self.norm2(self.conv2(y)))
        y = nnx.relu(self.norm3(self.conv3(y)))
        levels = [y]
        for index, block in enumerate(self.blocks):
            y = block(y)
            if index in _GATED:
                levels.append(y)
        gates = jnp.split(self.gate(jnp.concatenate(levels, -1)), len(levels), -1)
        first, *others = (level * gate for level, gate in zip(levels, gates, strict=True))
        y = nnx.relu(self.norm4(self.deconv3(sum(others, first))))
        y = nnx.relu(self.norm5(self.deconv2(y)))
        y = self.deconv1(y).astype(jnp.promote_types(jnp.float32, x.dtype))
        return nnx.relu(y) if self.task == "derain" else y


class InstanceNorm(nnx.InstanceNorm):
    """`flax.nnx.InstanceNorm` in float32 for any input dtype, with variances that lose no digits to the mean."""

    def __init__(self, num_features: int, *, rngs: nnx.Rngs):
        super().__init__(num_features, epsilon=_EPSILON, use_fast_variance=False, rngs=rngs)

    def __call__(self, x: jax.Array, **options: Any) -> jax.Array:
        """Normalises each channel of each image of `[N, H, W, num_features]`, in x's dtype."""
        return super().__call__(x.astype(jnp.promote_types(jnp.float32, x.dtype)), **options).astype(x.dtype)


class _Block(nnx.Module):
    """Two dilated convolutions, smoothed if the rate is above 1, plus the input."""

    # Plain at rate 1, else dilated.
    conv1: Any
    norm1: InstanceNorm
    conv2: Any
    norm2: InstanceNorm

    def __init__(self, width: int, rate: int, smoothing: nn.Smoothing, *, dtype: DTypeLike | None, rngs: nnx.Rngs):
        def conv() -> nnx.Module:
            common = {"use_bias": False, "dtype": dtype, "rngs": rngs}
            if rate == 1:
                return Conv(width, width, (3, 3), padding=1, **common)
            return nn.DilatedConv(width, width, (3, 3), rate=rate, smoothing=smoothing, **common)

        self.conv1, self.norm1 = conv(), InstanceNorm(width, rngs=rngs)
        self.conv2, self.norm2 = conv(), InstanceNorm(width, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        y: Any = nnx.relu(self.norm1(self.conv1(x)))
        return nnx.relu(x + self.norm2(self.conv2(y)))


def edge_map(images: jax.Array) -> jax.Array:
    """The difference of each pixel from its four neighbours: GCANet's fourth channel.

    Args:
      images: RGB of 0 .. 255, `[N, H, W, 3]` of a float dtype.

    Returns:
      The sum of absolute differences over 12, without neighbours beyond the border, `[N, H, W, 1]`.

    Raises:
      ValueError: images are of another shape or dtype.

    Example:
      >>> import jax.numpy as jnp
      >>> from smoothjax import models
      >>> images = jnp.tile(jnp.array([0.0, 8.0, 8.0])[:, None], (1, 1, 1, 3))
      >>> models.edge_map(images).ravel().tolist()
      [2.0, 2.0, 0.0]
    """
    check_images(images)
    total = jnp.zeros_like(images)
    for axis in (1, 2):
        step = jnp.abs(jnp.diff(images, axis=axis))
        for side in ((1, 0), (0, 1)):
            total += jnp.pad(step, [side if a == axis else (0, 0) for a in range(4)])
    return total.sum(-1, keepdims=True) / 12


def gcanet_input(images: jax.Array) -> jax.Array:
    """The input of `GCANet`: the image and its edge map, minus 128, padded at its end to an even size.

    The last row or column is repeated, which does not change the edge map of the image; the published code resizes
    instead. `gcanet_image` crops.

    Args:
      images: RGB of 0 .. 255, `[N, H, W, 3]` of a float dtype and any size.

    Returns:
      `[N, 2 * ceil(H / 2), 2 * ceil(W / 2), 4]`.

    Raises:
      ValueError: images are of another shape or dtype.

    Example:
      >>> import jax.numpy as jnp
      >>> from smoothjax import models
      >>> models.gcanet_input(jnp.zeros((1, 5, 8, 3))).shape
      (1, 6, 8, 4)
    """
    check_images(images)
    images = jnp.pad(images, [(0, 0), *((0, -size % 2) for size in images.shape[1:3]), (0, 0)], mode="edge")
    return jnp.concatenate([images, edge_map(images)], -1) - _CENTRE


def gcanet_image(output: jax.Array, images: jax.Array, *, task: RestorationTask) -> jax.Array:
    """The restored image, from the raw output of `GCANet`.

    Args:
      output: the model's output for `gcanet_input(images)`.
      images: RGB of 0 .. 255, `[N, H, W, 3]` of a float dtype.
      task: `"dehaze"`, which adds the image to the output, or `"derain"`.

    Returns:
      uint8 `[N, H, W, 3]`: cropped to the images, rounded, clipped to 0 .. 255.

    Raises:
      ValueError: task is unknown, or images are of another shape or dtype.

    Example:
      >>> import jax.numpy as jnp
      >>> from smoothjax import models
      >>> output, images = jnp.full((1, 2, 2, 3), -9.6), jnp.full((1, 1, 1, 3), 200.0)
      >>> models.gcanet_image(output, images, task="dehaze").ravel().tolist()
      [190, 190, 190]
    """
    check_choice("task", task, TASKS)
    check_images(images)
    cropped = output[:, : images.shape[1], : images.shape[2]]
    restored = cropped + images if task == "dehaze" else cropped
    return jnp.clip(jnp.round(restored), 0, 255).astype(jnp.uint8)


def _check_input(x: jax.Array) -> None:
    if x.ndim != 4 or x.shape[-1] != 4 or not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(
            f"x must be [N, H, W, 4] of a float dtype, got {x.dtype}{list(x.shape)}: models.gcanet_input makes it"
        )
    if any(isinstance(size, int) and size % 2 for size in x.shape[1:3]):
        raise ValueError(
            f"x must have an even height and width, got {x.shape[1]} x {x.shape[2]}: models.gcanet_input pads it"
        )
