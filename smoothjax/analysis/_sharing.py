"""The units that neighbouring outputs share."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from ._relations import Term, is_product, over, support
from ._values import Data

#: The longest period to look for, in positions.
_PERIOD = 8


class Sharing(NamedTuple):
    """Neighbours along one spatial axis of the outputs.

    Attributes:
      pairs: number of pairs of neighbours that both depend on something.
      shared: number of pairs that depend on a common unit.
      classes: a number for each position; no chain of shared units connects positions with different numbers.
      seen: number of units along this axis that each position depends on.
    """

    pairs: int
    shared: int
    classes: tuple[int, ...]
    seen: tuple[int, ...]

    @property
    def is_gridding(self) -> bool:
        """Whether there are neighbours, and none of them share a unit."""
        return self.pairs > 0 and not self.shared

    def by_phase(self) -> tuple[int, ...]:
        """Numbers of units that positions depend on by turns, from an even position in the middle; one number if all
        are equal.

        Several numbers are the uneven overlap of a transposed convolution (Odena et al., 2016).
        """
        start = len(self.seen) // 8 * 2
        inner = np.array(self.seen[start : max(len(self.seen) - start, 1)])
        for period in range(1, min(_PERIOD, len(inner) // 3) + 1):
            if (inner[period:] == inner[:-period]).all():
                return tuple(inner[:period].tolist())
        return (int(inner[len(inner) // 2]),)

    def describe_pairs(self) -> str:
        """Pairs and classes in words."""
        counts = self.by_phase()
        phases = f"; by turns, positions depend on {listed(map(str, counts))} of them" if len(counts) > 1 else ""
        return f"{self.shared} of {self.pairs} pairs of neighbours share inputs; {self.describe()}{phases}"

    def describe(self) -> str:
        """The classes in words."""
        labels = np.array(self.classes)
        count = int(labels.max(initial=-1)) + 1
        if count == 1:
            return "all connected" if self.shared or not self.pairs else "all connected, but no two neighbours directly"
        if count == len(labels):
            return "each position depends on units of its own"
        if (labels == np.arange(len(labels)) % count).all():
            return f"{count} classes, the positions modulo {count}"
        if (np.diff(labels) >= 0).all():
            return f"{count} classes, each of neighbouring positions"
        return f"{count} classes"


def listed(names: Iterable[str]) -> str:
    """Names joined for a sentence."""
    items = list(names)
    return " and ".join(filter(None, [", ".join(items[:-1]), items[-1]])) if items else "nothing"


def sharing(outputs: Data, axes: Sequence[int], keep: Callable[[Term], bool]) -> tuple[Sharing, ...]:
    """The sharing of neighbours along each spatial axis of an array, by the terms to keep."""
    others = [axis for axis in range(len(outputs.shape)) if axis not in axes]
    # A unit may be less certain than each of its channels.
    terms = [_supported(term) for term in (projected(term, others) for term in outputs.terms) if keep(term)]
    return tuple(_along(terms, axis, axes, outputs.shape) for axis in axes)


def doubts_of(outputs: Data, axes: Sequence[int]) -> frozenset[str]:
    """Operations that an array's terms overestimate."""
    others = [axis for axis in range(len(outputs.shape)) if axis not in axes]
    return frozenset().union(*(projected(term, others).doubts for term in outputs.terms))


def projected(term: Term, others: Sequence[int]) -> Term:
    """A unit has the dependences of all its channels."""
    doubt = False
    for axis in others:
        doubt = doubt or not is_product(term.parts, axis)
        term = term.moved(over(part, axis, keep=True) for part in term.parts)
    return term.doubtful("channels of the result") if doubt else term


def _supported(term: Term) -> Term:
    """The same term with each factor empty wherever another one is."""
    where = support(term)
    return term if where.all() else term.moved(part & where[..., None] for part in term.parts)


def is_certain(term: Term) -> bool:
    """Whether a term is exact."""
    return not term.doubts


def is_local(term: Term) -> bool:
    """Whether a term varies over positions."""
    return not term.everywhere


