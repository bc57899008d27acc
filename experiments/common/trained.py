"""A checkpoint of a run, read back."""

from pathlib import Path
from typing import Literal

import optax
from jax.sharding import Mesh

from smoothjax import training

from .network import Network

Checkpoint = Literal["best", "latest"]


def restore(
    folder: Path,
    network: Network,
    optimizer: optax.GradientTransformation,
    mesh: Mesh,
    checkpoint: Checkpoint,
    *,
    metric: str = "mean_iou",
    mode: str = "max",
) -> training.Restored:
    """Reads a run's best or latest checkpoint; metric and mode are those of the study, which say what best is.

    Raises:
      FileNotFoundError: there is none yet.
    """
    template = training.replicate(training.create_state(network.params, network.model_state, optimizer), mesh)
    with training.Checkpoints(folder / "checkpoints", metric=metric, mode=mode, read_only=True) as checkpoints:
        restored = checkpoints.restore_best(template) if checkpoint == "best" else checkpoints.restore_latest(template)
    if restored is None:
        raise FileNotFoundError(f"{folder} holds no checkpoint yet: let it train until the first one")
    return restored
