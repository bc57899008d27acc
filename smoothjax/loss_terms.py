"""Weighted sums of losses as text, such as "cross_entropy + 0.5 dice"; imports no JAX, so command lines can check them.

`training.weighted_loss` makes the loss function.
"""

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast, get_args

from .names import LossName

LOSSES: tuple[LossName, ...] = get_args(LossName)
"""The losses that a sum may name."""

TAKE_CLASS_WEIGHTS: frozenset[LossName] = frozenset({"cross_entropy", "ohem", "focal", "bce"})
"""Losses of single pixels, which can have class weights."""

TAKE_LABEL_SMOOTHING: frozenset[LossName] = frozenset({"cross_entropy", "ohem"})
"""Losses with label smoothing."""

#: Ranges of the options of losses: the minimum, whether it is included, and the maximum.
_RANGES: Mapping[str, Mapping[str, tuple[float, bool, float]]] = {
    "ohem": {"threshold": (0, False, 1), "min_share": (0, True, 1)},
    "focal": {"gamma": (0, True, math.inf)},
    "dice": {"smooth": (0, True, math.inf)},
}
_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:e-?\d+)?"
_TERM = re.compile(rf"(?:(?P<weight>{_NUMBER})\s*\*?\s*)?(?P<name>[a-z]\w*)\s*(?:\((?P<options>[^()]*)\))?")
_OPTION = re.compile(rf"(?P<name>[a-z]\w*)\s*=\s*(?P<value>{_NUMBER})")
_EXAMPLE = "try cross_entropy + 0.5 dice, or focal(gamma=2)"


class LossTerm(NamedTuple):
    """A term of a sum of losses.

    Attributes:
      name: The loss, a function of `training`.
      weight: Its factor, positive.
      options: Numbers that the function takes by name.
    """

    name: LossName
    weight: float = 1.0
    options: Mapping[str, float] = {}


def parse_loss(text: str) -> tuple[LossTerm, ...]:
    """The terms of a weighted sum of losses.

    Terms are joined by `+`. A term is an optional weight, the name of a loss, and optional options: `cross_entropy +
    0.5 dice`, `2 * focal(gamma=1.5)`, `ohem(threshold=0.7, min_share=0.1)`.

    Args:
      text: The sum.

    Returns:
      The terms, in the order of the text.

    Raises:
      ValueError: The text is not such a sum, a loss or an option is unknown, a number is out of range, or a loss is
          repeated.

    Example:
      >>> for term in parse_loss("cross_entropy + 0.5 dice(smooth=1)"):
      ...     print(term.name, term.weight, dict(term.options))
      cross_entropy 1.0 {}
      dice 0.5 {'smooth': 1.0}
    """
    terms = tuple(_term(part.strip(), text) for part in text.split("+"))
    check_terms(terms, f"the loss {text!r}")
    return terms


def check_terms(terms: Sequence[LossTerm], what: str = "the loss") -> None:
    """Raises ValueError, about `what`, if terms are not those of a sum: see `parse_loss`."""
    if not terms:
        raise ValueError(f"{what} must have at least one term, got none: name cross_entropy")
    for name, weight, options in terms:
        if name not in LOSSES:
            close = difflib.get_close_matches(name, LOSSES, 1)
            remedy = f"did you mean {close[0]}?" if close else f"choose from {', '.join(LOSSES)}"
            raise ValueError(f"{what} names {name!r}, which is not a loss: {remedy}")
        if not (math.isfinite(weight) and weight > 0):
            raise ValueError(f"{what} must have positive and finite weights, got {weight:g}: leave {name} out")
        known = list(_RANGES.get(name, {}))
        for option, value in options.items():
            if option not in known:
                remedy = f"it takes {', '.join(known)}" if known else "it takes none"
                raise ValueError(f"{what} gives {name} the option {option!r}, which it does not take: {remedy}")
            check_option(name, option, value)
    names = [term.name for term in terms]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{what} must name each once, got {' '.join(repeated)} again: add their weights")


def check_option(loss: str, option: str, value: float) -> None:
    """Raises ValueError if a number that a loss takes is out of range."""
    low, closed, high = _RANGES[loss][option]
    if not (math.isfinite(value) and (low <= value if closed else low < value) and value <= high):
        bounds = f"{'[' if closed else '('}{low}, {high:g}{']' if math.isfinite(high) else ')'}"
        raise ValueError(f"{loss}: {option} must be in {bounds}, got {value:g}; leave it out for the usual one")


def _term(part: str, text: str) -> LossTerm:
    found = _TERM.fullmatch(part)
    if found is None:
        what = f"{part!r} is not a term" if part else "a term is missing"
        raise ValueError(f"the loss {text!r} must be a sum of names with weights, {what}: {_EXAMPLE}")
    # The name is checked beside those of terms that were not text.
    return LossTerm(cast(LossName, found["name"]), float(found["weight"] or 1), _options(found, text))


def _options(term: re.Match[str], text: str) -> dict[str, float]:
    options: dict[str, float] = {}
    for part in [] if term["options"] is None else term["options"].split(","):
        found = _OPTION.fullmatch(part.strip())
        if found is None:
            raise ValueError(f"the loss {text!r} must have options NAME=NUMBER, got {part.strip()!r}: {_EXAMPLE}")
        if found["name"] in options:
            raise ValueError(
                f"the loss {text!r} gives {term['name']} the option {found['name']!r} twice: leave one out"
            )
        options[found["name"]] = float(found["value"])
    return options
