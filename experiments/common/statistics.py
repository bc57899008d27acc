"""Differences between paired runs: intervals, tests and their power; for every study."""

import math
from bisect import bisect_left
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

#: The level of confidence intervals and tests.
LEVEL = 0.95
#: The power to plan comparisons for.
POWER = 0.8


@dataclass(frozen=True)
class Difference:
    """A paired difference to a baseline.

    Attributes:
      mean: over the pairs.
      half_width: half the width of the 95 % confidence interval of the mean, by Student's t with one degree of freedom
        less than pairs; None for a single pair.
      pairs: number of common seeds, or of their clusters.
      deviation: sample standard deviation of the differences; None for a single pair.
    """

    mean: float
    half_width: float | None
    pairs: int
    deviation: float | None = None

    def text(self, digits: int = 1) -> str:
        """As in "+0.4 [-0.3, +1.2]"; a single pair has no interval."""
        mean = f"{self.mean:+.{digits}f}"
        if self.half_width is None:
            return f"{mean} (one pair)"
        low, high = self.mean - self.half_width, self.mean + self.half_width
        return f"{mean} [{low:+.{digits}f}, {high:+.{digits}f}]"

    @property
    def p_value(self) -> float:
        """P-value of the two-sided paired t test that the mean is 0; 1 if there is no test, or all differences are
        0."""
        if self.deviation is None or (self.deviation == 0 and self.mean == 0):
            return 1.0
        if self.deviation == 0:
            return 0.0
        from scipy.special import stdtr

        return float(2 * stdtr(self.pairs - 1, -abs(self.mean) / self.deviation * math.sqrt(self.pairs)))


def paired_difference(
    values: Mapping[int, float], baseline: Mapping[int, float], *, clusters: Mapping[int, Hashable] | None = None
) -> Difference | None:
    """The difference of values by seed; None without a common seed.

    Runs of one seed share the order of images, the augmentation and all initial weights that both methods have:
    parameters of a method start from the same values, or as an identity. Only the method differs.

    Args:
      values: the values of a method, by seed.
      baseline: the values to compare with, by seed.
      clusters: by seed, a label that related runs share, such as the network that they were forked from. Differences
        are first averaged over each cluster: forks of one network say little about another.
    """
    common = sorted(set(values) & set(baseline))
    if not common:
        return None
    import numpy as np

    differences = np.array([values[seed] - baseline[seed] for seed in common])
    if clusters is not None:
        groups = [clusters[seed] for seed in common]
        members = {group: [other == group for other in groups] for group in groups}
        differences = np.array([differences[np.array(chosen)].mean() for chosen in members.values()])
    count = len(differences)
    if count == 1:
        return Difference(float(differences[0]), None, 1)
    from scipy.special import stdtrit

    deviation = differences.std(ddof=1)
    half_width = float(stdtrit(count - 1, (1 + LEVEL) / 2) * deviation / math.sqrt(count))
    return Difference(float(differences.mean()), half_width, count, float(deviation))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values of a family of tests, adjusted by Holm's step-down method: those below 0.05 are significant.

    The probability that any true hypothesis of the family is rejected is at most 5 %, however the tests depend on each
    other.

    References:
      Holm, A Simple Sequentially Rejective Multiple Test Procedure, Scandinavian Journal of Statistics, 1979.
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def power(effect: float, deviation: float, pairs: int) -> float:
    """Probability that the two-sided paired t test at 5 % finds an effect; `deviation` is that of the differences."""
    if pairs < 2:
        return 0.0
    if deviation == 0:
        return 1.0 if effect else 1 - LEVEL
    from scipy.special import nctdtr, stdtrit

    critical = float(stdtrit(pairs - 1, (1 + LEVEL) / 2))
    shift = abs(effect) / deviation * math.sqrt(pairs)
    # Beyond this the tail is 0, and the series behind `nctdtr` ends in NaN.
    far = float(nctdtr(pairs - 1, shift, -critical)) if shift < 5 else 0.0
    return 1 - float(nctdtr(pairs - 1, shift, critical)) + far


def detectable(deviation: float, pairs: int) -> float:
    """The effect that this number of pairs finds with a probability of 80 %; infinite for a single pair."""
    if pairs < 2:
        return math.inf
    if deviation == 0:
        return 0.0
    low, high = 0.0, deviation
    while power(high, deviation, pairs) < POWER:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if power(middle, deviation, pairs) < POWER else (low, middle)
    return high


def pairs_needed(effect: float, deviation: float) -> int:
    """Number of pairs that find an effect with a probability of 80 %."""
    if not effect:
        raise ValueError("effect must not be 0: no number of pairs finds nothing")
    most = 2
    while power(effect, deviation, most) < POWER:
        most *= 2
    # Power grows with the number of pairs.
    return bisect_left(range(most), POWER, 2, key=lambda pairs: power(effect, deviation, pairs))


def power_text(differences: Sequence[Difference], title: str, digits: int, *, effect: float | None) -> str:
    """The line under a table of differences about the effects that it could have found.

    Args:
      differences: differences of one score, of several methods or cases.
      title: title of the score.
      digits: after the decimal point.
      effect: a difference worth finding; None if the score has no common unit.
    """
    known = [(d.deviation, d.pairs) for d in differences if d.deviation is not None]
    if not known:
        return f"A single pair has no interval, and no power: more seeds make {title} comparable."
    deviation = median(deviation for deviation, _ in known)
    pairs = min(pairs for _, pairs in known)
    text = (
        f"The median deviation of a difference of {title} between seeds is {deviation:.{digits + 1}f}: with {pairs} "
        f"pairs a single test finds {detectable(deviation, pairs):.{digits}f} with a probability of 80 %"
    )
    if effect is None or not deviation:
        return f"{text}."
    chance, needed = 100 * power(effect, deviation, pairs), pairs_needed(effect, deviation)
    return f"{text}, and {effect} with {chance:.0f} %; for {effect} it takes {needed} pairs."


def bootstrap_interval(
    pairs: "Sequence[tuple[np.ndarray, np.ndarray]]", score: "Callable[[np.ndarray], float]", *, draws: int = 1000
) -> tuple[float, float]:
    """The 95 % interval of a mean difference over images: the images of each seed are drawn anew, with replacement.

    A t interval covers other seeds on these images; this interval covers other images with these networks. Both methods
    of a pair keep the same images.

    Args:
      pairs: for each seed the counts of every image `[images, ...]`, of the method and of its baseline.
      score: maps the sum of the counts of a draw `[...]` to a number.
      draws: number of draws.

    Returns:
      The ends of the interval, the percentiles 2.5 and 97.5 of the draws.
    """
    import numpy as np

    rng, totals = np.random.default_rng(0), np.zeros(draws)
    for method, baseline in pairs:
        images = len(method)
        # How often each image is drawn: a product with the counts is a sum over the draw.
        drawn = rng.multinomial(images, np.full(images, 1 / images), size=draws)
        sums = [np.tensordot(drawn, counts, 1) for counts in (method, baseline)]
        totals += [score(one) - score(other) for one, other in zip(*sums, strict=True)]
    low, high = np.percentile(totals / len(pairs), [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return float(low), float(high)


def listed(seeds: Sequence[int]) -> str:
    """Seeds as in "0, 1, 2"."""
    return ", ".join(map(str, sorted(seeds)))
