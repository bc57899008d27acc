"""Access to programs of JAX for the analyses that walk through them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn

#: Element-wise operations: a result depends on all arguments at its own position.
ELEMENTWISE = {
    "abs", "acos", "acosh", "add", "add_any", "asin", "asinh", "atan", "atan2", "atanh", "cbrt", "ceil", "clamp",
    "copy", "cos", "cosh", "div", "erf", "erf_inv", "erfc", "exp", "exp2", "expm1", "floor", "integer_pow", "log",
    "log1p", "logistic", "max", "min", "neg", "pow", "reduce_precision", "rem", "round", "rsqrt", "sign", "sin", "sinh",
    "sqrt", "square", "stop_gradient", "sub", "tan", "tanh",
}  # fmt: skip
#: Options that hold the program of a call, and operations that do not simply call it once.
_CALLS = ("jaxpr", "call_jaxpr", "fun_jaxpr")
_LOOPS = {"scan", "while", "cond", "reduce", "reduce_window"}


def called(equation: JaxprEqn) -> Jaxpr | ClosedJaxpr | None:
    """The program that an operation calls once with its own arguments, or None."""
    inner = next((equation.params[key] for key in _CALLS if key in equation.params), None)
    return None if equation.primitive.name in _LOOPS else inner


def body_of(program: Jaxpr | ClosedJaxpr) -> Jaxpr:
    """A program without its constants."""
    return program.jaxpr if isinstance(program, ClosedJaxpr) else program


def shape_of(variable: Any) -> tuple[int, ...]:
    """The shape of a variable."""
    return variable.aval.shape


def rank(variable: Any) -> int:
    """The number of axes of a variable."""
    return len(shape_of(variable))


class Turns(NamedTuple):
    """The structure of a scan.

    Attributes:
      body: the program of one turn.
      constants: number of arguments passed to every turn.
      carried: number of arguments carried from one turn to the next.
      order: the turns in order of execution.
    """

    body: ClosedJaxpr
    constants: int
    carried: int
    order: Sequence[int]


def turns_of(equation: JaxprEqn) -> Turns:
    """Reads a scan."""
    options, body = equation.params, equation.params["jaxpr"]
    # Scanned and stacked values have one more axis outside than inside; names of options change with JAX.
    fed = sum(rank(o) > rank(i) for o, i in zip(equation.invars, body.jaxpr.invars, strict=True))
    stacked = sum(rank(o) > rank(i) for o, i in zip(equation.outvars, body.jaxpr.outvars, strict=True))
    carried = len(equation.outvars) - stacked
    turns = range(options["length"])
    order = turns[::-1] if options["reverse"] else turns
    return Turns(body, len(equation.invars) - fed - carried, carried, order)
