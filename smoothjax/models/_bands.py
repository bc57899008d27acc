"""Windows of an image combined by rows of windows: rows that no later window changes are yielded."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np


def blended_rows(
    size: tuple[int, int],
    tile: tuple[int, int],
    corners: tuple[Sequence[int], Sequence[int]],
    weights: Callable[[int, int], np.ndarray],
    look: Callable[[slice, slice], np.ndarray],
) -> Iterator[tuple[int, np.ndarray]]:
    """Weighted sums over overlapping windows; holds only one row of windows at once.

    Args:
      size: height and width of the image.
      tile: height and width of the windows.
      corners: starts of windows, down and across, in order; the last windows end with the image.
      weights: weights of a window by its index in both lists, float32 `[h, w]`.
      look: values in the rows and columns of a window, float32 `[h, w, K]`.

    Yields:
      The index of the first final row, and the final rows, float32 `[h', W, K]`; the array changes with the next
      iteration.

    Example:
      >>> import numpy as np
      >>> half, image = np.full((1, 2), 0.5, np.float32), np.arange(3, dtype=np.float32).reshape(1, 3, 1)
      >>> look = lambda rows, columns: image[rows, columns]
      >>> seen = blended_rows((1, 3), (1, 2), ([0], [0, 1]), lambda row, column: half, look)
      >>> [(top, rows.ravel().tolist()) for top, rows in seen]
      [(0, [0.0, 1.0, 1.0])]
    """
    (height, width), (tops, lefts) = tile, corners
    band = np.zeros((0, 0, 0), np.float32)
    for row, (top, following) in enumerate(zip(tops, [*tops[1:], size[0]], strict=True)):
        for column, left in enumerate(lefts):
            part = look(slice(top, top + height), slice(left, left + width))
            if not band.size:
                band = np.zeros((height, size[1], part.shape[-1]), np.float32)
            band[:, left : left + width] += part * weights(row, column)[:, :, None]
        done = following - top
        yield top, band[:done]
        # The next row of windows overlaps the remaining rows.
        band[: height - done] = band[done:].copy()
        band[height - done :] = 0
