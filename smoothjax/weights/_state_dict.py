"""Turns the content of a file into one dict of arrays."""

from collections.abc import Callable, Mapping

import numpy as np

from ._torch_pickle import Tensor, Value

_KEYS = ("state_dict", "model", "model_state_dict")
_PREFIXES = ("module.", "model.", "backbone.", "encoder.")


def state_dict_of(content: Value) -> dict[str, np.ndarray]:
    """The tensors of a state dict, or of the one in a training checkpoint.

    Raises:
      ValueError: There is no dict from names to tensors.
    """
    while isinstance(content, Mapping):
        inner = next((content[key] for key in _KEYS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            break
        content = inner
    if not isinstance(content, Mapping):
        kind = "single tensor" if isinstance(content, Tensor) else type(content).__name__
        raise ValueError(f"it holds a {kind}, where a dict from names to tensors belongs")
    arrays: dict[str, np.ndarray] = {}
    for name, value in content.items():
        if not isinstance(value, Tensor):
            known = ", ".join(map(repr, _KEYS))
            raise ValueError(
                f"{name!r} is a {type(value).__name__}, no tensor: save model.state_dict() by itself, or in a dict "
                f"under one of {known}"
            )
        arrays[str(name)] = value.array
    return arrays


def without_prefix(arrays: Mapping[str, np.ndarray], report: Callable[[str], None]) -> dict[str, np.ndarray]:
    """Takes off what a wrapper put before every name, and reports it."""
    taken = ""
    names = list(arrays)
    while names and (prefix := next((p for p in _PREFIXES if all(name.startswith(p) for name in names)), None)):
        names = [name.removeprefix(prefix) for name in names]
        taken += prefix
    if taken:
        report(f"all {len(names)} names begin with {taken!r}, which is taken off")
    return dict(zip(names, arrays.values(), strict=True))
