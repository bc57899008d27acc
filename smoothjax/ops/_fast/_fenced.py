"""A fence around a hot loop, for forms of the CPU."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax


def fenced(function: Callable[..., jax.Array], *arguments: jax.Array) -> jax.Array:
    """Calls a function; XLA fuses nothing in it with what comes before or after.

    Fused with a transposition that follows, a sum over shifted copies strides through memory at every one of them (40
    instead of 16 ms), and a reduction that joins a sum is not vectorized (40 instead of 1.3 ms). XLA of jax 0.10 drops
    a mere `optimization_barrier` too early; a branch whose condition it cannot know stays where it is.
    """
    always = lax.optimization_barrier(jnp.array(True))
    # Zeros of the result's own type, under shard_map, too.
    return lax.cond(always, function, lambda *arguments: jnp.zeros_like(function(*arguments)), *arguments)


def materialized(value: jax.Array) -> jax.Array:
    """The same value, behind a fence.

    For what JAX differentiates: of a branch it would keep every intermediate result that the gradient needs.
    """
    return fenced(lambda value: value, value)
