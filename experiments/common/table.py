"""Tables and the numbers in them; imports no JAX."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Score:
    """A column of scores.

    Attributes:
      title: its heading.
      path: its keys in an evaluation.
      factor: the score is multiplied by it.
      digits: after the decimal point.
      lower: whether a lower value is better, to choose an initial rate.
    """

    title: str
    path: tuple[str, ...]
    factor: float = 1.0
    digits: int = 1
    lower: bool = False


def align(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with aligned columns."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Mean ± sample standard deviation, the latter only for several values; a dash for no value.

    NaN stands for a score that a run has not reached: mean and deviation then cover the others, with their number.
    """
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return "-"
    import numpy as np  # imported here, so that `--help` does not wait for it

    mean = f"{np.mean(known):.{digits}f}"
    text = f"{mean} ± {deviation(known, digits)}" if len(known) > 1 else mean
    return text if len(known) == len(values) else f"{text} ({len(known)} of {len(values)})"


def deviation(values: Sequence[float], digits: int = 1) -> str:
    """The sample standard deviation; a dash for a single value."""
    import numpy as np

    return f"{np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else "-"
