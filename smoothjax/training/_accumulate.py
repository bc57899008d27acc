"""A batch in parts, one after the other: accumulation of gradients."""

import numbers
from collections.abc import Callable

import jax
import jax.numpy as jnp

from ._mesh import check_rows
from ._state import Tree


def check_accumulate(function: str, accumulate: int) -> None:
    """Refuses a number of parts that is not an int or less than 1."""
    if not isinstance(accumulate, numbers.Integral):
        raise ValueError(f"{function}: accumulate must be an int, got {accumulate!r}; 1 takes the batch as a whole")
    if accumulate < 1:
        raise ValueError(f"{function}: accumulate must be at least 1, got {accumulate}; 1 takes the batch as a whole")


def split_rows(leaf: jax.Array, count: int) -> jax.Array:
    """`[N, ...]` as `[count, N / count, ...]`."""
    rows = leaf.shape[0] if leaf.ndim else 0
    check_rows(f"train_step: the rows of every array of the batch, here of shape {leaf.shape},", rows, parts=count)
    # Neighbouring rows are on one device: every n-th row gives each device its share of every part.
    return jnp.moveaxis(leaf.reshape(-1, count, *leaf.shape[1:]), 1, 0)


def add_up(function: Callable[[Tree, Tree], tuple[Tree, Tree]], model_state: Tree, parts: Tree) -> tuple[Tree, Tree]:
    """Sums a function's second result over the parts; the model state goes from part to part."""

    def body(carry: Tree, part: Tree) -> tuple[Tree, None]:
        model_state, totals = carry
        model_state, sums = function(model_state, part)
        return (model_state, jax.tree.map(jnp.add, totals, sums)), None

    first = jax.tree.map(lambda leaf: leaf[0], parts)
    _, shapes = jax.eval_shape(function, model_state, first)
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    (model_state, totals), _ = jax.lax.scan(body, (model_state, zeros), parts)
    return totals, model_state
