"""Parses command lines for all programs and answers each mistake with one sentence. Imports no JAX."""

from ._options import Option as Option
from ._options import Word as Word
from ._options import check_unused as check_unused
from ._options import options_of as options_of
from ._options import words_of as words_of
from ._parse import choose as choose
from ._parse import parse as parse
from ._respell import HELP_ALL as HELP_ALL
from ._respell import Habits as Habits
from ._respell import respell as respell
