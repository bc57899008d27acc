"""Samples from the prior, and the measure of their checkerboards."""

from functools import partial

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jax.typing import ArrayLike

from smoothjax import analysis, models

from ..common.config import fill_devices
from ..common.network import Trees
from ..common.study import Trained
from .config import Config
from .sources import Pictures, draw_latents

TrainedVAE = Trained[Config, None, models.ConvVAE]

# Enough images for a reliable figure; the same latents for every run.
_SAMPLES, _SAMPLE_SEED = 256, 0


def decode(trained: TrainedVAE, latents: np.ndarray) -> np.ndarray:
    """Images in 0 .. 1 of latents, float32 `[N, 64, 64, 3]`."""

    # Every process decodes all, since they are few.
    @partial(jax.jit, out_shardings=NamedSharding(trained.mesh, PartitionSpec()))
    def sample(trees: Trees, batch: jax.Array) -> jax.Array:
        return trained.network.model(trees).sample(batch)

    trees, size = Trees.of(trained.state), fill_devices(trained.config, trained.mesh.size).eval_batch_size
    batches = [latents[i : i + size] for i in range(0, len(latents), size)]
    return np.concatenate([np.asarray(sample(trees, batch)) for batch in batches])


def checkerboard_of_samples(trained: TrainedVAE) -> tuple[float, np.ndarray]:
    """The checkerboard measure of samples from the prior, and the samples, uint8 `[N, 64, 64, 3]`."""
    images = decode(trained, draw_latents(_SAMPLES, trained.config.model.latent_features, _SAMPLE_SEED))
    return float(analysis.checkerboard_energy(images)), as_bytes(images)


def checkerboard_of_images(source: Pictures) -> float:
    """The checkerboard measure of the same number of images of the data set."""
    count = min(_SAMPLES, len(source))
    images = np.stack([source[i * len(source) // count]["image"] for i in range(count)])
    return float(analysis.checkerboard_energy(images.astype(np.float32) / 255))


def as_bytes(images: ArrayLike) -> np.ndarray:
    """Images in 0 .. 1 as 8-bit values."""
    return np.clip(np.rint(np.asarray(images) * 255), 0, 255).astype(np.uint8)
