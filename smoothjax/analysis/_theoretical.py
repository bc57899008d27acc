"""The theoretical receptive field: the inputs that an output unit is connected to, for any weights."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var

from ._arguments import Inputs
from ._programs import ELEMENTWISE, body_of, called, turns_of

#: Linear operations made only of moves and sums.
_MOVES = {
    "broadcast_in_dim", "concatenate", "convert_element_type", "copy_p", "cumsum", "dynamic_slice",
    "dynamic_update_slice", "expand_dims", "gather", "pad", "reduce_sum", "reduce_window_sum", "reshape", "rev",
    "slice", "split", "squeeze", "stack", "transpose",
}  # fmt: skip


class _Data:
    """A value that depends on the input."""

    def __init__(self, value: jax.Array):
        self.value = value


class _Decision:
    """A value without gradient that depends on the input, such as the mask of a rectifier."""


_DECISION = _Decision()

#: An array that does not depend on the input, `_Data` or `_Decision`: JAX does not type the values of its programs.
Value: TypeAlias = Any


def theoretical_receptive_field(function: Callable[[jax.Array], jax.Array], inputs: Inputs) -> np.ndarray:
    """The input units that the output unit at the centre is connected to, for any weights and images.

    It is found from the operations of the function: weights count as nonzero, rectifiers as open, and a maximum passes
    on all of its arguments. It contains the support of `effective_receptive_field` for all weights. For a dilated
    convolution it has only the taps; the rectangle around them is `(taps - 1) * rate + 1` units long.

    Args:
      function: a block of a network as in `effective_receptive_field`; constant float arrays in it are weights.
      inputs: inputs of the block, `[N, *S, C]`, an array or a `jax.ShapeDtypeStruct`; only the shape matters.

    Returns:
      bool `[*S]`.

    Raises:
      ValueError: the function's result is not a map with the same spatial axes, or it contains an operation whose
        mixing is unknown, such as sorting or a Fourier transform.

    Example:
      >>> import jax.numpy as jnp
      >>> from smoothjax import analysis, ops
      >>> kernel = jnp.zeros((3, 1, 1))
      >>> block = lambda x: ops.dilated_conv(x, kernel, rate=2)
      >>> analysis.theoretical_receptive_field(block, jnp.ones((1, 7, 1))).astype(int).tolist()
      [0, 1, 0, 1, 0, 1, 0]

    References:
      Luo et al., Understanding the Effective Receptive Field in Deep Convolutional Neural Networks, 2016.
    """
    given = jax.ShapeDtypeStruct((1, *inputs.shape[1:]), inputs.dtype)
    closed, shape = jax.make_jaxpr(function, return_shape=True)(given)
    if len(shape.shape) != len(given.shape):
        raise ValueError(
            f"function must return maps of {len(given.shape) - 2} spatial axes as its inputs, [N, *S, C], got shape "
            f"{shape.shape}: pass a block of the network before its axes are pooled away"
        )
    centre = (slice(None), *(size // 2 for size in shape.shape[1:-1]))

    # Arrays are arguments: the compiler would fold constants, slowly.
    @jax.jit
    def pulled(constants: list[jax.Array], x: jax.Array, error: jax.Array) -> jax.Array:
        def connected(x: jax.Array) -> jax.Array:
            (out,) = _evaluate(closed.jaxpr, constants, [_Data(x)])
            return out.value if isinstance(out, _Data) else jnp.zeros_like(error)

        (gradient,) = jax.vjp(connected, x)[1](error)
        return (gradient > 0).any((0, -1))

    error = jnp.zeros(shape.shape, shape.dtype).at[centre].set(1)
    constants = [_weight(value) for value in closed.consts]
    return np.asarray(pulled(constants, jnp.zeros(given.shape, given.dtype), error))


def _evaluate(jaxpr: Jaxpr, constants: Sequence[Value], arguments: Sequence[Value]) -> list[Value]:
    """Evaluates a program on data and constants."""
    values: dict[object, Value] = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*constants, *arguments), strict=True))

    def read(atom: Var | Literal) -> Value:
        if not isinstance(atom, Literal):
            return values[atom]
        return _weight(atom.val) if np.ndim(atom.val) else atom.val  # scalars belong to the operations

    for equation in jaxpr.eqns:
        outs = _apply(equation, [read(atom) for atom in equation.invars])
        values.update(zip(equation.outvars, outs, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _apply(equation: JaxprEqn, arguments: list[Value]) -> list[Value]:
    """The results of one operation."""
    name, options = equation.primitive.name, equation.params
    data = [argument for argument in arguments if isinstance(argument, _Data)]
    depends = bool(data) or any(argument is _DECISION for argument in arguments)
    inner = called(equation)
    if inner is not None:
        return _evaluate(body_of(inner), _constants(inner), arguments)
    if not depends:
        out = equation.primitive.bind(*arguments, **options)
        return list(out) if equation.primitive.multiple_results else [out]
    if name == "scan":
        return _scan(equation, arguments)
    if name == "cond":
        return _cond(equation, arguments)
    if name == "optimization_barrier":
        return arguments
    shapes: list[Value] = [variable.aval for variable in equation.outvars]
    if not data or not any(jnp.issubdtype(aval.dtype, jnp.inexact) for aval in shapes):
        return [_decided(aval) for aval in shapes]
    if name in _MOVES and not any(argument is _DECISION for argument in arguments):
        moved = [_constant(argument) for argument in arguments]
        out = equation.primitive.bind(*moved, **options)
        return [_Data(part) for part in (out if equation.primitive.multiple_results else [out])]
    return [_Data(_mixed(name, arguments, options, shapes[0]))]


def _mixed(name: str, arguments: list[Value], options: Mapping[str, Any], aval: Value) -> Value:
    """The replacement of an operation that is more than a move."""
    data = [argument.value for argument in arguments if isinstance(argument, _Data)]
    # Data depend on the input. Every operation on data becomes a sum of its arguments, with ones for weights.
    if name in ELEMENTWISE or (name == "select_n" and arguments[0] is _DECISION):
        return _total([jnp.broadcast_to(value, aval.shape).astype(aval.dtype) for value in data])
    if name == "select_n":
        return lax.select_n(arguments[0], *(_constant(argument) for argument in arguments[1:]))
    if name == "mul":
        return _total([jnp.broadcast_to(value, aval.shape) for value in _products(arguments, jnp.multiply)])
    if name == "dot_general":
        options = {key: options[key] for key in ("dimension_numbers", "preferred_element_type")}
        return _reset(_total(_products(arguments, lambda a, b: lax.dot_general(a, b, **options))))
    if name == "conv_general_dilated" and isinstance(arguments[0], _Data) and not isinstance(arguments[1], _Data):
        names = ("window_strides", "padding", "lhs_dilation", "rhs_dilation", "dimension_numbers",
                 "feature_group_count", "batch_group_count", "preferred_element_type")  # fmt: skip
        kept = {key: options[key] for key in names}
        return _reset(lax.conv_general_dilated(data[0], _pattern(arguments[1]), **kept))
    if name in ("reduce_max", "reduce_min", "reduce_prod"):
        return data[0].sum(options["axes"])
    if name in ("cumlogsumexp", "cummax", "cummin", "cumprod"):
        return lax.cumsum(data[0], options["axis"], options["reverse"])
    if name in ("reduce_window_max", "reduce_window_min"):
        names = ("window_dimensions", "window_strides", "padding", "base_dilation", "window_dilation")
        zero = np.zeros((), data[0].dtype)
        return lax.reduce_window(data[0], zero, lax.add, **{key: options[key] for key in names})
    if name == "while":
        raise ValueError(
            "function contains a loop of an unknown number of turns (while), which has no gradient either: write it "
            "with lax.scan, or with lax.fori_loop over a number of turns that is known when it is traced"
        )
    raise ValueError(
        f"function contains the operation {name}, whose receptive field is not known here: take a smaller block of the "
        "network, or the support of effective_receptive_field"
    )


def _scan(equation: JaxprEqn, arguments: list[Value]) -> list[Value]:
    """A loop, turn by turn."""
    turns = turns_of(equation)
    carried = turns.constants + turns.carried
    constants, carry, lists = arguments[: turns.constants], arguments[turns.constants : carried], arguments[carried:]
    made: dict[int, list[Value]] = {}
    for turn in turns.order:
        items = [_item(values, turn) for values in lists]
        outs = _evaluate(turns.body.jaxpr, _constants(turns.body), [*constants, *carry, *items])
        carry, made[turn] = outs[: len(carry)], outs[len(carry) :]
    return [*carry, *(_stacked(column) for column in zip(*(made[turn] for turn in sorted(made)), strict=True))]


def _cond(equation: JaxprEqn, arguments: list[Value]) -> list[Value]:
    """Value of the branches."""
    index, *operands = arguments
    branches = [_evaluate(branch.jaxpr, _constants(branch), operands) for branch in equation.params["branches"]]
    if len(branches) == 1:
        return branches[0]
    columns = zip(equation.outvars, zip(*branches, strict=True), strict=True)
    return [_one_of(index, column, variable.aval) for variable, column in columns]


def _one_of(index: Value, column: tuple[Value, ...], aval: Value) -> Value:
    data = [item.value for item in column if isinstance(item, _Data)]
    if data:
        return _Data(_total(data))
    if index is _DECISION or any(item is _DECISION for item in column):
        return _decided(aval)
    return lax.select_n(jnp.asarray(index, jnp.int32), *column)


def _item(values: Value, turn: int) -> Value:
    if values is _DECISION:
        return values
    return _Data(values.value[turn]) if isinstance(values, _Data) else values[turn]


def _stacked(column: tuple[Value, ...]) -> Value:
    if any(item is _DECISION for item in column):
        return _DECISION
    stacked = jnp.stack([item.value if isinstance(item, _Data) else item for item in column])
    return _Data(stacked) if any(isinstance(item, _Data) for item in column) else stacked


def _decided(aval: Value) -> Value:
    """A value without gradient; a mask as numbers is open everywhere."""
    return jnp.ones(aval.shape, aval.dtype) if jnp.issubdtype(aval.dtype, jnp.inexact) else _DECISION


def _products(arguments: list[Value], product: Callable[[jax.Array, jax.Array], jax.Array]) -> list[Value]:
    """A product of two arguments, linear in the data of each."""
    left, right = arguments
    products = []
    if isinstance(left, _Data):
        products.append(product(left.value, _pattern(right)))
    if isinstance(right, _Data):
        products.append(product(_pattern(left), right.value))
    return products


def _pattern(argument: Value) -> Value:
    """Ones where an argument may be nonzero."""
    if isinstance(argument, _Data):
        return jnp.ones_like(argument.value)
    if not np.ndim(argument):  # JAX writes a NumPy weight of one number into the program
        return jnp.ones_like(argument)
    return jnp.asarray(argument != 0, jnp.result_type(argument))


def _constant(argument: Value) -> Value:
    if isinstance(argument, _Data):
        return argument.value
    return jnp.zeros_like(argument) if jnp.issubdtype(jnp.result_type(argument), jnp.inexact) else argument


def _total(values: list[Value]) -> Value:
    return sum(values[1:], values[0])


def _constants(program: Jaxpr | ClosedJaxpr) -> list[Value]:
    return [_weight(value) for value in getattr(program, "consts", ())]


def _weight(value: Value) -> Value:
    """Positive numbers in place of weights; integers and masks are part of the structure."""
    if not jnp.issubdtype(jnp.result_type(value), jnp.inexact):
        return value
    # All different, so that a standardised kernel does not become 0.
    positive = np.random.default_rng(0).uniform(0.5, 1.5, np.shape(value))
    return jnp.asarray(positive, jnp.result_type(value))


@jax.custom_vjp
def _reset(x: jax.Array) -> jax.Array:
    """The identity with gradients clipped to 0 or 1: counts of paths would overflow."""
    return x


def _reset_fwd(x: jax.Array) -> tuple[jax.Array, None]:
    return x, None


def _reset_bwd(_: None, cotangent: jax.Array) -> tuple[jax.Array]:
    return ((cotangent > 0).astype(cotangent.dtype),)


_reset.defvjp(_reset_fwd, _reset_bwd)
