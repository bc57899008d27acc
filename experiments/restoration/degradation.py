"""How clean images are degraded, in training and in evaluations."""

from collections.abc import Callable
from typing import Protocol, TypeAlias

import numpy as np

Window: TypeAlias = tuple[slice, slice]
"""Rows and columns of an image."""
WHOLE: Window = (slice(None), slice(None))

Degrade: TypeAlias = Callable[[np.ndarray, Window], np.ndarray]
"""Degrades a window of a clean image, uint8 `[H, W, 3]`; called once."""


class Degradation(Protocol):
    """A kind of degradation. Its text is a sentence for reports."""

    def prepare(self, rng: np.random.Generator, size: tuple[int, int]) -> Degrade:
        """Draws what belongs to a whole image of a height and width."""
        ...


def as_stored(image: np.ndarray) -> np.ndarray:
    """An image of 0 .. 255 as a file stores it: rounded, clipped, uint8."""
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)
