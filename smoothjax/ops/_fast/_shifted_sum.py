"""The shifted sum: one spatial filter for all channels as a sum over its taps of shifted copies of the map."""

import itertools
from functools import partial
from typing import Any

import jax
from jax import lax

from ._fenced import fenced

# Taps in each sum of `few_by_few`: more leave no registers for the filter.
_TAPS = 25


def shifted_sum(x: jax.Array, kernel: jax.Array, rate: int) -> jax.Array:
    """The sum over the taps of shifted copies of x."""
    return _sum_of(all_taps(filter_size(x, kernel)), x, kernel, rate)


def few_by_few(x: jax.Array, kernel: jax.Array, rate: int) -> jax.Array:
    """The shifted sum as several sums of a few taps each: 7x7 takes 0.58 instead of 0.75 ms at 2x40x40x256."""
    taps = all_taps(filter_size(x, kernel))
    count = -(-len(taps) // -(-len(taps) // _TAPS))
    y = fenced(partial(_sum_of, taps[:count], rate=rate), x, kernel)
    for at in range(count, len(taps), count):
        more = partial(_sum_of, taps[at : at + count], rate=rate)
        y = fenced(lambda y, x, kernel, more=more: y + more(x, kernel), y, x, kernel)
    return y


def filter_size(x: jax.Array, kernel: jax.Array) -> tuple[int, ...]:
    """The sizes K of a filter `[*K]` that all channels share, or of one with weights for each channel, `[*K, C]`."""
    return kernel.shape[: x.ndim - 2]


def weights_of(kernel: jax.Array, size: tuple[int, ...], ndim: int) -> dict[tuple[int, ...], jax.Array]:
    """The weight of each tap, ready to multiply maps of `ndim` axes: one number, or one for each channel."""
    taps = all_taps(size)
    rows = kernel.reshape(len(taps), *(1,) * (ndim - 2), -1)
    return dict(zip(taps, lax.split(rows, (1,) * len(taps)), strict=True))


def all_taps(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The indices of all taps, in row-major order."""
    return list(itertools.product(*map(range, shape)))


def _sum_of(taps: list[tuple[int, ...]], x: jax.Array, kernel: jax.Array, rate: int) -> jax.Array:
    size, weights = out_size(x, kernel, rate), weights_of(kernel, filter_size(x, kernel), x.ndim)

    def shifted(tap: tuple[int, ...]) -> jax.Array:
        window = [slice(t * rate, t * rate + length) for t, length in zip(tap, size, strict=True)]
        return x[(slice(None), *window)]

    return in_two_chains([weights[tap] * shifted(tap) for tap in taps])


def in_two_chains(terms: list[jax.Array]) -> jax.Array:
    """Two sums side by side: in a single sum each addition waits for the one before (7x7 0.66 ms, 15x15 2.6)."""
    total: Any = sum(terms[::2]) + sum(terms[1::2])
    return total


def out_size(x: jax.Array, kernel: jax.Array, rate: int) -> list[int]:
    """Outputs by axis, of padded maps."""
    return [length - (taps - 1) * rate for length, taps in zip(x.shape[1:-1], filter_size(x, kernel), strict=True)]
