"""One spatial filter for all channels: the hot part of the SS convolution, and its derivatives.

The plain form, `depthwise`, is XLA's grouped convolution, which CPUs run 25 to 40 times slower than the others. This
module chooses among the forms on CPU: the shifted sum (`_shifted_sum`), `unpadded_sum`, which needs no padded copy of
the map, and the blocked product (`_blocked_product`). The gradient of a small filter has its own form,
`products_by_tap`. On two CPU cores at 2x40x40x256, forward + backward: 3x3 takes 0.7 ms instead of 10 by
differentiating the shifted sum, 7x7 2.2 instead of 101 ms.
"""

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
from ._blocked_product import blocked_product, finite_product
from ._fenced import fenced, materialized
from ._platform import by_platform
from ._shifted_sum import all_taps, few_by_few, filter_size, in_two_chains, shifted_sum, weights_of

# Up to this many taps the shifted sum is faster than the blocked product, in the forward pass and for the gradient of
# the maps: at 15x15 2.2 instead of 3.3 ms, at 9x9 1.1 instead of 1.9 ms.
_MAX_SHIFTED_TAPS = 225
# Up to this many taps and from this many channels, `unpadded_sum` is faster: at 2x40x40x256 3x3 takes 0.33 instead of
# 0.57 ms, 5x5 0.53 instead of 0.70, at 2x20x20x128 3x3 0.09 instead of 0.14. With more taps there are no registers left
# for the filter, with fewer channels the masks cost more than the copy does.
_MAX_UNPADDED_TAPS, _MIN_UNPADDED_CHANNELS = 25, 16
# Up to this many taps `products_by_tap` is the faster gradient of the filter.
_MAX_PRODUCT_TAPS = 49
# Columns in one sum of `products_by_tap`: more do not fit into the first-level cache with their neighbours.
_COLUMNS = 20
# Largest number of terms in all these sums: more take long to compile.
_MAX_TERMS = 512


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
    """The plain form: a depthwise convolution with the same filter for every channel."""
    spatial, channels = "DHW"[-kernel.ndim :], x.shape[-1]
    if 0 in x.shape:  # XLA has no convolution with zero groups
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
    """The same without a choice by values, which JAX cannot transpose."""
    channels = x.shape[-1]
    if math.prod(kernel.shape) > _MAX_SHIFTED_TAPS:
        return blocked_product(_pad(x, pairs), kernel, rate)
    # If the channels of a pixel take a multiple of 2 KiB, its neighbours share cache lines: at 512 channels 7x7 takes
    # twice as long, at 1024 three times. A few more channels keep them apart.
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
    """Whether `products_by_tap` is faster."""
    small = math.prod(size) <= _MAX_PRODUCT_TAPS and all(isinstance(length, int) for length in y.shape[1:-1])
    return small and math.prod(size[:-1]) * y.shape[-2] <= _MAX_TERMS


def _flipped(kernel: jax.Array, rate: int, pairs: Pairs, cotangent: jax.Array) -> jax.Array:
    """The transpose with respect to the maps: the flipped filter with the complementary padding."""
    reach = [(taps - 1) * rate for taps in kernel.shape]
    rest = tuple((most - low, most - high) for most, (low, high) in zip(reach, pairs, strict=True))
    fast = partial(depthwise if 0 in cotangent.shape else _linear_on_cpu, rate, rest)
    return by_platform(cotangent, jnp.flip(kernel), cpu=fast, default=partial(depthwise, rate, rest))


def _pad(x: jax.Array, pairs: Pairs, more_channels: int = 0) -> jax.Array:
    """The padded maps, materialised: without the barrier their borders are tested at every tap."""
    return lax.optimization_barrier(pad_zeros(x, pairs, more_channels))


def needs_no_padding(x: jax.Array, kernel: jax.Array, rate: int, pairs: Pairs) -> bool:
    """Whether `unpadded_sum` can filter these maps and is the fast form for them."""
    (*size, channels), taps_by_axis = x.shape[1:], filter_size(x, kernel)
    if not all(isinstance(length, int) for length in (*size, channels)):  # symbolic, under jax.export
        return False
    same = all(sum(pair) == (taps - 1) * rate for pair, taps in zip(pairs, taps_by_axis, strict=True))
    reach = [max(pair) < length for pair, length in zip(pairs[1:], size[1:], strict=True)]
    few = math.prod(taps_by_axis) <= _MAX_UNPADDED_TAPS and channels >= _MIN_UNPADDED_CHANNELS
    # Masking every single tap is slow: 1x3 takes twice as long.
    shared_masks = len(size) == 1 or taps_by_axis[0] > 1
    return few and shared_masks and same and all(reach) and sum(pairs[0]) + 2 <= size[0]


