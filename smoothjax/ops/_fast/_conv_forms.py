"""Convolutions of channels-last maps as matrix products, and the gradients of their kernels. For CPU.

Each form computes the same as XLA's convolution, for static sizes. A tap's weight never multiplies a position that the
tap does not read, so NaN and infinity do not spread; only copies of the maps are completed with zeros.
"""

import functools
import itertools
import math
import operator

import jax
import jax.numpy as jnp
from jax import lax

from ..._checks import Pairs, accumulation_dtype
from ._window import Tap, Window


def plain(window: Window, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """XLA's convolution. It accumulates bfloat16 in float32 and rounds once."""
    spatial = "DHW"[-(x.ndim - 2) :]
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=window.strides,
        padding=window.pairs,
        rhs_dilation=window.rates,
        dimension_numbers=(f"N{spatial}C", f"{spatial}IO", f"N{spatial}C"),
    )


def sum_of_windows(window: Window, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The sum over the taps of products with the positions that each reads, without padding or copies side by side.

    At rate 12 on a map of 21x21 the taps read 38 % of the positions of a padded map.
    """
    taps, out = _geometry(window, x, kernel)
    x = lax.optimization_barrier(x)

    def product(tap: Tap) -> jax.Array:
        return _spread(_dot(x[(slice(None), *tap.inputs)], kernel[tap.position]), tap, out)

    return _sum([product(tap) for tap in taps], x, out, kernel.shape[-1])


def product(strides: tuple[int, ...], x: jax.Array, kernel: jax.Array) -> jax.Array:
    """A convolution of one tap, without padding, and by its derivatives both gradients."""
    read = x[(slice(None), *(slice(None, None, stride) for stride in strides))] if max(strides) > 1 else x
    # One axis of places: over several, XLA's products take three times as long.
    flat = read.reshape(math.prod(read.shape[:-1]), read.shape[-1])
    return _dot(flat, kernel.reshape(kernel.shape[-2:])).astype(x.dtype).reshape(*read.shape[:-1], kernel.shape[-1])


def shifted_products(window: Window, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """One product with the kernels of all taps; its results are then shifted and added. For few outputs."""
    taps, out = _geometry(window, x, kernel)
    if not taps:
        return _sum([], x, out, kernel.shape[-1])
    weights, channels = jnp.concatenate([kernel[tap.position] for tap in taps], -1), kernel.shape[-1]
    # Materialised: fused with the sum, every output would become a separate product.
    products = lax.optimization_barrier(_dot(x, weights))

    def shifted(position: int, tap: Tap) -> jax.Array:
        part = lax.slice_in_dim(products, position * channels, (position + 1) * channels, axis=products.ndim - 1)
        return _spread(part[(slice(None), *tap.inputs)], tap, out)

    return _sum([shifted(position, tap) for position, tap in enumerate(taps)], x, out, channels)


def product_by_strips(window: Window, strip_bytes: int, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Shifted copies of the maps beside each other, one for each tap, and one product, some rows at a time.

    A strip has as many rows of the output as `strip_bytes` of copies allow, so they stay in the cache.
    """
    size, out = kernel.shape[:-2], window.out_size(x.shape[1:-1], kernel.shape[:-2])
    strips = _Strips(window, size, out, x, math.prod(size) * x.shape[-1], strip_bytes)
    weights = kernel.reshape(-1, kernel.shape[-1])
    padded = strips.padded(x)
    rows = lax.map(lambda index: _dot(strips.copies(padded, index), weights).astype(x.dtype), jnp.arange(strips.count))
    y = jnp.moveaxis(rows, 0, 1).reshape(x.shape[0], strips.count * strips.rows, *out[1:], kernel.shape[-1])
    return y[:, : out[0]]


@functools.partial(jax.checkpoint, static_argnums=(0, 1), prevent_cse=False)
def gradient_by_windows(window: Window, size: tuple[int, ...], x: jax.Array, cotangent: jax.Array) -> jax.Array:
    """The gradient of the kernel, tap by tap: the positions that a tap reads times the outputs that it adds to."""
    taps = {tap.position: tap for tap in window.taps(x.shape[1:-1], size)}
    x, cotangent = lax.optimization_barrier(x), lax.optimization_barrier(cotangent)
    shape = (x.shape[-1], cotangent.shape[-1])

    def product(index: tuple[int, ...]) -> jax.Array:
        if index not in taps:
            return jnp.zeros(shape, x.dtype)
        tap = taps[index]
        outputs = tuple(slice(begin, end) for begin, end in tap.outputs)
        read, written = x[(slice(None), *tap.inputs)], cotangent[(slice(None), *outputs)]
        return _product_over_places(read, written).astype(x.dtype)

    return jnp.stack([product(index) for index in _indices(size)]).reshape(*size, *shape)


@functools.partial(jax.checkpoint, static_argnums=(0, 1), prevent_cse=False)
def gradient_by_copies(window: Window, size: tuple[int, ...], x: jax.Array, cotangent: jax.Array) -> jax.Array:
    """The gradient of the kernel by one product, with shifted copies of the maps."""
    taps = window.taps(x.shape[1:-1], size)
    copies = _copies(x, taps, cotangent.shape[1:-1], window.strides)
    products = _product_over_places(copies, cotangent).astype(x.dtype)
    return _placed(products.reshape(len(taps), x.shape[-1], -1), taps, size)


@functools.partial(jax.checkpoint, static_argnums=(0, 1), prevent_cse=False)
def gradient_by_cotangents(window: Window, size: tuple[int, ...], x: jax.Array, cotangent: jax.Array) -> jax.Array:
    """The gradient of the kernel by one product with shifted copies of the cotangent, for an unstrided convolution."""
    taps = window.taps(x.shape[1:-1], size)
    copies = _copies(cotangent, [tap.backwards() for tap in taps], x.shape[1:-1], window.strides)
    products = _product_over_places(x, copies).astype(x.dtype)
    return _placed(products.reshape(x.shape[-1], len(taps), -1).swapaxes(0, 1), taps, size)


@functools.partial(jax.checkpoint, static_argnums=(0, 1, 2), prevent_cse=False)
def gradient_by_strips(
    window: Window, size: tuple[int, ...], strip_bytes: int, x: jax.Array, cotangent: jax.Array
) -> jax.Array:
    """The gradient of the kernel from copies of the maps, some rows of the output at a time.

    The loop runs over rows, never over examples, which may be on different devices.
    """
    out = cotangent.shape[1:-1]
    strips = _Strips(window, size, out, x, math.prod(size) * x.shape[-1], strip_bytes)
    padded = strips.padded(x)
    more = strips.count * strips.rows - out[0]
    cotangent = lax.optimization_barrier(_pad(cotangent, ((0, more), *((0, 0),) * (len(size) - 1))))

    # Keeping the copies for the backward pass would store the maps several times over.
    @jax.checkpoint
    def product_at(index: jax.Array | int) -> jax.Array:
        rows = lax.dynamic_slice_in_dim(cotangent, index * strips.rows, strips.rows, 1)
        return _product_over_places(strips.copies(padded, index), rows)

    def add(total: jax.Array, index: jax.Array) -> tuple[jax.Array, None]:
        return total + product_at(index), None

    total, _ = lax.scan(add, jnp.zeros_like(product_at(0)), jnp.arange(strips.count))
    return total.astype(x.dtype).reshape(*size, x.shape[-1], cotangent.shape[-1])


class _Strips:
    """Strips of rows of the output whose copies take at most `strip_bytes`."""

    def __init__(
        self,
        window: Window,
        size: tuple[int, ...],
        out: tuple[int, ...],
        x: jax.Array,
        columns: int,
        strip_bytes: int,
    ):
        row_bytes = x.shape[0] * math.prod(out[1:]) * columns * jnp.dtype(x.dtype).itemsize
        count = min(-(-out[0] * row_bytes // strip_bytes), out[0]) or 1
        self.rows = -(-out[0] // count)
        self.count = -(-out[0] // self.rows)
        self._window, self._size = window, size
        self._out = (self.rows, *out[1:])
        self._needed = (self.rows - 1) * window.strides[0] + (size[0] - 1) * window.rates[0] + 1
        # The last strip is completed with zeros.
        reach = (self.count * self.rows - 1) * window.strides[0] + (size[0] - 1) * window.rates[0] + 1
        low = window.pairs[0][0]
        self._pairs = ((low, reach - low - x.shape[1]), *window.pairs[1:])

    def padded(self, x: jax.Array) -> jax.Array:
        """The maps with the rows that all strips read, materialised."""
        return lax.optimization_barrier(_pad(x, self._pairs))

    def copies(self, padded: jax.Array, index: jax.Array | int) -> jax.Array:
        """The shifted copies of one strip, `[N, rows, ..., taps * C]`."""
        start = index * (self.rows * self._window.strides[0])
        strip = lax.dynamic_slice_in_dim(padded, start, self._needed, 1)

        reads = []
        axes = zip(self._size, self._out, self._window.strides, self._window.rates, strict=True)
        for taps, count, step, rate in axes:
            reads.append([slice(t * rate, t * rate + (count - 1) * step + 1, step) for t in range(taps)])
        return _beside(strip, reads)


def _geometry(window: Window, x: jax.Array, kernel: jax.Array) -> tuple[list[Tap], tuple[int, ...]]:
    size = kernel.shape[:-2]
    return window.taps(x.shape[1:-1], size), window.out_size(x.shape[1:-1], size)


def _indices(size: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The indices of all taps, in row-major order."""
    return list(itertools.product(*map(range, size)))


def _dot(x: jax.Array, weights: jax.Array) -> jax.Array:
    """`[..., C] x [C, D]`, in the dtype of accumulation."""
    return jnp.matmul(x, weights, preferred_element_type=accumulation_dtype(x.dtype))


def _product_over_places(x: jax.Array, y: jax.Array) -> jax.Array:
    """`[C, D]`, in the dtype of accumulation, from `[N, *S, C]` and `[N, *S, D]`."""
    # One axis of positions: over several, XLA's products take three times as long.
    left, right = (maps.reshape(math.prod(maps.shape[:-1]), maps.shape[-1]) for maps in (x, y))
    return jnp.matmul(left.T, right, preferred_element_type=accumulation_dtype(x.dtype))


def _pad(x: jax.Array, pairs: Pairs) -> jax.Array:
    return lax.pad(x, x.dtype.type(0), [(0, 0, 0), *((low, high, 0) for low, high in pairs), (0, 0, 0)])


def _spread(part: jax.Array, tap: Tap, out: tuple[int, ...]) -> jax.Array:
    """The contribution of a tap, on a map of zeros of the output's size."""
    return _pad(part, tuple((begin, count - end) for (begin, end), count in zip(tap.outputs, out, strict=True)))


def _sum(parts: list[jax.Array], x: jax.Array, out: tuple[int, ...], channels: int) -> jax.Array:
    """The sum of the taps' contributions in the dtype of accumulation, rounded once to x's; zeros if no tap reads."""
    if not parts:
        # Zeros of x's own type, also under shard_map.
        return jnp.zeros_like(x, shape=(x.shape[0], *out, channels)) + jnp.zeros_like(x.sum())
    return functools.reduce(operator.add, parts).astype(x.dtype)


def _copies(x: jax.Array, taps: list[Tap], out: tuple[int, ...], strides: tuple[int, ...]) -> jax.Array:
    """The input of each tap for every output, with zeros outside of the maps: `[N, *out, taps * C]`."""
    pairs, starts = [], [[tap.starts[axis] for tap in taps] for axis in range(len(out))]
    for first, length, count, stride in zip(starts, x.shape[1:-1], out, strides, strict=True):
        pairs.append((max(0, -min(first)), max(0, max(first) + (count - 1) * stride + 1 - length)))
    # Materialised: maps are often sums, which every copy would compute again.
    padded = lax.optimization_barrier(_pad(x, tuple(pairs)))

    # A tap reads something if it does so along every axis.
    reads = []
    for first, (low, _), count, step in zip(starts, pairs, out, strides, strict=True):
        places = [slice(at + low, at + low + (count - 1) * step + 1, step) for at in first]
        reads.append(list(dict.fromkeys((at.start, at.stop, at.step) for at in places)))
    return _beside(padded, [[slice(*places) for places in axis] for axis in reads])


def _beside(x: jax.Array, reads: list[list[slice]]) -> jax.Array:
    """Copies beside each other in the channels, one for each combination of reads along the axes, row-major.

    Axis by axis this compiles in half the time of all copies at once.
    """
    for axis in reversed(range(len(reads))):
        before = (slice(None),) * (axis + 1)
        x = lax.optimization_barrier(jnp.concatenate([x[(*before, places)] for places in reads[axis]], -1))
    return x


def _placed(products: jax.Array, taps: list[Tap], size: tuple[int, ...]) -> jax.Array:
    """The gradient of a kernel from the gradients `[taps, C, D]` of the taps that read something; the others are 0."""
    if len(taps) < math.prod(size):
        indices = _indices(size)
        zeros, found = jnp.zeros_like(products[0]), {tap.position: at for at, tap in enumerate(taps)}
        products = jnp.stack([products[found[index]] if index in found else zeros for index in indices])
    return products.reshape(*size, *products.shape[1:])
