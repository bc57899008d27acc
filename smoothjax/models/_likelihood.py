"""Log-likelihoods of 8-bit images, and the divergence between Gaussians: the terms of the ELBO, in nats."""

from collections.abc import Callable
from typing import get_args

import jax
import jax.numpy as jnp

from ..names import Likelihood

LIKELIHOODS: tuple[Likelihood, ...] = get_args(Likelihood)
"""The likelihoods of `ConvVAE`."""


def gaussian_log_likelihood(images: jax.Array, mean: jax.Array, log_scale: jax.Array) -> jax.Array:
    r"""Log-density of dequantised images under independent Gaussians, in nats per bin of 1/256.

    Convention of dequantisation: an 8-bit value v represents $x = (v + u) / 256$ with u uniform in 0 .. 1, drawn by
    the caller. Each value has a bin of width 1/256, and by Jensen's inequality
    $E_u[\log \mathcal{N}(x; \mu, \sigma^2) - \log 256] \le \log P(v)$: on average, the result bounds the
    log-probability of the 8-bit image from below, in the unit of `discretized_logistic_log_likelihood`.

    Args:
      images: x, `[N, ...]` in 0 .. 1.
      mean: $\mu$, of the shape of images.
      log_scale: $\log \sigma$, a scalar or of the shape of images, in units of images.

    Returns:
      `[N]`, summed over everything else.

    Example:
      >>> import jax.numpy as jnp
      >>> from smoothjax import models
      >>> x = jnp.full((1, 2), 0.5)
      >>> nats = models.gaussian_log_likelihood(x, x, jnp.log(0.1))  # 2 (-log(sqrt(2 pi) 0.1) - log 256)
      >>> print(f"{nats[0]:.3f}")
      -8.323
    """
    error = (images - mean) * jnp.exp(-log_scale)
    return _sum(-0.5 * error**2 - log_scale - 0.5 * jnp.log(2 * jnp.pi) - jnp.log(256.0))


def discretized_logistic_log_likelihood(images: jax.Array, mean: jax.Array, log_scale: jax.Array) -> jax.Array:
    r"""Exact log-probability of 8-bit values under independent discretised logistic distributions, in nats.

    The probability of the value v at $x = v / 255$ is that of its bin under the logistic distribution,

    $$P(v) = \sigma\Big(\frac{x + h - \mu}{s}\Big) - \sigma\Big(\frac{x - h - \mu}{s}\Big), \quad h = \frac{1}{510},$$

    and the bins of 0 and 255 reach to infinity, so that the 256 probabilities add to 1. This is the convention of
    PixelCNN++, there in units of -1 .. 1.

    Args:
      images: x, `[N, ...]` in 0 .. 1; rounded to the nearest v / 255.
      mean: $\mu$, of the shape of images.
      log_scale: $\log s$, a scalar or of the shape of images, in units of images; the standard deviation is 1.81 s.

    Returns:
      `[N]`, summed over everything else.

    Example:
      >>> import jax.numpy as jnp
      >>> from smoothjax import models
      >>> values = jnp.arange(256.0)[:, None] / 255
      >>> nats = models.discretized_logistic_log_likelihood(values, jnp.full((256, 1), 0.3), jnp.log(0.1))
      >>> print(f"{jnp.exp(nats).sum():.4f}")
      1.0000

    References:
      Kingma et al., Improved Variational Inference with Inverse Autoregressive Flow, 2016; Salimans et al., PixelCNN++,
      2017, Sec. 2.1.
    """
    values = jnp.round(255 * images)
    inverse = jnp.exp(-log_scale)
    upper = (values / 255 + 1 / 510 - mean) * inverse
    lower = (values / 255 - 1 / 510 - mean) * inverse
    below_upper, above_lower = jax.nn.log_sigmoid(upper), jax.nn.log_sigmoid(-lower)
    # sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - e^(b - a)): no difference of nearly equal numbers.
    inside = below_upper + above_lower + jnp.log(-jnp.expm1(-inverse / 255))
    return _sum(jnp.where(values <= 0, below_upper, jnp.where(values >= 255, above_lower, inside)))


def kl_to_standard_normal(mean: jax.Array, log_variance: jax.Array) -> jax.Array:
    r"""Kullback-Leibler divergence of a diagonal Gaussian from the standard normal, in nats.

    $$D = \frac12 \sum_i (\mu_i^2 + \sigma_i^2 - \log \sigma_i^2 - 1)$$

    Args:
      mean: $\mu$, `[N, features]`.
      log_variance: $\log \sigma^2$, `[N, features]`.

    Returns:
      `[N]`, not negative.

    Example:
      >>> import jax.numpy as jnp
      >>> from smoothjax import models
      >>> models.kl_to_standard_normal(jnp.ones((1, 4)), jnp.zeros((1, 4))).tolist()
      [2.0]
    """
    # expm1: near the prior, e^l - 1 - l would be the difference of nearly equal numbers.
    return 0.5 * _sum(mean**2 + jnp.expm1(log_variance) - log_variance)


LOG_LIKELIHOODS: dict[str, Callable[[jax.Array, jax.Array, jax.Array], jax.Array]] = {
    "gaussian": gaussian_log_likelihood,
    "discretized_logistic": discretized_logistic_log_likelihood,
}


def _sum(terms: jax.Array) -> jax.Array:
    return terms.sum(tuple(range(1, terms.ndim)))
