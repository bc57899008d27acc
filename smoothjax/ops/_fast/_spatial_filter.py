"""One spatial filter for all channels: the hot part of the SS convolution, and its derivatives.

The plain form, `depthwise`, is XLA's grouped convolution, which CPUs run 25 to 40 times slower than the others. On CPU
the same correlation has several forms: `shifted_sum`, which `few_by_few` computes some taps at a time, and
`unpadded_sum` without a padded copy of the map; and `blocked_product`, where the filter is a banded matrix that acts on
overlapping blocks of the map. The gradient of a small filter has a form of its own, `products_by_tap`. On two CPU cores
at 2x40x40x256, forward + backward: 3x3 10 ms by differentiating the shifted sum, 0.7 ms so; 7x7 101 and 2.2 ms.
"""

import itertools
import math
import operator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ..._checks import Pairs
from .._dilated import pad_zeros
from .._transpose import Pair, as_transpose_of, varying_with
from ._fenced import fenced, materialized
from ._platform import by_platform

# Up to this many taps the shifted sum is faster than the blocked product, in the forward pass and for the gradient of
# the maps: at 15x15 2.2 instead of 3.3 ms, at 9x9 1.1 instead of 1.9 ms.
_MAX_SHIFTED_TAPS = 225
# Up to this many taps and from so many channels on, `unpadded_sum` is the faster one: at 2x40x40x256 3x3 takes
# 0.33 instead of 0.57 ms, 5x5 0.53 instead of 0.70, at 2x20x20x128 3x3 0.09 instead of 0.14. With more taps there are
# no registers left for the filter, with fewer channels the masks cost more than the copy does.
_MAX_UNPADDED_TAPS, _MIN_UNPADDED_CHANNELS = 25, 16
# Up to this many taps `products_by_tap` is the faster gradient of the filter.
_MAX_PRODUCT_TAPS = 49
# Taps in one of the sums of `few_by_few`: with more, there are no registers left for the filter.
_TAPS = 25
# Columns in one sum of `products_by_tap`: more do not fit into the first-level cache with their neighbours.
_COLUMNS = 20
# Terms of all such sums: more take long to compile.
_MAX_TERMS = 512
# Output positions a block, by number of axes: a block and its surroundings should fill the matrix units, no more.
_BLOCK = {1: 64, 2: 8, 3: 4}
# With fewer channels than this, blocks are twice as long, lest the products become too small.
_MIN_CHANNELS = 32


@partial(jax.custom_jvp, nondiff_argnums=(2, 3))
def filter_maps(x: jax.Array, kernel: jax.Array, rate: int, pairs: Pairs) -> jax.Array:
    """Correlates zero-padded maps `[N, *S, C]` with `[*K]` at a rate, on checked arguments of one dtype."""
    fast = partial(depthwise if 0 in x.shape else _on_cpu, rate, pairs)
    return by_platform(x, kernel, cpu=fast, default=partial(depthwise, rate, pairs))


@filter_maps.defjvp
def _filter_maps_jvp(rate: int, pairs: Pairs, primals: Pair, tangents: Pair) -> Pair:
    """The product rule, each term in the form whose transpose is fast: all transformations follow, in any mode."""
    (x, kernel), (dx, dkernel) = primals, tangents
    y = filter_maps(x, kernel, rate, pairs)
    of_maps = as_transpose_of(partial(_flipped, kernel, rate, pairs), y)(dx)
    fast = partial(depthwise if 0 in x.shape else _of_kernel_on_cpu, rate, pairs)
    of_kernel = by_platform(x, dkernel, cpu=fast, default=partial(depthwise, rate, pairs))
    return y, of_maps + of_kernel


