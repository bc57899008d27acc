"""The classes of a large image tile by tile: nothing but the image, its mask and one row of tiles is held at once."""

from collections.abc import Callable

import jax
import numpy as np

from ..bands import blended_rows
from .averaging import starts, tent


def classes_by_tiles(image: np.ndarray, tile: tuple[int, int], look: Callable[[np.ndarray], jax.Array]) -> np.ndarray:
    """The class of every pixel, the same as that of `averaged` with this tile.

    Args:
      image: uint8 `[H, W, 3]`.
      tile: height and width of the windows; an axis that is shorter is seen whole.
      look: maps a window uint8 `[h, w, 3]` to its logits `[1, h, w, K]`.

    Returns:
      uint8 `[H, W]`.
    """
    size = (image.shape[0], image.shape[1])
    height, width = (min(length, wanted) for length, wanted in zip(size, tile, strict=True))
    # Divided by their sum, the weights give the same class.
    weights = np.asarray(tent(height)[:, None] * tent(width)[None, :])
    mask = np.empty(size, np.uint8)
    for top, logits in blended_rows(
        size,
        (height, width),
        (starts(size[0], height), starts(size[1], width)),
        lambda row, column: weights,
        lambda rows, columns: np.asarray(look(image[rows, columns])[0], np.float32),
    ):
        mask[top : top + len(logits)] = logits.argmax(-1)
    return mask
