"""Linear maps written backwards, so that the gradient is the form that was written."""

from collections.abc import Callable

import jax


def as_transpose_of(function: Callable[[jax.Array], jax.Array], like: jax.Array) -> Callable[[jax.Array], jax.Array]:
    """The transpose of a linear map, for tangents: JAX transposes it once more for the gradient, back to `function`.

    A `custom_vjp` would fix the gradient, too, but forbid forward mode and with it most second derivatives.

    Args:
      function: the linear map of cotangents, written for speed.
      like: an array of the type of these cotangents; under `shard_map` that says over which axes they vary, too.
    """
    transposed = jax.linear_transpose(function, like)
    return lambda tangent: transposed(tangent)[0]
