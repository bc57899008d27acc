"""Checks before a run opens its data; `RunConfig.validate` has those that need no devices."""

from pathlib import Path

from jax.sharding import Mesh

from smoothjax import training

from .config import RunConfig
from .run_folder import check_run
from .wandb_logging import check_wandb


def check(config: RunConfig, folder: Path) -> Mesh:
    """Refuses a configuration that does not fit the devices or the folder; returns the mesh of all devices."""
    mesh = check_devices(config)
    training.check_folder(folder, name="--run")
    check_run(folder, config)
    return mesh


def check_devices(config: RunConfig) -> Mesh:
    """Refuses a configuration that does not fit the devices; returns the mesh of all devices."""
    config.validate()
    check_wandb(config)
    mesh = training.data_mesh()
    training.check_rows("--batch-size", config.batch_size, devices=mesh.size, parts=config.accumulate)
    return mesh
