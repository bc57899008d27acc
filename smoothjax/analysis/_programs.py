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
#: Operations whose program does not work on whole arrays.
_OPAQUE = {"shard_map", "pallas_call", "custom_partitioning", "xla_pmap"}


def called(equation: JaxprEqn) -> Jaxpr | ClosedJaxpr | None:
    """The program that an operation calls once with its own arguments, or None."""
    inner = next((equation.params[key] for key in _CALLS if key in equation.params), None)
    return None if equation.primitive.name in _LOOPS else inner


def is_call(equation: JaxprEqn, inner: Jaxpr | ClosedJaxpr) -> bool:
    """Whether a program that an operation calls has the arguments and results of the operation."""
    if equation.primitive.name in _OPAQUE:
        return False
    program = body_of(inner)
    outside, inside = (equation.invars, equation.outvars), (program.invars, program.outvars)
    return all(
        [getattr(v.aval, "shape", None) for v in one] == [getattr(v.aval, "shape", None) for v in other]
        for one, other in zip(outside, inside, strict=True)
    )


def taken_branch(equation: JaxprEqn) -> ClosedJaxpr | None:
    """The default form of a `cond` that the platform decides, or None."""
    platforms = equation.params.get("branches_platforms")
    if platforms is None or None not in platforms:
        return None
    return equation.params["branches"][list(platforms).index(None)]


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
