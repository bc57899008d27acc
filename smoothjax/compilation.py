"""Compilation for inputs of any number of shapes, such as photographs.

JAX keeps the program of every shape that it has seen. On a CPU a program of a network has some hundred memory maps, of
which Linux allows a process 65,530: beyond them LLVM cannot allocate memory, and the process ends with a segmentation
fault. The scores of one network on images of ninety sizes took more than half of them.
"""

from collections.abc import Callable, Hashable
from typing import Any, Generic, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

import jax

__all__ = ["JitByShape"]

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

#: Programs that all functions hold together.
_MOST_PROGRAMS = 64


class JitByShape(Generic[Parameters, Result]):
    """`jax.jit` for inputs of many shapes: together, such functions keep the programs of 64 shapes.

    Where one more is needed, the function that was called the longest ago forgets all of its own; they are compiled
    again when their shapes return.

    Args:
      function: takes arrays, or pytrees of them, and hashable values that `options` call static.
      options: those of `jax.jit`.

    Example:
      >>> import jax.numpy as jnp
      >>> double = JitByShape(lambda x: 2 * x)
      >>> [double(jnp.ones(length)).sum().item() for length in (1, 2, 1)], double.programs
      ([2.0, 4.0, 2.0], 2)
    """

    def __init__(self, function: Callable[Parameters, Result], **options: Any):
        self._compiled: Any = jax.jit(function, **options)
        self._shapes = set[Hashable]()

    @property
    def programs(self) -> int:
        """The number of programs that it holds."""
        return len(self._shapes)

    def __call__(self, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        """The result of the function."""
        leaves, tree = jax.tree.flatten((args, kwargs))
        shape = tree, tuple((leaf.shape, leaf.dtype) if hasattr(leaf, "dtype") else leaf for leaf in leaves)
        _CALLED.pop(self, None)
        _CALLED[self] = None  # as the last one
        while shape not in self._shapes and sum(one.programs for one in _CALLED) >= _MOST_PROGRAMS:
            next(one for one in _CALLED if one.programs).forget()
        self._shapes.add(shape)
        return self._compiled(*args, **kwargs)

    def forget(self) -> None:
        """Drops all programs that it holds."""
        self._compiled.clear_cache()
        self._shapes.clear()


#: In the order of their last calls.
_CALLED: WeakKeyDictionary[JitByShape[Any, Any], None] = WeakKeyDictionary()
