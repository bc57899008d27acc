"""Frequencies of classes, class weights, and statistics of channels."""

from typing import NamedTuple

import numpy as np

from ..data import Examples, LabelCounts, PreparedSource, Record, Source
from ..names import ClassWeighting
from ..progress import track
from ._check import check_source, counted


def count_labels(source: Source, *, progress: bool = False, channels: int = 3) -> LabelCounts:
    """Counts the classes of a split.

    A `PreparedSource` has stored counts. Of any other source every example is read, only once: the counts of
    `check_source` or an earlier call on the same object are reused, unless the size of a file has changed since.

    Args:
      source: the split.
      progress: whether to show a progress bar, on a terminal.
      channels: number of channels of the images, if they are read.

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
    if isinstance(source, PreparedSource):
        return source.counts
    known = counted(source, channels)
    return check_source(source, progress=progress, channels=channels) if known is None else known


class ChannelStatistics(NamedTuple):
    """Mean and standard deviation of each channel of the images of a split, in units of 0 .. 255.

    Attributes:
      mean: mean of each channel.
      std: standard deviation of each channel, positive.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]


def channel_statistics(source: Examples[Record], *, most: int = 512, progress: bool = False) -> ChannelStatistics:
    """Measures mean and standard deviation of each channel, for `data.normalize`.

    Args:
      source: the training split.
      most: largest number of images to read, spread evenly over the split.
      progress: whether to show progress, after five seconds.

    Returns:
      The statistics over all pixels of these images, rounded to two decimals; a standard deviation below 0.1 to two
      digits, so that it stays positive. A channel that never changes has a standard deviation of 1.

    Raises:
      ValueError: the split is empty, `most` is not positive, or images are not uint8 `[H, W, C]` of one number of
          channels, with pixels.

    Example:
      >>> from smoothjax.data import ShapesSource
      >>> statistics = channel_statistics(ShapesSource(length=3, size=(32, 32)))
      >>> len(statistics.mean), min(statistics.std) > 0
      (3, True)
    """
    if most < 1:
        raise ValueError(f"most must be at least 1, got {most}: it counts the images to read")
    count = min(len(source), most)
    if count < 1:
        raise ValueError("source has no examples to measure: name a split with images")
    totals: np.ndarray | None = None
    for index in track(range(count), "measure channels", count, unit="images", shown=progress):
        place = index * len(source) // count
        image = source[place]["image"]
        _check_image(image, f"example {place}")
        # Exact: a channel's histogram has 256 bins for any number of pixels.
        counts = np.stack([np.bincount(plane.ravel(), minlength=256) for plane in np.moveaxis(image, -1, 0)])
        if totals is not None and len(counts) != len(totals):
            raise ValueError(
                f"images must have one number of channels, got {len(totals)} and {len(counts)}: convert some"
            )
        totals = counts if totals is None else totals + counts
    assert totals is not None, "there is an image"
    shares, values = totals / totals.sum(1, keepdims=True), np.arange(256.0)
    mean = shares @ values
    std = np.sqrt((shares * (values - mean[:, None]) ** 2).sum(1))
    changes = (totals > 0).sum(1) > 1
    return ChannelStatistics(
        tuple(round(float(value), 2) for value in mean),
        tuple(_rounded(float(value)) if changing else 1.0 for value, changing in zip(std, changes, strict=True)),
    )


def _check_image(image: np.ndarray, name: str) -> None:
    """Refuses images that have no histogram of bytes for each channel."""
    if image.dtype != np.uint8 or image.ndim != 3 or not image.size:
        raise ValueError(
            f"{name}: expected an image uint8 [H, W, C] with pixels, got {image.dtype} {image.shape}; a grey image has "
            "one channel, [H, W, 1]"
        )


def _rounded(std: float) -> float:
    """Two decimals, or two digits of a small number, which stays positive."""
    return round(std, 2) if std >= 0.1 else float(f"{std:.2g}")


def median_frequency_weights(counts: LabelCounts) -> np.ndarray:
    """Class weights by median frequency balancing, which gives rare classes more weight.

    The frequency `f` of a class is the number of its pixels divided by the number of all pixels of the images in which
    it occurs; its weight is `median(f) / f`, with the median over the classes that occur.

    Args:
      counts: class counts of the training split.

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


def enet_weights(counts: LabelCounts) -> np.ndarray:
    """Class weights `1 / ln(1.02 + p)`, with the share `p` of the labelled pixels.

    They lie between 1.4, for a class with all pixels, and 50.5, for a class with none, so unlike median frequency
    balancing they are bounded.

    Args:
      counts: class counts of the training split.

    Returns:
      float64 `[K]`.

    Example:
      >>> import numpy as np
      >>> label = np.array([[0, 0, 0, 1, 255]], np.uint8)
      >>> enet_weights(LabelCounts.of(label, 3)).round(2).tolist()
      [1.75, 4.18, 50.5]

    References:
      Paszke et al., "ENet", 2016, Sec. 5.2, with c = 1.02.
    """
    shares = counts.pixels / max(int(counts.pixels.sum()), 1)
    return 1 / np.log(1.02 + shares)


def class_weights(counts: LabelCounts, rule: ClassWeighting = "auto") -> np.ndarray:
    """Class weights by a rule.

    Args:
      counts: class counts of the training split.
      rule: "enet" or "median_frequency"; "auto" is "enet".

    Returns:
      float64 `[K]`.

    Raises:
      ValueError: there is no such rule.
    """
    rules = {"auto": enet_weights, "enet": enet_weights, "median_frequency": median_frequency_weights}
    if rule not in rules:
        raise ValueError(f"class_weights: rule must be one of {', '.join(rules)}, got {rule!r}; take enet")
    return rules[rule](counts)
