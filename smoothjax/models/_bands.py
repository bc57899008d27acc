"""Windows of an image put together row by row of windows: what no further one adds to is final, and handed on."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np


def blended_rows(
    size: tuple[int, int],
    tile: tuple[int, int],
    corners: tuple[Sequence[int], Sequence[int]],
    weights: Callable[[int, int], np.ndarray],
    look: Callable[[slice, slice], np.ndarray],
) -> Iterator[tuple[int, np.ndarray]]:
    """Weighted sums of what is seen in overlapping windows; only one row of windows is held at once.

    Args:
      size: height and width of the image.
      tile: height and width of the windows.
      corners: where windows begin, down and across, in order; the last ones end with the image.
      weights: of a window by its place in both lists, float32 `[h, w]`.
      look: what is seen in the rows and columns of a window, float32 `[h, w, K]`.

    Yields:
      Where final rows begin, and these rows, float32 `[h', W, K]`; they change when the next ones are asked for.

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
        # The next row of windows overlaps what is left.
        band[: height - done] = band[done:].copy()
        band[height - done :] = 0
