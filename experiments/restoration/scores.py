"""Scores of a trained network, compiled over a mesh."""

from typing import Any

import dm_pix
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from smoothjax import models, training

from ..common.config import fill_devices
from ..common.network import Network
from .batches import held_out_batches
from .config import Config
from .sources import Restorable

# Of equal images PSNR is infinite, and so would be every mean over it.
_LARGEST_PSNR = 100.0
_EXAMPLES = 4


def example_indices(length: int) -> list[int]:
    """The images shown in figures: a few, spread evenly. One process alone can read them all."""
    count = min(_EXAMPLES, length) if jax.process_count() == 1 else 0
    return [i * length // count for i in range(count)]


class Scorer:
    """Scores states of a network: PSNR in dB and SSIM, of 8-bit images, means over the images of a split.

    Args:
      config: the configuration.
      network: its network.
      mesh: the devices.
    """

    def __init__(self, config: Config, network: Network, mesh: Mesh):
        self._config, self._mesh = fill_devices(config, mesh.size), mesh
        task = config.model.task
        everywhere, split = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((), ("data",)))

        def score(params: Any, model_state: Any, batch: Any) -> tuple[dict[str, jax.Array], jax.Array]:
            model = nnx.merge(network.eval_graph, params, model_state)
            degraded, clean = batch["image"], batch["clean"] / 255
            restored = models.gcanet_image(model(models.gcanet_input(degraded)), degraded, task=task)
            values = {
                "images": jnp.ones_like(batch["valid"]),
                **_compare(restored.astype(jnp.float32) / 255, clean),
                **{f"degraded_{name}": value for name, value in _compare(degraded / 255, clean).items()},
            }
            return {name: jnp.sum(batch["valid"] * value) for name, value in values.items()}, restored

        self._score = jax.jit(score, out_shardings=(everywhere, split))

    def score(
        self, state: training.TrainState, source: Restorable, *, limit: int | None = None, keep: bool = False
    ) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """Scores of a split, and images for figures.

        Args:
          state: what to score.
          source: the split.
          limit: only this many images, spread evenly.
          keep: whether to return images, those of `example_indices`.

        Returns:
          `psnr` and `ssim`, and `degraded_psnr` and `degraded_ssim` of the images as they come in; by index,
          `degraded-INDEX`, `restored-INDEX` and `clean-INDEX`, uint8 `[H, W, 3]`.
        """
        totals: dict[str, float] = {}
        kept: dict[str, np.ndarray] = {}
        wanted = example_indices(len(source)) if keep else []
        for batch in held_out_batches(source, self._config, limit):
            index = batch.pop("index")
            sums, restored = self._score(state.params, state.model_state, training.shard_batch(batch, self._mesh))
            for name, value in sums.items():
                totals[name] = totals.get(name, 0.0) + float(value)
            for row in np.flatnonzero(np.isin(index, wanted)):
                images = {"degraded": batch["image"][row], "restored": restored[row], "clean": batch["clean"][row]}
                kept |= {f"{name}-{index[row]}": np.asarray(image).astype(np.uint8) for name, image in images.items()}
        images = totals.pop("images")
        return {name: value / images for name, value in totals.items()}, kept


def _compare(image: jax.Array, clean: jax.Array) -> dict[str, jax.Array]:
    psnr, ssim = jnp.asarray(dm_pix.psnr(image, clean)), jnp.asarray(dm_pix.ssim(image, clean))
    return {"psnr": jnp.minimum(psnr, _LARGEST_PSNR), "ssim": ssim}
