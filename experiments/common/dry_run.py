"""The cost of a run: compiles, but neither trains nor writes."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from flax import nnx
from jax.sharding import Mesh

from smoothjax import training

from .checks import check_devices
from .config import RunConfig
from .cost import compare_steps, describe_step
from .network import Network
from .run_folder import check_run
from .shared import Shared
from .study import AnyStudy
from .train import prepare


def dry_run(study: AnyStudy, config: RunConfig, folder: Path) -> str:
    """Compiles the step of a run and describes it; trains nothing, writes nothing."""
    mesh = _check_dry(config, folder)
    job = prepare(study, config, mesh, progress=False)
    training.say("compiling the training step")
    return describe_step(job.network, job.problem, config, mesh)


def dry_compare(study: AnyStudy, config: RunConfig, methods: Sequence[str], folder: Path) -> str:
    """Compiles the step of each method, and sets their costs side by side; trains nothing, writes nothing."""

    shared = Shared(config)

    def make(variant: RunConfig, label: str, mesh: Mesh) -> tuple[Network[nnx.Module], training.Problem]:
        training.say(f"compiling the training step of {label}")
        job = prepare(study, variant, mesh, progress=False, shared=shared)
        return job.network, job.problem

    made, mesh = {}, training.data_mesh()
    for method in methods:
        variant, label = config.with_method(method), study.labels[method]
        mesh = _check_dry(variant, folder / f"{method}-seed{variant.seed}")
        made[label] = partial(make, variant, label, mesh)
    return compare_steps(made, config, mesh)


def _check_dry(config: RunConfig, folder: Path) -> Mesh:
    """Like `check`, but only prints what the folder would refuse, since nothing will be written there."""
    try:
        check_run(folder, config)
    except (ValueError, OSError) as error:
        training.say(f"note: to train, another folder is needed: {error}")
    return check_devices(config)