def unpadded_sum(x: jax.Array, kernel: jax.Array, rate: int, pairs: Pairs) -> jax.Array:
    """The shifted sum of a filter that keeps the size, in one pass over the map as it lies in memory.

    On the flattened map a tap is one offset for all positions. Where the offset leaves the row it is masked; positions
    whose offset leaves the map, at either end, are summed from a small copy of both ends with zeros between.
    """
    size, channels, by_axis = x.shape[1:-1], x.shape[-1], filter_size(x, kernel)
    strides = [math.prod(size[axis + 1 :]) for axis in range(len(size))]
    row, places = strides[0], math.prod(size)
    moves = [[t * rate - low for t in range(taps)] for taps, (low, _) in zip(by_axis, pairs, strict=True)]
    before, after = (sum(map(operator.mul, sides, strides)) for sides in zip(*pairs, strict=True))
    gap = -(-max(before, after) // row) * row

    def summed(flat: jax.Array, kernel: jax.Array, count: int, first: int) -> jax.Array:
        """The sum at `count` positions from `before` on; the first is at `first` in its row."""
        place = lax.broadcasted_iota(jnp.int32, (1, count, 1), 1) + first % row
        # Places are not negative, and lax divides them as they are: the operators would ask for signs at every tap.
        at_axis = [
            lax.rem(lax.div(place, lax.full_like(place, stride)), lax.full_like(place, length))
            for stride, length in zip(strides[1:], size[1:], strict=True)
        ]
        weights = weights_of(kernel, by_axis, flat.ndim)

        def shifted(tap: tuple[int, ...]) -> jax.Array:
            at = before + sum(move[t] * stride for move, t, stride in zip(moves, tap, strides, strict=True))
            return weights[tap] * lax.slice_in_dim(flat, at, at + count, axis=1)

        def column(rest: tuple[int, ...]) -> jax.Array:
            """The sum over taps that leave the rows at the same positions, masked once."""
            values = in_two_chains([shifted((t, *rest)) for t in range(by_axis[0])])
            for t, move, at, length in zip(rest, moves[1:], at_axis, size[1:], strict=True):
                if move[t]:
                    values = jnp.where(at >= -move[t] if move[t] < 0 else at < length - move[t], values, 0)
            return values

        total: Any = sum(map(column, all_taps(by_axis[1:])))
        return total

    def ends(flat: jax.Array) -> jax.Array:
        last, first = flat[:, places - before - after :], flat[:, : before + after]
        return jnp.concatenate([_pad(last, ((0, gap),)), first], 1)

    # Its transpose would keep the masks, broadcast over all channels.
    @jax.checkpoint
    def whole(flat: jax.Array, kernel: jax.Array, ring: jax.Array) -> jax.Array:
        middle = pad_zeros(summed(flat, kernel, places - before - after, before), ((before, after),))
        outer = summed(ring, kernel, after + gap + before, -after)
        last, first = outer[:, :after], outer[:, after + gap :]
        return middle + pad_zeros(last, ((places - after, 0),)) + pad_zeros(first, ((0, places - before),))

    flat = x.reshape(x.shape[0], places, channels)
    return fenced(whole, flat, kernel, fenced(ends, flat)).reshape(x.shape)


# Keeping its slices for the backward pass would store the map several times over.
@partial(jax.checkpoint, static_argnums=(0, 1), prevent_cse=False)
def products_by_tap(taps: tuple[int, ...], rate: int, x: jax.Array, cotangent: jax.Array) -> jax.Array:
    """The transpose of `shifted_sum` with respect to the filter: for each tap, the summed product with shifted x."""
    return products_by_channel(taps, rate, x, cotangent).sum(-1)


def products_by_channel(taps: tuple[int, ...], rate: int, x: jax.Array, cotangent: jax.Array) -> jax.Array:
    """The same for a filter with weights for each channel, `[*K, C]`.

    XLA's reduction is slow here. So the last axis is summed like a filter, column by column, for all taps along it at
    once; the remaining reduction is small. Its transpose, in forward mode, is slow: 36 ms for 3x3 at 2x40x40x256.
    """
    size, width = cotangent.shape[1:-1], cotangent.shape[-2]
    columns = lax.split(cotangent, (1,) * width, axis=cotangent.ndim - 2)
    length, reach = -(-width // -(-width // _COLUMNS)), (taps[-1] - 1) * rate + 1

    # Traced and lowered once for all rows of taps. A loop over rows or columns takes 5 instead of 1.2 ms at
    # 2x40x40x256, 3x3, on one core, and three times as long to compile: its slices may begin anywhere.
    @jax.jit
    def summed(shifted: jax.Array, columns: list[jax.Array]) -> jax.Array:
        terms = [column * shifted[..., at : at + reach : rate, :] for at, column in enumerate(columns)]
        parts: list[Any] = [sum(terms[at : at + length]) for at in range(0, width, length)]
        total: Any = sum(map(materialized, parts))  # [N, *S[:-1], taps[-1], C]
        return total.sum(tuple(range(total.ndim - 2)))

    def shifted(tap: tuple[int, ...]) -> jax.Array:
        return x[(slice(None), *(slice(t * rate, t * rate + rows) for t, rows in zip(tap, size[:-1], strict=True)))]

    return jnp.stack([summed(shifted(tap), columns) for tap in all_taps(taps[:-1])]).reshape(*taps, x.shape[-1])
