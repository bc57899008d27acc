"""Values of a program, and calls of its operations, as the rules take them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from ._constants import Weights
from ._relations import Term, Terms, arranged, masked, support


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


def seen(value: Data, rank: int | None = None) -> np.ndarray:
    """Where an array surely depends on something, and is no 0 of the program: bool that broadcasts to it."""
    found = np.zeros((1,) * (len(value.shape) if rank is None else rank), bool)
    for term in terms_of(value, rank):
        if not term.doubts:
            found = found | support(term)
    return found


def beside(terms: Terms, seen: np.ndarray, label: str) -> Terms:
    """What a product with an array depends on: in doubt where that may be a 0 of the program."""
    if seen.all():
        return terms
    found = list[Term]()
    for term in terms:
        if not (support(term) & ~seen).any():
            found.append(term)
        else:
            found += [masked(term, seen), term.doubtful(label)]
    return tuple(found)


def data_of(call: Call) -> Data:
    """The first argument, if it depends on something."""
    value = call.arguments[0]
    if not isinstance(value, Data):
        raise Unknown
    return value
