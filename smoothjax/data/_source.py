"""Protocols of data sets, from the members that training needs to those that only some sources have."""

from collections.abc import Mapping
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np

from ._classes import IGNORE_LABEL, Classes
from ._metadata import LabelCounts

Record = Mapping[str, np.ndarray]
"""One example: `"image"` uint8 `[H, W, C]`, mostly RGB, and `"label"` uint8 `[H, W]`."""

E_co = TypeVar("E_co", covariant=True)


class Examples(Protocol[E_co]):
    """Examples by index, in a fixed order; `train_iterator` needs nothing more.

    Any object with these two members works, also a list. Reading must be safe from several threads.
    """

    def __len__(self) -> int:
        """The number of examples."""
        ...

    def __getitem__(self, index: int, /) -> E_co:
        """One example."""
        ...


class Named(Protocol):
    """Examples with names for people."""

    def __len__(self) -> int:
        """The number of examples."""
        ...

    def name(self, index: int, /) -> str:
        """A name that identifies the example."""
        ...


class Source(Named, Protocol):
    """A split of a data set with labels: images and label maps, their names, sizes and classes.

    Any object with these members works, including your own class. Reading must be safe from several threads. A source
    that can decode an image at a reduced size is also a `ScaledSource`.
    """

    @property
    def classes(self) -> Classes:
        """Names and colours of the labels."""
        ...

    def __getitem__(self, index: int, /) -> Record:
        """The example: `"image"` uint8 `[H, W, C]` and `"label"` uint8 `[H, W]`, 255 for ignored pixels."""
        ...

    def size(self, index: int, /) -> tuple[int, int]:
        """Height and width in pixels, without decoding the example."""
        ...


@runtime_checkable
class ScaledSource(Source, Protocol):
    """A source that reads images at a reduced size, for which a JPEG need not be decoded whole.

    The pipelines use it when they make an image smaller.
    """

    def read(self, index: int, /, at_least: tuple[int, int] | None = None) -> Record:
        """The example with a label at full size, and an image that may be any smaller one of the same view.

        It is not smaller than the height and width `at_least`. An entry `"box"` gives the place of the view in the
        image if it does not fill it, see `read_view`.
        """
        ...


@runtime_checkable
class FileSource(Named, Protocol):
    """A source of files, identified by their sizes without reading them."""

    def file_sizes(self, index: int, /) -> tuple[int, ...]:
        """The sizes in bytes of the files of an example."""
        ...


@runtime_checkable
class CountedSource(Source, Protocol):
    """A source with counted labels."""

    @property
    def counts(self) -> LabelCounts:
        """How often each class occurs in the split."""
        ...


def read_at_least(source: Source, index: int, size: tuple[int, int]) -> Record:
    """The example, with an image that may be smaller than its label but not than `size`, if the source supports it.

    `resize` makes the same view at the same size from either, with slightly different pixels.
    """
    return source.read(index, size) if isinstance(source, ScaledSource) else source[index]


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
    # Nearly all label maps are right, and this check takes a tenth of the time of counting.
    if not ((label >= len(classes)) & (label != IGNORE_LABEL)).any():
        return ()
    counts = np.bincount(label.ravel(), minlength=256)
    unknown = np.flatnonzero(counts[len(classes) : IGNORE_LABEL]) + len(classes)
    found = ", ".join(map(str, unknown[:10])) + (", ..." if unknown.size > 10 else "")
    return (
        f"{name}: label {found} in {int(counts[unknown].sum())} pixels is outside the {len(classes)} classes "
        f"0 .. {len(classes) - 1}; give more classes, or store {IGNORE_LABEL} where pixels are to be ignored",
    )


def checked_index(index: int, length: int) -> int:
    """The index as an int. Raises IndexError outside the split, which also ends a `for` loop over a source."""
    if not 0 <= index < length:
        raise IndexError(f"index {index} is outside the split of {length} examples")
    return int(index)
