"""Checksums of the arrays of a checkpoint: storage formats keep none, and a flipped bit would go unnoticed."""

import json
import os
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import grain
import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from ._state import TrainState

T = TypeVar("T")


def digests(state: TrainState) -> dict[str, str]:
    """Type, shape and CRC-32 of every array of a state by its path.

    CRC-32 finds every error of up to 32 neighbouring bits, and misses one in four billion others. It runs at about 2
    GB/s per core; cryptographic hashes take two to four times as long without a benefit here.

    Args:
      state: A state of NumPy or JAX arrays, typed keys included; with several processes, all must call this.

    Returns:
      Text by path, such as `{"params/conv/kernel": "float32[3,3,3,8] 1c291ca3"}`.
    """
    leaves = jax.tree_util.tree_leaves_with_path(state)
    names = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves]
    arrays = [_on_host(leaf) for _, leaf in leaves]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:  # zlib releases the interpreter's lock
        return dict(zip(names, threads.map(_digest, arrays), strict=True))


def check_digests(state: TrainState, expected: Mapping[str, str]) -> None:
    """Compares the arrays of a state with their saved digests.

    Args:
      state: The state that was read.
      expected: The result of `digests` before saving.

    Raises:
      ValueError: The value, type or shape of an array differs from the saved one.
    """
    found = digests(state)
    different = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
    if different:
        first = different[0]
        more = f", and {len(different) - 1} more" if len(different) > 1 else ""
        raise ValueError(
            f"array {first} is {found.get(first, 'missing')} and was saved as {expected.get(first, 'missing')}{more}"
        )


def iterator_digests(iterator: grain.DatasetIterator[T]) -> list[str]:
    """Digests of the positions of all processes, each of which has its own iterator and file."""
    own = _of_text(json.dumps(iterator.get_state(), indent=4))  # as Grain writes it
    if jax.process_count() == 1:
        return [own]
    everyone = multihost_utils.process_allgather(np.frombuffer(bytes.fromhex(own), np.uint8))
    return [row.tobytes().hex() for row in np.asarray(everyone)]


def check_iterator(folder: Path, expected: Sequence[str]) -> None:
    """Compares the saved position of this process with its digest; raises ValueError if they differ."""
    index, count = jax.process_index(), jax.process_count()
    if count != len(expected):
        raise ValueError(f"it was saved by {len(expected)} processes, and {count} are running")
    path = folder / f"process_{index}-of-{count}.json"
    if _of_text(path.read_text(encoding="utf-8")) != expected[index]:
        raise ValueError(f"{path} is not what was saved")


class Digests(NamedTuple):
    """The digests stored with a checkpoint: of the arrays of its state, and of the iterator of every process."""

    state: dict[str, str]
    iterator: list[str]


def read_digests(checkpoint: Path) -> Digests:
    """Reads the digests of a checkpoint; raises ValueError or OSError if they are missing or damaged."""
    path = checkpoint / "digests" / "metadata"  # the JSON file in which Orbax keeps the item
    found = json.loads(path.read_text(encoding="utf-8"))
    if not (
        isinstance(found, dict) and isinstance(found.get("state"), dict) and isinstance(found.get("iterator"), list)
    ):
        raise ValueError(f"{path} does not hold the digests of state and iterator")
    return Digests(found["state"], found["iterator"])


def _of_text(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"


def _on_host(leaf: jax.Array | np.ndarray) -> np.ndarray:
    if isinstance(leaf, jax.Array):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        if not leaf.is_fully_addressable:
            replicated = leaf.is_fully_replicated
            leaf = leaf.addressable_data(0) if replicated else multihost_utils.process_allgather(leaf, tiled=True)
    return np.asarray(leaf)


def _digest(array: np.ndarray) -> str:
    content = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return f"{array.dtype}[{','.join(map(str, array.shape))}] {zlib.crc32(content.data):08x}"
