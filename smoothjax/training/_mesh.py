"""Data parallelism: the batch is split over the devices, everything else is replicated."""

from collections.abc import Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jax.tree_util import KeyPath
from jax.typing import ArrayLike

from ._state import Tree

T = TypeVar("T")


def data_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """A mesh with one axis, "data", over the devices of all processes.

    Args:
      devices: The devices to use; None for all.

    Returns:
      The mesh.

    Example:
      >>> mesh = data_mesh(jax.devices()[:1])
      >>> mesh.axis_names, mesh.size
      (('data',), 1)
    """
    devices = jax.devices() if devices is None else list(devices)
    # Explicit axes, the default, make shardings part of types, which ordinary loss functions do not satisfy.
    return jax.make_mesh((len(devices),), ("data",), axis_types=(AxisType.Auto,), devices=devices)


def shard_batch(batch: Tree, mesh: Mesh) -> Tree:
    """Puts a batch on the devices, with its leading axis split over them.

    Args:
      batch: Tree of NumPy arrays `[rows of this process, ...]`. The global batch consists of the rows of all processes.
      mesh: From `data_mesh`.

    Returns:
      The tree as global arrays `[rows of all processes, ...]`.

    Raises:
      ValueError: The rows do not divide by the number of this process's devices, or a leaf has no rows or is not
        numeric.

    Example:
      >>> shard_batch({"x": np.zeros((8, 2))}, data_mesh(jax.devices()[:1]))["x"].shape
      (8, 2)
    """
    local_devices = len(mesh.local_devices)
    sharding = NamedSharding(mesh, PartitionSpec(mesh.axis_names))

    def put(path: KeyPath, given: ArrayLike) -> jax.Array:
        leaf, where = np.asarray(given), jax.tree_util.keystr(path)
        if leaf.dtype.kind in "OSU":
            raise ValueError(
                f"shard_batch: batch{where} has dtype {leaf.dtype}, which no device holds; remove it first"
            )
        if leaf.ndim == 0:
            raise ValueError(
                f"shard_batch: batch{where} must have a leading batch axis, got a scalar; make it [N, ...]"
            )
        if leaf.shape[0] == 0:
            raise ValueError(
                f"shard_batch: batch{where} must have at least one row, got shape {leaf.shape}; leave empty batches out"
            )
        check_rows(f"shard_batch: the rows of batch{where} on this process", leaf.shape[0], devices=local_devices)
        return jax.make_array_from_process_local_data(sharding, leaf)

    return jax.tree_util.tree_map_with_path(put, batch)


def check_rows(what: str, rows: int, *, devices: int = 1, parts: int = 1) -> None:
    """Refuses a batch that does not divide over the devices, or over the parts that each computes in turn.

    Args:
      what: Beginning of the message, such as "--batch-size".
      rows: Examples in the batch.
      devices: Devices that share it.
      parts: Parts of each device's share, see `train_step`.

    Raises:
      ValueError: The rows are not a positive multiple of `devices * parts`; the message has the nearest one.

    Example:
      >>> check_rows("--batch-size", 8, devices=4, parts=2)
    """
    share = devices * parts
    if rows > 0 and rows % share == 0:
        return
    split = f"{devices} devices" if devices > 1 or parts == 1 else ""
    split += f"{' in ' if split else ''}{parts} parts" if parts > 1 else ""
    raise ValueError(
        f"{what} must be a positive multiple of the {split}, got {rows}: try {max(1, round(rows / share)) * share}"
    )


def replicate(tree: T, mesh: Mesh) -> T:
    """Copies a tree of arrays to every device of the mesh.

    It always copies, so donating the result to a step leaves the given tree alive.

    Args:
      tree: Arrays, the same on every process.
      mesh: From `data_mesh`.

    Returns:
      The tree, replicated.
    """
    # Without the copy, `device_put` shares the buffer of an array already in place, even with `may_alias=False`.
    return _copy(jax.device_put(tree, NamedSharding(mesh, PartitionSpec())))


@jax.jit
def _copy(tree: T) -> T:
    return jax.tree.map(jnp.copy, tree)
