"""Instance normalisation of tiles by approximate statistics of the whole image.

Normalising each tile by its own statistics would change the network: in a tile of only sky, noise would be as strong as
everything else.
"""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from smoothjax import models

from .tiles import Windows

Statistics = list[tuple[jax.Array, jax.Array]]

_PATCH = 64


def sample(x: Windows, tile: tuple[int, int]) -> np.ndarray:
    """Patches spread evenly over `x`, `[1, H, W, C]`, put together to at most the size of a tile.

    They are at full size: the statistics of a reduced image are those of a sharper one.
    """
    rows, columns = (_parts(size, wanted) for size, wanted in zip(x.shape[1:3], tile, strict=True))
    every = slice(None)
    return np.concatenate([np.concatenate([x[every, row, column] for column in columns], 2) for row in rows], 1)


def _parts(size: int, wanted: int) -> list[slice]:
    """The whole of an axis, or patches of it with the wanted total length."""
    if size <= wanted:
        return [slice(0, size)]
    patch = min(_PATCH, wanted)
    # On the grid of the network's features, as tiles are.
    starts = np.linspace(0, size - patch, wanted // patch).astype(int) // 2 * 2
    return [slice(int(start), int(start) + patch) for start in starts]


def measure(model: models.GCANet, x: jax.Array) -> Statistics:
    """Means and variances of the input of every normalisation, in the order of the layers; changes the model."""
    found: Statistics = []

    def recorded(norm: Any) -> Callable[[jax.Array], jax.Array]:
        def apply(y: jax.Array) -> jax.Array:
            wide = y.astype(jnp.float32)
            found.append((wide.mean((1, 2), keepdims=True), wide.var((1, 2), keepdims=True)))
            return norm(y)

        return apply

    _replace_norms(model, recorded)
    model(x)
    return found


def apply_with(model: models.GCANet, statistics: Statistics, x: jax.Array) -> jax.Array:
    """The output of the model with these statistics in place of those of `x`; changes the model."""
    following: Iterator[tuple[jax.Array, jax.Array]] = iter(statistics)

    def held(norm: Any) -> Callable[[jax.Array], jax.Array]:
        def apply(y: jax.Array) -> jax.Array:
            mean, variance = next(following)
            scale, bias = (leaf[...].reshape(1, 1, 1, -1) for leaf in (norm.scale, norm.bias))
            return ((y.astype(jnp.float32) - mean) * lax.rsqrt(variance + norm.epsilon) * scale + bias).astype(y.dtype)

        return apply

    _replace_norms(model, held)
    return model(x)


def _replace_norms(model: models.GCANet, make: Callable[[Any], Callable[[jax.Array], jax.Array]]) -> None:
    blocks: Any = model.blocks
    for module in (model, *blocks):
        for name in [name for name in vars(module) if name.startswith("norm")]:
            setattr(module, name, make(getattr(module, name)))
