"""Assigns the variables of a checkpoint to the parameters of a network, with every variable accounted for."""

import re
from collections.abc import Callable, Hashable, Mapping
from typing import NamedTuple, TypeAlias, TypeVar

import jax.numpy as jnp
import numpy as np
from flax import nnx
from numpy.typing import ArrayLike

from ._names import Variables

Path: TypeAlias = tuple[Hashable, ...]
Model = TypeVar("Model", bound=nnx.Module)


class Entry(NamedTuple):
    """One parameter or statistic and the variable that it comes from, through `convert` if that is not None."""

    path: Path
    variable: str
    convert: Callable[[np.ndarray], ArrayLike] | None = None


def kernel_from_torch(weight: np.ndarray) -> np.ndarray:
    """`[C_out, C_in, *K]` to `[*K, C_in, C_out]`."""
    return weight.transpose(*range(2, weight.ndim), 1, 0)


def convert(
    entries: list[Entry], variables: Variables, shapes: Mapping[Path, tuple[int, ...]], *, known: str
) -> tuple[dict[Path, np.ndarray], list[str]]:
    """Converts every entry to float32, and accounts for every variable.

    Args:
      entries: the parameters and statistics of the network.
      variables: the checkpoint.
      shapes: shapes of the network's parameters by path.
      known: pattern of other variables that a checkpoint may hold.

    Returns:
      The values by path, and the names of known variables that are not used.

    Raises:
      ValueError: a variable is missing, unknown, or of another shape.
    """
    missing = [entry.variable for entry in entries if entry.variable not in variables]
    if missing:
        raise ValueError(
            f"{len(missing)} variables of this network are not in the checkpoint ({_some(missing)}): is it whole, and "
            "of this network?"
        )
    rest = sorted(set(variables) - {entry.variable for entry in entries})
    unknown = [name for name in rest if not re.fullmatch(known, name)]
    if unknown:
        raise ValueError(
            f"the checkpoint holds {len(unknown)} variables that this network does not have ({_some(unknown)}): it "
            "is of another network; delete them from the dict if they do not matter"
        )
    values = {}
    for path, name, function in entries:
        value = np.asarray(variables[name])
        value = np.asarray(value if function is None else function(value), np.float32)
        if value.shape != shapes[path]:
            raise ValueError(
                f"variable {name!r} has shape {list(np.shape(variables[name]))}, but {dotted(path)} of the network "
                f"takes {list(shapes[path])}: the checkpoint is of a network of another width or kind"
            )
        values[path] = value
    return values, rest


def shapes_of(model: nnx.Module) -> dict[Path, tuple[int, ...]]:
    """Shapes of all parameters and statistics of a model by path."""
    return {path: leaf.shape for path, leaf in nnx.to_flat_state(nnx.state(model))}


def with_values(model: Model, values: Mapping[Path, ArrayLike]) -> Model:
    """An abstract model filled with the values of all its parameters and statistics."""
    graph, state = nnx.split(model)
    leaves = [(path, leaf.replace(jnp.asarray(values[path]))) for path, leaf in nnx.to_flat_state(state)]
    return nnx.merge(graph, nnx.from_flat_state(leaves))


def dotted(path: Path) -> str:
    """A path with dots."""
    return ".".join(map(str, path))


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
