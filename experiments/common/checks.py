"""What is refused before a run opens its data: see `RunConfig.validate` for what shows without devices."""

from pathlib import Path

from jax.sharding import Mesh

from smoothjax import training

from .config import RunConfig
from .run_folder import check_run
from .wandb_logging import check_wandb


def check(config: RunConfig, folder: Path) -> Mesh:
    """Refuses what does not fit the devices or the folder; returns the mesh of all devices."""
    mesh = check_devices(config)
    training.check_folder(folder, name="--run")
    check_run(folder, config)
    return mesh


def check_devices(config: RunConfig) -> Mesh:
    """Refuses what does not fit the devices; returns the mesh of all of them."""
    config.validate()
    check_wandb(config)
    mesh = training.data_mesh()
    training.check_rows("--batch-size", config.batch_size, devices=mesh.size, parts=config.accumulate)
    return mesh
