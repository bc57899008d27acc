"""Transforms of an image together with its label: pure functions, with all randomness from a generator.

A record is a dict with `"image"` `[H, W, C]`, mostly RGB, and `"label"` `[H, W]`. Resampling takes uint8, before
`normalize`. Image and label share coordinates: at every size, pixel i covers `i .. i + 1` and its centre is at `i +
1/2`.
"""

import operator
from collections.abc import Sequence

import numpy as np
from PIL import Image

from ._arrays import by_channel, check_bytes, check_image, check_label, check_statistics, check_together, holds
from ._classes import IGNORE_LABEL
from ._open import MAX_PIXELS
from ._source import Record

IMAGENET_MEAN = (123.675, 116.28, 103.53)
"""Mean of red, green and blue over ImageNet, in 0 .. 255."""

IMAGENET_STD = (58.395, 57.12, 57.375)
"""Standard deviation of red, green and blue over ImageNet, in units of 0 .. 255."""

PerChannel = tuple[float, ...]
"""A number for each channel of an image."""

# Larger images would take all memory before the crop.
_MAX_SCALE = 16


def resize(record: Record, size: tuple[int, int]) -> Record:
    """Resamples image and label to a size: the image linearly, antialiased when it shrinks, the label by nearest.

    Args:
      record: image uint8 `[H, W, C]` and label uint8 `[H, W]`; either may have another size, of the same view. An entry
        `"box"` `[4]` gives the left, upper, right and lower border of this view in pixels of the image if the view does
        not fill it, see `read_view`.
      size: new height and width in pixels.

    Returns:
      The record at the new size.

    Raises:
      ValueError: image or label is not uint8, the image is not `[H, W, C]`, or `size` is not positive.

    Example:
      >>> import numpy as np
      >>> record = {"image": np.zeros((4, 6, 3), np.uint8), "label": np.zeros((4, 6), np.uint8)}
      >>> resize(record, (2, 3))["image"].shape
      (2, 3, 3)
    """
    check_bytes("resampled", image=record["image"], label=record["label"])
    check_image(record["image"])
    size = checked_size("size", size)
    box = record.get("box")
    if box is None and record["image"].shape[:2] == record["label"].shape == size:
        return record
    across = (size[1], size[0])
    borders = None if box is None else (float(box[0]), float(box[1]), float(box[2]), float(box[3]))
    label = Image.fromarray(record["label"]).resize(across, Image.Resampling.NEAREST)
    return {"image": _resample(record["image"], across, borders), "label": np.asarray(label)}


def _resample(
    image: np.ndarray, across: tuple[int, int], borders: tuple[float, float, float, float] | None
) -> np.ndarray:
    """An image uint8 `[H, W, C]` at this width and height; Pillow takes three channels at once, or one."""
    if image.shape[-1] == 3:
        return np.asarray(Image.fromarray(image).resize(across, Image.Resampling.BILINEAR, borders))
    planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in np.moveaxis(image, -1, 0)]
    return np.stack([np.asarray(plane.resize(across, Image.Resampling.BILINEAR, borders)) for plane in planes], -1)


def random_scale(record: Record, rng: np.random.Generator, *, low: float = 0.5, high: float = 1.5) -> Record:
    """Resizes by a factor drawn uniformly from `low` to `high`, the same along both axes.

    Args:
      record: image uint8 `[H, W, C]` and label uint8 `[H, W]`.
      rng: generator of the factor.
      low: smallest factor, positive.
      high: largest factor.

    Returns:
      The record at the new size, rounded to whole pixels, at least 1.

    Raises:
      ValueError: not `0 < low <= high`, or the image is not uint8.

    Example:
      >>> import numpy as np
      >>> record = {"image": np.zeros((8, 6, 3), np.uint8), "label": np.zeros((8, 6), np.uint8)}
      >>> random_scale(record, np.random.default_rng(0), low=0.5, high=0.5)["label"].shape
      (4, 3)
    """
    if not 0 < low <= high:
        raise ValueError(f"the range of scales must have 0 < low <= high, got low={low}, high={high}")
    check_largest_scale(high)
    return resize(record, scaled_size(record["label"].shape, rng.uniform(low, high)))


