"""Accepts other spellings of options, and option names of other programs."""

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ._options import Option, Word
from ._values import check_values, is_option

# At less likeness a suggestion is chance: --shuffle is not --optim.schedule.
_ALIKE = 0.75
# Options of a group in a message.
_LISTED = 12

HELP_ALL = "--help-all"
"""Asks for all that `--help` would show if it did not leave most of it out."""


class Habits(NamedTuple):
    """The name of an option in other programs, without leading hyphens; dots and underscores are hyphens.

    Attributes:
      meant: our options for it, or arguments without a flag, such as RUN: the first one that a command has.
      remedies: what to do where there is none.
    """

    meant: Mapping[str, tuple[str, ...]] = {}
    remedies: Mapping[str, str] = {}


NO_HABITS = Habits()
"""None are known."""


def respell(
    arguments: Sequence[str],
    options: Sequence[Option],
    words: Sequence[Word] | None = None,
    habits: Habits = NO_HABITS,
) -> list[str]:
    """The arguments with options spelt as the command has them: `--data-root` and `--data_root` are `--data.root`.

    Args:
      arguments: the command line.
      options: those of the command.
      words: its arguments that have no flags; by default they are not looked at.
      habits: other names of options.

    Raises:
      ValueError: there is no such option, it takes other values, or an argument is missing or too many; the message
        suggests what was probably meant.
    """
    flags = {_plain(alias): option.flag for option in options for alias in option.aliases}
    flags |= {_plain(option.flag): option.flag for option in options}
    hints = {option.flag: option.hint for option in options}
    for option in options:
        if isinstance(option.default, bool):
            stem, dot, name = option.flag.removeprefix("--").rpartition(".")
            off = f"--{stem}{dot}no-{name}"
            flags |= {_plain(off): off, f"no-{_plain(option.flag)}": off}
            hints |= {option.flag: bool, off: bool}
    found = []
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        if not is_option(argument) or flag in ("--", "-h", "--help") or flag.startswith("--tyro-"):
            found.append(argument)
        elif flag == HELP_ALL:
            found.append("--help")
        elif _plain(flag) in flags and flag.startswith("--"):
            found.append(flags[_plain(flag)] + equals + value)
        else:
            raise ValueError(f"unknown option {flag}: {_meant(_plain(flag), flags, words or (), habits)}")
    if not any(argument in ("-h", "--help") or argument.startswith("--tyro-") for argument in found):
        check_values(found, hints, words)
        for option in options:
            given = any(argument.partition("=")[0] == option.flag for argument in found)
            if option.default is dataclasses.MISSING and not given:
                raise ValueError(f"{option.flag} must be given: {option.text}")
    return found


def _meant(plain: str, flags: Mapping[str, str], words: Sequence[Word], habits: Habits) -> str:
    if plain in habits.remedies:
        return habits.remedies[plain]
    known = {*flags.values(), *(word.name for word in words)}
    habit = [name for name in habits.meant.get(plain, ()) if name in known][:1]
    if habit and not is_option(habit[0]):
        return f"{habit[0]} has no name in front of it, it is written by itself"
    exact = [flags[plain]] if plain in flags else []
    ends = {_plain(flag.rpartition(".")[2]): flag for flag in flags.values()}
    last = [flag for flag in flags.values() if _plain(flag.rpartition(".")[2]) == plain]
    if not (exact or habit or last) and (group := _group(plain, flags)):
        return f"it is a group of options, {', '.join(group[:_LISTED])}{', ...' * (len(group) > _LISTED)}"
    begins = [flag for name, flag in ends.items() if name.startswith(f"{plain}-")]
    close = [flags[name] for name in difflib.get_close_matches(plain, flags, 2, _ALIKE)]
    close = close or begins[:2] or [ends[name] for name in difflib.get_close_matches(plain, ends, 2, _ALIKE)]
    meant = list(dict.fromkeys(exact or habit or last or close))
    return f"did you mean {' or '.join(meant)}?" if meant else "--help-all lists every option"


def _group(plain: str, flags: Mapping[str, str]) -> list[str]:
    """The options of a section of this name, such as those of `--data.augment`."""
    sections = {flag: flag.removeprefix("--").rpartition(".")[0] for flag in dict.fromkeys(flags.values())}
    return [
        flag
        for flag, section in sections.items()
        if section and plain in (_plain(section), _plain(section.rpartition(".")[2])) and ".no-" not in flag
    ]


def _plain(flag: str) -> str:
    return flag.lstrip("-").replace("_", "-").replace(".", "-")
