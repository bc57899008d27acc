"""Parses commands and options; suggests the nearest name for a wrong one."""

import difflib
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import tyro

from ..files import printable
from ._options import options_of, words_of
from ._respell import NO_HABITS, Habits, respell

T = TypeVar("T")


def choose(what: str, name: str, choices: Mapping[str, T]) -> T:
    """Returns the choice of this name; exits with a suggestion if there is none."""
    if name in choices:
        return choices[name]
    close = difflib.get_close_matches(name, choices, 1)
    hint = f"did you mean {close[0]}?" if close else f"choose one of {', '.join(choices)}"
    problem = f"a {what} comes before {name}" if name.startswith("-") else f"unknown {what} {name!r}"
    print(f"error: {problem}: {hint}", file=sys.stderr)
    raise SystemExit(2)


def parse(
    kind: Any,
    arguments: Sequence[str],
    program: str,
    default: Any = None,
    description: str | None = None,
    habits: Habits = NO_HABITS,
) -> Any:
    """Parses the options of a command into its dataclass; exits with one sentence if an option is wrong.

    Args:
      kind: the dataclass, without subcommands.
      arguments: the command line.
      program: how it is called.
      default: an instance whose values are the defaults; by default those of the class.
      description: the text of `--help`; by default the docstring of the class.
      habits: names that other programs use for its options.
    """
    given = {} if default is None else {"default": default}
    try:
        arguments = respell(arguments, list(options_of(kind, default)), list(words_of(kind)), habits)
    except ValueError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        raise SystemExit(2) from None
    return tyro.cli(kind, args=list(arguments), prog=program, description=description, **given)
