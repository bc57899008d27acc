"""Operations that read from or write to positions known in the program."""

import jax.numpy as jnp
import numpy as np
from jax import lax

from ._constants import known
from ._relations import LARGEST, Term, Terms, masked, over
from ._values import Call, Data, Unknown, terms_of


def gather(call: Call) -> list[Terms]:
    """Reads at known positions: every axis with dependences is read from one axis of the result, or none."""
    value, places = call.arguments
    indices = known(places)
    if not isinstance(value, Data) or indices is None:
        raise Unknown
    numbers = {key: call.options[key] for key in ("dimension_numbers", "slice_sizes", "mode")}
    numbers["fill_value"] = -1
    found = list[Term]()
    for term in value.terms:
        read: dict[int, np.ndarray] = {}
        for axis in _varied(term):
            size = value.shape[axis]
            shape = [size if a == axis else 1 for a in range(len(value.shape))]
            coordinates = jnp.broadcast_to(jnp.arange(size, dtype=jnp.int32).reshape(shape), value.shape)
            read[axis] = _without_constant_axes(np.asarray(lax.gather(coordinates, jnp.asarray(indices), **numbers)))
        moved = _read(term, read, len(call.shapes[0]))
        for index in read.values():
            moved = masked(moved, index >= 0)
        found.append(moved)
    return [tuple(found)]


def scatter(call: Call) -> list[Terms]:
    """Written values replace the former ones."""
    return [_written(call, replaces=True)]


def scatter_onto(call: Call) -> list[Terms]:
    """Written values are combined with the former ones, such as added."""
    return [_written(call, replaces=False)]


def _written(call: Call, *, replaces: bool) -> Terms:
    value, places, updates = call.arguments
    indices, shape = known(places), call.shapes[0]
    if indices is None or np.prod(shape, dtype=np.int64) > LARGEST:
        raise Unknown
    size = int(np.prod(updates.shape, dtype=np.int64))
    options = {"dimension_numbers": call.options["dimension_numbers"], "mode": call.options["mode"]}
    ones, numbers = jnp.ones(updates.shape, jnp.int32), jnp.arange(size, dtype=jnp.int32).reshape(updates.shape)
    counts = np.asarray(lax.scatter_add(jnp.zeros(shape, jnp.int32), jnp.asarray(indices), ones, **options))
    if isinstance(updates, Data) and counts.max(initial=0) > 1:
        raise Unknown  # several are written to one position
    inside = counts > 0
    kept = tuple(masked(term, ~inside) for term in terms_of(value)) if replaces else terms_of(value)
    if not isinstance(updates, Data) or not inside.any():
        return kept
    order = np.asarray(lax.scatter(jnp.zeros(shape, jnp.int32), jnp.asarray(indices), numbers, **options))
    coordinates = [_filled(index, inside) for index in np.unravel_index(order, updates.shape)]
    new = (
        masked(_read(term, {axis: coordinates[axis] for axis in _varied(term)}, len(shape)), inside)
        for term in updates.terms
    )
    return (*kept, *new)


def _varied(term: Term) -> list[int]:
    """Axes of the array along which a term varies."""
    return [axis for axis in range(term.parts[0].ndim - 1) if any(part.shape[axis] > 1 for part in term.parts)]


def _read(term: Term, index: dict[int, np.ndarray], rank: int) -> Term:
    """The term of an array whose elements are read at positions along each axis; positions below 0 are masked."""
    parts = []
    for part in term.parts:
        at = tuple(
            np.maximum(index[axis], 0) if part.shape[axis] > 1 else np.zeros((1,) * rank, int)
            for axis in range(part.ndim - 1)
        )
        if np.prod(np.broadcast_shapes(*(one.shape for one in at)), dtype=np.int64) * part.shape[-1] > LARGEST:
            raise Unknown
        parts.append(part[at])
    return term.moved(parts)


def _filled(index: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Places that count inside only, without the axes along which those do not change."""
    for axis in range(index.ndim):
        low = np.where(inside, index, np.iinfo(np.int32).max).min(axis, keepdims=True)
        high = np.where(inside, index, -1).max(axis, keepdims=True)
        if ((low == high) | (high < 0)).all():
            index, inside = np.maximum(high, 0), over(inside, axis, keep=True)
    return index


def _without_constant_axes(array: np.ndarray) -> np.ndarray:
    for axis in range(array.ndim):
        if array.shape[axis] > 1 and (array == (first := array.take([0], axis))).all():
            array = first
    return array
