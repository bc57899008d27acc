"""Configurations as plain types, for files, and back; checks the type of every value that was read."""

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from .run_files import Json

if typing.TYPE_CHECKING:
    from _typeshed import DataclassInstance

Dataclass = TypeVar("Dataclass", bound="DataclassInstance")


def to_dict(config: "DataclassInstance") -> Json:
    """A configuration as plain types, for YAML; its sections come first."""

    def plain(value: object) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, tuple):
            return [plain(item) for item in value]
        return str(value) if isinstance(value, Path) else value

    values = plain(dataclasses.asdict(config))
    return dict(sorted(values.items(), key=lambda item: not isinstance(item[1], dict)))


def from_dict(kind: type[Dataclass], values: Mapping[str, object]) -> Dataclass:
    """The inverse of `to_dict`.

    Raises:
      ValueError: an option is unknown, or its value of another type; the message names it.
    """
    return _section(kind, values, "")


def _section(kind: type[Dataclass], values: object, prefix: str) -> Dataclass:
    if not isinstance(values, Mapping):
        raise ValueError(f"{prefix.removesuffix('.')} must hold options, got {values!r}")
    hints = typing.get_type_hints(kind)
    unknown = sorted(map(str, set(values) - {field.name for field in dataclasses.fields(kind)}))
    if unknown:
        raise ValueError(f"unknown fields {', '.join(prefix + name for name in unknown)}")
    return kind(**{name: _typed(hints[name], value, f"{prefix}{name}") for name, value in values.items()})


def _typed(hint: Any, value: Any, name: str) -> object:
    """A value read from a file, which must be of the type of an option."""
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in options:
            return None
        return _one_of([option for option in options if option is not type(None)], value, name)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _section(hint, value, f"{name}.")
    if origin is tuple and isinstance(value, list | tuple):
        hints = [options[0]] * len(value) if options[1:] == (...,) else options
        if len(hints) == len(value):
            return tuple(_typed(*pair, name) for pair in zip(hints, value, strict=True))
    if hint is Path and isinstance(value, str):
        return Path(value)
    # In Python a bool is an int.
    plain = (int, float) if hint is float else hint if hint in (bool, int, str) else ()
    if (
        value in options
        if origin is typing.Literal
        else isinstance(value, plain) and (hint is bool or not isinstance(value, bool))
    ):
        return value
    wanted = f"one of {', '.join(map(str, options))}" if origin is typing.Literal else getattr(hint, "__name__", hint)
    raise ValueError(f"{name} must be {wanted}, got {value!r}")


def _one_of(hints: Sequence[Any], value: Any, name: str) -> object:
    """The value as the first of these types that accepts it."""
    reasons = []
    for hint in hints:
        try:
            return _typed(hint, value, name)
        except ValueError as error:
            reasons.append(str(error))
    raise ValueError(", or ".join(reasons))
