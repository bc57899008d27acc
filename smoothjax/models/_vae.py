"""A variational auto-encoder of 64x64 images with a choice of up-sampling in its decoder."""

import itertools
import math
from functools import partial
from typing import NamedTuple, get_args

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from .. import nn
from .._checks import check_choice, check_dtypes, check_int, check_rngs
from ..names import Likelihood, PhaseOrder
from ._conv import Conv
from ._likelihood import LIKELIHOODS, LOG_LIKELIHOODS, kl_to_standard_normal
from ._norm import BatchNorm

IMAGE_SHAPE = (64, 64, 3)
# Side of the smallest maps between encoder and decoder.
_GRID = 4
_LEVELS = 4
# A standard deviation of 0.22, as of pixels in photographs, matches the error of an untrained decoder.
_INITIAL_LOG_SCALE = {"gaussian": -1.5, "discretized_logistic": -2.1}
_HE = nnx.initializers.he_normal()
# The decoder starts with a grey image: patterns from random weights would have to be unlearnt.
_SMALL = nnx.initializers.variance_scaling(0.01, "fan_in", "normal")


class ImageDistribution(NamedTuple):
    """The parameters of the likelihood: independent distributions of one scale, in units of images in 0 .. 1.

    Attributes:
      mean: `[N, 64, 64, 3]`.
      log_scale: scalar, the logarithm of the Gaussian's standard deviation or of the logistic's scale.
    """

    mean: jax.Array
    log_scale: jax.Array


class Elbo(NamedTuple):
    """The evidence lower bound of every image and its two terms, `[N]`, in nats.

    Attributes:
      elbo: `reconstruction - kl`, a lower bound on the log-probability of the 8-bit image.
      reconstruction: log-likelihood of the image given one sample of its latents.
      kl: divergence of the posterior from the prior.
    """

    elbo: jax.Array
    reconstruction: jax.Array
    kl: jax.Array