def scaled_size(size: tuple[int, ...], factor: float) -> tuple[int, int]:
    """Height and width times a factor, rounded to whole pixels, at least 1."""
    height, width = size
    return max(1, round(height * factor)), max(1, round(width * factor))


def check_largest_scale(high: float) -> None:
    """Raises ValueError for a factor that would make images larger than memory."""
    if high > _MAX_SCALE:
        raise ValueError(f"the largest scale must be at most {_MAX_SCALE}, got {high}; try 1.5")


def random_mirror(record: Record, rng: np.random.Generator) -> Record:
    """Exchanges left and right in half of the cases.

    Args:
      record: image `[H, W, C]` and label `[H, W]`.
      rng: generator of the choice.

    Returns:
      The record, mirrored or unchanged.

    Raises:
      ValueError: image and label differ in size.

    Example:
      >>> import numpy as np
      >>> record = {"image": np.zeros((1, 3, 3)), "label": np.array([[1, 2, 3]])}
      >>> random_mirror(record, np.random.default_rng(1))["label"].tolist()
      [[1, 2, 3]]
    """
    check_together(record["image"], record["label"])
    if rng.random() < 0.5:
        return {"image": record["image"][:, ::-1], "label": record["label"][:, ::-1]}
    return record


def random_crop(record: Record, rng: np.random.Generator, size: tuple[int, int]) -> Record:
    """Cuts out a window of at most `size`, uniformly at random.

    An axis shorter than the window stays whole. `pad_to` afterwards gives the same result as padding before, since the
    only window along such an axis begins at 0.

    Args:
      record: image `[H, W, C]` and label `[H, W]`.
      rng: generator of the position.
      size: height and width of the window in pixels.

    Returns:
      The record, `min(H, size[0])` pixels high and `min(W, size[1])` wide.

    Raises:
      ValueError: `size` is not positive, or image and label differ in size.

    Example:
      >>> import numpy as np
      >>> record = {"image": np.zeros((4, 9, 3)), "label": np.zeros((4, 9))}
      >>> random_crop(record, np.random.default_rng(0), (5, 5))["label"].shape
      (4, 5)
    """
    size = checked_size("size", size)
    check_together(record["image"], record["label"])
    height, width = record["label"].shape
    top = int(rng.integers(max(height - size[0], 0) + 1))
    left = int(rng.integers(max(width - size[1], 0) + 1))
    window = np.s_[top : top + size[0], left : left + size[1]]
    return {"image": record["image"][window], "label": record["label"][window]}


def normalize(record: Record, *, mean: PerChannel = IMAGENET_MEAN, std: PerChannel = IMAGENET_STD) -> Record:
    """Makes the inputs of a network: `(image - mean) / std` in float32, the label in int32.

    Args:
      record: image `[H, W, C]` in 0 .. 255 and label `[H, W]`.
      mean: mean of each channel, in 0 .. 255; by default of red, green and blue.
      std: standard deviation of each channel, in units of 0 .. 255, positive.

    Returns:
      The record, image float32 and label int32; a pixel of the mean colour is 0.

    Raises:
      ValueError: the image has another number of channels than `mean` and `std`, or another size than the label; the
          label holds numbers that are not of int32; or `mean` or `std` is not finite, or `std` not positive.

    Example:
      >>> import numpy as np
      >>> record = {"image": np.full((1, 1, 3), 10, np.uint8), "label": np.array([[255]], np.uint8)}
      >>> normalize(record, mean=(10, 8, 0), std=(1, 2, 5))["image"].tolist()
      [[[0.0, 1.0, 2.0]]]
    """
    check_together(record["image"], record["label"])
    check_label(record["label"], -(2**31), 2**31 - 1)
    return {"image": normalize_image(record["image"], mean=mean, std=std), "label": record["label"].astype(np.int32)}


