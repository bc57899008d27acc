"""The effect of each operation on dependences."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ._constants import Constant, is_dense, known, not_full, not_zero
from ._known_places import gather, scatter, scatter_onto
from ._programs import ELEMENTWISE
from ._relations import Term, Terms, along, arranged, masked, over, reduced, reshaped, taken, union
from ._values import Call, Data, Rule, Unknown, Value, beside, data_of, seen, terms_of


def _elementwise(call: Call) -> list[Terms]:
    rank = len(call.shapes[0])
    return [tuple(term for argument in call.arguments for term in terms_of(argument, rank))] * len(call.shapes)


def _multiply(call: Call) -> list[Terms]:
    return _absorbed(call, not_zero)


def _or(call: Call) -> list[Terms]:
    return _absorbed(call, not_full)


def _absorbed(call: Call, is_open: Callable[[Constant], np.ndarray]) -> list[Terms]:
    """An operation of two factors: where a constant is not open it decides by itself, like a 0 in a product."""
    (terms,) = _elementwise(call)
    data = [argument for argument in call.arguments if isinstance(argument, Data)]
    if len(data) == 2:
        rank = len(call.shapes[0])
        one, other = data
        terms = (
            *beside(terms_of(one, rank), seen(other, rank), call.label),
            *beside(terms_of(other, rank), seen(one, rank), call.label),
        )
    for argument in call.arguments:
        # JAX writes a NumPy scalar into the program as a literal, so a single 0 may be a gate that training opens.
        if not isinstance(argument, Data) and argument.shape and not (mask := is_open(argument)).all():
            terms = tuple(masked(term, np.broadcast_to(mask, call.shapes[0])) for term in terms)
    return [terms]


def _select(call: Call) -> list[Terms]:
    index, *cases = call.arguments
    which = known(index)
    if which is None:
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
    value = data_of(call)
    # In a reshape, `dimensions` is an order of axes; in a squeeze, the dropped axes.
    if "new_sizes" in call.options and call.options.get("dimensions") is not None:
        raise Unknown
    return [_all_reshaped(value.terms, value.shape, call.shapes[0])]


def _all_reshaped(terms: Terms, shape: Sequence[int], target: Sequence[int]) -> Terms:
    """All terms of a reshaped array; leaving out those that would be too large would deny dependences."""
    found = [reshaped(term, shape, target) for term in terms]
    if any(term is None for term in found):
        raise Unknown
    return tuple(term for term in found if term is not None)


def _transpose(call: Call) -> list[Terms]:
    places = np.argsort(call.options["permutation"]).tolist()
    return [tuple(arranged(term, len(places), places) for term in data_of(call).terms)]


def _broadcast(call: Call) -> list[Terms]:
    places = call.options["broadcast_dimensions"]
    return [tuple(arranged(term, len(call.shapes[0]), places) for term in data_of(call).terms)]


def _taken_by_axis(terms: Terms, indices: Mapping[int, np.ndarray]) -> Terms:
    for axis, index in indices.items():
        terms = tuple(taken(term, axis, index) for term in terms)
    return terms


def _slice(call: Call) -> list[Terms]:
    value = data_of(call)
    starts, stops = call.options["start_indices"], call.options["limit_indices"]
    steps = call.options["strides"] or (1,) * len(starts)
    limits = zip(starts, stops, steps, strict=True)
    return [_taken_by_axis(value.terms, {axis: np.arange(*limit) for axis, limit in enumerate(limits)})]


def _dynamic_slice(call: Call) -> list[Terms]:
    value, *starts = call.arguments
    if not isinstance(value, Data):
        raise Unknown
    indices = {}
    for axis, (place, length, size) in enumerate(zip(starts, call.shapes[0], value.shape, strict=True)):
        if length == size:
            continue
        start = known(place)
        if start is None:
            raise Unknown
        indices[axis] = int(np.clip(start, 0, size - length)) + np.arange(length)
    return [_taken_by_axis(value.terms, indices)]


def _dynamic_update_slice(call: Call) -> list[Terms]:
    value, update, *starts = call.arguments
    update_shape = update.shape
    indices, inside = {}, np.ones((1,) * len(call.shapes[0]), bool)
    for axis, (place, length, size) in enumerate(zip(starts, update_shape, call.shapes[0], strict=True)):
        start = known(place)
        if start is None:
            raise Unknown
        begin = int(np.clip(start, 0, size - length))
        places = np.arange(size) - begin
        indices[axis] = np.where((places >= 0) & (places < length), places, -1)
        inside = inside & np.expand_dims(indices[axis] >= 0, [a for a in range(len(call.shapes[0])) if a != axis])
    kept = tuple(masked(term, ~inside) for term in terms_of(value))
    return [(*kept, *_taken_by_axis(terms_of(update), indices))]


def _rev(call: Call) -> list[Terms]:
    value = data_of(call)
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
    # The fill value counts everywhere, which overestimates.
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


def _unstack(call: Call) -> list[Terms]:
    value, axis = data_of(call), call.options["axis"]
    shape = [1 if a == axis else size for a, size in enumerate(value.shape)]
    rows = (_taken_by_axis(value.terms, {axis: np.array([place])}) for place in range(value.shape[axis]))
    return [_all_reshaped(row, shape, call.shapes[0]) for row in rows]


def _split(call: Call) -> list[Terms]:
    value, axis, begin, parts = data_of(call), call.options["axis"], 0, []
    for size in call.options["sizes"]:
        parts.append(_taken_by_axis(value.terms, {axis: begin + np.arange(size)}))
        begin += size
    return parts


def _reduce(call: Call) -> list[Terms]:
    value, axes = data_of(call), tuple(call.options["axes"])
    shape = tuple(1 if axis in axes else size for axis, size in enumerate(value.shape))
    terms = tuple(reduced(term, axes, call.label) for term in value.terms)
    return [_all_reshaped(terms, shape, call.shapes[0])]


def _cumulative(call: Call) -> list[Terms]:
    axis = call.options["axis"]
    matrix = np.tri(call.shapes[0][axis], dtype=bool)
    matrix = matrix.T if call.options["reverse"] else matrix
    return [tuple(along(term, axis, matrix, call.label) for term in data_of(call).terms)]


def _dot(call: Call) -> list[Terms]:
    """A product over some axes, of data with weights or with data; data count as nonzero."""
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
        # In a product with data, a term is certain only where the other factor is certainly not 0.
        sure = _sure(other, sides[1 - number][1:], (contracted, batch), len(value.shape))
        for term in beside(value.terms, sure, call.label):
            pattern = None if isinstance(other, Data) or is_dense(other) else not_zero(other)
            if pattern is not None and len(contracted) == 1 and not batch and len(free[1 - number]) == 1:
                # Such as the matrix of a resize, along one axis.
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


def _sure(other: Value, there: Sequence[Sequence[int]], here: Sequence[Sequence[int]], rank: int) -> np.ndarray:
    """Where the other factor of a product is certainly not a 0 of the program, by the shared axes."""
    if not isinstance(other, Data):
        return np.ones((1,) * rank, bool)
    axes, places = [*there[0], *there[1]], [*here[0], *here[1]]
    found = seen(other)
    free = tuple(axis for axis in range(found.ndim) if axis not in axes)
    found = ~over(~found, free, keep=True).transpose([*axes, *free]).reshape([found.shape[axis] for axis in axes])
    # Shared axes in the order of the places, and 1 for all others.
    order = [int(place) for place in np.argsort(places)]
    shape = [1] * rank
    for axis, place in zip(axes, places, strict=True):
        shape[place] = found.shape[axes.index(axis)]
    return found.transpose(order).reshape(shape)


def windows(size: int, out: int, taps: np.ndarray, stride: int, low: int, base: int, rate: int) -> np.ndarray:
    """bool `[out, size]`: the positions that windows read along an axis; `taps` marks the existing taps."""
    matrix = np.zeros((out, size), bool)
    for tap in np.flatnonzero(taps):
        places = np.arange(out) * stride - low + tap * rate
        inside = (places >= 0) & (places % base == 0) & (places // base < size)
        matrix[np.flatnonzero(inside), places[inside] // base] = True
    return matrix


def _reduce_window(call: Call) -> list[Terms]:
    value = data_of(call)
    terms = value.terms
    for axis, taps in enumerate(call.options["window_dimensions"]):
        step, (low, high) = call.options["window_strides"][axis], call.options["padding"][axis]
        base, rate = call.options["base_dilation"][axis], call.options["window_dilation"][axis]
        if (taps, step, low, high, base) == (1, 1, 0, 0, 1):
            continue
        matrix = windows(value.shape[axis], call.shapes[0][axis], np.ones(taps), step, low, base, rate)
        terms = tuple(along(term, axis, matrix, call.label) for term in terms)
    return [union(terms)]


#: Further elementwise operations, without a gradient or under another name.
_OTHERS = {
    "bessel_i0e", "bessel_i1e", "clz", "conj", "convert_element_type", "copy_p", "digamma", "eq", "ge", "gt",
    "igamma", "imag", "is_finite", "le", "lgamma", "lt", "ne", "nextafter", "not", "population_count", "pvary",
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
    "and": _multiply,
    "or": _or,
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
    "gather": gather,
    "scatter": scatter,
    "scatter-add": scatter_onto,
    "scatter-sub": scatter_onto,
    "scatter-min": scatter_onto,
    "scatter-max": scatter_onto,
    "unstack": _unstack,
    "dot_general": _dot,
}
