"""Label maps as pictures."""

import numpy as np

from ._arrays import check_bytes, check_image, check_together
from ._classes import IGNORE_LABEL, Classes, Color

_ROWS = 64


def colorize(label: np.ndarray, classes: Classes, ignore_color: Color = (0, 0, 0)) -> np.ndarray:
    """Paints a label map in the colours of its classes.

    Args:
      label: `[H, W]`, integers 0 .. K-1 or 255 for ignored pixels.
      classes: the K classes.
      ignore_color: red, green and blue of ignored pixels.

    Returns:
      uint8 `[H, W, 3]`, RGB.

    Raises:
      ValueError: `label` is not a map of integers, or has a label outside the classes.

    Example:
      >>> import numpy as np
      >>> classes = Classes(("road", "car"), ((128, 64, 128), (0, 0, 142)))
      >>> colorize(np.array([[0, 1, 255]]), classes).tolist()
      [[[128, 64, 128], [0, 0, 142], [0, 0, 0]]]
    """
    if label.ndim != 2 or not np.issubdtype(label.dtype, np.integer):
        raise ValueError(f"label must be integers [H, W], got {label.dtype} of shape {label.shape}")
    unknown = np.unique(label[(label != IGNORE_LABEL) & ((label < 0) | (label >= len(classes)))])
    if unknown.size:
        raise ValueError(f"label holds {unknown.tolist()}, outside the {len(classes)} classes 0 .. {len(classes) - 1}")
    table = np.empty((256, 3), np.uint8)
    table[:] = ignore_color
    table[: len(classes)] = classes.colors
    return table[label]


def to_rgb(image: np.ndarray) -> np.ndarray:
    """An image of any number of channels as an RGB picture.

    One channel becomes grey, and so does the first of two. The first three of more channels become red, green and blue.

    Args:
      image: uint8 `[H, W, C]`.

    Returns:
      uint8 `[H, W, 3]`; an image of three channels is returned as it is.

    Raises:
      ValueError: the image is not `[H, W, C]`.

    Example:
      >>> import numpy as np
      >>> to_rgb(np.full((1, 1, 1), 7, np.uint8)).tolist(), to_rgb(np.array([[[1, 2, 3, 4]]], np.uint8)).tolist()
      ([[[7, 7, 7]]], [[[1, 2, 3]]])
    """
    check_image(image)
    return image[..., :3] if image.shape[-1] >= 3 else np.repeat(image[..., :1], 3, -1)


def overlay(image: np.ndarray, label: np.ndarray, classes: Classes, alpha: float = 0.5) -> np.ndarray:
    """Lays the colours of a label map over its image; ignored pixels show only the image.

    Args:
      image: uint8 `[H, W, C]`, RGB, or any number of channels for `to_rgb`.
      label: `[H, W]`, integers 0 .. K-1 or 255 for ignored pixels.
      classes: the K classes.
      alpha: weight of the colours, 0 (only the image) to 1 (only the colours).

    Returns:
      uint8 `[H, W, 3]`, RGB.

    Raises:
      ValueError: the image is not uint8, image and label differ in size, `alpha` is out of range, or the label map is
          not valid.

    Example:
      >>> import numpy as np
      >>> classes = Classes(("road",), ((200, 100, 0),))
      >>> overlay(np.full((1, 2, 3), 100, np.uint8), np.array([[0, 255]]), classes).tolist()
      [[[150, 100, 50], [100, 100, 100]]]
    """
    check_together(image, label)
    check_bytes("painted", image=image)
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must be in 0 .. 1, got {alpha}")
    image = to_rgb(image)
    result = image.copy()
    # By rows, since floating-point numbers need four times the memory of the image.
    for top in range(0, len(label), _ROWS):
        rows = slice(top, top + _ROWS)
        blend = (1 - alpha) * image[rows] + alpha * colorize(label[rows], classes).astype(np.float32)
        kept = label[rows] != IGNORE_LABEL
        result[rows][kept] = np.rint(blend).astype(np.uint8)[kept]
    return result
