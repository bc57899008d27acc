"""Finding and replacing layers in a model of any structure."""

import dataclasses
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeAlias, TypeVar

import jax.numpy as jnp
from flax import nnx
from flax.core import FrozenDict

from .._checks import is_linen

#: Keys from a model down to a layer: attributes, indices, dictionary keys.
Path: TypeAlias = tuple[Hashable, ...]
Node = TypeVar("Node")


def find_modules(model: object, wanted: Callable[[object], bool]) -> dict[int, tuple[Any, Path]]:
    """The wanted layers of a model and their paths, by identity: a layer used in two places counts once.

    Raises:
      ValueError: model is neither a module nor a container of modules.
    """
    if is_linen(model):
        raise ValueError(
            f"model must be a Flax NNX module or a container of them, got the Linen module {type(model).__name__}: "
            "use the operations in its code, see docs/pages/guides/linen.md"
        )
    if not isinstance(model, (nnx.Pytree, list, tuple, dict, FrozenDict)) and not _is_frozen_dataclass(model):
        raise ValueError(
            f"model must be a Flax NNX module or a container of them, got {type(model).__name__}: pass the module"
        )
    found: dict[int, tuple[Any, Path]] = {}
    seen: set[int] = set()

    def visit(node: object, path: Path) -> None:
        if id(node) in seen:
            return
        seen.add(id(node))
        if wanted(node):
            found[id(node)] = (node, path)
        for key, child in children(node):
            visit(child, (*path, key))

    visit(model, ())
    return found


def replace_modules(node: Node, new: dict[int, Any]) -> Node:
    """Returns the node with the layers of `new` in place of the old; changes modules and containers in place."""
    if id(node) in new:
        return new[id(node)]
    new[id(node)] = node  # also ends cycles
    changed = {key: other for key, child in children(node) if (other := replace_modules(child, new)) is not child}
    if changed and isinstance(node, tuple):
        items = [changed.get(key, child) for key, child in enumerate(node)]
        new[id(node)] = type(node)(*items) if hasattr(node, "_fields") else tuple(items)  # named tuples stay so
        return new[id(node)]
    if changed and isinstance(node, FrozenDict):
        new[id(node)] = node.copy(changed)
        return new[id(node)]
    if changed and _is_frozen_dataclass(node):
        record: Any = node
        new[id(node)] = dataclasses.replace(record, **changed)
        return new[id(node)]
    for key, child in changed.items():
        if isinstance(node, (list, dict, nnx.List, nnx.Dict)):
            node[key] = child
        else:
            setattr(node, key, child)
    return node


def parts_of(model: object, kind: type) -> set[int]:
    """The identities of all modules of a type, and of everything in them."""
    holders = find_modules(model, lambda node: isinstance(node, kind) and isinstance(node, nnx.Pytree))
    return {key for holder, _ in holders.values() for key in find_modules(holder, lambda node: True)}


def normalised_parts(model: object, *, adding: str | None = None) -> dict[int, str]:
    """The parts of a model whose weights a wrapper normalises, and the wrapper's class.

    An `nnx.SpectralNorm` keeps a statistic, an `nnx.WeightNorm` a scale, for each weight by name. With `adding`,
    weights stay and a parameter of this name is new: a WeightNorm counts only if it would normalise that too.
    """
    found = dict.fromkeys(parts_of(model, nnx.SpectralNorm), "nnx.SpectralNorm")
    holders = find_modules(model, lambda node: isinstance(node, nnx.WeightNorm))
    for holder, _ in holders.values():
        if adding is None or holder.variable_filter((adding,), nnx.Param(jnp.zeros(()))):
            found |= dict.fromkeys(find_modules(holder, lambda node: True), "nnx.WeightNorm")
    return found


def where(path: Path) -> str:
    """A path in words, for messages."""
    return ".".join(map(str, path)) or "the model itself"


def common_value(values: Any) -> Any:
    """The value common to all axes (1 for None), or the tuple of different values."""
    values = tuple(values) if isinstance(values, Sequence) else (1 if values is None else values,)
    return values[0] if len(set(values)) == 1 else values


def children(node: Any) -> list[tuple[Any, Any]]:
    """The parts of a node that may hold modules, by key, in a stable order."""
    if isinstance(node, (list, tuple, nnx.List)):
        return list(enumerate(node))
    if isinstance(node, (dict, nnx.Dict, FrozenDict)):
        return list(node.items())
    if isinstance(node, nnx.Pytree):  # modules among them
        return list(vars(node).items())
    if _is_frozen_dataclass(node):
        return [(field.name, getattr(node, field.name)) for field in dataclasses.fields(node)]
    return []


def _is_frozen_dataclass(node: object) -> bool:
    """Whether this is an instance of a dataclass whose fields are replaced, not set, as of `flax.struct`."""
    return dataclasses.is_dataclass(node) and not isinstance(node, (type, nnx.Pytree))