def normalize_image(
    image: np.ndarray, *, mean: PerChannel = IMAGENET_MEAN, std: PerChannel = IMAGENET_STD
) -> np.ndarray:
    """`normalize` for an image without a label.

    Args:
      image: `[H, W, C]` in 0 .. 255.
      mean: mean of each channel, in 0 .. 255; by default of red, green and blue.
      std: standard deviation of each channel, in units of 0 .. 255, positive.

    Returns:
      float32 `[H, W, C]`.

    Raises:
      ValueError: the image has another number of channels than `mean` and `std`; or these are not finite, or `std` is
          not positive.

    Example:
      >>> import numpy as np
      >>> normalize_image(np.full((1, 1, 3), 10, np.uint8), mean=(10, 8, 0), std=(1, 2, 5)).tolist()
      [[[0.0, 1.0, 2.0]]]
    """
    if not image.shape[-1:] == np.shape(mean) == np.shape(std):
        raise ValueError(
            f"mean and std must have a number for each of the {image.shape[-1]} channels of an image of shape "
            f"{image.shape}, got mean={tuple(mean)}, std={tuple(std)}"
        )
    check_statistics(mean, std)
    return (image.astype(np.float32) - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)


def pad_to(
    record: Record, size: tuple[int, int], *, value: float | PerChannel = 0.0, ignore: int = IGNORE_LABEL
) -> Record:
    """Extends image and label at the bottom and on the right to at least `size`.

    After `normalize` the default colour is exactly the mean of the data, which uint8 cannot hold.

    Args:
      record: image `[H, W, C]` and label `[H, W]`.
      size: height and width in pixels; an axis that is already as long stays.
      value: value of the new pixels, in the units of the image: one number for all channels, or one per channel.
      ignore: label of the new pixels.

    Returns:
      The record, at least of that size.

    Raises:
      ValueError: the type of the image does not hold `value`, or that of the label `ignore`: whole numbers exactly,
          others up to rounding; `value` has another number of channels; or image and label differ in size.

    Example:
      >>> import numpy as np
      >>> record = {"image": np.ones((1, 2, 3)), "label": np.array([[4, 5]])}
      >>> pad_to(record, (2, 2))["label"].tolist()
      [[4, 5], [255, 255]]
    """
    image, label = record["image"], record["label"]
    check_together(image, label)
    height, width = label.shape
    shape = (max(height, size[0]), max(width, size[1]))
    if shape == (height, width):
        return record
    colors = by_channel("value", value, image.shape[-1])
    if not holds(image.dtype, colors):
        raise ValueError(
            f"an image of {image.dtype} cannot be padded with exactly {value}; normalize first, pad with 0"
        )
    if not holds(label.dtype, np.asarray(ignore)):
        raise ValueError(
            f"a label of {label.dtype} cannot be padded with exactly {ignore}; store labels as uint8, or give another "
            "number for ignored pixels (ignore= in Python)"
        )
    padded_image = np.empty((*shape, image.shape[-1]), image.dtype)
    padded_image[:] = colors.astype(image.dtype)
    padded_label = np.full(shape, ignore, label.dtype)
    padded_image[:height, :width], padded_label[:height, :width] = image, label
    return {"image": padded_image, "label": padded_label}


def checked_size(name: str, size: Sequence[int]) -> tuple[int, int]:
    """A height and width as ints. Raises ValueError unless they are positive whole numbers."""
    try:
        height, width = map(operator.index, size)
    except (TypeError, ValueError):
        height = width = 0
    if min(height, width) < 1:
        raise ValueError(
            f"{name} must be a positive height and width in pixels, got {size}; give two ints, such as (321, 321)"
        )
    if height * width > MAX_PIXELS:
        raise ValueError(f"{name} must have at most {MAX_PIXELS:,} pixels, got {height} x {width}; try 321 x 321")
    return height, width
