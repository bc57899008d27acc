"""Linear maps written backwards, so that their gradient is the form as written."""

from collections.abc import Callable
from typing import TypeAlias, TypeVar

import jax
import jax.numpy as jnp

Cotangents = TypeVar("Cotangents", jax.Array, tuple[jax.Array, ...])
Pair: TypeAlias = tuple[jax.Array, jax.Array]
"""The two arguments of a bilinear operation, or its value and tangent."""

Types: TypeAlias = jax.Array | jax.ShapeDtypeStruct | tuple[jax.Array | jax.ShapeDtypeStruct, ...]


def as_transpose_of(function: Callable[[Cotangents], jax.Array], like: Types) -> Callable[[jax.Array], Cotangents]:
    """The transpose of a linear map, for tangents: for the gradient JAX transposes it again, back to `function`.

    A `custom_vjp` would also fix the gradient, but forbid forward mode and with it most second derivatives.

    Args:
      function: the linear map of cotangents, written for speed.
      like: an array, or a tuple of arrays, with the type of these cotangents, which under `shard_map` includes the axes
          that they vary over.
    """
    transposed = jax.linear_transpose(function, like)
    return lambda tangent: transposed(tangent)[0]


def varying_with(parameter: jax.Array, x: jax.Array) -> jax.Array:
    """The same parameter with x's type under `shard_map`: a replicated value becomes one that varies.

    Products with x vary over devices, and a transpose must return the type that it was given.
    """
    return parameter + jnp.zeros_like(x.sum(), parameter.dtype)
