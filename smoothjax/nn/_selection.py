"""Selection of the layers to change, by paths, types and predicates, and the record of changes."""

from collections.abc import Callable, Sequence
from types import EllipsisType
from typing import Any, TypeAlias, TypeVar

from .._checks import check_bool
from ._surgery import Path, children, find_modules, parts_of, where

#: Whether a layer at a path is selected; the signature of Flax's predicates.
Predicate: TypeAlias = Callable[[Path, Any], bool]

A = TypeVar("A")

Selection: TypeAlias = str | Path | type | Predicate | EllipsisType | bool | Sequence[Any] | set[Any] | None
"""Layers of a model: a path, `"encoder.blocks.0"` or `("encoder", "blocks", 0)`, with everything below it; a type, for
its instances and everything in them; a predicate `f(path, layer)`, such as `nnx.PathContains` of Flax; `...` or True
for all, None or False for none; or a list of these, for their union."""


class Changes(list[Path]):
    """The list of the paths of replaced layers, and the others with the reasons.

    Attributes:
      skipped: paths of layers left out by `only` or `skip`, each with the reason.
      refused: paths of layers that could not be replaced and stay unchanged, each with the reason.
    """

    skipped: dict[Path, str]
    refused: dict[Path, str]

    def __init__(self, replaced: Sequence[Path], skipped: dict[Path, str], refused: dict[Path, str]):
        super().__init__(replaced)
        self.skipped, self.refused = skipped, refused


class RefusedError(Exception):
    """A layer that cannot be replaced; the message has the reason."""


def choose(
    model: object,
    wanted: Callable[[object], bool],
    examine: Callable[[Any], A],
    *,
    only: Selection,
    skip: Selection,
    strict: bool,
    what: tuple[str, str],
) -> tuple[dict[int, tuple[Any, A]], Changes]:
    """The layers of a model to replace, each with its result of `examine`, and the record of changes.

    Args:
      model: any Flax NNX module, or a container of modules.
      wanted: whether a node is a layer of the right kind.
      examine: raises RefusedError for a layer that cannot be replaced.
      only, skip, strict: see `smooth`.
      what: the verb and the name of the layers, for errors.

    Raises:
      ValueError: a selection names no part of the model, or strict holds and a chosen layer is refused.
    """
    check_bool("strict", strict, remedy="False leaves layers that cannot be replaced unchanged")
    chosen, left = selects(model, only, "only"), selects(model, skip, "skip")
    ready: dict[int, tuple[Any, A]] = {}
    replaced: list[Path] = []
    skipped, refused = dict[Path, str](), dict[Path, str]()
    for key, (layer, path) in find_modules(model, wanted).items():
        if left(path, layer) or not chosen(path, layer):
            skipped[path] = "skip names it" if left(path, layer) else "only does not name it"
            continue
        try:
            ready[key] = layer, examine(layer)
            replaced.append(path)
        except RefusedError as refusal:
            refused[path] = str(refusal)
    if strict and refused:
        raise ValueError(_all_refused(refused, *what))
    return ready, Changes(replaced, skipped, refused)


def _all_refused(refused: dict[Path, str], verb: str, layers: str) -> str:
    """One sentence about the first refused layer, which names the others."""
    (first, reason), *others = refused.items()
    more = f" (and those at {', '.join(where(path) for path, _ in others)})" if others else ""
    names = ", ".join(repr(where(path) if path else path) for path in refused)
    return (
        f"cannot {verb} the {layers} at {where(first)}: {reason}{more}: replace it by hand, leave it as it is with "
        f"skip=[{names}], or pass strict=False to {verb} the rest"
    )


def selects(model: object, selection: Selection, name: str) -> Predicate:
    """The predicate for a selection of layers of this model; errors call the argument `name`.

    Raises:
      ValueError: selection names no part of the model, or is not a selection.
    """
    if selection is None or isinstance(selection, (bool, EllipsisType)):
        return lambda path, layer: bool(selection)
    if isinstance(selection, str):
        return _below(model, tuple(selection.split(".")), name)
    if isinstance(selection, type):
        of_type = parts_of(model, selection)
        return lambda path, layer: id(layer) in of_type
    if callable(selection):
        return selection
    if isinstance(selection, tuple) and all(isinstance(key, (str, int)) for key in selection):
        return _below(model, selection, name)
    if isinstance(selection, (Sequence, set, frozenset)):
        members: Any = selection
        several = [selects(model, one, name) for one in members]
        return lambda path, layer: any(one(path, layer) for one in several)
    raise ValueError(
        f"{name} must be a path, a type, a predicate of path and layer, or a list of these, got "
        f"{type(selection).__name__}: write e.g. {name}='encoder', or {name}=[...] for several"
    )


def _below(model: object, path: Path, name: str) -> Predicate:
    """Whether a layer is at a path or below it; a layer used in several places is at all of them."""
    node = model
    for depth, key in enumerate(path):
        below = {str(other): child for other, child in children(node)}
        if str(key) not in below:
            has = (
                ", ".join(other for other, child in below.items() if children(child) and other[0] != "_")
                or "nothing to choose from"
            )
            raise ValueError(
                f"{name} names {where(path)!r}, which is not a part of the model: {where(path[:depth])} has {has}"
            )
        node = below[str(key)]
    parts = find_modules([node], lambda part: True)
    return lambda path, layer: id(layer) in parts