def depthwise(rate: int, pairs: Pairs, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The plain form: a depthwise convolution whose filters are all the same one."""
    spatial, channels = "DHW"[-kernel.ndim :], x.shape[-1]
    if 0 in x.shape:  # XLA knows no convolution of no groups
        return shifted_sum(pad_zeros(x, pairs), kernel, rate)
    return lax.conv_general_dilated(
        x,
        jnp.broadcast_to(kernel[..., None, None], (*kernel.shape, 1, channels)),
        window_strides=(1,) * kernel.ndim,
        padding=pairs,
        rhs_dilation=(rate,) * kernel.ndim,
        dimension_numbers=(f"N{spatial}C", f"{spatial}IO", f"N{spatial}C"),
        feature_group_count=channels,
        precision=lax.Precision.HIGHEST,
    )


def _on_cpu(rate: int, pairs: Pairs, x: jax.Array, kernel: jax.Array) -> jax.Array:
    if math.prod(kernel.shape) > _MAX_SHIFTED_TAPS:
        return finite_product(_pad(x, pairs), kernel, rate)
    return _linear_on_cpu(rate, pairs, x, kernel)


def _linear_on_cpu(rate: int, pairs: Pairs, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The same without a choice by values, which JAX could not transpose."""
    channels = x.shape[-1]
    if math.prod(kernel.shape) > _MAX_SHIFTED_TAPS:
        return blocked_product(_pad(x, pairs), kernel, rate)
    # The neighbours of a pixel with a multiple of 2 KiB of channels share their place in the cache: at 512 channels 7x7
    # takes twice as long, at 1024 three times. Some channels more keep them apart.
    aliases = isinstance(channels, int) and channels > 0 and channels % 512 == 0 and max(kernel.shape) > 3
    if not aliases and needs_no_padding(x, kernel, rate, pairs):
        return unpadded_sum(x, kernel, rate, pairs)
    return few_by_few(_pad(x, pairs, 16 if aliases else 0), kernel, rate)[..., :channels]


def _of_kernel_on_cpu(rate: int, pairs: Pairs, x: jax.Array, dkernel: jax.Array) -> jax.Array:
    """The filtered maps as a function of the filter."""
    padded = _pad(x, pairs)
    y = jax.eval_shape(partial(shifted_sum, rate=rate), padded, dkernel)
    if not few_terms(dkernel.shape, y):
        return blocked_product(padded, dkernel, rate)
    products = partial(products_by_tap, dkernel.shape, rate, padded)
    return as_transpose_of(products, y)(varying_with(dkernel, padded))


def few_terms(size: tuple[int, ...], y: jax.ShapeDtypeStruct) -> bool:
    """Whether `products_by_tap` is worth it."""
    small = math.prod(size) <= _MAX_PRODUCT_TAPS and all(isinstance(length, int) for length in y.shape[1:-1])
    return small and math.prod(size[:-1]) * y.shape[-2] <= _MAX_TERMS


def _flipped(kernel: jax.Array, rate: int, pairs: Pairs, cotangent: jax.Array) -> jax.Array:
    """The transpose with respect to the maps, which is a filter, too: flipped, and padded by what is left of it."""
    reach = [(taps - 1) * rate for taps in kernel.shape]
    rest = tuple((most - low, most - high) for most, (low, high) in zip(reach, pairs, strict=True))
    fast = partial(depthwise if 0 in cotangent.shape else _linear_on_cpu, rate, rest)
    return by_platform(cotangent, jnp.flip(kernel), cpu=fast, default=partial(depthwise, rate, rest))


def _pad(x: jax.Array, pairs: Pairs, more_channels: int = 0) -> jax.Array:
    """The padded maps, written once: without the barrier their borders are tested at every tap."""
    return lax.optimization_barrier(pad_zeros(x, pairs, more_channels))


def shifted_sum(x: jax.Array, kernel: jax.Array, rate: int) -> jax.Array:
    """The sum over the taps of shifted copies of x."""
    return _sum_of(_all_taps(filter_size(x, kernel)), x, kernel, rate)


def few_by_few(x: jax.Array, kernel: jax.Array, rate: int) -> jax.Array:
    """The shifted sum in some sums of a few taps each: 7x7 in 0.58 instead of 0.75 ms at 2x40x40x256."""
    taps = _all_taps(filter_size(x, kernel))
    count = -(-len(taps) // -(-len(taps) // _TAPS))
    y = fenced(partial(_sum_of, taps[:count], rate=rate), x, kernel)
    for at in range(count, len(taps), count):
        more = partial(_sum_of, taps[at : at + count], rate=rate)
        y = fenced(lambda y, x, kernel, more=more: y + more(x, kernel), y, x, kernel)
    return y


def needs_no_padding(x: jax.Array, kernel: jax.Array, rate: int, pairs: Pairs) -> bool:
    """Whether `unpadded_sum` can filter these maps, and is the fast form for them."""
    (*size, channels), taps_by_axis = x.shape[1:], filter_size(x, kernel)
    if not all(isinstance(length, int) for length in (*size, channels)):  # symbolic, under jax.export
        return False
    same = all(sum(pair) == (taps - 1) * rate for pair, taps in zip(pairs, taps_by_axis, strict=True))
    reach = [max(pair) < length for pair, length in zip(pairs[1:], size[1:], strict=True)]
    few = math.prod(taps_by_axis) <= _MAX_UNPADDED_TAPS and channels >= _MIN_UNPADDED_CHANNELS
    # A mask for every single tap is slow: 1x3 takes twice as long so.
    shared_masks = len(size) == 1 or taps_by_axis[0] > 1
    return few and shared_masks and same and all(reach) and sum(pairs[0]) + 2 <= size[0]


def unpadded_sum(x: jax.Array, kernel: jax.Array, rate: int, pairs: Pairs) -> jax.Array:
    """The shifted sum of a filter that keeps the size, in one pass over the map as it lies in memory.

    On the flat map, a row after the other, a tap is one step for all places. Where the step leaves the row it is
    masked; where it leaves the map, at either end, places are summed from a small copy of both ends with zeros between.
    """
    size, channels, by_axis = x.shape[1:-1], x.shape[-1], filter_size(x, kernel)
    strides = [math.prod(size[axis + 1 :]) for axis in range(len(size))]
    row, places = strides[0], math.prod(size)
    moves = [[t * rate - low for t in range(taps)] for taps, (low, _) in zip(by_axis, pairs, strict=True)]
    before, after = (sum(map(operator.mul, sides, strides)) for sides in zip(*pairs, strict=True))
    gap = -(-max(before, after) // row) * row

    def summed(flat: jax.Array, kernel: jax.Array, count: int, first: int) -> jax.Array:
        """Of `count` places from `before` on, the first of which is at `first` in its row."""
        place = lax.broadcasted_iota(jnp.int32, (1, count, 1), 1) + first % row

        def shifted(tap: tuple[int, ...]) -> jax.Array:
            at = before + sum(move[t] * stride for move, t, stride in zip(moves, tap, strides, strict=True))
            return _weight(kernel, tap, flat) * lax.slice_in_dim(flat, at, at + count, axis=1)

        def column(rest: tuple[int, ...]) -> jax.Array:
            """The taps that leave the rows at the same places, which are masked once."""
            values = _in_two_chains([shifted((t, *rest)) for t in range(by_axis[0])])
            for t, move, stride, length in zip(rest, moves[1:], strides[1:], size[1:], strict=True):
                at = place // stride % length
                if move[t]:
                    values = jnp.where(at >= -move[t] if move[t] < 0 else at < length - move[t], values, 0)
            return values

        total: Any = sum(map(column, _all_taps(by_axis[1:])))
        return total

    def ends(flat: jax.Array) -> jax.Array:
        last, first = flat[:, places - before - after :], flat[:, : before + after]
        return jnp.concatenate([_pad(last, ((0, gap),)), first], 1)

    # Its transpose would keep the masks, spread over all channels.
    @jax.checkpoint
    def whole(flat: jax.Array, kernel: jax.Array, ring: jax.Array) -> jax.Array:
        middle = pad_zeros(summed(flat, kernel, places - before - after, before), ((before, after),))
        outer = summed(ring, kernel, after + gap + before, -after)
        last, first = outer[:, :after], outer[:, after + gap :]
        return middle + pad_zeros(last, ((places - after, 0),)) + pad_zeros(first, ((0, places - before),))

    flat = x.reshape(x.shape[0], places, channels)
    return fenced(whole, flat, kernel, fenced(ends, flat)).reshape(x.shape)


def filter_size(x: jax.Array, kernel: jax.Array) -> tuple[int, ...]:
    """`[*K]` of a filter that all channels share, and of one that has weights for each of them, `[*K, C]`."""
    return kernel.shape[: x.ndim - 2]


def _weight(kernel: jax.Array, tap: tuple[int, ...], x: jax.Array) -> jax.Array:
    """What multiplies x at a tap: a number, or one for each channel."""
    weight = kernel[tap]
    return weight.reshape((1,) * (x.ndim - 1) + weight.shape) if weight.ndim else weight


def _all_taps(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    return list(itertools.product(*map(range, shape)))


def _sum_of(taps: list[tuple[int, ...]], x: jax.Array, kernel: jax.Array, rate: int) -> jax.Array:
    size = _out_size(x, kernel, rate)

    def shifted(tap: tuple[int, ...]) -> jax.Array:
        window = [slice(t * rate, t * rate + length) for t, length in zip(tap, size, strict=True)]
        return x[(slice(None), *window)]

    return _in_two_chains([_weight(kernel, tap, x) * shifted(tap) for tap in taps])


def _in_two_chains(terms: list[jax.Array]) -> jax.Array:
    """Two sums side by side: in a single one each addition waits for the one before (7x7 0.66 ms, 15x15 2.6)."""
    total: Any = sum(terms[::2]) + sum(terms[1::2])
    return total


# Keeping its slices for the backward pass would copy the map several times over.
@partial(jax.checkpoint, static_argnums=(0, 1), prevent_cse=False)
def products_by_tap(taps: tuple[int, ...], rate: int, x: jax.Array, cotangent: jax.Array) -> jax.Array:
    """The transpose of `shifted_sum` with respect to the filter: products with shifted copies of x, summed, by tap."""
    return products_by_channel(taps, rate, x, cotangent).sum(-1)


def products_by_channel(taps: tuple[int, ...], rate: int, x: jax.Array, cotangent: jax.Array) -> jax.Array:
    """The same for a filter that has weights for each channel, `[*K, C]`.

    As a reduction XLA does this slowly. So the last axis is summed like a filter, column by column, for all of the taps
    along it at once; what is left to reduce is small. Its transpose, in forward mode, is slow: 36 ms for 3x3 at
    2x40x40x256.
    """
    size, width = cotangent.shape[1:-1], cotangent.shape[-2]
    columns = lax.split(cotangent, (1,) * width, axis=cotangent.ndim - 2)
    length, reach = -(-width // -(-width // _COLUMNS)), (taps[-1] - 1) * rate + 1

    def summed(tap: tuple[int, ...]) -> jax.Array:
        window = [slice(t * rate, t * rate + rows) for t, rows in zip(tap, size[:-1], strict=True)]
        shifted = x[(slice(None), *window)]
        terms = [column * shifted[..., at : at + reach : rate, :] for at, column in enumerate(columns)]
        parts: list[Any] = [sum(terms[at : at + length]) for at in range(0, width, length)]
        total: Any = sum(map(materialized, parts))  # [N, *S[:-1], taps[-1], C]
        return total.sum(tuple(range(total.ndim - 2)))

    return jnp.stack([summed(tap) for tap in _all_taps(taps[:-1])]).reshape(*taps, x.shape[-1])


def finite_product(x: jax.Array, kernel: jax.Array, rate: int) -> jax.Array:
    """`blocked_product` of finite maps. NaN and infinity would spread through the zeros of its banded matrix.

    Such maps are summed tap by tap: with 17 taps an axis, a single NaN would reach up to 24 outputs along it.
    """
    if not all(isinstance(length, int) and length > 0 for length in x.shape):
        return blocked_product(x, kernel, rate)
    products, sums = partial(blocked_product, rate=rate), partial(sum_tap_by_tap, rate=rate)
    return lax.cond(jnp.isfinite(x).all(), products, sums, x, kernel)


def sum_tap_by_tap(x: jax.Array, kernel: jax.Array, rate: int) -> jax.Array:
    """The shifted sum as a loop: slow, but quickly compiled at any number of taps."""
    size = _out_size(x, kernel, rate)
    starts = jnp.stack(jnp.meshgrid(*map(jnp.arange, kernel.shape), indexing="ij"), -1).reshape(-1, kernel.ndim) * rate

    @jax.checkpoint
    def add(total: jax.Array, tap: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        weight, start = tap
        shifted = lax.dynamic_slice(x, (0, *start, 0), (x.shape[0], *size, x.shape[-1]))
        return total + weight * shifted, None

    zeros = jnp.zeros_like(x[(slice(None), *map(slice, size))])
    return lax.scan(add, zeros, (kernel.ravel(), starts))[0]


def blocked_product(x: jax.Array, kernel: jax.Array, rate: int) -> jax.Array:
    """The same by products, block by block: a banded matrix times a block of the output and what surrounds it.

    The transpose with respect to the kernel multiplies blocks by blocks, over the channels, and adds the diagonals. The
    loop runs over places, never over examples, which may be on different devices.
    """
    ndim = x.ndim - 2
    size, batch, channels = _out_size(x, kernel, rate), x.shape[0], x.shape[-1]
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

    # The matrix spread over the places of a strip, as below, would take many times what the map does: 1,473 MB for
    # 15x15x15 on 64x64x64x8.
    if math.prod(counts[1:]) * matrix.size > math.prod(x.shape[1:]):
        return _product_by_places(x, matrix, blocks, window, counts)[(slice(None), *map(slice, size))]

    # Keeping the blocks for the backward pass would copy the map several times over.
    @jax.checkpoint
    def strip_at(start: jax.Array) -> jax.Array:
        parts = lax.dynamic_slice_in_dim(x, start, window[0], 1)[:, None]  # [N, places, *S, C]
        for axis in range(1, ndim):
            starts = range(0, full[axis], blocks[axis])
            parts = jnp.concatenate([lax.slice_in_dim(parts, at, at + window[axis], axis=axis + 2) for at in starts], 1)
        parts = parts.reshape(*parts.shape[:2], math.prod(window), channels)
        # Spread over examples and places, so that the gradient is a product for each of them, and then a sum. One
        # product over all of them at once would copy everything to bring the channels outside (4 instead of 2 ms).
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
    """The same, one place after the other."""
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


def _out_size(x: jax.Array, kernel: jax.Array, rate: int) -> list[int]:
    return [length - (taps - 1) * rate for length, taps in zip(x.shape[1:-1], filter_size(x, kernel), strict=True)]
