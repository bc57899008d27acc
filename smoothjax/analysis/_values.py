"""Values of a program, and calls of its operations, for the rules."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from ._constants import Weights
from ._relations import Term, Terms, arranged, masked, support


class Data(NamedTuple):
    """An array that depends on inputs.

    Attributes:
      shape: of the array.
      terms: its dependences.
      number: number of the array in a walk; -1 for others.
      passed: numbers of the convolutions before it.
    """

    shape: tuple[int, ...]
    terms: Terms
    number: int = -1
    passed: frozenset[int] = frozenset()


class Unknown(Exception):  # noqa: N818 (no error)
    """The rule does not support this form of its operation."""


Value: TypeAlias = Data | np.ndarray | Weights
Options: TypeAlias = Mapping[str, Any]


class Call(NamedTuple):
    """An operation of a program.

    Attributes:
      options: options of the primitive.
      arguments: its arguments as values.
      shapes: shapes of its results.
      label: its name, for doubts.
    """

    options: Options
    arguments: Sequence[Value]
    shapes: Sequence[tuple[int, ...]]
    label: str


Rule: TypeAlias = Callable[[Call], list[Terms]]


def terms_of(value: Value, rank: int | None = None) -> Terms:
    """The dependences of a value; scalars broadcast to a rank."""
    if not isinstance(value, Data):
        return ()
    if rank is not None and len(value.shape) != rank:
        return tuple(arranged(term, rank, ()) for term in value.terms)
    return value.terms


def seen(value: Data, rank: int | None = None) -> np.ndarray:
    """Where an array certainly depends on something and is not a 0 of the program: bool that broadcasts to it."""
    found = np.zeros((1,) * (len(value.shape) if rank is None else rank), bool)
    for term in terms_of(value, rank):
        if not term.doubts:
            found = found | support(term)
    return found


def beside(terms: Terms, seen: np.ndarray, label: str) -> Terms:
    """The dependences of a product with an array: in doubt where the array may be a 0 of the program."""
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
