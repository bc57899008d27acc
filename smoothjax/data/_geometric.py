"""Rotation, and crops that show rare classes more often; image and label move together."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from ._arrays import by_channel, check_bytes, check_finite, check_label, check_together, check_weights
from ._classes import IGNORE_LABEL
from ._photometric import by_picture
from ._source import Record
from ._transforms import checked_size, random_crop


def rotate(
    record: Record, degrees: float, *, fill: float | Sequence[float] = 0.0, ignore: int = IGNORE_LABEL
) -> Record:
    """Turns image and label counter-clockwise, as seen, about the centre of the image.

    The size stays, so corners turn out of view. The centre is at `(H / 2, W / 2)`, between pixels if a length is even.
    The image is interpolated linearly, the label takes the nearest pixel. Pixels that come from outside the image have
    the colour `fill` and the label `ignore`.

    Args:
      record: image uint8 `[H, W, C]` and label uint8 `[H, W]`.
      degrees: the angle.
      fill: colour of new pixels in 0 .. 255, rounded: one number for all channels, or one per channel.
      ignore: label of new pixels, 0 .. 255.

    Returns:
      The record, of the same size.

    Raises:
      ValueError: image or label is not uint8, they differ in size, or an argument is out of range.

    Example:
      >>> import numpy as np
      >>> label = np.array([[1, 2], [3, 4]], np.uint8)
      >>> rotate({"image": np.zeros((2, 2, 3), np.uint8), "label": label}, 90)["label"].tolist()
      [[2, 4], [1, 3]]
    """
    image = record["image"]
    check_bytes("turned", image=image, label=record["label"])
    check_together(image, record["label"])
    check_finite(degrees=degrees)
    colors = np.rint(by_channel("fill", fill, image.shape[-1]))
    if not ((colors >= 0) & (colors <= 255)).all():
        raise ValueError(f"fill must be 0 .. 255 in every channel, got {fill}; take the mean colour, or 0 for black")
    if ignore not in range(256):
        raise ValueError(f"ignore must be a label 0 .. 255, got {ignore}; take {IGNORE_LABEL}")
    label = Image.fromarray(record["label"]).rotate(degrees, Image.Resampling.NEAREST, fillcolor=int(ignore))
    planes = iter(colors.astype(int).tolist())

    def turned(picture: Image.Image) -> Image.Image:
        color = tuple(planes) if picture.mode == "RGB" else next(planes)
        return picture.rotate(degrees, Image.Resampling.BILINEAR, fillcolor=color)

    return {"image": by_picture(image, turned), "label": np.asarray(label)}


def random_rotate(
    record: Record, rng: np.random.Generator, degrees: float, *, fill: float | Sequence[float] = 0.0
) -> Record:
    """Turns by an angle drawn uniformly from `-degrees` to `degrees`, see `rotate`.

    Args:
      record: image uint8 `[H, W, C]` and label uint8 `[H, W]`.
      rng: generator of the angle.
      degrees: the largest angle.
      fill: colour of pixels that come from outside the image, see `rotate`; their label is 255.

    Returns:
      The record, of the same size.

    Raises:
      ValueError: as `rotate`.

    Example:
      >>> import numpy as np
      >>> record = {"image": np.zeros((40, 60, 3), np.uint8), "label": np.zeros((40, 60), np.uint8)}
      >>> random_rotate(record, np.random.default_rng(0), 45)["label"].max()
      np.uint8(255)
    """
    check_finite(degrees=degrees)
    return rotate(record, rng.uniform(-degrees, degrees), fill=fill)


def balanced_crop(
    record: Record, rng: np.random.Generator, size: tuple[int, int], weights: Sequence[float] | np.ndarray = ()
) -> Record:
    """Cuts out a window that shows a class, drawn by weight from the classes of the label.

    First a class is drawn by weight, then one of its pixels, then one of the windows around it, both uniformly. So a
    rare class is seen in as many crops as a frequent one of the same weight, in images that have both.

    Args:
      record: image `[H, W, C]` and label `[H, W]`, whole numbers 0 .. 255.
      rng: generator of every choice.
      size: height and width of the window in pixels; an axis that is shorter stays whole.
      weights: weight of each class, not negative, such as `datasets.median_frequency_weights`; by default all are
          equal.

    Returns:
      The record, as from `random_crop`, which is used if no class has a weight.

    Raises:
      ValueError: `size` is not positive, image and label differ in size, a label is out of range, or weights are
          negative, not finite, or more than classes can be.

    Example:
      >>> import numpy as np
      >>> label = np.zeros((8, 8), np.uint8)
      >>> label[5, 6] = 1
      >>> record = {"image": np.zeros((8, 8, 3), np.uint8), "label": label}
      >>> balanced_crop(record, np.random.default_rng(0), (2, 2), (0.0, 1.0))["label"].max()
      np.uint8(1)
    """
    height, width = checked_size("size", size)
    label = record["label"]
    check_together(record["image"], label)
    check_label(label, 0, 255)
    check_weights("weights", weights)
    present = np.bincount(label.astype(np.uint8, copy=False).ravel(), minlength=256) > 0
    chances = np.zeros(256)
    chances[: len(weights) or IGNORE_LABEL] = weights if len(weights) else 1.0
    chances[~present] = chances[IGNORE_LABEL] = 0
    if not chances.any():
        return random_crop(record, rng, size)
    chosen = rng.choice(256, p=chances / chances.sum())
    pixels = np.flatnonzero(label.ravel() == chosen)
    row, column = divmod(int(pixels[rng.integers(len(pixels))]), label.shape[1])
    top, left = (
        int(rng.integers(max(0, place - window + 1), max(0, min(place, length - window)), endpoint=True))
        for place, window, length in ((row, height, label.shape[0]), (column, width, label.shape[1]))
    )
    shown = np.s_[top : top + height, left : left + width]
    return {"image": record["image"][shown], "label": label[shown]}
