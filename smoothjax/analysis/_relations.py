"""The units of a source that the elements of an array may depend on: unions of products, one factor per spatial axis.

A `Term` means: the element at `[v_1, ..., v_n]` depends on unit `[j_1, ..., j_d]` of the source if `parts[a][v_1, ...,
v_n, j_a]` is true for every factor a. A factor has one more axis than the array, and length 1 along axes that it does
not vary with; for a map after convolutions, the factor of each axis is a matrix from outputs to inputs. Convolutions,
windows and moves turn products into products; sums and concatenations make unions. If the result is not a product it is
enclosed in one, and the operation becomes a doubt of the term.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

#: With more terms than this, a larger product replaces them.
_TERMS, LARGEST = 64, 2**27


@dataclass(frozen=True, eq=False)
class Term:
    """A product of relations.

    Attributes:
      source: number of the map that the units belong to.
      parts: bool `[*shape, S_a]` for each spatial axis a of the source, with 1 if nothing varies.
      doubts: operations that the term overestimates; empty if it is exact.
      everywhere: operations with the same result at all positions, such as a mean over the map.
    """

    source: int
    parts: tuple[np.ndarray, ...]
    doubts: frozenset[str] = frozenset()
    everywhere: frozenset[str] = frozenset()

    def moved(self, parts: Iterable[np.ndarray]) -> "Term":
        """The term with other parts."""
        return replace(self, parts=tuple(parts))

    def doubtful(self, *names: str) -> "Term":
        """The term with more doubts."""
        return replace(self, doubts=self.doubts.union(names))


Terms: TypeAlias = tuple[Term, ...]


def over(array: np.ndarray, axes: int | tuple[int, ...], *, keep: bool = False) -> np.ndarray:
    """Whether anything along the axes is true; the axes are left with length 1, or dropped."""
    return np.asarray(array.any(axes, keepdims=keep))


def identity(source: int, ndim: int, axes: Sequence[int], sizes: Sequence[int]) -> Term:
    """Every position of a map depends on itself; `axes` are its spatial ones."""
    parts = []
    for axis, size in zip(axes, sizes, strict=True):
        shape = [1] * ndim + [size]
        shape[axis] = size
        parts.append(np.eye(size, dtype=bool).reshape(shape))
    return Term(source, tuple(parts))


def support(term: Term) -> np.ndarray:
    """The elements with any dependence by a term: bool that broadcasts to the array."""
    found = np.ones((1,) * (term.parts[0].ndim - 1), bool)
    for part in term.parts:
        found = found & over(part, -1)
    return found


def union(terms: Iterable[Term]) -> Terms:
    """The terms without those contained in others; terms that differ in only one factor are merged."""
    kept: list[Term] = []
    for term in terms:
        if not all(part.any() for part in term.parts):
            continue
        at = 0
        while at < len(kept):
            other = kept[at]
            if _holds(other, term):
                break
            if _holds(term, other):
                del kept[at]
                continue
            merged = _merged(other, term)
            if merged is not None:
                # It may contain others now.
                del kept[at]
                term, at = merged, 0
                continue
            at += 1
        else:
            kept.append(term)
    return tuple(kept) if len(kept) <= _TERMS else _enclosed(kept)


def _alike(one: Term, other: Term) -> bool:
    return one.source == other.source


def _holds(one: Term, other: Term) -> bool:
    """Whether the first term contains the second, with no more doubts."""
    if not (_alike(one, other) and one.doubts <= other.doubts and one.everywhere <= other.everywhere):
        return False
    return all(bool((a | ~b).all()) for a, b in zip(one.parts, other.parts, strict=True))


def _merged(one: Term, other: Term) -> Term | None:
    if not (_alike(one, other) and one.doubts == other.doubts and one.everywhere == other.everywhere):
        return None
    pairs = list(zip(one.parts, other.parts, strict=True))
    different = [a for a, (x, y) in enumerate(pairs) if x.shape != y.shape or not (x == y).all()]
    if len(different) != 1:
        return None
    parts = list(one.parts)
    parts[different[0]] = parts[different[0]] | other.parts[different[0]]
    return one.moved(parts)


def _enclosed(terms: Sequence[Term]) -> Terms:
    """One enclosing product per source, for too many terms."""
    found: dict[int, Term] = {}
    for term in terms:
        old = found.get(term.source)
        if old is None:
            found[term.source] = term.doubtful("a sum of many branches")
        else:
            parts = (a | b for a, b in zip(old.parts, term.parts, strict=True))
            found[term.source] = replace(
                old, parts=tuple(parts), doubts=old.doubts | term.doubts, everywhere=old.everywhere & term.everywhere
            )
    return tuple(found.values())


def mixed(terms: Iterable[Term], ndim: int, name: str) -> Terms:
    """The result of an unknown operation: everything depends on all dependences of its arguments."""

    def everything(part: np.ndarray) -> np.ndarray:
        return over(part, tuple(range(part.ndim - 1))).reshape(*(1,) * ndim, -1)

    return union(term.moved(map(everything, term.parts)).doubtful(name) for term in terms)


def masked(term: Term, mask: np.ndarray) -> Term:
    """The term where a mask is open; the mask broadcasts to the array."""
    for axis in range(mask.ndim):
        if mask.shape[axis] > 1 and (mask == (first := mask.take([0], axis))).all():
            mask = first
    if mask.all():
        return term
    # A mask that is a product goes where its axes are; any other goes into the first factor.
    alone = [over(mask, tuple(a for a in range(mask.ndim) if a != axis), keep=True) for axis in range(mask.ndim)]
    product = np.ones_like(mask)
    for factor in alone:
        product = product & factor
    masks = alone if (product == mask).all() else [mask]
    parts = list(term.parts)
    for factor in masks:
        if factor.all():
            continue
        varied = [axis for axis, length in enumerate(factor.shape) if length > 1]
        homes = [a for a, part in enumerate(parts) if any(part.shape[axis] > 1 for axis in varied)]
        home = homes[0] if homes else 0
        parts[home] = parts[home] & factor[..., None]
    return term.moved(parts)


def along(term: Term, axis: int, matrix: np.ndarray, name: str) -> Term:
    """Mixes positions along an axis: position i of the result has the dependences of the positions in `matrix[i]`."""
    varied = [part.shape[axis] > 1 for part in term.parts]
    parts = [_times(matrix, part, axis) if moves else part for part, moves in zip(term.parts, varied, strict=True)]
    result = term.moved(parts)
    if sum(varied) > 1 and (matrix.sum(1) > 1).any():
        result = result.doubtful(name)
    if not any(varied):
        shape = [1] * (term.parts[0].ndim - 1)
        shape[axis] = len(matrix)
        result = masked(result, over(matrix, 1).reshape(shape))
    return result


def _times(matrix: np.ndarray, part: np.ndarray, axis: int) -> np.ndarray:
    out = np.tensordot(matrix.astype(np.float32), np.moveaxis(part, axis, 0).astype(np.float32), 1) > 0
    return np.moveaxis(out, 0, axis)


def taken(term: Term, axis: int, index: np.ndarray) -> Term:
    """Takes positions along an axis; -1 depends on nothing."""
    varied = [part.shape[axis] > 1 for part in term.parts]
    kept = index >= 0
    shape = [1] * (term.parts[0].ndim - 1)
    shape[axis] = len(index)
    opened = kept.reshape(shape)
    parts = [
        part.take(np.maximum(index, 0), axis) & opened[..., None] if moves else part
        for part, moves in zip(term.parts, varied, strict=True)
    ]
    result = term.moved(parts)
    return result if any(varied) else masked(result, opened)


def reduced(term: Term, axes: Sequence[int], name: str) -> Term:
    """Merges all positions along some axes, which keep length 1."""
    parts, doubt = term.parts, False
    for axis in axes:
        doubt = doubt or not is_product(parts, axis)
        parts = tuple(over(part, axis, keep=True) for part in parts)
    everywhere = any(
        max(before.shape[:-1], default=1) > 1 and max(after.shape[:-1], default=1) == 1
        for before, after in zip(term.parts, parts, strict=True)
    )
    result = replace(term, parts=parts, everywhere=term.everywhere | {name} if everywhere else term.everywhere)
    return result.doubtful(name) if doubt else result


def is_product(parts: Sequence[np.ndarray], axis: int) -> bool:
    """Whether the union of the products at all positions of an axis is one again.

    It is if only one factor varies with the axis, or if every value of a factor occurs with every value of the others,
    as in the channels of space-to-depth.
    """
    varied = [np.moveaxis(part, axis, 0).reshape(part.shape[axis], -1) for part in parts if part.shape[axis] > 1]
    if len(varied) < 2:
        return True
    labels = [np.unique(part, axis=0, return_inverse=True)[1].ravel() for part in varied]
    return len(set(zip(*labels, strict=True))) == math.prod(int(label.max()) + 1 for label in labels)


def reshaped(term: Term, shape: Sequence[int], target: Sequence[int]) -> Term | None:
    """The term of a reshaped array; None if it would be too large."""
    groups = _factors(shape, target)
    parts = []
    for part in term.parts:
        new: list[int] = []
        full: list[int] = []
        for before, after in groups:
            varied = any(part.shape[axis] > 1 for axis in before)
            full += [shape[axis] if varied else 1 for axis in before]
            new += [target[axis] if varied else 1 for axis in after]
        if np.prod(full, dtype=np.int64) * part.shape[-1] > LARGEST:
            return None
        parts.append(_narrow(np.broadcast_to(part, (*full, part.shape[-1])).reshape(*new, part.shape[-1])))
    return term.moved(parts)


def _narrow(part: np.ndarray) -> np.ndarray:
    """Length 1 along axes that a factor does not vary with."""
    for axis in range(part.ndim - 1):
        if part.shape[axis] > 1 and (part == part.take([0], axis)).all():
            part = part.take([0], axis)
    return part


def _factors(shape: Sequence[int], target: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """The shortest runs of axes of two shapes with the same number of elements."""
    groups: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(shape) or j < len(target):
        before, after = [i] if i < len(shape) else [], [j] if j < len(target) else []
        i, j = i + 1, j + 1
        while (left := math.prod(shape[a] for a in before)) != (right := math.prod(target[a] for a in after)):
            if left < right:
                before, i = [*before, i], i + 1
            else:
                after, j = [*after, j], j + 1
        groups.append((before, after))
    return groups


def arranged(term: Term, rank: int, places: Sequence[int]) -> Term:
    """Axis k of the array becomes axis `places[k]` of one of another rank; new axes vary with nothing."""
    parts = []
    for part in term.parts:
        shape = [1] * rank + [part.shape[-1]]
        for axis, place in enumerate(places):
            shape[place] = part.shape[axis]
        order = np.argsort(places)
        parts.append(part.transpose(*order, part.ndim - 1).reshape(shape))
    return term.moved(parts)
