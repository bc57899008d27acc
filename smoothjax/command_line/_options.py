"""The options of a command, read from the dataclass that holds them."""

import ast
import dataclasses
import inspect
import itertools
import textwrap
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import tyro

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_POSITIONAL, _SUPPRESS = (typing.get_args(marked)[1] for marked in (tyro.conf.Positional[int], tyro.conf.Suppress[int]))


class Option(NamedTuple):
    """An option of a command.

    Attributes:
      flag: the flag as typed, such as `--data.root`.
      section: the part before the dot; empty if there is none.
      text: its docstring.
      default: its value if it is left out.
      hint: its type.
      aliases: its other flags.
    """

    flag: str
    section: str
    text: str
    default: object
    hint: Any
    aliases: tuple[str, ...] = ()


class Word(NamedTuple):
    """An argument of a command that has no flag, such as RUN, or several in a row.

    Attributes:
      name: its name in the help.
      text: its docstring.
      required: whether it must be given.
      hint: its type.
    """

    name: str
    text: str
    required: bool
    hint: Any


def options_of(kind: Any, default: "DataclassInstance | None" = None) -> Iterator[Option]:
    """The options of a command's dataclass, in order; `default` gives their defaults and types of sections."""
    origin = typing.get_origin(kind)
    given = {} if origin is None else dict(zip(origin.__parameters__, typing.get_args(kind), strict=True))
    yield from _walk(origin or kind, default, "", given)


def check_unused(options: "DataclassInstance", names: Iterable[str], why: str, remedy: str = "leave it out") -> None:
    """Refuses options that a command would ignore.

    Args:
      options: those of the command.
      names: the fields that it would ignore unless they have their defaults.
      why: the reason, which goes on from "since".
      remedy: what to do.

    Raises:
      ValueError: one is given; the message names all.
    """
    defaults = {field.name: _default_of(field) for field in dataclasses.fields(options)}
    given = [f"--{name.replace('_', '-')}" for name in names if getattr(options, name) != defaults[name]]
    if given:
        raise ValueError(f"{' and '.join(given)} would change nothing, since {why}: {remedy}")


def words_of(kind: Any) -> Iterator[Word]:
    """The arguments of a command's dataclass that have no flags, in order."""
    kind = typing.get_origin(kind) or kind
    hints, plain, texts = (
        typing.get_type_hints(kind, include_extras=True),
        typing.get_type_hints(kind),
        _docstrings(kind),
    )
    for field in dataclasses.fields(kind):
        metadata = getattr(hints[field.name], "__metadata__", ())
        if _POSITIONAL in metadata:
            hint, named = plain[field.name], _named(metadata)
            name = (
                field.name.upper() if named is None or named.metavar is None else named.metavar.strip("[]").rstrip(".")
            )
            required = _default_of(field) is dataclasses.MISSING
            yield Word(name, texts.get(field.name, ""), required, hint)


def _named(metadata: tuple[Any, ...]) -> Any:
    """The settings that `tyro.conf.arg` gives a field, if any."""
    return next((each for each in metadata if hasattr(each, "prefix_name")), None)


def _walk(
    kind: "type[DataclassInstance]", default: "DataclassInstance | None", prefix: str, given: Mapping[Any, Any]
) -> Iterator[Option]:
    hints, plain = typing.get_type_hints(kind, include_extras=True), typing.get_type_hints(kind)
    texts = _docstrings(kind)
    for field in dataclasses.fields(kind):
        metadata = getattr(hints[field.name], "__metadata__", ())
        if _POSITIONAL in metadata or _SUPPRESS in metadata:
            continue
        value = _default_of(field) if default is None else getattr(default, field.name)
        named = _named(metadata)
        name = field.name.replace("_", "-") if named is None or named.name is None else named.name
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            yield from _walk(type(value), value, f"{prefix}{name}." if name else prefix, {})
        else:
            stem = "" if named is not None and named.prefix_name is False else prefix
            hint = plain[field.name]
            for variable in getattr(hint, "__parameters__", ()):
                hint = hint[given.get(variable, Any)]  # there is one in a hint
            text = texts.get(field.name) or (named and named.help) or ""
            aliases = tuple(named.aliases or ()) if named else ()
            yield Option(f"--{stem}{name}", stem.partition(".")[0], text, value, hint, aliases)


def _default_of(field: "dataclasses.Field[Any]") -> object:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _docstrings(kind: type) -> dict[str, str]:
    """The docstring of each field of a dataclass and of its base classes."""
    found: dict[str, str] = {}
    for part in reversed(kind.__mro__):
        if not dataclasses.is_dataclass(part):
            continue
        try:
            (tree,) = ast.parse(textwrap.dedent(inspect.getsource(part))).body
        except OSError:  # generated by a function: there is no source to read
            continue
        body = tree.body if isinstance(tree, ast.ClassDef) else []
        for field, below in itertools.pairwise(body):
            match field, below:
                case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(text))):
                    found[name] = " ".join(text.split())
    return found
