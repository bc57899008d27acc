"""One linear map of the phases of every block: the hot part of group interaction, and its derivatives.

The reinterlaced map is never split. In `broadcast_sum` every unit is a sum over the phases of its block, in one pass;
the gradient of the matrix is a product of blocks with blocks. On two CPU cores at 2x40x40x256: 0.2 ms for the sum at
rate 2 and 4 (1.9 and 0.9 ms as one contraction), 1 ms for the gradient of the matrix (as the gradient of the sum 0.8
and 1.9 ms, and 20 ms if XLA cannot fuse it well).
"""

import itertools
import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from .._transpose import Pair, as_transpose_of
from ._fenced import fenced
from ._platform import by_platform

# With more phases the unrolled sum takes long to compile: 14 s for 256 phases, 34 s for 512. One contraction takes
# under 1 s.
_MAX_PHASES = 64


@jax.custom_jvp
def mix_phases(blocks: jax.Array, weight: jax.Array) -> jax.Array:
    """Maps `[N, B1, r, ..., Bd, r, C]` with `[r**d, r**d]`, row i for output phase i, on checked arguments."""
    if weight.shape[0] > _MAX_PHASES:
        return contraction(blocks, weight)
    return by_platform(blocks, weight, cpu=_fenced_sum, default=contraction)


@mix_phases.defjvp
def _mix_phases_jvp(primals: Pair, tangents: Pair) -> Pair:
    """The product rule, each term in the form whose transpose is fast."""
    (blocks, weight), (dblocks, dweight) = primals, tangents
    y = mix_phases(blocks, weight)
    of_blocks = as_transpose_of(partial(_swapped, weight.T), y)(dblocks)
    if weight.shape[0] > _MAX_PHASES:
        return y, of_blocks + contraction(blocks, dweight)
    return y, of_blocks + by_platform(blocks, dweight, cpu=block_product, default=contraction)


def contraction(blocks: jax.Array, weight: jax.Array) -> jax.Array:
    """The plain form: one contraction over the phases."""
    phases, sides = blocks.shape[2:-1:2], (blocks.ndim - 2) // 2
    tensor = weight.reshape(*phases, *phases)
    reads = "".join(f"{'uvw'[axis]}{'ijk'[axis]}" for axis in range(sides))
    sought, found = ("".join(letters[:sides]) for letters in ("pqr", "ijk"))
    writes = "".join(f"{'uvw'[axis]}{'pqr'[axis]}" for axis in range(sides))
    return jnp.einsum(f"{sought}{found},n{reads}c->n{writes}c", tensor, blocks, precision=lax.Precision.HIGHEST)


def _fenced_sum(blocks: jax.Array, weight: jax.Array) -> jax.Array:
    return fenced(broadcast_sum, blocks, weight)


def _swapped(weight: jax.Array, blocks: jax.Array) -> jax.Array:
    return mix_phases(blocks, weight)


def broadcast_sum(blocks: jax.Array, weight: jax.Array) -> jax.Array:
    """The sum over input phases, each broadcast over the output phases of its block and weighted by its column."""
    phases = blocks.shape[2:-1:2]
    # [1, 1, r, ..., 1, r, 1] for every input phase.
    columns = weight.T.reshape(-1, 1, *itertools.chain.from_iterable((1, r) for r in phases), 1)
    total: Any = 0
    for column, phase in zip(columns, itertools.product(*map(range, phases)), strict=True):
        window = itertools.chain.from_iterable((slice(None), slice(p, p + 1)) for p in phase)
        total = total + column * blocks[(slice(None), *window)]
    return total


# Keeping the transposed blocks for the backward pass would copy the map.
@jax.checkpoint
def block_product(blocks: jax.Array, weight: jax.Array) -> jax.Array:
    """The same by one matrix product per block; the transpose for the matrix is a product of blocks by blocks."""
    ndim = blocks.ndim // 2 - 1
    apart = (0, *range(1, 2 * ndim, 2), *range(2, 2 * ndim + 1, 2), 2 * ndim + 1)  # [N, B1, ..., Bd, r, ..., r, C]
    phases = blocks.transpose(apart)
    places, sides, channels = phases.shape[: ndim + 1], phases.shape[ndim + 1 : -1], phases.shape[-1]
    # Broadcast over the blocks, so that the gradient is a product per block, and then a sum.
    spread = jnp.broadcast_to(weight, (*places, *weight.shape))
    mixed = jnp.matmul(spread, phases.reshape(*places, math.prod(sides), channels), precision=lax.Precision.HIGHEST)
    return mixed.reshape(phases.shape).transpose([apart.index(axis) for axis in range(blocks.ndim)])
