"""Arguments that several layers share."""

import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, SupportsIndex

import jax
import jax.numpy as jnp

from .. import ops

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


def check_convolution(kernel_size: tuple[int, ...], rate: Any, padding: Any) -> None:
    """Lets the operation itself refuse a rate or a padding, when a layer is made instead of when it is called."""
    ops.identity_smoother(rate, len(kernel_size))
    extent = [(size - 1) * rate + 1 for size in kernel_size]
    x, kernel = (jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((1, *extent, 1), (*kernel_size, 1, 1)))
    jax.eval_shape(partial(ops.dilated_conv, rate=rate, padding=padding), x, kernel)


def with_one_batch_axis(layer: Callable[[jax.Array], jax.Array], x: jax.Array, ndim: int) -> jax.Array:
    """Applies a layer of `ndim` spatial axes under any number of batch axes, also none, as `flax.nnx.Conv` does."""
    batch = x.shape[: x.ndim - ndim - 1]
    if len(batch) == 1:
        return layer(x)
    y = layer(x.reshape(-1, *x.shape[len(batch) :]))
    return y.reshape(*batch, *y.shape[1:])
