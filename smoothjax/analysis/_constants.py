"""Arrays of a program that do not depend on its inputs: structure, whose numbers count, and weights, which do not."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np
from jax.extend.core import JaxprEqn

from ._programs import shape_of


@dataclass(frozen=True)
class Weights:
    """Arbitrary numbers: they count as nonzero, except where a structure makes them 0.

    Attributes:
      shape: the shape of the array.
      pattern: where it is not 0, or None for everywhere.
      numbers: the values of integers that the program was given. Their zeros may be those of a quantised kernel, so
        they are not structure; but as indices, or in comparisons, the values decide what is read.
    """

    shape: tuple[int, ...]
    pattern: np.ndarray | None = None
    numbers: np.ndarray | None = None


Constant: TypeAlias = np.ndarray | Weights

#: Operations that keep zeros and only move them.
_KEEPING = {
    "broadcast_in_dim", "concatenate", "copy", "copy_p", "expand_dims", "mul", "neg", "pad", "reshape", "rev",
    "select_n", "slice", "squeeze", "stack", "transpose",
}  # fmt: skip
#: Those of them that may bring new zeros.
_MAKING = {"mul", "pad", "select_n", "concatenate", "stack"}
_LARGEST = 2**24


def as_constant(value: Any) -> Constant:
    """A captured array: weights if it holds numbers, even a single one; masks are structure."""
    shape, dtype = np.shape(value), jnp.result_type(value)
    if not jnp.issubdtype(dtype, jnp.integer) and not jnp.issubdtype(dtype, jnp.bool_):
        return Weights(shape)
    try:
        numbers = np.asarray(value)
        return numbers if dtype == jnp.bool_ else Weights(shape, None, numbers)
    except (TypeError, ValueError):  # a key of random numbers, or an array of which only the shape is known
        return Weights(shape)


def known(value: object) -> np.ndarray | None:
    """The numbers of a structure, or of integers that may be one; None if they are unknown."""
    if isinstance(value, np.ndarray):
        return value
    return value.numbers if isinstance(value, Weights) else None


def not_zero(constant: Constant) -> np.ndarray:
    """Where a constant is not 0, or may not be: bool, read only, of its shape."""
    if isinstance(constant, Weights):
        return np.broadcast_to(True, constant.shape) if constant.pattern is None else constant.pattern
    return constant.astype(bool) if constant.dtype == bool else constant != 0


def not_full(constant: Constant) -> np.ndarray:
    """Where a bit of a constant is not 1, or may not be: False is such a bit; bool, read only, of its shape."""
    if isinstance(constant, Weights):
        return np.broadcast_to(True, constant.shape)
    return np.invert(constant) != 0


def is_dense(constant: Constant) -> bool:
    """Whether it counts as not 0 everywhere."""
    return constant.pattern is None if isinstance(constant, Weights) else bool(not_zero(constant).all())


def evaluate(equation: JaxprEqn, arguments: Sequence[Constant]) -> list[Constant]:
    """The results of an operation on constants."""
    if equation.primitive.name == "mul" and shape_of(equation.outvars[0]):
        arguments = [_opened(argument) for argument in arguments]
    large = any(np.prod(shape_of(variable), dtype=np.int64) > _LARGEST for variable in equation.outvars)
    numbers = [one for one in map(known, arguments) if one is not None]
    if large or len(numbers) < len(arguments):
        return [*_weighed(equation, arguments, large=large)]
    found = _bound(equation, [jnp.asarray(one) for one in numbers])
    if not any(isinstance(argument, Weights) for argument in arguments):
        return [*found]
    # Given integers become a mask when compared, and weights when converted to floating point.
    weighed = _weighed(equation, arguments, large=large)
    return [
        one if one.dtype == bool else replace(weights, numbers=one if one.dtype.kind in "iu" else None)
        for one, weights in zip(found, weighed, strict=True)
    ]


def _opened(factor: Constant) -> Constant:
    """A factor, opened if it is a single floating-point 0: it may be a gate that training opens."""
    if isinstance(factor, Weights) or factor.ndim or factor.dtype.kind in "iub" or factor:
        return factor
    return np.ones((), factor.dtype)


def _weighed(equation: JaxprEqn, arguments: Sequence[Constant], *, large: bool) -> list[Weights]:
    """The results as weights, with the zeros that the program itself creates."""
    name, shapes = equation.primitive.name, [shape_of(variable) for variable in equation.outvars]
    if name in ("convert_element_type", "reduce_precision") and isinstance(arguments[0], Weights):
        return [replace(arguments[0], numbers=None)]
    if large or name not in _KEEPING or (name not in _MAKING and all(map(is_dense, arguments))):
        return [Weights(shape) for shape in shapes]
    if all(map(is_dense, arguments)) and name != "select_n":
        return [Weights(shape) for shape in shapes]
    choice = []
    if name == "select_n":
        which = known(arguments[0])
        if which is None:
            return [Weights(shape) for shape in shapes]
        choice = [jnp.asarray(which)]
    ones = [jnp.asarray(not_zero(argument), jnp.float32) for argument in arguments[len(choice) :]]
    return [Weights(found.shape, found != 0) for found in _bound(equation, [*choice, *ones])]


def _bound(equation: JaxprEqn, arguments: Sequence[Any]) -> list[np.ndarray]:
    if equation.primitive.name == "broadcast_in_dim" and not arguments[0].ndim:
        return [np.broadcast_to(np.asarray(arguments[0]), equation.params["shape"])]
    out = equation.primitive.bind(*arguments, **equation.params)
    return [np.asarray(one) for one in (out if equation.primitive.multiple_results else [out])]
