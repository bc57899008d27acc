"""A fence around a hot loop, for forms on CPU."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax


def fenced(function: Callable[..., jax.Array], *arguments: jax.Array) -> jax.Array:
    """Calls a function; XLA fuses none of it with operations before or after.

    Fused with a following transposition, a sum over shifted copies strides through memory for every copy (40 instead of
    16 ms), and a reduction fused into a sum is not vectorized (40 instead of 1.3 ms). XLA of jax 0.10 drops a mere
    `optimization_barrier` too early, but it keeps a branch whose condition it cannot know.
    """
    always = lax.optimization_barrier(jnp.array(True))
    once = jax.jit(function)  # traced and lowered once for both branches
    # Zeros of the result's own type, also under shard_map.
    return lax.cond(always, once, lambda *arguments: jnp.zeros_like(once(*arguments)), *arguments)


def materialized(value: jax.Array) -> jax.Array:
    """The same value, behind a fence.

    For code that JAX differentiates: from a branch it would keep every intermediate result that the gradient needs.
    """
    return fenced(lambda value: value, value)
