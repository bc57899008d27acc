"""Argument checks shared by the measures."""

from functools import partial
from typing import Protocol

import chex
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import check_int, check_structure

check_pixels = partial(check_int, remedy="give a number of pixels")


class Inputs(Protocol):
    """The inputs of a function: an array or a `jax.ShapeDtypeStruct`."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype: ...


def check_maps(name: str, maps: object) -> jax.Array:
    """Returns maps `[N, *S, C]` as an array."""
    maps = jnp.asarray(maps)
    rank = f"{name} must be [N, *S, C] with one to three spatial axes S, got shape {maps.shape}: add axes"
    check_structure(rank, chex.assert_rank, maps, {3, 4, 5})
    dtype = f"{name} must be floating point, got {maps.dtype}: cast them, e.g. maps / 255.0"
    check_structure(dtype, chex.assert_equal, bool(jnp.issubdtype(maps.dtype, jnp.floating)), True)
    if not maps.size:
        raise ValueError(
            f"{name} must hold something, got shape {maps.shape}: give at least one example and one channel"
        )
    return maps
