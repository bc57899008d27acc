"""The last two phases of fast pixel deconvolution from the first two: its hot part, and its derivatives.

On the half-filled map of Fig. 6 each of the two takes half of the live taps from either source. `by_convolutions` uses
four small convolutions, each of which XLA of jax 0.10 runs on one core; `by_products` uses matrix products, which run
on both cores. On two CPU cores the whole layer takes forward 7.4 instead of 9.2 ms at 2x32x32x128 (0.10.2), forward +
backward 21 instead of 24 at 2x16x16x256 (0.10.2) and 29 instead of 32 at 2x64x64x64 (jax 0.11.2).
"""

import itertools
from functools import partial

import jax
import jax.numpy as jnp

from ..._checks import accumulation_dtype
from .._dilated import convolve, pad_zeros
from .._transpose import as_transpose_of, varying_with
from ._platform import by_platform
from ._shifted_products import Terms, copies_bytes, gradient_of_source, gradient_of_weights, is_static

Place = tuple[int, int]

#: The given phases, and those made from them.
_SOURCES: tuple[Place, Place] = ((0, 0), (1, 1))
_PHASES: tuple[Place, Place] = ((0, 1), (1, 0))
# Up to this many bytes of all products of a source `by_products` is the faster value: larger buffers are mapped anew at
# each call (2x128x128x64 55 instead of 47 ms).
_PRODUCT_BYTES = 16_000_000


def cross(first: jax.Array, second: jax.Array, kernel: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Phases (0, 1) and (1, 0) from (0, 0) and (1, 1), all `[N, H, W, C]`, and `[*K, C, C]` with odd K, checked."""
    parts = [_from_source(source, kernel, at) for source, at in zip((first, second), _SOURCES, strict=True)]
    right, below = ((a + b).astype(first.dtype) for a, b in zip(*parts, strict=True))
    return right, below


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def _from_source(source: jax.Array, kernel: jax.Array, at: Place) -> tuple[jax.Array, ...]:
    """The parts of both phases from the source at a position in the blocks, in the dtype of accumulation."""
    taps, _ = live_taps(kernel.shape, at)
    small = is_static(source) and copies_bytes(source, len(taps), kernel.shape[-1]) <= _PRODUCT_BYTES
    plain = partial(by_convolutions, at=at)
    fast = partial(by_products, at=at) if small else plain
    return by_platform(source, kernel, cpu=fast, default=plain)


@_from_source.defjvp
def _from_source_jvp(
    at: Place, primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[tuple[jax.Array, ...], tuple[jax.Array, ...]]:
    """The product rule, each term in the form whose transpose is fast."""
    (source, kernel), (dsource, dkernel) = primals, tangents
    taps, _ = live_taps(kernel.shape, at)
    plain = partial(by_convolutions, at=at)
    if not taps or not is_static(source):
        return jax.jvp(plain, primals, tangents)
    y = _from_source(source, kernel, at)
    of_source = by_platform(dsource, kernel, cpu=partial(_of_source, at), default=plain)
    of_kernel = by_platform(source, dkernel, cpu=partial(_of_kernel, at), default=plain)
    return y, tuple(a + b for a, b in zip(of_source, of_kernel, strict=True))


def _of_source(at: Place, dsource: jax.Array, kernel: jax.Array) -> tuple[jax.Array, ...]:
    taps, terms = live_taps(kernel.shape, at)
    weights, y = side_by_side(kernel, taps), jax.eval_shape(partial(by_convolutions, at=at), dsource, kernel)
    return as_transpose_of(lambda cotangents: gradient_of_source(weights, terms, cotangents), y)(dsource)


def _of_kernel(at: Place, source: jax.Array, dkernel: jax.Array) -> tuple[jax.Array, ...]:
    taps, terms = live_taps(dkernel.shape, at)
    dweights = side_by_side(varying_with(dkernel, source), taps)
    y = jax.eval_shape(partial(by_convolutions, at=at), source, dkernel)
    return as_transpose_of(lambda cotangents: gradient_of_weights(source, terms, cotangents), y)(dweights)


def by_convolutions(source: jax.Array, kernel: jax.Array, at: Place) -> tuple[jax.Array, ...]:
    """The plain form: for each phase a convolution with every other row and column of the kernel."""

    def part(phase: Place) -> jax.Array:
        # The first live tap, and the pixel of the source that it reads.
        starts = [(size // 2 + p + a) % 2 for size, p, a in zip(kernel.shape, phase, at, strict=False)]
        live = kernel[starts[0] :: 2, starts[1] :: 2]
        if 0 in live.shape:  # 1x1: fully masked
            return jnp.zeros_like(source)
        reads = [(p + s - size // 2 - a) // 2 for p, s, size, a in zip(phase, starts, kernel.shape, at, strict=False)]
        pairs = tuple((-low, low + taps - 1) for low, taps in zip(reads, live.shape, strict=False))
        return convolve(source, live, pairs, rate=1)

    return tuple(part(phase).astype(accumulation_dtype(source.dtype)) for phase in _PHASES)


def by_products(source: jax.Array, kernel: jax.Array, at: Place) -> tuple[jax.Array, ...]:
    """The same by a matrix product with the source for every live tap, shifted and added."""
    dtype = accumulation_dtype(source.dtype)
    total = [jnp.zeros_like(source, dtype) for _ in _PHASES]
    for tap, (index, reads) in zip(*live_taps(kernel.shape, at), strict=True):
        product = jnp.matmul(source, kernel[tap], preferred_element_type=dtype)
        total[index] += pad_zeros(product, tuple((-step, step) for step in reads))
    return tuple(total)


def live_taps(shape: tuple[int, ...], at: Place) -> tuple[tuple[Place, ...], Terms]:
    """The taps that lead from a source to either phase, and their terms."""
    taps, terms = [], []
    for index, phase in enumerate(_PHASES):
        for tap in itertools.product(*map(range, shape[:2])):
            distance = [p + t - size // 2 - a for p, t, size, a in zip(phase, tap, shape, at, strict=False)]
            if not any(d % 2 for d in distance):
                taps.append(tap)
                terms.append((index, tuple(d // 2 for d in distance)))
    return tuple(taps), tuple(terms)


def side_by_side(kernel: jax.Array, taps: tuple[Place, ...]) -> jax.Array:
    """The kernels of these taps side by side, `[C, taps * C]`."""
    return jnp.concatenate([kernel[tap] for tap in taps], -1)
