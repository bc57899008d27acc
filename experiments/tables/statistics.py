"""Differences between runs of the same seed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Difference:
    """A paired difference to a baseline.

    Attributes:
      mean: over the pairs.
      half_width: of the 95 % confidence interval of the mean, Student's t with one degree of freedom less than there
        are pairs; None for a single pair.
      pairs: number of seeds that both have.
    """

    mean: float
    half_width: float | None
    pairs: int

    def text(self, digits: int = 1) -> str:
        """As in "+0.4 [-0.3, +1.2]"; a single pair has no interval."""
        mean = f"{self.mean:+.{digits}f}"
        if self.half_width is None:
            return f"{mean} (one pair)"
        low, high = self.mean - self.half_width, self.mean + self.half_width
        return f"{mean} [{low:+.{digits}f}, {high:+.{digits}f}]"


def paired_difference(values: Mapping[int, float], baseline: Mapping[int, float]) -> Difference | None:
    """The difference of values by seed; None without a common seed.

    Runs of one seed share the order of images, the augmentation and all initial weights that both methods have: the
    parameters of a method start from the same values, or as an identity. What differs is the method.
    """
    common = sorted(set(values) & set(baseline))
    if not common:
        return None
    differences = np.array([values[seed] - baseline[seed] for seed in common])
    if len(common) == 1:
        return Difference(float(differences[0]), None, 1)
    from scipy.special import stdtrit

    error = differences.std(ddof=1) / math.sqrt(len(common))
    return Difference(float(differences.mean()), float(stdtrit(len(common) - 1, 0.975) * error), len(common))


def listed(seeds: Sequence[int]) -> str:
    """Seeds as in "0, 1, 2"."""
    return ", ".join(map(str, sorted(seeds)))