class ConvVAE(nnx.Module):
    """Variational auto-encoder of 64x64 colour images with a choice of up-sampling in its decoder.

    The authors' VAE code is not available, and the paper only describes a standard VAE at 64x64x3 with 6x6 kernels in
    the transposed convolutions (Sec. 3.2). This architecture is ours: four 4x4 convolutions of stride 2, of w, 2w, 4w
    and 8w channels, and a linear layer to mean and log-variance of the latents; back from a linear layer to 4x4 cells
    of 8w channels, four up-sampling layers to 4w, 2w, w and w channels, and one 3x3 convolution to the mean of the
    pixels. Batch normalisation and ELU follow every layer except the two that make latents and pixels. The prior is the
    standard normal, the posterior a diagonal Gaussian, and all pixels share one learnt scale. The means of the
    posterior are also batch-normalised, without scale and bias: from the first step each latent has the mean and the
    variance of the prior over the data. The divergence alone would take tens of thousands of steps for this, with
    meaningless samples until then. Everything except the four up-sampling layers is the same for every method.

    Nothing in the model is random: the noise of the latents is an argument. A new model is in evaluation mode and can
    be called under `jax.jit` as a closure; `train()` switches to batch statistics.

    Args:
      upsampling: `"dcl"` (6x6), `"ipixel_dcl"`, `"pixel_dcl"`, `"fast_pixel_dcl"` (the paper's PixelDCL),
        `"resize_conv"`, `"sub_pixel"`, `"sub_pixel_blur"`, `"carafe"` or `"dysample"`; see `nn.UpConv`.
      order: order of the phases of `"ipixel_dcl"` and `"pixel_dcl"`, `"figure"` or `"equations"`; see
        `ops.pixel_order`.
      latent_features: size of the latent vector.
      width: w, channels of the first level.
      likelihood: `"gaussian"`, of images dequantised by the caller as (v + u) / 256, see `gaussian_log_likelihood`; or
        `"discretized_logistic"`, of images v / 255, see `discretized_logistic_log_likelihood`.
      momentum: decay of the running batch statistics in a step.
      epsilon: added to the variance in batch normalisation.
      dtype: dtype of the convolutions and linear layers; batch normalisation and likelihood are computed in float32.
      rngs: source of randomness; every method draws the same kernels outside the up-sampling from the same seed.

    Raises:
      ValueError: an option is invalid; when called, an argument has another shape or dtype.

    Example:
      >>> import jax.numpy as jnp
      >>> from flax import nnx
      >>> from smoothjax import models
      >>> make = lambda: models.ConvVAE(upsampling="fast_pixel_dcl", rngs=nnx.Rngs(0))
      >>> model = nnx.eval_shape(make)  # shapes only; make() or nnx.jit(make)() gives it weights
      >>> images, noise = jnp.full((2, 64, 64, 3), 0.5), jnp.zeros((2, 64))
      >>> elbo, reconstruction, kl = nnx.eval_shape(lambda m, x, e: m.elbo(x, e), model, images, noise)
      >>> elbo.shape, nnx.eval_shape(lambda m, z: m.sample(z), model, noise).shape
      ((2,), (2, 64, 64, 3))

    References:
      Gao et al., Pixel Deconvolutional Networks, 2017, Sec. 3.2 and Fig. 9; Kingma & Welling, Auto-Encoding Variational
      Bayes, 2014; Rybkin et al., Simple and Effective VAE Training with Calibrated Decoders, 2021 (one learnt scale);
      Zhu et al., A Batch Normalized Inference Network Keeps the KL Vanishing Away, 2020 (normalised means).
    """

    down: nnx.List[nnx.Conv]
    down_norms: nnx.List[BatchNorm]
    to_latents: nnx.Linear
    latent_norm: nnx.BatchNorm
    from_latents: nnx.Linear
    up: nnx.List[nn.UpConv]
    up_norms: nnx.List[BatchNorm]
    to_mean: nnx.Conv
    log_scale: nnx.Param[jax.Array]
    upsampling: nn.Upsampling
    likelihood: Likelihood
    latent_features: int
    width: int
    dtype: DTypeLike | None

    def __init__(
        self,
        *,
        upsampling: nn.Upsampling = "dcl",
        order: PhaseOrder | None = None,
        latent_features: int = 64,
        width: int = 32,
        likelihood: Likelihood = "gaussian",
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        dtype: DTypeLike | None = None,
        rngs: nnx.Rngs,
    ):
        check_rngs(rngs)
        check_dtypes(dtype=dtype)
        check_choice("upsampling", upsampling, nn.UPSAMPLINGS)
        check_choice("order", order, (None, *get_args(PhaseOrder)))
        check_choice("likelihood", likelihood, LIKELIHOODS)
        latent_features = check_int("latent_features", latent_features, remedy="32 to 256 suit 64x64 images")
        width = check_int("width", width, remedy="16 to 64 suit 64x64 images")
        self.upsampling, self.likelihood = upsampling, likelihood
        self.latent_features, self.width, self.dtype = latent_features, width, dtype

        norm = partial(BatchNorm, mode="trained", momentum=momentum, epsilon=epsilon, rngs=rngs)
        linear = partial(nnx.Linear, dtype=dtype, rngs=rngs)
        conv = partial(Conv, dtype=dtype, rngs=rngs)
        down = [width * 2**level for level in range(_LEVELS)]
        up = [*reversed(down), width]
        cells = _GRID**2 * down[-1]
        self.down = nnx.List(
            conv(c_in, c_out, (4, 4), strides=2, padding=1, use_bias=False, kernel_init=_HE)
            for c_in, c_out in zip([3, *down], down, strict=False)
        )
        self.down_norms = nnx.List(norm(c) for c in down)
        self.to_latents = linear(cells, 2 * latent_features)
        self.latent_norm = nnx.BatchNorm(
            latent_features,
            use_running_average=True,
            momentum=momentum,
            epsilon=epsilon,
            use_scale=False,
            use_bias=False,
            rngs=rngs,
        )
        self.from_latents = linear(latent_features, cells, use_bias=False)
        self.up_norms = nnx.List(norm(c) for c in up)
        self.to_mean = conv(width, 3, (3, 3), kernel_init=_SMALL)
        self.log_scale = nnx.Param(jnp.asarray(_INITIAL_LOG_SCALE[likelihood], jnp.float32))
        # Last, so that everything else is the same for every method.
        self.up = nnx.List(
            nn.UpConv(c_in, c_out, method=upsampling, order=order, use_bias=False, dtype=dtype, rngs=rngs)
            for c_in, c_out in itertools.pairwise(up)
        )

    def encode(self, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Maps images `[N, 64, 64, 3]` in 0 .. 1 to mean and log-variance of their latents, `[N, features]` each."""
        _check("images", images, IMAGE_SHAPE, "crop and resize them, and add the batch axis")
        x = 2 * images - 1
        for conv, norm in zip(self.down, self.down_norms, strict=True):
            x = nnx.elu(norm(conv(x)))
        moments = self.to_latents(x.reshape(x.shape[0], -1)).astype(jnp.promote_types(jnp.float32, images.dtype))
        mean, log_variance = jnp.split(moments, 2, axis=-1)
        return self.latent_norm(mean), log_variance

    def decode(self, latents: jax.Array) -> ImageDistribution:
        """Maps latents `[N, latent_features]` to the distribution of the images."""
        _check("latents", latents, (self.latent_features,), "draw or encode one row per image")
        x = self.from_latents(latents).reshape(-1, _GRID, _GRID, self.width * 2 ** (_LEVELS - 1))
        x = nnx.elu(self.up_norms[0](x))
        for upsample, norm in zip(self.up, list(self.up_norms)[1:], strict=True):
            x = nnx.elu(norm(upsample(x)))
        mean = (1 + self.to_mean(x).astype(jnp.promote_types(jnp.float32, latents.dtype))) / 2
        return ImageDistribution(mean, self.log_scale[...])

    def elbo(self, images: jax.Array, noise: jax.Array) -> Elbo:
        """The evidence lower bound of images, estimated with one sample of their latents.

        Args:
          images: `[N, 64, 64, 3]` in 0 .. 1, made from 8-bit values as the likelihood requires.
          noise: standard normal, `[N, latent_features]`; the latents are `mean + exp(log_variance / 2) * noise`.

        Returns:
          The bound and its terms for every image, `[N]` each, in nats.
        """
        _check("noise", noise, (self.latent_features,), "draw one row an image from the standard normal")
        if images.shape[:1] != noise.shape[:1]:
            raise ValueError(
                f"images and noise must have the same number of rows, got {images.shape[0]} and {noise.shape[0]}: "
                "draw one row an image"
            )
        mean, log_variance = self.encode(images)
        pixels = self.decode(mean + jnp.exp(log_variance / 2) * noise)
        reconstruction = LOG_LIKELIHOODS[self.likelihood](images, *pixels)
        kl = kl_to_standard_normal(mean, log_variance)
        return Elbo(reconstruction - kl, reconstruction, kl)

    def bits_per_dimension(self, elbo: jax.Array) -> jax.Array:
        """The bound in bits for each of the 64 x 64 x 3 values of an image, of the shape of `elbo` (nats an image)."""
        return -elbo / (math.prod(IMAGE_SHAPE) * math.log(2))

    def reconstruct(self, images: jax.Array) -> jax.Array:
        """Images `[N, 64, 64, 3]` in 0 .. 1 as the decoder's mean at the mean of their latents."""
        mean, _ = self.encode(images)
        return self.sample(mean)

    def sample(self, latents: jax.Array) -> jax.Array:
        """Maps latents `[N, latent_features]` to images `[N, 64, 64, 3]` in 0 .. 1: the decoder's mean, clipped."""
        return jnp.clip(self.decode(latents).mean, 0, 1)


def _check(name: str, value: jax.Array, shape: tuple[int, ...], remedy: str) -> None:
    fits = value.ndim == 1 + len(shape) and value.shape[1:] == shape
    if not fits or not jnp.issubdtype(value.dtype, jnp.floating):
        wanted = ", ".join(map(str, shape))
        raise ValueError(
            f"{name} must be [N, {wanted}] of a float dtype, got {value.dtype}{list(value.shape)}: {remedy}"
        )
