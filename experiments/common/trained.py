"""A run read back: a study's network with the parameters of a checkpoint."""

from pathlib import Path
from typing import Literal

import optax

from smoothjax import training

from .average import better
from .comparison import C
from .learner import S, T
from .network import M, Network
from .run_folder import load_config
from .study import Study, Trained, Weights

Checkpoint = Literal["best", "latest"]
AskedWeights = Literal["better", "raw", "averaged"]


def read_run(
    study: Study[C, T, S, M],
    folder: Path,
    checkpoint: Checkpoint,
    data_root: Path | None = None,
    weights: AskedWeights = "better",
) -> Trained[C, T, M]:
    """Reads a run's best or latest checkpoint; `data_root` is the folder of its data, if they have moved.

    If a run averages its weights, the default is the better of raw and averaged weights on val at this checkpoint, with
    a message that names them; raw weights if that was not measured.

    Raises:
      FileNotFoundError: there is no run, or no checkpoint yet.
      ValueError: averaged weights are requested that the checkpoint lacks, or whose batch statistics belong to another
        step.
    """
    config = load_config(folder, study.config)
    if data_root is not None:
        config = study.moved(config, data_root)
    target, mesh = study.read_target(config, folder), training.data_mesh()
    network = study.build_network(config, target)
    optimizer, _ = study.make_optimizer(config, network.params)
    template = training.replicate(_template(study, config, network, optimizer), mesh)
    metric = study.ranked_by(config)
    with training.Checkpoints(folder / "checkpoints", metric=metric, mode=study.mode, read_only=True) as checkpoints:
        restored = checkpoints.restore_best(template) if checkpoint == "best" else checkpoints.restore_latest(template)
    if restored is None:
        raise FileNotFoundError(f"{folder} holds no checkpoint yet: let it train until the first one")
    state, taken = _with_weights(restored, weights, metric, study.mode, folder)
    return Trained(config, target, network, state, restored.step, mesh, taken)


def _template(
    study: Study[C, T, S, M], config: C, network: Network[M], optimizer: optax.GradientTransformation
) -> training.TrainState:
    average = study.average_decay(config) is not None
    return training.create_state(network.params, network.model_state, optimizer, average=average)


def _with_weights(
    restored: training.Restored, asked: AskedWeights, metric: str, mode: str, folder: Path
) -> tuple[training.TrainState, Weights | None]:
    """The state with the weights that are asked for, and which these are; None if a run has only one kind."""
    state, where = restored.state, f"{folder} at step {restored.step}"
    if not state.average:
        if asked == "averaged":
            raise ValueError(f"{where} has no averaged network: train with --optim.ema, or leave --network out")
        return state, None
    names: tuple[Weights, ...] = ("raw", "averaged")
    values = {name: restored.metrics[key] for name in names if (key := f"{name}_{metric}") in restored.metrics}
    taken = better(values, mode) if asked == "better" else asked
    if taken == "averaged" and int(state.average["measured_at"]) != restored.step:
        raise ValueError(
            f"{where} was stopped before the batch statistics of its averaged weights were estimated: let it train on, "
            "or take --network raw"
        )
    known = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
    measured = f"{metric} on val: {known}" if len(values) == 2 else "val was not scored there"
    training.say(f"{where}: the {taken} network ({measured})")
    return (training.averaged_state(state) if taken == "averaged" else state), taken
