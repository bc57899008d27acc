"""Depthwise convolution, one filter a channel, and its derivatives: the forms of the spatial filter on CPU.

XLA's grouped convolution on CPU takes tens of times as long as shifted products: at 2x40x40x256, 3x3, 12 to 25 ms
forward and 80 both ways; these forms take under 1 and 3 ms.
"""

import functools
import itertools
import operator
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from ..._checks import accumulation_dtype
from .._transpose import Pair, as_transpose_of, varying_with
from ._fenced import fenced
from ._platform import by_platform
from ._shifted_sum import few_by_few, weights_of
from ._spatial_filter import few_terms, needs_no_padding, products_by_channel, unpadded_sum
from ._window import Window


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def depthwise(x: jax.Array, kernel: jax.Array, window: Window) -> jax.Array:
    """Maps `[N, *S, C]` with `[*K, C]`, of one floating dtype and static sizes, none of them 0."""
    return by_platform(x, kernel, cpu=partial(_value, window), default=partial(grouped, window))


@depthwise.defjvp
def _depthwise_jvp(window: Window, primals: Pair, tangents: Pair) -> Pair:
    """The product rule, each term in the form whose transpose is fast: all transformations follow, in any mode."""
    (x, kernel), (dx, dkernel) = primals, tangents
    y, plain = depthwise(x, kernel, window), partial(grouped, window)
    of_maps = by_platform(dx, kernel, cpu=partial(_of_maps, window), default=plain)
    return y, of_maps + by_platform(x, dkernel, cpu=partial(_of_kernel, window), default=plain)


def grouped(window: Window, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """XLA's grouped convolution."""
    spatial, channels = "DHW"[-(x.ndim - 2) :], x.shape[-1]
    return lax.conv_general_dilated(
        x,
        kernel.reshape(*kernel.shape[:-1], 1, channels),
        window_strides=window.strides,
        padding=window.pairs,
        rhs_dilation=window.rates,
        dimension_numbers=(f"N{spatial}C", f"{spatial}IO", f"N{spatial}C"),
        feature_group_count=channels,
    )


def _value(window: Window, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The value, accumulated in the wider dtype and rounded once."""
    dtype = accumulation_dtype(x.dtype)
    wide, weights = x.astype(dtype), kernel.astype(dtype)
    return _form(window, wide, weights).astype(x.dtype)


def _form(window: Window, x: jax.Array, kernel: jax.Array) -> jax.Array:
    if not _is_regular(window):
        return fenced(partial(_sum_of_windows, window), x, kernel)
    if needs_no_padding(x, kernel, window.rates[0], window.pairs):
        return unpadded_sum(x, kernel, window.rates[0], window.pairs)
    return few_by_few(_pad(window, x), kernel, window.rates[0])


def _of_maps(window: Window, dx: jax.Array, kernel: jax.Array) -> jax.Array:
    """The convolution of a tangent of the maps; without strides its transpose is the flipped filter."""
    if not window.unstrided:
        return _value(window, dx, kernel)
    y = jax.eval_shape(partial(grouped, window), dx, kernel)
    size = kernel.shape[:-1]
    flipped = jnp.flip(kernel, range(len(size)))

    def gradient(cotangent: jax.Array) -> jax.Array:
        return _value(window.flipped(size), cotangent, flipped)

    return as_transpose_of(gradient, y)(dx)


def _of_kernel(window: Window, x: jax.Array, dkernel: jax.Array) -> jax.Array:
    """The convolution with a tangent of the kernel."""
    y = jax.eval_shape(partial(grouped, window), x, dkernel)
    return as_transpose_of(partial(_gradient, window, dkernel.shape[:-1], x), y)(varying_with(dkernel, x))


# Keeping its slices for the backward pass would copy the map several times over.
@partial(jax.checkpoint, static_argnums=(0, 1), prevent_cse=False)
def _gradient(window: Window, size: tuple[int, ...], x: jax.Array, cotangent: jax.Array) -> jax.Array:
    """The transpose with respect to the kernel."""
    dtype = accumulation_dtype(x.dtype)
    padded, wide = _pad(window, x.astype(dtype)), cotangent.astype(dtype)
    if _is_regular(window) and few_terms(size, jax.ShapeDtypeStruct(wide.shape, dtype)):
        return products_by_channel(size, window.rates[0], padded, wide).astype(x.dtype)
    places = tuple(range(x.ndim - 1))
    sums = [(padded[window_of(window, tap, wide.shape[1:-1])] * wide).sum(places) for tap in _taps(size)]
    return jnp.stack(sums).reshape(*size, x.shape[-1]).astype(x.dtype)


def _is_regular(window: Window) -> bool:
    """Whether the forms of the spatial filter apply: no strides, one rate for all axes."""
    return window.unstrided and len(set(window.rates)) == 1


def _sum_of_windows(window: Window, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The sum over the taps of their weighted windows."""
    size, out = kernel.shape[:-1], window.out_size(x.shape[1:-1], kernel.shape[:-1])
    padded = _pad(window, x)
    weights = weights_of(kernel, size, x.ndim)
    return functools.reduce(operator.add, [weights[tap] * padded[window_of(window, tap, out)] for tap in _taps(size)])


def window_of(window: Window, tap: tuple[int, ...], out: tuple[int, ...]) -> tuple[slice, ...]:
    """The window of padded maps that a tap reads for all outputs."""
    axes = zip(tap, window.rates, window.strides, out, strict=True)
    return (slice(None), *(slice(t * rate, t * rate + (n - 1) * step + 1, step) for t, rate, step, n in axes))


def _taps(size: tuple[int, ...]) -> list[tuple[int, ...]]:
    return list(itertools.product(*map(range, size)))


def _pad(window: Window, x: jax.Array) -> jax.Array:
    """The padded maps, materialised: without the barrier their borders are tested at every tap."""
    sides = [(0, 0, 0), *((low, high, 0) for low, high in window.pairs), (0, 0, 0)]
    return lax.optimization_barrier(lax.pad(x, x.dtype.type(0), sides))
