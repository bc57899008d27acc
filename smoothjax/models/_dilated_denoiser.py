"""A denoiser of dilated layers at full resolution, which predicts the noise."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from .._checks import check_images
from ..names import EncoderDegridding
from ._conv import Conv
from ._dilated_stack import RATES, DilatedStackEncoder

_WHITE = 255.0


class DilatedDenoiser(nnx.Module):
    """Takes noise out of images: a `DilatedStackEncoder`, and a 1x1 convolution that predicts the noise.

    The network predicts the noise, not the image (residual learning, Zhang et al., 2017a), with dilated layers in place
    of the reduced resolution or the many layers that a large field of view needs otherwise (Zhang et al., 2017b). The
    last convolution is 1x1, so nothing after the dilated layers mixes pixels: a 3x3 one would be a remedy for gridding
    itself. It starts at zero, so a new network returns its input. Behind a 1x1 stem, with even rates and without
    degridding, the four phases of an image are restored as if they were four images. Starts in evaluation mode;
    `train()` switches batch normalisation to batch statistics.

    Args:
      stem: taps along each axis of the first convolution, 1, 3 or 5.
      rates, smoothing: dilation rates of the layers after it, in pixels, and their degridding, see
        `DilatedStackEncoder`.
      width: channels of all layers but the last.
      in_features: channels of the images, 3 for RGB.
      dtype: dtype of the convolutions; the noise is subtracted in float32 at least.
      rngs: source of randomness; every choice of smoothing draws the same kernels from the same seed.

    Attributes:
      encoder: the `DilatedStackEncoder`, which has the options.
      head: the last convolution.

    Raises:
      ValueError: an option is invalid, or multigrid meets a rate below 2; when called, images are of another shape, or
        not of a float dtype.

    Example:
      >>> import jax.numpy as jnp
      >>> from flax import nnx
      >>> from smoothjax import models
      >>> model = models.DilatedDenoiser(width=4, smoothing="ss_conv", rngs=nnx.Rngs(0))
      >>> images = jnp.full((1, 9, 12, 3), 200.0)
      >>> model.noise(images).shape
      (1, 9, 12, 3)
      >>> bool((model(images) == images).all())
      True

    References:
      Zhang et al., Beyond a Gaussian Denoiser: Residual Learning of Deep CNN for Image Denoising, IEEE Transactions on
      Image Processing, 2017a. Zhang et al., Learning Deep CNN Denoiser Prior for Image Restoration, CVPR 2017b.
    """

    encoder: DilatedStackEncoder
    head: nnx.Conv

    def __init__(
        self,
        *,
        stem: int = 1,
        rates: tuple[int, ...] = RATES,
        smoothing: EncoderDegridding = "none",
        width: int = 16,
        in_features: int = 3,
        dtype: DTypeLike | None = None,
        rngs: nnx.Rngs,
    ):
        self.encoder = DilatedStackEncoder(
            stem=stem, rates=rates, smoothing=smoothing, width=width, in_features=in_features, dtype=dtype, rngs=rngs
        )
        zeros = nnx.initializers.zeros
        self.head = Conv(width, in_features, (1, 1), kernel_init=zeros, dtype=dtype, rngs=rngs)

    def noise(self, images: jax.Array) -> jax.Array:
        """The predicted noise of images of 0 .. 255, `[N, H, W, in_features]`, in the same units, float32 at least."""
        check_images(images, self.encoder.in_features)
        # The encoder sees 0 .. 1, and the head answers in the same units.
        noise = self.head(self.encoder(images / _WHITE))
        return _WHITE * noise.astype(jnp.promote_types(jnp.float32, images.dtype))

    def __call__(self, images: jax.Array) -> jax.Array:
        """Maps images of 0 .. 255, `[N, H, W, in_features]`, to the images without noise, neither clipped nor rounded.

        Noise may lead beyond 0 .. 255; that is no reason to clip the images.
        """
        return images - self.noise(images)