def _along(terms: Sequence[Term], axis: int, axes: Sequence[int], shape: Sequence[int]) -> Sharing:
    size = shape[axis]
    full = [length if a in axes else 1 for a, length in enumerate(shape)]
    seeing, common = np.zeros(full, bool), np.zeros([n - (a == axis) for a, n in enumerate(full)], bool)
    linked = np.eye(size, dtype=bool)
    for one in terms:
        seeing |= _all(over(part, -1) for part in one.parts)
        for other in terms:
            if one.source != other.source:
                continue
            pairs = zip(one.parts, other.parts, strict=True)
            common |= _all(over(_cut(x, axis, 0) & _cut(y, axis, 1), -1) for x, y in pairs)
            linked |= _linked(one, other, axis)
    # A single position has no neighbour.
    seeing, common = np.moveaxis(seeing, axis, 0), np.moveaxis(common, axis, 0)
    both = seeing[:-1] & seeing[1:]
    seen = np.zeros(size, int)
    number = list(axes).index(axis)
    for source in {term.source for term in terms}:
        reach = [_on(term.parts[number], axis) for term in terms if term.source == source and number < len(term.parts)]
        if reach:
            seen = seen + np.broadcast_to(_any(reach).sum(-1), size)
    return Sharing(int(both.sum()), int((common & both).sum()), _components(linked), tuple(seen.tolist()))


def _all(arrays: Iterable[np.ndarray]) -> np.ndarray:
    result = np.ones(1, bool)
    for array in arrays:
        result = result & array
    return result


def _any(arrays: Sequence[np.ndarray]) -> np.ndarray:
    result = arrays[0]
    for array in arrays[1:]:
        result = result | array
    return result


def _cut(array: np.ndarray, axis: int, end: int) -> np.ndarray:
    """All positions except the last (0) or the first (1)."""
    if array.shape[axis] == 1:
        return array
    return np.moveaxis(np.moveaxis(array, axis, 0)[end : len(np.moveaxis(array, axis, 0)) - 1 + end], 0, axis)


def _on(part: np.ndarray, axis: int) -> np.ndarray:
    """A factor by one axis only: `[length or 1, units]`."""
    return over(np.moveaxis(part, axis, 0), tuple(range(1, part.ndim - 1)))


def _linked(one: Term, other: Term, axis: int) -> np.ndarray:
    """The positions along an axis that share something, for any positions along the others."""
    result = np.ones((1, 1), bool)
    for x, y in zip(one.parts, other.parts, strict=True):
        left, right = _on(x, axis).astype(np.float32), _on(y, axis).astype(np.float32)
        result = result & (left @ right.T > 0)
    return result


def _components(linked: np.ndarray) -> tuple[int, ...]:
    linked = linked | linked.T
    labels, count = np.full(len(linked), -1), 0
    for start in range(len(linked)):
        if labels[start] >= 0:
            continue
        reached = np.zeros(len(linked), bool)
        new = np.arange(len(linked)) == start
        while new.any():
            reached |= new
            new = linked[new].any(0) & ~reached
        labels[reached], count = count, count + 1
    return tuple(labels.tolist())


class Tally:
    """Counts what neighbours share, unit by unit.

    Args:
      outputs, inputs: sizes along each spatial axis.
    """

    def __init__(self, outputs: Sequence[int], inputs: Sequence[int]):
        self._shape = tuple(outputs)
        self._seeing = np.zeros(self._shape, bool)
        self._common = [
            np.zeros([n - (a == axis) for a, n in enumerate(outputs)], bool) for axis in range(len(outputs))
        ]
        self._linked = [np.eye(size, dtype=bool) for size in outputs]
        self._reach = [np.zeros((size, length), bool) for size, length in zip(outputs, inputs, strict=True)]

    def add(self, unit: Sequence[int], outputs: np.ndarray) -> None:
        """Counts an input unit, and the outputs bool `[*S']` that depend on it."""
        if not outputs.any():
            return
        self._seeing |= outputs
        for axis in range(len(self._shape)):
            self._common[axis] |= _cut(outputs, axis, 0) & _cut(outputs, axis, 1)
            along = over(np.moveaxis(outputs, axis, 0), tuple(range(1, outputs.ndim)))
            self._linked[axis] |= along[:, None] & along
            self._reach[axis][:, unit[axis]] |= along

    def axes(self) -> tuple[Sharing, ...]:
        """The sharing of neighbours along each axis."""
        found = []
        for axis in range(len(self._shape)):
            both = _cut(self._seeing, axis, 0) & _cut(self._seeing, axis, 1)
            both &= self._shape[axis] > 1
            common = self._common[axis] & both if self._shape[axis] > 1 else np.zeros(1, bool)
            seen = tuple(self._reach[axis].sum(1).tolist())
            found.append(Sharing(int(both.sum()), int(common.sum()), _components(self._linked[axis]), seen))
        return tuple(found)
