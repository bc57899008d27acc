"""Finding and replacing layers inside a model of any structure."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from flax import nnx

#: Keys from a model down to a layer: attributes, indices, dictionary keys.
Path = tuple[Any, ...]
Node = TypeVar("Node")


def find_modules(model: Any, wanted: Callable[[Any], bool]) -> dict[int, tuple[Any, Path]]:
    """The wanted layers of a model and their paths, by identity: a layer used in two places is one.

    Raises:
      ValueError: model is no module and no container of modules.
    """
    if not isinstance(model, (nnx.Pytree, list, tuple, dict)):
        raise ValueError(f"model must be a Flax NNX module or a container of them, got {type(model).__name__}")
    found: dict[int, tuple[Any, Path]] = {}
    seen: set[int] = set()

    def visit(node: Any, path: Path) -> None:
        if id(node) in seen:
            return
        seen.add(id(node))
        if wanted(node):
            found[id(node)] = (node, path)
        for key, child in _children(node):
            visit(child, (*path, key))

    visit(model, ())
    return found


def replace_modules(node: Node, new: dict[int, Any]) -> Node:
    """Returns the node with every layer of `new` in its place; modules and containers are changed in place."""
    if id(node) in new:
        return new[id(node)]
    new[id(node)] = node  # also ends cycles
    changed = {key: other for key, child in _children(node) if (other := replace_modules(child, new)) is not child}
    if isinstance(node, tuple) and changed:
        new[id(node)] = tuple(changed.get(key, child) for key, child in enumerate(node))
        return new[id(node)]
    for key, child in changed.items():
        if isinstance(node, (list, dict, nnx.List, nnx.Dict)):
            node[key] = child
        else:
            setattr(node, key, child)
    return node


def where(path: Path) -> str:
    """A path in words, for messages."""
    return ".".join(map(str, path)) or "the model itself"


def common_value(values: Any) -> Any:
    """The value common to all axes (1 for None), or the tuple of different ones."""
    values = tuple(values) if isinstance(values, Sequence) else (1 if values is None else values,)
    return values[0] if len(set(values)) == 1 else values


def _children(node: Any) -> list[tuple[Any, Any]]:
    """The parts of a node that may hold modules, by key, in a stable order."""
    if isinstance(node, (list, tuple, nnx.List)):
        return list(enumerate(node))
    if isinstance(node, (dict, nnx.Dict)):
        return list(node.items())
    if isinstance(node, nnx.Pytree):  # modules among them
        return list(vars(node).items())
    return []
