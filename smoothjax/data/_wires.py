"""Drawn pictures of known difficulty: thin wires and large objects in noise."""

import numpy as np

from ._classes import Classes
from ._drawn import SPLITS, check_drawn
from ._presets import WIRES
from ._source import Record, checked_index

_OBJECTS = 6
#: The mean colour of each class, between 0 and 1.
_COLORS = np.array([(0.0, 0.0, 0.0), (0.0, 0.6, 0.9), (0.9, 0.6, 0.0)], np.float32)
#: Standard deviations of noise that fit into half of the 8-bit range, besides half of the range of colours.
_MARGIN = 2.7


class WiresSource:
    """Drawn pictures of thin wires and massive objects in noise, with labels; needs no files and no download.

    Three classes: background, massive (disks and squares, 8 to 18 pixels wide) and wire (waves 1.2 to 2.4 pixels wide).
    A picture has six objects, half of them wires, turned and placed at random, later ones covering earlier ones. Each
    class has one colour, and the noise of each pixel and channel is about as strong as the difference of two colours,
    so it takes several pixels to distinguish classes. The task is to find where objects are, not what they look like,
    and a network whose neighbouring outputs see different pixels predicts a grid.

    A picture is a function of `(seed, split, index)` and the noise; the splits never share one.

    Args:
      length: number of pictures.
      size: height and width in pixels, each at least 32.
      noise: standard deviation of the noise, in units of the largest colour value.
      seed: 0 .. 2^32 - 1.
      split: "train", "val" or "test".

    Raises:
      ValueError: an argument is out of range.

    Example:
      >>> source = WiresSource(length=2, size=(48, 64), seed=1, split="val")
      >>> source[0]["image"].shape, source[0]["label"].shape, source.name(0)
      ((48, 64, 3), (48, 64), 'wires-val-1-00000')
    """

    def __init__(
        self, *, length: int, size: tuple[int, int] = (48, 48), noise: float = 0.6, seed: int = 0, split: str = "train"
    ):
        check_drawn(length=length, size=size, seed=seed, split=split, least="", usual=48)
        if not 0 <= noise <= 10:
            raise ValueError(f"noise must be 0 .. 10, got {noise}: try 0.6")
        self._length, self._size, self._seed, self._split = length, (int(size[0]), int(size[1])), seed, split
        self._noise = float(noise)

    @property
    def classes(self) -> Classes:
        """The three classes, `WIRES`."""
        return WIRES

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        return (
            f"WiresSource(length={self._length}, size={self._size}, noise={self._noise:g}, seed={self._seed}, "
            f"split={self._split!r})"
        )

    def __getitem__(self, index: int) -> Record:
        index = checked_index(index, self._length)
        # A different stream from that of the shapes, whose key has three words.
        rng = np.random.default_rng((self._seed, SPLITS.index(self._split), index, 1))
        label = _draw(rng, self._size)
        colors = _COLORS[label] + np.float32(self._noise) * rng.standard_normal((*self._size, 3), np.float32)
        middle = float(_COLORS.max()) / 2
        scaled = 127.5 * (1 + (colors - middle) / (middle + _MARGIN * self._noise))
        return {"image": np.clip(scaled + 0.5, 0, 255).astype(np.uint8), "label": label}

    def name(self, index: int) -> str:
        """Split, seed and index."""
        return f"wires-{self._split}-{self._seed}-{index:05d}"

    def size(self, index: int) -> tuple[int, int]:
        """Height and width in pixels, the same for every index."""
        del index
        return self._size


def _draw(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """The labels, from back to front."""
    label = np.zeros(size, np.uint8)
    y, x = np.arange(size[0], dtype=np.float32)[:, None], np.arange(size[1], dtype=np.float32)[None, :]
    for _ in range(_OBJECTS):
        down, right = y - size[0] * rng.uniform(), x - size[1] * rng.uniform()
        angle, radius, half_width, kind = (
            rng.uniform(0, 2 * np.pi),
            rng.uniform(4, 9),
            rng.uniform(0.6, 1.2),
            rng.uniform(),
        )
        cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        u, v = cos * right + sin * down, cos * down - sin * right
        if kind < 0.5:
            inside = np.maximum(np.abs(v + 2 * np.sin(u / 5)) - half_width, np.abs(u) - 3 * radius) < 0
        elif kind < 0.75:
            inside = np.hypot(u, v) < radius
        else:
            inside = np.maximum(np.abs(u), np.abs(v)) < 0.85 * radius
        label[inside] = WIRES.names.index("wire" if kind < 0.5 else "massive")
    return label
