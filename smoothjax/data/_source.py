"""What a data set is to the rest of the project."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from ._classes import IGNORE_LABEL, Classes

Record = Mapping[str, np.ndarray]
"""One example: `"image"` uint8 `[H, W, 3]` in RGB and `"label"` uint8 `[H, W]`."""


class Source(Protocol):
    """A split of a data set: examples by their index, in a fixed order.

    Anything with these members works, a user's own class included. Reading must be safe from several threads.

    A source may also have the method `read(index, at_least)`, which the pipelines then call where they make an image
    smaller: it gives the example with a label at full size, and an image that may be any smaller one of the same view,
    but not below the height and width `at_least`, for which a JPEG need not be decoded whole. An entry `"box"` tells
    where the view lies in the image if it does not fill it, see `read_view` and `FolderSource.read`.
    """

    @property
    def classes(self) -> Classes:
        """Names and colours of the labels."""
        ...

    def __len__(self) -> int:
        """The number of examples."""
        ...

    def __getitem__(self, index: int, /) -> Record:
        """The example: `"image"` uint8 `[H, W, 3]` and `"label"` uint8 `[H, W]`, 255 for ignored pixels."""
        ...

    def name(self, index: int, /) -> str:
        """A name that tells a person which example this is."""
        ...

    def size(self, index: int, /) -> tuple[int, int]:
        """Height and width in pixels, without decoding the example."""
        ...


def read_at_least(source: Source, index: int, size: tuple[int, int]) -> Record:
    """The example, its image perhaps smaller than its label but no smaller than `size`, if the source can read it so.

    What `resize` makes of it is the same view at the same size either way, from slightly other pixels.
    """
    read = getattr(source, "read", None)
    return source[index] if read is None else read(index, size)


class InvalidDataError(ValueError):
    """Examples of a data set that cannot be used.

    Attributes:
      problems: one line for each problem, with the name of the file.
    """

    def __init__(self, problems: tuple[str, ...], message: str | None = None):
        super().__init__("\n".join(problems) if message is None else message)
        self.problems = problems


def label_problems(label: np.ndarray, classes: Classes, name: str) -> tuple[str, ...]:
    """One line if the label map (uint8) has a value that is neither a class nor 255, none otherwise."""
    counts = np.bincount(label.ravel(), minlength=256)
    foreign = np.flatnonzero(counts[len(classes) : IGNORE_LABEL]) + len(classes)
    if not foreign.size:
        return ()
    found = ", ".join(map(str, foreign[:10])) + (", ..." if foreign.size > 10 else "")
    return (
        f"{name}: label {found} in {int(counts[foreign].sum())} pixels is outside the {len(classes)} classes "
        f"0 .. {len(classes) - 1}; give more classes, or store {IGNORE_LABEL} where pixels are to be ignored",
    )


def checked_index(index: int, length: int) -> int:
    """The index as an int. Raises IndexError outside the split, which also ends a `for` loop over a source."""
    if not 0 <= index < length:
        raise IndexError(f"index {index} is outside the split of {length} examples")
    return int(index)
