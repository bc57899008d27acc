"""Tiles of an image put together row by row of tiles: what no further tile adds to is final, and handed on."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

Look = Callable[[slice, slice], np.ndarray]


def blended_rows(
    size: tuple[int, int],
    tile: tuple[int, int],
    corners: tuple[Sequence[int], Sequence[int]],
    weights: Callable[[int, int], np.ndarray],
    look: Look,
) -> Iterator[tuple[int, np.ndarray]]:
    """Weighted sums of what is seen in overlapping tiles; only one row of tiles is held at once.

    Args:
      size: height and width of the image.
      tile: height and width of the tiles.
      corners: where tiles begin, down and across, in order; the last ones end with the image.
      weights: of a tile by its place in both lists, float32 `[h, w]`.
      look: what is seen in the rows and columns of a tile, float32 `[h, w, K]`.

    Yields:
      Where final rows begin, and these rows, float32 `[h', W, K]`; they change when the next ones are asked for.
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
        # The next row of tiles overlaps what is left.
        band[: height - done] = band[done:].copy()
        band[height - done :] = 0
