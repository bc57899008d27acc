"""A split with training augmentation."""

import numpy as np

from ..data import Augmentation, Classes, Record, Source, Strengths
from ._statistics import count_labels, median_frequency_weights


class AugmentedSource:
    """The examples of a split, each augmented once as in training, with its own seed.

    Args:
      source: the split.
      crop_size: height and width of the crops in pixels.
      scale_range: smallest and largest random factor.
      strengths: strengths of augmentation; balanced crops follow the counts of the split.
      seed: seed of all randomness.

    Raises:
      ValueError: an option is out of range.

    Example:
      >>> from smoothjax.data import ShapesSource
      >>> source = AugmentedSource(ShapesSource(length=1, size=(40, 40)), (33, 33), (1.0, 1.0), Strengths(blur=1.0))
      >>> source[0]["image"].shape, source[0]["image"].dtype
      ((33, 33, 3), dtype('uint8'))
    """

    def __init__(
        self,
        source: Source,
        crop_size: tuple[int, int],
        scale_range: tuple[float, float],
        strengths: Strengths,
        seed: int = 0,
    ):
        channels = source[0]["image"].shape[-1] if len(source) else 3
        weights = median_frequency_weights(count_labels(source, channels=channels)) if strengths.balanced else ()
        # Shown in the units of the image; padding becomes black.
        self._augmentation = Augmentation(
            crop_size,
            scale_range,
            mean=(0.0,) * channels,
            std=(1.0,) * channels,
            strengths=strengths,
            crop_weights=tuple(map(float, weights)),
        )
        self.classes: Classes = source.classes
        self._source, self._seed = source, seed

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int, /) -> Record:
        found = self._augmentation.read(self._source, index, np.random.default_rng((self._seed, index)))
        return {name: array.astype(np.uint8) for name, array in found.items()}

    def name(self, index: int, /) -> str:
        """The name of the example."""
        return self._source.name(index)

    def size(self, index: int, /) -> tuple[int, int]:
        """The size of a crop."""
        del index
        return self._augmentation.crop_size
