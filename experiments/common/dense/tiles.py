"""The classes of a large image tile by tile: nothing but the image, its mask and one row of tiles is held at once."""

from collections.abc import Callable, Iterator

import jax
import numpy as np

from .averaging import starts, tent

Look = Callable[[np.ndarray], jax.Array]


def classes_by_tiles(image: np.ndarray, tile: tuple[int, int], look: Look) -> np.ndarray:
    """The class of every pixel, the same as that of `averaged` with this tile.

    Args:
      image: uint8 `[H, W, 3]`.
      tile: height and width of the windows; an axis that is shorter is seen whole.
      look: maps a window uint8 `[h, w, 3]` to its logits `[1, h, w, K]`.

    Returns:
      uint8 `[H, W]`.
    """
    mask = np.empty(image.shape[:2], np.uint8)
    for top, logits in _rows(image, tile, look):
        mask[top : top + len(logits)] = logits.argmax(-1)
    return mask


def _rows(image: np.ndarray, tile: tuple[int, int], look: Look) -> Iterator[tuple[int, np.ndarray]]:
    """Rows of weighted logits that no further tile adds to, and where they begin."""
    height, width = (min(length, wanted) for length, wanted in zip(image.shape[:2], tile, strict=True))
    weights = np.asarray(tent(height)[:, None] * tent(width)[None, :])[:, :, None]
    tops = starts(image.shape[0], height)
    band = np.zeros((0, 0, 0), np.float32)
    for top, following in zip(tops, [*tops[1:], image.shape[0]], strict=True):
        for left in starts(image.shape[1], width):
            part = np.asarray(look(image[top : top + height, left : left + width])[0], np.float32)
            if not band.size:
                band = np.zeros((height, image.shape[1], part.shape[-1]), np.float32)
            band[:, left : left + width] += part * weights
        done = following - top
        yield top, band[:done]
        # The next row of tiles overlaps what is left.
        band[: height - done] = band[done:].copy()
        band[height - done :] = 0
