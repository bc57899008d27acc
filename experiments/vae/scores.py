"""Scores of a trained auto-encoder, compiled over a mesh."""

from typing import Any

import dm_pix
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from smoothjax import analysis, training

from ..common.config import fill_devices
from ..common.network import Network
from .config import Config
from .sources import Pictures, draw_latents, held_out_batches

# Enough images for a sure figure; the same latents for every run.
_SAMPLES, _SAMPLE_SEED = 256, 0


class Scorer:
    """Scores states of a network.

    Args:
      config: the configuration.
      network: its network.
      mesh: the devices.
    """

    def __init__(self, config: Config, network: Network, mesh: Mesh):
        self._config, self._mesh = fill_devices(config, mesh.size), mesh
        everywhere, split = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((), ("data",)))

        def score(params: Any, model_state: Any, batch: Any) -> tuple[dict[str, jax.Array], jax.Array]:
            model = nnx.merge(network.eval_graph, params, model_state)
            elbo, reconstruction, kl = model.elbo(batch["image"], batch["noise"])
            decoded = model.reconstruct(batch["pixels"])
            values = {
                "images": jnp.ones_like(elbo),
                "elbo": elbo,
                "reconstruction": reconstruction,
                "kl": kl,
                "bits_per_dimension": model.bits_per_dimension(elbo),
                "psnr": dm_pix.psnr(batch["pixels"], decoded),
                "ssim": dm_pix.ssim(batch["pixels"], decoded),
            }
            valid = batch["valid"]
            return {name: jnp.sum(valid * value) for name, value in values.items()}, decoded

        def decode(params: Any, model_state: Any, latents: jax.Array) -> jax.Array:
            return nnx.merge(network.eval_graph, params, model_state).sample(latents)

        self._score = jax.jit(score, out_shardings=(everywhere, split))
        # Every process decodes all of them: they are few.
        self._decode = jax.jit(decode, out_shardings=everywhere)

    def score(
        self, state: training.TrainState, source: Pictures, *, limit: int | None = None, keep: int = 0
    ) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """Means over a split, in nats per image, bits, dB and 1.

        Args:
          state: what to score.
          source: the split.
          limit: only this many images, spread evenly.
          keep: number of images to return with their reconstructions; none where several processes share the work.

        Returns:
          The means by name, and `"originals"` and `"reconstructions"`, uint8 `[keep, 64, 64, 3]`.
        """
        totals: dict[str, float] = {}
        keep = min(keep, len(source)) if jax.process_count() == 1 else 0
        wanted = [i * len(source) // keep for i in range(keep)]
        kept: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        for batch in held_out_batches(source, self._config, limit):
            index = batch.pop("index")
            arrays = training.shard_batch(batch, self._mesh)
            sums, decoded = self._score(state.params, state.model_state, arrays)
            for name, value in sums.items():
                totals[name] = totals.get(name, 0.0) + float(value)
            for row in np.flatnonzero(np.isin(index, wanted)):
                kept[int(index[row])] = (as_bytes(batch["pixels"][row]), as_bytes(decoded[row]))
        pairs = [kept[i] for i in wanted]
        examples = {
            name: np.stack(column)
            for name, column in zip(("originals", "reconstructions"), zip(*pairs, strict=True), strict=False)
        }
        images = totals.pop("images")
        return {name: value / images for name, value in totals.items()}, examples

    def reconstruct(self, state: training.TrainState, source: Pictures, count: int) -> dict[str, np.ndarray]:
        """Originals and reconstructions of images spread evenly over a source, uint8 `[count, 64, 64, 3]` each."""
        return self.score(state, source, limit=count, keep=count)[1]

    def decode(self, state: training.TrainState, latents: np.ndarray) -> np.ndarray:
        """Images in 0 .. 1 of latents, float32 `[N, 64, 64, 3]`."""
        size = self._config.eval_batch_size
        batches = [latents[i : i + size] for i in range(0, len(latents), size)]
        return np.concatenate([np.asarray(self._decode(state.params, state.model_state, batch)) for batch in batches])

    def samples(self, state: training.TrainState, *, keep: int) -> tuple[float, np.ndarray]:
        """The checkerboard measure of samples from the prior, and the first of them, uint8 `[keep, 64, 64, 3]`."""
        images = self.decode(state, draw_latents(_SAMPLES, self._config.model.latent_features, _SAMPLE_SEED))
        return float(analysis.checkerboard_energy(images)), as_bytes(images[:keep])

    def checkerboard_of(self, source: Pictures) -> float:
        """The checkerboard measure of the images themselves, as many as there are samples."""
        count = min(_SAMPLES, len(source))
        images = np.stack([source[i * len(source) // count]["image"] for i in range(count)])
        return float(analysis.checkerboard_energy(images.astype(np.float32) / 255))


def as_bytes(images: Any) -> np.ndarray:
    """Images in 0 .. 1 as 8-bit values."""
    return np.clip(np.rint(np.asarray(images) * 255), 0, 255).astype(np.uint8)
