"""How often each class occurs, and what follows from it."""

import numpy as np

from ..data import LabelCounts, PreparedSource, Source
from ._check import check_source


def count_labels(source: Source, *, progress: bool = False) -> LabelCounts:
    """How often each class occurs in a split.

    A `PreparedSource` knows it; of any other source every example is read.

    Args:
      source: the split.
      progress: whether to show a progress bar, on a terminal.

    Returns:
      The counts.

    Raises:
      InvalidDataError: examples cannot be used; the message names all.

    Example:
      >>> from smoothjax.data import ShapesSource
      >>> counts = count_labels(ShapesSource(length=3, size=(32, 32)))
      >>> int(counts.pixels.sum()) + counts.ignored
      3072
    """
    return source.counts if isinstance(source, PreparedSource) else check_source(source, progress=progress)


def median_frequency_weights(counts: LabelCounts) -> np.ndarray:
    """Weights of the classes in a loss that makes rare classes count: median frequency balancing.

    The frequency `f` of a class is the number of its pixels divided by the number of all pixels of the images in which
    it occurs; its weight is `median(f) / f`, with the median over the classes that occur.

    Args:
      counts: of the training split.

    Returns:
      float64 `[K]`; 0 for a class that does not occur.

    Example:
      >>> import numpy as np
      >>> label = np.array([[0, 0, 0, 1, 1, 2]], np.uint8)
      >>> median_frequency_weights(LabelCounts.of(label, 4)).round(2).tolist()
      [0.67, 1.0, 2.0, 0.0]

    References:
      Eigen & Fergus, Predicting Depth, Surface Normals and Semantic Labels with a Common Multi-Scale Convolutional
      Architecture, ICCV 2015, Sec. 4.3.2.
    """
    weights = np.zeros(len(counts.pixels))
    occurs = counts.pixels > 0
    if occurs.any():
        frequencies = counts.pixels[occurs] / counts.pixels_around[occurs]
        weights[occurs] = np.median(frequencies) / frequencies
    return weights
