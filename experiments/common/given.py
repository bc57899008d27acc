"""Options that a run would ignore; imports no JAX."""

from collections.abc import Mapping, Sequence
from operator import attrgetter

from .options import shown

ReadBy = Mapping[str, Sequence[str]]
"""Data sets, or other choices, by the dotted name of an option that only they read."""


def unread(config: object, read_by: ReadBy, by: str = "data.name") -> frozenset[str]:
    """The options that the chosen data, or what else `by` chooses, do not read."""
    return frozenset(option for option, names in read_by.items() if attrgetter(by)(config) not in names)


def check_read(config: object, preset: object, read_by: ReadBy, by: str = "data.name") -> None:
    """Refuses options that the chosen data or network do not read: a run would be another one than the user asked for.

    Args:
      config: the configuration.
      preset: the one it started from, whose options may stay.
      read_by: see `ReadBy`.
      by: dotted name of the option that chooses: `data.name`, or that of a network.

    Raises:
      ValueError: there is one; the message names it, and the choices that read it.
    """
    for option in filter(unread(config, read_by, by).__contains__, read_by):
        name, names, value = attrgetter(by)(config), read_by[option], attrgetter(option)(config)
        if value == attrgetter(option)(preset):
            continue
        section, _, last = option.replace("_", "-").rpartition(".")
        chosen = f"--{by.replace('_', '-')}"
        flag, got = f"--{section}.{'no-' if value is False else ''}{last}", shown(value)
        listed = " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
        remedy = f"add {chosen} {listed}" if len(names) == 1 else f"name one of these with {chosen}"
        raise ValueError(
            f"{flag} is for {listed}, got {'it' if isinstance(value, bool) else got} with {chosen} {name}: leave it "
            f"out, or {remedy}"
        )
