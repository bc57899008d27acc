"""Walks through a program and finds what every intermediate array may depend on."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var

from ._constants import Constant, Weights, as_constant, evaluate, known
from ._programs import body_of, called, is_call, shape_of, taken_branch, turns_of
from ._relations import Terms, identity, mixed, union
from ._rules import RULES
from ._values import Call, Data, Unknown, Value
from ._windows import convolved


class Convolution(NamedTuple):
    """A convolution or transposed convolution in a program.

    Attributes:
      name: name of its layer if known, else a number in program order.
      kernel: taps by axis.
      rates: dilation rates by axis.
      strides: by axis.
      factors: up-sampling factors by axis, above 1 for a transposed convolution.
    """

    name: str
    kernel: tuple[int, ...]
    rates: tuple[int, ...]
    strides: tuple[int, ...]
    factors: tuple[int, ...]

    @property
    def is_dilated(self) -> bool:
        """Whether a rate is above 1 along an axis of several taps."""
        return any(rate > 1 and taps > 1 for rate, taps in zip(self.rates, self.kernel, strict=True))


Feature: TypeAlias = tuple[int, tuple[int, ...]]


@dataclass
class Walk:
    """A pass through a program.

    Attributes:
      smooth: names of convolutions treated as smoothed by an SS convolution.
      features: sources inside the program, by the number of the array: its source and its spatial axes.
      convolutions: the convolutions found, in order.
      given: for each, the number of its layer's input array, and its spatial axes.
      made: the result of each, and its spatial axes.
    """

    smooth: frozenset[str] = frozenset()
    features: Mapping[int, Feature] = field(default_factory=dict)
    convolutions: list[Convolution] = field(default_factory=list)
    given: list[Feature] = field(default_factory=list)
    made: list[tuple[Data, tuple[int, ...]]] = field(default_factory=list)
    _filters: list[bool] = field(default_factory=list)
    _count: int = 0
    _entered: dict[str, Data] = field(default_factory=dict)

    def run(
        self, jaxpr: Jaxpr, constants: Sequence[Value], arguments: Sequence[Value], scope: tuple[str, ...] = ()
    ) -> list[Value]:
        """The results of a program, from its constants and arguments."""
        values: dict[object, Value] = dict(
            zip((*jaxpr.constvars, *jaxpr.invars), (*constants, *arguments), strict=True)
        )

        def read(atom: Var | Literal) -> Value:
            # A literal number, not a captured scalar.
            return np.asarray(atom.val) if isinstance(atom, Literal) else values[atom]

        for equation in jaxpr.eqns:
            outs = self._apply(equation, [read(atom) for atom in equation.invars], scope)
            values.update(zip(equation.outvars, outs, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def source(self, number: int, shape: tuple[int, ...]) -> Data:
        """An input, maps `[N, *S, C]`, as a source."""
        axes = range(1, len(shape) - 1)
        return self.array(shape, (identity(number, len(shape), axes, shape[1:-1]),), ())

    def array(self, shape: tuple[int, ...], terms: Terms, arguments: Sequence[Value], *more: int) -> Data:
        """A new array, numbered in program order, which is the same in every pass.

        An array without elements depends on nothing, such as the padding of `jnp.pad` at a side of width 0.
        """
        number, self._count = self._count, self._count + 1
        if number in self.features:
            source, axes = self.features[number]
            terms = (*terms, identity(source, len(shape), axes, [shape[axis] for axis in axes]))
        passed = frozenset(more).union(*(one.passed for one in arguments if isinstance(one, Data)))
        return Data(shape, () if 0 in shape else union(terms), number, passed)

    def _apply(self, equation: JaxprEqn, arguments: list[Value], scope: tuple[str, ...]) -> list[Value]:
        name = equation.primitive.name
        if any(hasattr(variable.aval, "inner_aval") for variable in (*equation.invars, *equation.outvars)):
            raise ValueError(
                f"function changes an array in place, by the operation {name}, which is not followed: return new "
                "arrays instead of writing into jax.new_ref"
            )
        # The name includes transformations, such as vmap(conv1).
        stack = re.sub(r"\w+\(|\)", "", str(equation.source_info.name_stack))
        scope = (*scope, *filter(None, stack.split("/")))
        given = [argument for argument in arguments if isinstance(argument, Data)]
        if given:
            self._entered.setdefault(_layer(scope), given[0])
        inner = called(equation)
        if inner is not None and is_call(equation, inner):
            return self.run(body_of(inner), _constants(inner), arguments, scope)
        if name == "cond":
            return self._cond(equation, arguments, scope)
        if name == "platform_index":
            return [Weights(())]
        if name in ("optimization_barrier", "device_put"):
            return arguments
        shapes = [shape_of(variable) for variable in equation.outvars]
        if not given:
            constants = [argument for argument in arguments if not isinstance(argument, Data)]
            return [*(_evaluated(equation, constants) if inner is None else map(Weights, shapes))]
        if name == "scan":
            return self._scan(equation, arguments, scope)
        label, met = _label(name, scope), len(self.convolutions)
        try:
            if name == "conv_general_dilated":
                found = [self._convolve(equation, arguments, scope, label)]
            elif name in RULES:
                found = RULES[name](Call(equation.params, arguments, shapes, label))
            else:
                raise Unknown
        except Unknown:
            terms = [term for argument in given for term in argument.terms]
            found = [mixed(terms, len(shape), label) for shape in shapes]
        # The module itself, if it is a convolution.
        own = range(met, len(self.convolutions))
        return [self.array(shape, terms, given, *own) for shape, terms in zip(shapes, found, strict=True)]

    def _convolve(self, equation: JaxprEqn, arguments: list[Value], scope: tuple[str, ...], label: str) -> Terms:
        options = equation.params
        kernel, numbers = shape_of(equation.invars[1]), options["dimension_numbers"]
        taps = tuple(kernel[axis] for axis in numbers.rhs_spec[2:])
        rates, strides, factors = (tuple(options[key]) for key in ("rhs_dilation", "window_strides", "lhs_dilation"))
        groups = options["feature_group_count"]
        layer = _layer(scope)
        found = Convolution(layer or "convolution", taps, rates, strides, factors)
        # A layer has several convolutions if one of them smooths: it is not dilated and filters each channel. Others of
        # one name are several layers, as in Equinox, whose layers are named by their classes.
        filters = not found.is_dilated and shape_of(equation.invars[0])[numbers.lhs_spec[1]] == groups
        alike = [
            one
            for one, other in zip(self.convolutions, self._filters, strict=True)
            if one.is_dilated == found.is_dilated or not (layer and (filters or other))
        ]
        earlier = sum(_is_numbered(one.name, found.name) for one in alike)
        if earlier or not layer:
            found = found._replace(name=f"{found.name}#{earlier + 1}")
        smoothed = found.is_dilated and found.name in self.smooth
        shape = shape_of(equation.outvars[0])
        try:
            terms = convolved(options, arguments, shape, label, smoothed=smoothed)
        except Unknown:
            given = [term for argument in arguments if isinstance(argument, Data) for term in argument.terms]
            terms = mixed(given, len(shape), label)
        maps = arguments[0]
        if isinstance(maps, Data):
            # The smoothing convolution belongs to the layer.
            given = self._entered[layer] if layer and not earlier else maps
            given = given if len(given.shape) == len(maps.shape) and given.number >= 0 else maps
            passed = maps.passed | {len(self.convolutions)}
            self.convolutions.append(found)
            self._filters.append(filters)
            self.given.append((given.number, tuple(numbers.lhs_spec[2:])))
            self.made.append((Data(shape, union(terms), passed=passed), tuple(numbers.out_spec[2:])))
        return terms

    def _cond(self, equation: JaxprEqn, arguments: list[Value], scope: tuple[str, ...]) -> list[Value]:
        """The default form if the platform decides; otherwise all branches, since any may be taken."""
        index, *operands = arguments
        branches: Sequence[ClosedJaxpr] = equation.params["branches"]
        if (branch := taken_branch(equation)) is not None:
            branches = [branch]
        elif (number := known(index)) is not None:
            branches = [branches[int(np.clip(number, 0, len(branches) - 1))]]
        outs = [self.run(branch.jaxpr, _constants(branch), operands, scope) for branch in branches]
        if len(outs) == 1:
            return outs[0]
        shapes = [shape_of(variable) for variable in equation.outvars]
        columns = [list(column) for column in zip(*outs, strict=True)]
        return [self._either(column, index, shape) for column, shape in zip(columns, shapes, strict=True)]

    def _either(self, column: list[Value], index: Value, shape: tuple[int, ...]) -> Value:
        data = [value for value in (*column, index) if isinstance(value, Data)]
        if not data:
            return Weights(shape)
        chosen = RULES["select_n"](
            Call({}, [index if isinstance(index, Data) else Weights(()), *column], [shape], "cond")
        )
        return self.array(shape, chosen[0], data)

    def _scan(self, equation: JaxprEqn, arguments: list[Value], scope: tuple[str, ...]) -> list[Value]:
        """A loop, turn by turn."""
        turns = turns_of(equation)
        carried = turns.constants + turns.carried
        constants, carry, lists = (
            arguments[: turns.constants],
            arguments[turns.constants : carried],
            arguments[carried:],
        )
        made: dict[int, list[Value]] = {}
        for turn in turns.order:
            items = [self._item(values, turn) for values in lists]
            outs = self.run(turns.body.jaxpr, _constants(turns.body), [*constants, *carry, *items], scope)
            carry, made[turn] = outs[: turns.carried], outs[turns.carried :]
        shapes = [shape_of(variable) for variable in equation.outvars[turns.carried :]]
        # A loop without turns makes nothing.
        columns = zip(*(made[turn] for turn in sorted(made)), strict=True) if made else [()] * len(shapes)
        return [*carry, *(self._stacked(list(column), shape) for column, shape in zip(columns, shapes, strict=True))]

    def _item(self, values: Value, turn: int) -> Value:
        if isinstance(values, Weights):
            rows = (None if part is None else part[turn] for part in (values.pattern, values.numbers))
            return Weights(values.shape[1:], *rows)
        if isinstance(values, np.ndarray):
            return values[turn]
        options = {
            "start_indices": (turn, *(0,) * (len(values.shape) - 1)),
            "limit_indices": (turn + 1, *values.shape[1:]),
            "strides": None,
        }
        row = (1, *values.shape[1:])
        (terms,) = RULES["slice"](Call(options, [values], [row], "scan"))
        (terms,) = RULES["reshape"](Call({}, [Data(row, terms)], [values.shape[1:]], "scan"))
        return self.array(values.shape[1:], terms, [values])

    def _stacked(self, column: list[Value], shape: tuple[int, ...]) -> Value:
        if not any(isinstance(value, Data) for value in column):
            return Weights(shape)
        (terms,) = RULES["stack"](Call({"axis": 0}, column, [shape], "scan"))
        return self.array(shape, terms, column)


def _evaluated(equation: JaxprEqn, constants: list[Constant]) -> list[Constant]:
    if any(not hasattr(variable.aval, "shape") for variable in equation.outvars):
        return [Weights(()) for _ in equation.outvars]
    keys = any(not isinstance(getattr(v.aval, "dtype", None), np.dtype) for v in (*equation.invars, *equation.outvars))
    effects = bool(equation.effects) or equation.primitive.name in ("scan", "while")
    if keys or effects:
        return [Weights(shape_of(variable)) for variable in equation.outvars]
    return evaluate(equation, constants)


def _constants(program: Jaxpr | ClosedJaxpr) -> list[Value]:
    return [as_constant(value) for value in getattr(program, "consts", ())]


def _layer(scope: tuple[str, ...]) -> str:
    """The name of a layer from the scopes around it, without repetition of common beginnings."""
    parts: list[str] = []
    for part in scope:
        # A part of a layer does not repeat the number of its call.
        if parts and (part == parts[-1] or part.startswith(f"{parts[-1].partition('#')[0]}.")):
            parts[-1] = part
        else:
            parts.append(part)
    return "/".join(parts)


def _is_numbered(name: str, layer: str) -> bool:
    """Whether a convolution's name is that of a layer, with or without a number of its own."""
    return name == layer or (name.startswith(f"{layer}#") and "#" not in name[len(layer) + 1 :])


def _label(name: str, scope: tuple[str, ...]) -> str:
    layer = _layer(scope)
    return f"{name} in {layer}" if layer else name


def is_float(dtype: Any) -> bool:
    """Whether a type is one of floating-point numbers."""
    return bool(jnp.issubdtype(dtype, jnp.inexact))
