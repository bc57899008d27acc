"""Synthetic haze by atmospheric scattering."""

from dataclasses import asdict, dataclass

import numpy as np
from PIL import Image

from .config import HazeConfig
from .degradation import Degrade, Window, as_stored

# Cells of the coarse field that a depth map is interpolated from, along each axis.
_CELLS = 4


def scatter(clean: np.ndarray, transmission: np.ndarray, airlight: float) -> np.ndarray:
    """The image that a camera sees through haze: I = J t + A (1 - t).

    Args:
      clean: J, `[H, W, 3]` in 0 .. 255.
      transmission: t, the share of the scene's light that arrives, `[H, W]` in 0 .. 1.
      airlight: A, the grey of infinitely thick haze, in 0 .. 1 of white.

    Returns:
      I, float32 `[H, W, 3]` in 0 .. 255.
    """
    t = transmission[..., None].astype(np.float32)
    return clean * t + np.float32(255 * airlight) * (1 - t)


def random_depth(rng: np.random.Generator, size: tuple[int, int], low: float, high: float) -> np.ndarray:
    """A smooth field from `low` to `high`, float32 `[H, W]`: random hills, farther away towards the top."""
    coarse = rng.standard_normal((_CELLS, _CELLS)) + np.linspace(1.5, -1.5, _CELLS)[:, None]
    field = np.asarray(Image.fromarray(coarse.astype(np.float32)).resize((size[1], size[0]), Image.Resampling.BICUBIC))
    # One pixel has no span; it is near.
    span = max(float(np.ptp(field)), float(np.finfo(np.float32).tiny))
    return (low + (high - low) * (field - field.min()) / span).astype(np.float32)


@dataclass(frozen=True)
class Haze:
    """Haze on images of 8 bits: a `Degradation`."""

    config: HazeConfig

    def prepare(self, rng: np.random.Generator, size: tuple[int, int]) -> Degrade:
        """See `Degradation`: the depth belongs to the whole image and does not depend on the window; uint8."""
        transmission, airlight = self.draw(rng, size)

        def degrade(clean: np.ndarray, window: Window) -> np.ndarray:
            return as_stored(scatter(clean[window], transmission[window], airlight))

        return degrade

    def __str__(self) -> str:
        ranges = ", ".join(f"{name} {low:g} .. {high:g}" for name, (low, high) in asdict(self.config).items())
        return f"Haze of each image: {ranges}."

    def draw(self, rng: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, float]:
        """The transmission t = exp(-beta d) of an image of a size, float32 `[H, W]`, and the airlight."""
        airlight, beta = (float(rng.uniform(*bounds)) for bounds in (self.config.airlight, self.config.beta))
        return np.exp(np.float32(-beta) * random_depth(rng, size, *self.config.depth)), airlight
