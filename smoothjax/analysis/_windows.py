"""The effect of a convolution on dependences."""

from collections.abc import Iterator, Sequence

import numpy as np

from ._constants import is_dense, not_zero
from ._relations import Term, Terms, along, arranged, mixed, over, reduced, reshaped, union
from ._rules import windows
from ._values import Data, Options, Unknown, Value, seen


def convolved(
    options: Options, arguments: Sequence[Value], shape: tuple[int, ...], label: str, *, smoothed: bool
) -> Terms:
    """The dependences of a convolution's result; `smoothed` adds an SS convolution before it."""
    maps, kernel = arguments
    numbers, groups = options["dimension_numbers"], options["feature_group_count"]
    batch, channel, *spatial = numbers.lhs_spec
    found = list[Term]()
    if isinstance(kernel, Data):
        # A computed kernel: every output depends on all of it that its channels allow.
        found += mixed(kernel.terms, len(shape), label)
    computed, found = found, list[Term]()
    if not isinstance(maps, Data):
        return tuple(computed)
    products = [(np.ones(kernel.shape[axis], bool),) for axis in numbers.rhs_spec[2:]]
    boxes, exact = [tuple(taps for (taps,) in products)], True
    if not isinstance(kernel, Data) and not is_dense(kernel):
        pattern = not_zero(kernel).transpose(*numbers.rhs_spec[2:], *numbers.rhs_spec[:2])
        joint = over(pattern, (-2, -1))
        exact = bool((pattern == joint[..., None, None]).all())
        boxes = list(_boxes(joint))
    for box in boxes:
        terms = maps.terms
        for k, axis in enumerate(spatial):
            low, rate = options["padding"][k][0], options["rhs_dilation"][k]
            stride, base = options["window_strides"][k], options["lhs_dilation"][k]
            matrix = windows(maps.shape[axis], shape[numbers.out_spec[2 + k]], box[k], stride, low, base, rate)
            if smoothed and rate > 1:
                matrix = matrix @ _band(maps.shape[axis], rate)
            terms = tuple(along(term, axis, matrix, label) for term in terms)
        sure = exact and (not isinstance(kernel, Data) or bool(seen(kernel).all()))
        found += terms if sure else (term.doubtful(label) for term in terms)
    # Positions have the sizes of the result now, channels are mixed within their groups.
    size = [0] * len(shape)
    size[batch], size[channel] = maps.shape[batch], maps.shape[channel]
    for k, axis in enumerate(spatial):
        size[axis] = shape[numbers.out_spec[2 + k]]
    places = [0] * len(shape)
    for axis, place in zip(numbers.lhs_spec, numbers.out_spec, strict=True):
        places[axis] = place
    features, batches = shape[numbers.out_spec[1]], options["batch_group_count"]
    result = [arranged(term, len(shape), places) for term in computed]
    for term in found:
        term = _channels(term, channel, size, groups, features, label)
        if batches > 1:
            term = _batches(term, batch, channel, size, batches, features)
        result.append(arranged(term, len(shape), places))
    return union(result)


def _channels(term: Term, axis: int, size: Sequence[int], groups: int, features: int, label: str) -> Term:
    if all(part.shape[axis] == 1 for part in term.parts):
        return term
    if groups == 1:
        return reduced(term, (axis,), label)
    split = [*size[:axis], groups, size[axis] // groups, *size[axis + 1 :]]
    grouped = reshaped(term, size, split)
    if grouped is None:
        raise Unknown
    grouped = reduced(grouped, (axis + 1,), label)
    merged = reshaped(
        grouped,
        [*size[:axis], groups, features // groups, *size[axis + 1 :]],
        [*size[:axis], features, *size[axis + 1 :]],
    )
    if merged is None:
        raise Unknown
    return merged


def _batches(term: Term, batch: int, axis: int, size: Sequence[int], groups: int, features: int) -> Term:
    """Batch groups: each group of examples makes its own features of the result; channels were mixed before."""
    if all(part.shape[batch] == 1 for part in term.parts):
        return term
    shape = [1 if a == axis else length for a, length in enumerate(size)]
    split = reshaped(term, shape, [*shape[:batch], groups, shape[batch] // groups, *shape[batch + 1 :]])
    if split is None:
        raise Unknown
    # The axis of the groups goes before that of the features.
    rank = len(shape) + 1
    rest = [a + (a >= axis) for a in range(len(shape))]
    places = [rest[a] for a in range(batch)] + [axis] + [rest[a] for a in range(batch, len(shape))]
    wide = [shape[batch] // groups if a == batch else length for a, length in enumerate(shape)]
    merged = reshaped(
        arranged(split, rank, places),
        [*wide[:axis], groups, features // groups, *wide[axis + 1 :]],
        [*wide[:axis], features, *wide[axis + 1 :]],
    )
    if merged is None:
        raise Unknown
    return merged


def _band(size: int, rate: int) -> np.ndarray:
    """The matrix of an SS convolution of `2 * rate - 1` taps."""
    places = np.arange(size)
    return np.abs(places[:, None] - places) < rate


def _boxes(taps: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
    """Products whose union is the set of taps: equal rows are merged."""
    if taps.ndim == 1:
        if taps.any():
            yield (taps,)
        return
    for row in np.unique(taps.reshape(len(taps), -1), axis=0):
        same = (taps.reshape(len(taps), -1) == row).all(1)
        for rest in _boxes(row.reshape(taps.shape[1:])):
            yield (same, *rest)
