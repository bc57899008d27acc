"""The networks of the study: how each is made, and how it restores images."""

import jax
import jax.numpy as jnp
from flax import nnx

from smoothjax import models

from ..common.network import compute_dtype
from .config import ModelConfig

RestorationNetwork = models.GCANet | models.DilatedDenoiser


def make_network(config: ModelConfig, rngs: nnx.Rngs) -> RestorationNetwork:
    """The network of a configuration, initialised at random."""
    width, dtype = config.width, compute_dtype(config.precision)
    if config.network == "dilated_stack":
        return models.DilatedDenoiser(
            stem=config.stem, rates=config.rates, smoothing=config.smoothing, width=width, dtype=dtype, rngs=rngs
        )
    assert config.smoothing != "multigrid"  # the configuration refuses it
    return models.GCANet(task=config.task, smoothing=config.smoothing, width=width, dtype=dtype, rngs=rngs)


def restored(model: RestorationNetwork, images: jax.Array) -> jax.Array:
    """The restored images, float32 `[N, H, W, 3]` in 0 .. 255, neither rounded nor clipped, from degraded ones."""
    if isinstance(model, models.DilatedDenoiser):
        return model(images)
    output = model(models.gcanet_input(images))[:, : images.shape[1], : images.shape[2]]
    return output + images if model.task == "dehaze" else output


def in_8_bits(images: jax.Array) -> jax.Array:
    """Images of 0 .. 255 as a file stores them: rounded, clipped, uint8."""
    return jnp.clip(jnp.round(images), 0, 255).astype(jnp.uint8)
