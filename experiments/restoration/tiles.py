"""Processing an image tile by tile, if the whole needs too much memory."""

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np

from smoothjax.models import blended_rows

_SMALLEST = 32


class Windows(Protocol):
    """An array `[1, H, W, C]`, or an object that makes its windows on request."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of its axes."""
        ...

    def __getitem__(self, window: tuple[slice, slice, slice], /) -> np.ndarray:
        """A window."""
        ...


def check_tile(tile: tuple[int, int]) -> None:
    """Raises ValueError unless tiles can have this height and width."""
    if min(tile) < _SMALLEST or any(length % 2 for length in tile):
        raise ValueError(
            f"--tile must be two even numbers of pixels, at least {_SMALLEST}, got {tile[0]} {tile[1]}: try 512 512"
        )


def windows(size: tuple[int, int], tile: tuple[int, int]) -> list[tuple[list[int], int]]:
    """The starts and lengths of the tiles of an image of even size, along each axis.

    Tiles begin at even pixels, on the grid of the network's features, and two neighbours share a third or more.
    """
    return [
        (_starts(length, min(length, wanted)), min(length, wanted)) for length, wanted in zip(size, tile, strict=True)
    ]


def tiled_rows(
    network: Callable[[np.ndarray], np.ndarray], x: Windows, tile: tuple[int, int]
) -> Iterator[tuple[int, np.ndarray]]:
    """The outputs of a network for the tiles of `x`, blended where they overlap, by rows of tiles.

    The network sees one tile at a time, all of one shape, so it needs the memory of one tile. Weights fall linearly
    from the middle of a tile to its borders, and add up to 1 at every pixel.

    Args:
      network: maps `[1, h, w, C]` to `[1, h, w, K]`.
      x: `[1, H, W, C]`, of even size.
      tile: height and width of the tiles, even; an axis that is shorter is seen whole.

    Yields:
      The index of the first row, and the rows, float32 `[h, W, K]`; the array changes with the next iteration.
    """
    size = (x.shape[1], x.shape[2])
    (tops, height), (lefts, width) = windows(size, tile)
    down, across = _weights(tops, height, size[0]), _weights(lefts, width, size[1])
    yield from blended_rows(
        size,
        (height, width),
        (tops, lefts),
        lambda row, column: down[row][:, None] * across[column],
        lambda rows, columns: np.asarray(network(x[:, rows, columns])[0], np.float32),
    )


def _starts(length: int, window: int) -> list[int]:
    """Evenly spread, the last tile ends with the image."""
    count = 1 + -(-(length - window) * 3 // (2 * window)) if length > window else 1
    # For even lengths the last start is even already. Rounding down separates two tiles by at most a pixel.
    return [i * (length - window) // max(1, count - 1) // 2 * 2 for i in range(count)]


def _weights(starts: list[int], window: int, length: int) -> list[np.ndarray]:
    """The weights of each tile along an axis; those of all tiles add up to 1."""
    position = (np.arange(window) + 0.5) / window
    tent = np.minimum(position, 1 - position)
    total = np.zeros(length)
    for start in starts:
        total[start : start + window] += tent
    return [(tent / total[start : start + window]).astype(np.float32) for start in starts]
