"""Operations that are called outside of `jax.jit`."""

from collections.abc import Callable, Hashable
from functools import wraps
from typing import Any, NamedTuple, ParamSpec, TypeVar

import jax
from jax.core import Tracer

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class _Rest(NamedTuple):
    """What a call has besides arrays: the tree of its arguments, and all other leaves, None for arrays."""

    tree: Any
    leaves: tuple[Hashable, ...]


def one_program(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Compiles a function of arrays as one program when it is called outside `jax.jit`.

    Otherwise JAX compiles and calls a program for every step, and stores every intermediate result. Under a
    transformation the function is called as it is, so traces and derivatives do not change.

    Args:
      function: takes arrays, or pytrees of them, and hashable values, for each of which it is compiled anew.
    """
    target: Callable[..., Result] = function

    def call(rest: _Rest, *arrays: jax.Array) -> Result:
        given = iter(arrays)
        args, kwargs = jax.tree.unflatten(rest.tree, [next(given) if leaf is None else leaf for leaf in rest.leaves])
        return target(*args, **kwargs)

    call.__name__ = call.__qualname__ = function.__name__
    compiled: Any = jax.jit(call, static_argnums=0, inline=True)

    @wraps(function)
    def wrapper(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        leaves, tree = jax.tree.flatten((args, kwargs))
        arrays = [leaf for leaf in leaves if isinstance(leaf, jax.Array)]
        if not arrays or any(isinstance(array, Tracer) for array in arrays):
            return function(*args, **kwargs)
        rest = _Rest(tree, tuple(None if isinstance(leaf, jax.Array) else leaf for leaf in leaves))
        return compiled(rest, *arrays)

    return wrapper
