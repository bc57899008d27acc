"""The blocked product: one spatial filter for all channels as a banded matrix that acts on overlapping blocks."""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from .._dilated import pad_zeros
from ._shifted_sum import out_size, shifted_sum

# Side of a block of outputs, by number of axes: a block and its surroundings should just fill the matrix units.
_BLOCK = {1: 64, 2: 8, 3: 4}
# With fewer channels than this, blocks are twice as long, or products would be too small.
_MIN_CHANNELS = 32


def finite_product(x: jax.Array, kernel: jax.Array, rate: int) -> jax.Array:
    """`blocked_product` for finite maps; NaN and infinity would spread through the zeros of its banded matrix.

    Other maps are summed tap by tap: with 17 taps per axis, a single NaN would reach up to 24 outputs along it.
    """
    if not all(isinstance(length, int) and length > 0 for length in x.shape):
        return blocked_product(x, kernel, rate)
    products, sums = partial(blocked_product, rate=rate), partial(sum_tap_by_tap, rate=rate)
    return lax.cond(jnp.isfinite(x).all(), products, sums, x, kernel)


def sum_tap_by_tap(x: jax.Array, kernel: jax.Array, rate: int) -> jax.Array:
    """The shifted sum as a loop: slow, but quickly compiled at any number of taps."""
    size = out_size(x, kernel, rate)
    starts = jnp.stack(jnp.meshgrid(*map(jnp.arange, kernel.shape), indexing="ij"), -1).reshape(-1, kernel.ndim) * rate

    @jax.checkpoint
    def add(total: jax.Array, tap: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        weight, start = tap
        shifted = lax.dynamic_slice(x, (0, *start, 0), (x.shape[0], *size, x.shape[-1]))
        return total + weight * shifted, None

    zeros = jnp.zeros_like(x[(slice(None), *map(slice, size))])
    return lax.scan(add, zeros, (kernel.ravel(), starts))[0]


def blocked_product(x: jax.Array, kernel: jax.Array, rate: int) -> jax.Array:
    """The same by products, block by block: a banded matrix times the input window of each block of the output.

    The transpose with respect to the kernel multiplies blocks by blocks, over the channels, and adds the diagonals. The
    loop runs over positions, never over examples, which may be on different devices.
    """
    ndim = x.ndim - 2
    size, batch, channels = out_size(x, kernel, rate), x.shape[0], x.shape[-1]
    if not all(isinstance(length, int) for length in size):  # symbolic, under jax.export
        return shifted_sum(x, kernel, rate)
    if rate > 1:
        kernel = lax.pad(kernel, kernel.dtype.type(0), [(0, 0, rate - 1)] * ndim)
    narrow = isinstance(channels, int) and channels < _MIN_CHANNELS
    largest = 2 * _BLOCK[ndim] if narrow else _BLOCK[ndim]
    counts = [-(-length // largest) for length in size]
    blocks = [-(-length // count) for length, count in zip(size, counts, strict=True)]
    full = [count * block for count, block in zip(counts, blocks, strict=True)]
    x = pad_zeros(x, tuple((0, whole - length) for whole, length in zip(full, size, strict=True)))
    window = [block + taps - 1 for block, taps in zip(blocks, kernel.shape, strict=True)]
    for block in blocks:
        kernel = _banded(kernel, block)
    # From [block, window] of each axis to one matrix.
    matrix = kernel.transpose(*range(0, 2 * ndim, 2), *range(1, 2 * ndim, 2))
    matrix = matrix.reshape(math.prod(blocks), math.prod(window))

    # The matrix broadcast over the positions of a strip, as below, would take many times the memory of the map: 1,473
    # MB for 15x15x15 on 64x64x64x8.
    if math.prod(counts[1:]) * matrix.size > math.prod(x.shape[1:]):
        return _product_by_places(x, matrix, blocks, window, counts)[(slice(None), *map(slice, size))]

    # Keeping the blocks for the backward pass would store the map several times over.
    @jax.checkpoint
    def strip_at(start: jax.Array) -> jax.Array:
        parts = lax.dynamic_slice_in_dim(x, start, window[0], 1)[:, None]  # [N, places, *S, C]
        for axis in range(1, ndim):
            starts = range(0, full[axis], blocks[axis])
            parts = jnp.concatenate([lax.slice_in_dim(parts, at, at + window[axis], axis=axis + 2) for at in starts], 1)
        parts = parts.reshape(*parts.shape[:2], math.prod(window), channels)
        # Broadcast over examples and positions, so that the gradient is a product for each, and then a sum. A single
        # product over all would copy everything to bring the channels outside (4 instead of 2 ms).
        spread = jnp.broadcast_to(matrix, (*parts.shape[:2], *matrix.shape))
        return jnp.matmul(spread, parts, precision=lax.Precision.HIGHEST)

    y = lax.map(strip_at, blocks[0] * jnp.arange(counts[0]))  # [strips, N, places, block, C]
    y = y.reshape(counts[0], batch, *reversed(counts[1:]), *blocks, channels)
    order = [1, 0, ndim + 1]
    for axis in range(1, ndim):
        order += [ndim + 1 - axis, ndim + 1 + axis]
    y = y.transpose(*order, 2 * ndim + 1).reshape(batch, *full, channels)
    return y[(slice(None), *(slice(length) for length in size))]


def _product_by_places(
    x: jax.Array, matrix: jax.Array, blocks: list[int], window: list[int], counts: list[int]
) -> jax.Array:
    """The same, one position after another."""
    ndim, (batch, channels) = len(blocks), (x.shape[0], x.shape[-1])
    places = jnp.stack(jnp.meshgrid(*map(jnp.arange, counts), indexing="ij"), -1).reshape(-1, ndim)

    @jax.checkpoint
    def place_at(place: jax.Array) -> jax.Array:
        starts = (place * jnp.array(blocks)).astype(place.dtype)
        part = lax.dynamic_slice(x, (0, *starts, 0), (batch, *window, channels))
        return jnp.matmul(matrix, part.reshape(batch, math.prod(window), channels), precision=lax.Precision.HIGHEST)

    y = lax.map(place_at, places).reshape(*counts, batch, *blocks, channels)
    order = [ndim, *(axis for pair in zip(range(ndim), range(ndim + 1, 2 * ndim + 1), strict=True) for axis in pair)]
    sides = [count * block for count, block in zip(counts, blocks, strict=True)]
    return y.transpose(*order, 2 * ndim + 1).reshape(batch, *sides, channels)


def _banded(kernel: jax.Array, block: int) -> jax.Array:
    """Turns the first axis of the filter into the last two, `[block, block + K - 1]`: row i holds it from column i on.

    Rows of K + block, read as rows of one less, move by one column a row.
    """
    taps, rest = kernel.shape[0], kernel.shape[1:]
    padded = jnp.pad(jnp.moveaxis(kernel, 0, -1), [(0, 0)] * len(rest) + [(0, block)])
    rows = jnp.broadcast_to(padded[..., None, :], (*rest, block, taps + block)).reshape(*rest, block * (taps + block))
    return rows[..., : block * (taps + block - 1)].reshape(*rest, block, taps + block - 1)
