"""Arguments that several layers share."""

import operator
from collections.abc import Callable, Sequence
from typing import Any, SupportsIndex

import jax

from ..ops._checks import check_int
from ..ops._padding import resolve_padding

Padding = str | Sequence[tuple[int, int]]


def check_kernel_size(kernel_size: Any) -> tuple[int, ...]:
    """Returns the kernel size as a tuple; its length says how many spatial axes the layer has."""
    rule = "kernel_size must be a tuple with one size >= 1 for each of the one to three spatial axes"
    if isinstance(kernel_size, str) or not isinstance(kernel_size, Sequence):
        raise ValueError(f"{rule}, got {kernel_size!r}: write e.g. (3, 3) for a 3x3 kernel on images")
    sizes = tuple(kernel_size)
    counts = all(isinstance(size, SupportsIndex) and not isinstance(size, bool) for size in sizes)
    if not 1 <= len(sizes) <= 3 or not counts or min(sizes) < 1:
        raise ValueError(f"{rule}, got {sizes}: write e.g. (3, 3) for a 3x3 kernel on images")
    return tuple(operator.index(size) for size in sizes)


def check_convolution(kernel_size: tuple[int, ...], rate: Any, padding: Any) -> str | tuple[tuple[int, int], ...]:
    """Returns the padding, its pairs as tuples of ints; refuses what the operation itself would when it is called.

    A layer keeps these: Flax compares and hashes the options of a layer, and lists and arrays have no hash.
    """
    rate = check_int("rate", rate)
    pairs = resolve_padding(padding, kernel_size, rate, [(size - 1) * rate + 1 for size in kernel_size])
    return padding if isinstance(padding, str) else pairs


def with_one_batch_axis(layer: Callable[[jax.Array], jax.Array], x: jax.Array, ndim: int) -> jax.Array:
    """Applies a layer of `ndim` spatial axes under any number of batch axes, also none, as `flax.nnx.Conv` does."""
    if x.ndim <= ndim:
        raise ValueError(
            f"x must be [..., *S, C] with the {ndim} spatial axes S of this layer, got shape {x.shape}: add axes, or "
            "make the layer for fewer"
        )
    batch = x.shape[: x.ndim - ndim - 1]
    if len(batch) == 1:
        return layer(x)
    y = layer(x.reshape(-1, *x.shape[len(batch) :]))
    return y.reshape(*batch, *y.shape[1:])
