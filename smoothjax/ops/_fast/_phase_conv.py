"""The convolution that makes one phase from others: the hot part of pixel deconvolution, and its derivatives.

The value is XLA's. On CPU XLA's kernel gradient takes two to three times as long as the value or the gradient of the
maps. If the shifted copies of the cotangent are small, both gradients are made from them; otherwise the kernel's
gradient is made strip by strip, by `strip_products`. On two CPU cores, jax 0.11.2, 3x3: for the kernel 2.6 instead of
3.6 ms at 2x32x32, 128 -> 128, 6.1 instead of 10.9 ms from three phases, 384 -> 128.
"""

import itertools
import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ..._checks import Pairs, resolve_padding
from .._dilated import convolve, pad_zeros
from .._transpose import Pair, as_transpose_of, varying_with
from ._platform import by_platform
from ._shifted_products import (
    copies_bytes,
    gradient_of_source,
    gradient_of_weights,
    is_static,
    product_over_places,
    same_terms,
)

# Up to this many bytes of shifted copies both gradients are made from them: forward + backward of `ipixel_deconv` takes
# 57 instead of 73 ms at 2x16x16x256 (4.7 MB), but would take 68 instead of 61 at 2x32x32x128 (9.4 MB).
_SHARED_BYTES = 5_000_000
# Otherwise, bytes of copies in one product: a strip stays in the cache, and the loop has few steps.
_STRIP_BYTES = 2_400_000


@jax.custom_jvp
def phase_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """A standard convolution that keeps the size, on checked arguments."""
    return _same_conv(x, kernel)


def _same(x: jax.Array, kernel: jax.Array) -> Pairs:
    return resolve_padding("SAME", kernel.shape[:-2], 1, x.shape[1:-1])


@phase_conv.defjvp
def _phase_conv_jvp(primals: Pair, tangents: Pair) -> Pair:
    """The product rule, each term in the form whose transpose is fast: all transformations follow."""
    (x, kernel), (dx, dkernel) = primals, tangents
    y = phase_conv(x, kernel)
    shared = is_static(x) and copies_bytes(x, math.prod(kernel.shape[:-2]), kernel.shape[-1]) <= _SHARED_BYTES
    of_maps = by_platform(dx, kernel, cpu=_of_maps_by_copies, default=_same_conv) if shared else phase_conv(dx, kernel)
    if is_static(x):
        fast = _of_kernel_by_copies if shared else partial(_of_kernel_by_strips, _STRIP_BYTES)
        return y, of_maps + by_platform(x, dkernel, cpu=fast, default=_same_conv)
    return y, of_maps + phase_conv(x, dkernel)


def _same_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return convolve(x, kernel, _same(x, kernel), rate=1)


def _of_maps_by_copies(dx: jax.Array, kernel: jax.Array) -> jax.Array:
    weights, terms = _side_by_side(kernel), same_terms(kernel.shape[:-2])
    y = jax.eval_shape(_same_conv, dx, kernel)
    return as_transpose_of(lambda cotangent: gradient_of_source(weights, terms, [cotangent]), y)(dx)


def _of_kernel_by_copies(x: jax.Array, dkernel: jax.Array) -> jax.Array:
    terms, y = same_terms(dkernel.shape[:-2]), jax.eval_shape(_same_conv, x, dkernel)
    dweights = _side_by_side(varying_with(dkernel, x))
    return as_transpose_of(lambda cotangent: gradient_of_weights(x, terms, [cotangent]), y)(dweights)


def _of_kernel_by_strips(strip_bytes: int, x: jax.Array, dkernel: jax.Array) -> jax.Array:
    strips = partial(strip_products, dkernel.shape[:-2], _same(x, dkernel), strip_bytes, x)
    y = jax.eval_shape(_same_conv, x, dkernel)
    return as_transpose_of(strips, y)(varying_with(dkernel, x))


def _side_by_side(kernel: jax.Array) -> jax.Array:
    """The kernels of all taps, `[C_in, taps * C_out]`."""
    together = jnp.moveaxis(kernel, -2, 0)
    return together.reshape(together.shape[0], math.prod(together.shape[1:]))


# Jitted here, so that calls outside jit do not compile its loop again.
@partial(jax.jit, static_argnums=(0, 1, 2))
def strip_products(
    size: tuple[int, ...], pairs: Pairs, strip_bytes: int, x: jax.Array, cotangent: jax.Array
) -> jax.Array:
    """The transpose of a convolution with respect to the kernel: x times shifted copies of the cotangent, by strips.

    Copies are made of the cotangent, which has the channels of one phase; x may hold several phases. The loop runs over
    rows, never over examples, which may be on different devices.
    """
    rows_of_x, channels = x.shape[1], cotangent.shape[-1]
    taps = list(itertools.product(*map(range, size)))
    row_bytes = math.prod(x.shape[:1] + x.shape[2:-1]) * len(taps) * channels * x.dtype.itemsize
    count = min(-(-rows_of_x * row_bytes // strip_bytes), rows_of_x) or 1
    rows = -(-rows_of_x // count)
    # The last strip is completed with zeros.
    more = [count * rows - rows_of_x, *(0 for _ in size[1:])]
    x = pad_zeros(x, tuple((0, end) for end in more))
    around = [(most - 1 - low, most - 1 - high + end) for most, (low, high), end in zip(size, pairs, more, strict=True)]
    cotangent = pad_zeros(cotangent, tuple(around))

    # Keeping the copies for the backward pass would store the map several times over.
    @jax.checkpoint
    def product_at(start: Any) -> jax.Array:
        strip = lax.dynamic_slice_in_dim(x, start, rows, 1)
        wide = lax.dynamic_slice_in_dim(cotangent, start, rows + size[0] - 1, 1)

        def shifted(tap: tuple[int, ...]) -> jax.Array:
            starts = [most - 1 - t for most, t in zip(size, tap, strict=True)]
            window = [slice(at, at + length) for at, length in zip(starts, strip.shape[1:-1], strict=True)]
            return wide[(slice(None), *window)]

        return product_over_places(strip, jnp.concatenate([shifted(tap) for tap in taps], -1))

    def add(total: jax.Array, start: jax.Array) -> tuple[jax.Array, None]:
        return total + product_at(start), None

    total, _ = lax.scan(add, jnp.zeros_like(product_at(0)), rows * jnp.arange(count))
    kernel = total.astype(x.dtype).reshape(x.shape[-1], *size, channels)
    return jnp.moveaxis(kernel, 0, -2)
