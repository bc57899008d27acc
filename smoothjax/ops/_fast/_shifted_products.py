"""Both gradients of convolutions of one source, from the same shifted copies of the cotangents.

The hot part of pixel deconvolution on CPU, where XLA's gradient of a kernel takes two to three times as long as either
the value or the gradient of the maps. Terms describe a convolution: for every tap, the output it adds to and the pixel
it reads for pixel 0; all maps have one size. The kernels of the terms are side by side, `[C, terms * C']`.
"""

import itertools
import math
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

from ..._checks import accumulation_dtype
from .._dilated import pad_zeros

#: The index of an output, and the pixel of the source that is read for its pixel 0.
Term = tuple[int, tuple[int, ...]]
Terms = tuple[Term, ...]


def is_static(source: jax.Array) -> bool:
    """Whether all sizes are known: under jax.export they may be symbolic, and cannot be compared."""
    return all(isinstance(length, int) for length in source.shape)


def same_terms(size: Sequence[int]) -> Terms:
    """The terms of a standard convolution with XLA's SAME padding, in the order of its taps."""
    taps = itertools.product(*map(range, size))
    return tuple((0, tuple(t - (most - 1) // 2 for t, most in zip(tap, size, strict=True))) for tap in taps)


def copies_bytes(source: jax.Array, terms: int, channels: int) -> int:
    """Bytes of the shifted copies, or of products with the kernels of all terms."""
    return math.prod(source.shape[:-1]) * terms * channels * jnp.dtype(accumulation_dtype(source.dtype)).itemsize


# Keeping the copies for the backward pass would store the maps several times over. XLA makes the copies of both
# gradients once.
@partial(jax.checkpoint, static_argnums=1, prevent_cse=False)
def gradient_of_source(weights: jax.Array, terms: Terms, cotangents: Sequence[jax.Array]) -> jax.Array:
    """The transpose of the convolutions with respect to the source."""
    copies = _copies(terms, cotangents, weights.dtype)
    total = jnp.matmul(copies, weights.T, preferred_element_type=accumulation_dtype(weights.dtype))
    return total.astype(weights.dtype)


@partial(jax.checkpoint, static_argnums=1, prevent_cse=False)
def gradient_of_weights(source: jax.Array, terms: Terms, cotangents: Sequence[jax.Array]) -> jax.Array:
    """The transpose of the convolutions with respect to the weights, the kernels side by side."""
    copies = _copies(terms, cotangents, source.dtype)
    total = product_over_places(source, copies)
    # Without the barrier XLA writes it twice, when the kernel's axes change places.
    return lax.optimization_barrier(total.astype(source.dtype))


def product_over_places(source: jax.Array, copies: jax.Array) -> jax.Array:
    """`[C, M]`, in the dtype of accumulation, from `[N, *S, C]` and `[N, *S, M]`."""
    # One axis of positions: over several, XLA's products take three times as long.
    flat, sought = (x.reshape(math.prod(x.shape[:-1]), x.shape[-1]) for x in (source, copies))
    return jnp.matmul(flat.T, sought, preferred_element_type=accumulation_dtype(source.dtype))


def _copies(terms: Terms, cotangents: Sequence[jax.Array], dtype: DTypeLike) -> jax.Array:
    """The cotangent of each term at every position, `[N, *S, terms * C']`."""
    size, channels = cotangents[0].shape[1:-1], cotangents[0].shape[-1]
    reads = [[move[axis] for _, move in terms] for axis in range(len(size))]
    low = [max(0, *moves) for moves in reads]
    pairs = tuple((most, max(0, -min(moves))) for most, moves in zip(low, reads, strict=True))
    # Materialised: cotangents are often sums, which every copy would compute again.
    padded = [lax.optimization_barrier(pad_zeros(cotangent.astype(dtype), pairs)) for cotangent in cotangents]

    def copy(index: int, move: Sequence[int]) -> jax.Array:
        starts = [most - step for most, step in zip(low, move, strict=True)]
        window = [slice(start, start + length) for start, length in zip(starts, size, strict=True)]
        return padded[index][(slice(None), *window)]

    copies = jnp.stack([copy(*term) for term in terms], -2)
    return copies.reshape(*copies.shape[:-2], len(terms) * channels)
