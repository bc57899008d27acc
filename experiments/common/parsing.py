"""The command lines of the studies: options as people type them, with habits from other programs."""

from functools import partial

from smoothjax.command_line import parse as parse_any

from .options import HABITS

parse = partial(parse_any, habits=HABITS)
"""See `smoothjax.command_line.parse`."""
