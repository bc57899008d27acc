"""White Gaussian noise."""

from dataclasses import dataclass

import numpy as np

from .config import NoiseConfig
from .degradation import Degrade, Window


@dataclass(frozen=True)
class Noise:
    """White Gaussian noise, independent for all pixels and channels: a `Degradation`.

    As in the literature on denoising, noisy images are neither clipped nor rounded. Clipping would make the noise of
    dark and bright pixels one of another kind, with another mean.
    """

    config: NoiseConfig

    def prepare(self, rng: np.random.Generator, size: tuple[int, int]) -> Degrade:
        """See `Degradation`: pixels have nothing in common, so only those of the window are drawn; float32."""
        del size

        def degrade(clean: np.ndarray, window: Window) -> np.ndarray:
            seen = clean[window]
            return seen + np.float32(self.config.sigma) * rng.standard_normal(seen.shape, np.float32)

        return degrade

    def __str__(self) -> str:
        return (
            f"White Gaussian noise on each image: standard deviation {self.config.sigma:g} of 255, neither clipped nor "
            "rounded for the network and its score."
        )
