"""A run read back: a study's network with the parameters of a checkpoint."""

from pathlib import Path
from typing import Literal

from smoothjax import training

from .comparison import C
from .learner import S, T
from .network import M
from .run_folder import load_config
from .study import Study, Trained

Checkpoint = Literal["best", "latest"]


def read_run(
    study: Study[C, T, S, M], folder: Path, checkpoint: Checkpoint, data_root: Path | None = None
) -> Trained[C, T, M]:
    """Reads a run's best or latest checkpoint; `data_root` is where its data lie now, if they have moved.

    Raises:
      FileNotFoundError: there is no run, or no checkpoint yet.
    """
    config = load_config(folder, study.config)
    if data_root is not None:
        config = study.moved(config, data_root)
    target, mesh = study.read_target(config, folder), training.data_mesh()
    network = study.build_network(config, target)
    optimizer, _ = study.make_optimizer(config, network.params)
    template = training.replicate(training.create_state(network.params, network.model_state, optimizer), mesh)
    with training.Checkpoints(
        folder / "checkpoints", metric=study.metric, mode=study.mode, read_only=True
    ) as checkpoints:
        restored = checkpoints.restore_best(template) if checkpoint == "best" else checkpoints.restore_latest(template)
    if restored is None:
        raise FileNotFoundError(f"{folder} holds no checkpoint yet: let it train until the first one")
    return Trained(config, target, network, restored.state, restored.step, mesh)
