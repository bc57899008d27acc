"""What each operation makes of dependences."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax.numpy as jnp
import numpy as np
from jax import lax

from ._constants import Weights, is_dense, not_zero
from ._programs import ELEMENTWISE
from ._relations import Term, Terms, along, arranged, masked, over, reduced, reshaped, taken, union


class Data(NamedTuple):
    """An array that depends on inputs.

    Attributes:
      shape: of the array.
      terms: what it depends on.
      number: arrays of a walk are numbered; -1 for others.
      passed: numbers of the convolutions behind which it is.
    """

    shape: tuple[int, ...]
    terms: Terms
    number: int = -1
    passed: frozenset[int] = frozenset()


class Unknown(Exception):  # noqa: N818 (no error)
    """The rule does not know this form of its operation."""


Value: TypeAlias = Data | np.ndarray | Weights
Options: TypeAlias = Mapping[str, Any]


class Call(NamedTuple):
    """An operation of a program.

    Attributes:
      options: as the primitive has them.
      arguments: what is known of each.
      shapes: of its results.
      label: its name, for doubts.
    """

    options: Options
    arguments: Sequence[Value]
    shapes: Sequence[tuple[int, ...]]
    label: str


Rule: TypeAlias = Callable[[Call], list[Terms]]


def terms_of(value: Value, rank: int | None = None) -> Terms:
    """What a value depends on; scalars broadcast to a rank."""
    if not isinstance(value, Data):
        return ()
    if rank is not None and len(value.shape) != rank:
        return tuple(arranged(term, rank, ()) for term in value.terms)
    return value.terms


def _elementwise(call: Call) -> list[Terms]:
    rank = len(call.shapes[0])
    return [tuple(term for argument in call.arguments for term in terms_of(argument, rank))] * len(call.shapes)


def _multiply(call: Call) -> list[Terms]:
    (terms,) = _elementwise(call)
    for argument in call.arguments:
        # JAX writes a weight of NumPy that is one number into the program: a 0 may be a gate that opens.
        if not isinstance(argument, Data) and argument.shape and not is_dense(argument):
            mask = np.broadcast_to(not_zero(argument), call.shapes[0])
            terms = tuple(masked(term, mask) for term in terms)
    return [terms]


def _select(call: Call) -> list[Terms]:
    which, *cases = call.arguments
    if not isinstance(which, np.ndarray):
        return _elementwise(call)
    which = np.broadcast_to(which.astype(int), call.shapes[0])
    return [
        tuple(
            masked(term, which == number)
            for number, case in enumerate(cases)
            for term in terms_of(case, len(call.shapes[0]))
        )
    ]


def _reshape(call: Call) -> list[Terms]:
    value = _data(call)
    # Of a reshape, `dimensions` are an order of axes; of a squeeze, those that are dropped.
    if "new_sizes" in call.options and call.options.get("dimensions") is not None:
        raise Unknown
    return [_all_reshaped(value.terms, value.shape, call.shapes[0])]


def _all_reshaped(terms: Terms, shape: Sequence[int], target: Sequence[int]) -> Terms:
    """All terms of a reshaped array; to leave out those that would be too large would deny what they say."""
    found = [reshaped(term, shape, target) for term in terms]
    if any(term is None for term in found):
        raise Unknown
    return tuple(term for term in found if term is not None)


def _transpose(call: Call) -> list[Terms]:
    places = np.argsort(call.options["permutation"]).tolist()
    return [tuple(arranged(term, len(places), places) for term in _data(call).terms)]


def _broadcast(call: Call) -> list[Terms]:
    places = call.options["broadcast_dimensions"]
    return [tuple(arranged(term, len(call.shapes[0]), places) for term in _data(call).terms)]


def _taken_by_axis(terms: Terms, indices: Mapping[int, np.ndarray]) -> Terms:
    for axis, index in indices.items():
        terms = tuple(taken(term, axis, index) for term in terms)
    return terms


def _slice(call: Call) -> list[Terms]:
    value = _data(call)
    starts, stops = call.options["start_indices"], call.options["limit_indices"]
    steps = call.options["strides"] or (1,) * len(starts)
    limits = zip(starts, stops, steps, strict=True)
    return [_taken_by_axis(value.terms, {axis: np.arange(*limit) for axis, limit in enumerate(limits)})]


def _dynamic_slice(call: Call) -> list[Terms]:
    value, *starts = call.arguments
    if not isinstance(value, Data):
        raise Unknown
    indices = {}
    for axis, (start, length, size) in enumerate(zip(starts, call.shapes[0], value.shape, strict=True)):
        if length == size:
            continue
        if not isinstance(start, np.ndarray):
            raise Unknown
        indices[axis] = int(np.clip(start, 0, size - length)) + np.arange(length)
    return [_taken_by_axis(value.terms, indices)]


def _dynamic_update_slice(call: Call) -> list[Terms]:
    value, update, *starts = call.arguments
    update_shape = update.shape
    indices, inside = {}, np.ones((1,) * len(call.shapes[0]), bool)
    for axis, (start, length, size) in enumerate(zip(starts, update_shape, call.shapes[0], strict=True)):
        if not isinstance(start, np.ndarray):
            raise Unknown
        begin = int(np.clip(start, 0, size - length))
        places = np.arange(size) - begin
        indices[axis] = np.where((places >= 0) & (places < length), places, -1)
        inside = inside & np.expand_dims(indices[axis] >= 0, [a for a in range(len(call.shapes[0])) if a != axis])
    kept = tuple(masked(term, ~inside) for term in terms_of(value))
    return [(*kept, *_taken_by_axis(terms_of(update), indices))]


def _rev(call: Call) -> list[Terms]:
    value = _data(call)
    return [
        _taken_by_axis(value.terms, {axis: np.arange(value.shape[axis])[::-1] for axis in call.options["dimensions"]})
    ]


def _pad(call: Call) -> list[Terms]:
    value, filling = call.arguments
    indices = {}
    for axis, (low, high, interior) in enumerate(call.options["padding_config"]):
        if (low, high, interior) != (0, 0, 0):
            places = np.arange(call.shapes[0][axis]) - low
            hit = (places >= 0) & (places % (interior + 1) == 0) & (places // (interior + 1) < value.shape[axis])
            indices[axis] = np.where(hit, places // (interior + 1), -1)
    # What fills may be seen everywhere, which is more than there is.
    around = (term.doubtful(call.label) for term in terms_of(filling, len(call.shapes[0])))
    return [(*_taken_by_axis(terms_of(value), indices), *around)]


def _concatenate(call: Call) -> list[Terms]:
    axis, begin, found = call.options["dimension"], 0, list[Term]()
    for argument in call.arguments:
        length = argument.shape[axis]
        places = np.arange(call.shapes[0][axis]) - begin
        index = np.where((places >= 0) & (places < length), places, -1)
        found += _taken_by_axis(terms_of(argument), {axis: index})
        begin += length
    return [tuple(found)]


def _stack(call: Call) -> list[Terms]:
    axis, rank, found = call.options["axis"], len(call.shapes[0]), list[Term]()
    places = [a for a in range(rank) if a != axis]
    for number, argument in enumerate(call.arguments):
        index = np.where(np.arange(call.shapes[0][axis]) == number, 0, -1)
        found += _taken_by_axis(tuple(arranged(term, rank, places) for term in terms_of(argument)), {axis: index})
    return [tuple(found)]


def _split(call: Call) -> list[Terms]:
    value, axis, begin, parts = _data(call), call.options["axis"], 0, []
    for size in call.options["sizes"]:
        parts.append(_taken_by_axis(value.terms, {axis: begin + np.arange(size)}))
        begin += size
    return parts


def _reduce(call: Call) -> list[Terms]:
    value, axes = _data(call), tuple(call.options["axes"])
    shape = tuple(1 if axis in axes else size for axis, size in enumerate(value.shape))
    terms = tuple(reduced(term, axes, call.label) for term in value.terms)
    return [_all_reshaped(terms, shape, call.shapes[0])]


def _cumulative(call: Call) -> list[Terms]:
    axis = call.options["axis"]
    matrix = np.tri(call.shapes[0][axis], dtype=bool)
    matrix = matrix.T if call.options["reverse"] else matrix
    return [tuple(along(term, axis, matrix, call.label) for term in _data(call).terms)]


def _gather(call: Call) -> list[Terms]:
    """Places that are known: every axis on which something depends is read from one axis of the result, or none."""
    value, places = call.arguments
    if not isinstance(value, Data) or not isinstance(places, np.ndarray):
        raise Unknown
    numbers = {key: call.options[key] for key in ("dimension_numbers", "slice_sizes", "mode")}
    numbers["fill_value"] = -1
    found = list[Term]()
    for term in value.terms:
        varied = [axis for axis in range(len(value.shape)) if any(part.shape[axis] > 1 for part in term.parts)]
        read: dict[int, np.ndarray] = {}
        for axis in varied:
            size = value.shape[axis]
            shape = [size if a == axis else 1 for a in range(len(value.shape))]
            coordinates = jnp.broadcast_to(jnp.arange(size, dtype=jnp.int32).reshape(shape), value.shape)
            read[axis] = _without_constant_axes(np.asarray(lax.gather(coordinates, jnp.asarray(places), **numbers)))
        parts = []
        for part in term.parts:
            index = tuple(
                np.maximum(read[axis], 0) if part.shape[axis] > 1 else np.zeros((1,) * len(call.shapes[0]), int)
                for axis in range(len(value.shape))
            )
            parts.append(part[index])
        moved = term.moved(parts)
        for axis in varied:
            moved = masked(moved, read[axis] >= 0)
        found.append(moved)
    return [tuple(found)]


def _without_constant_axes(array: np.ndarray) -> np.ndarray:
    for axis in range(array.ndim):
        if array.shape[axis] > 1 and (array == (first := array.take([0], axis))).all():
            array = first
    return array


def _dot(call: Call) -> list[Terms]:
    """A product over some axes, of data with weights or with data; data count as not 0."""
    (left, right), (left_batch, right_batch) = call.options["dimension_numbers"]
    sides = ((call.arguments[0], left, left_batch), (call.arguments[1], right, right_batch))
    free = [
        [axis for axis in range(len(value.shape)) if axis not in (*contracted, *batch)]
        for value, contracted, batch in sides
    ]
    found = list[Term]()
    for number, (value, contracted, batch) in enumerate(sides):
        other, other_contracted, _ = sides[1 - number]
        if not isinstance(value, Data):
            continue
        begin = len(batch) + (len(free[0]) if number else 0)
        for term in value.terms:
            pattern = None if isinstance(other, Data) or is_dense(other) else not_zero(other)
            if pattern is not None and len(contracted) == 1 and not batch and len(free[1 - number]) == 1:
                # The matrix of a resize, say: along one axis.
                matrix = pattern if other_contracted[0] == 1 else pattern.T
                term = along(term, contracted[0], matrix, call.label)
                order = [*free[number]]
                places = {axis: begin + k for k, axis in enumerate(order)}
                places[contracted[0]] = len(free[0]) if number == 0 else 0
                found.append(arranged(term, len(call.shapes[0]), [places[axis] for axis in range(len(value.shape))]))
                continue
            varied = any(part.shape[axis] > 1 for part in term.parts for axis in contracted)
            if pattern is not None and (varied or not over(pattern, tuple(other_contracted)).all()):
                term = term.doubtful(call.label)
            term = reduced(term, contracted, call.label)
            places = {axis: k for k, axis in enumerate(batch)}
            places |= {axis: begin + k for k, axis in enumerate(free[number])}
            kept = sorted(places)
            squeezed = reshaped(
                term,
                [1 if axis in contracted else size for axis, size in enumerate(value.shape)],
                [value.shape[axis] for axis in kept],
            )
            if squeezed is None:
                raise Unknown
            found.append(arranged(squeezed, len(call.shapes[0]), [places[axis] for axis in kept]))
    return [tuple(found)]


def _data(call: Call) -> Data:
    """The first argument, if it depends on something."""
    value = call.arguments[0]
    if not isinstance(value, Data):
        raise Unknown
    return value


def windows(size: int, out: int, taps: np.ndarray, stride: int, low: int, base: int, rate: int) -> np.ndarray:
    """bool `[out, size]`: the positions that windows read along an axis; `taps` says which are there."""
    matrix = np.zeros((out, size), bool)
    for tap in np.flatnonzero(taps):
        places = np.arange(out) * stride - low + tap * rate
        inside = (places >= 0) & (places % base == 0) & (places // base < size)
        matrix[np.flatnonzero(inside), places[inside] // base] = True
    return matrix


def _reduce_window(call: Call) -> list[Terms]:
    value = _data(call)
    terms = value.terms
    for axis, taps in enumerate(call.options["window_dimensions"]):
        step, (low, high) = call.options["window_strides"][axis], call.options["padding"][axis]
        base, rate = call.options["base_dilation"][axis], call.options["window_dilation"][axis]
        if (taps, step, low, high, base) == (1, 1, 0, 0, 1):
            continue
        matrix = windows(value.shape[axis], call.shapes[0][axis], np.ones(taps), step, low, base, rate)
        terms = tuple(along(term, axis, matrix, call.label) for term in terms)
    return [union(terms)]


#: Operations on each element by itself that have no gradient, or another name, as well.
_OTHERS = {
    "and", "bessel_i0e", "bessel_i1e", "clz", "conj", "convert_element_type", "copy_p", "digamma", "eq", "ge", "gt",
    "igamma", "imag", "is_finite", "le", "lgamma", "lt", "ne", "nextafter", "not", "or", "population_count", "pvary",
    "real", "sharding_constraint", "shift_left", "shift_right_arithmetic", "shift_right_logical", "xor",
}  # fmt: skip
RULES: dict[str, Rule] = {
    **dict.fromkeys(ELEMENTWISE | _OTHERS, _elementwise),
    **dict.fromkeys(("reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "reduce_and", "reduce_or"), _reduce),
    **dict.fromkeys(("argmax", "argmin"), _reduce),
    **dict.fromkeys(("cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp"), _cumulative),
    **dict.fromkeys(("reduce_window_sum", "reduce_window_max", "reduce_window_min"), _reduce_window),
    **dict.fromkeys(("reshape", "squeeze", "expand_dims"), _reshape),
    "mul": _multiply,
    "select_n": _select,
    "transpose": _transpose,
    "broadcast_in_dim": _broadcast,
    "slice": _slice,
    "dynamic_slice": _dynamic_slice,
    "dynamic_update_slice": _dynamic_update_slice,
    "rev": _rev,
    "pad": _pad,
    "concatenate": _concatenate,
    "stack": _stack,
    "split": _split,
    "gather": _gather,
    "dot_general": _dot,
}
