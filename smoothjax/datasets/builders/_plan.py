"""The findings of a builder in a source: the examples of each split, and the problems known before any file is read."""

import abc
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from ...data import Classes, decode_label, decode_mask
from ._download import Download
from ._file import File, join
from ._tree import SourceTree


@dataclass(frozen=True)
class Mask:
    """A label map to be read.

    Attributes:
      path: where it is, for a person.
      read: returns it, uint8 `[H, W]`; an error names the file.
      file: the image that it is read from, if it is one.
    """

    path: str
    read: Callable[[], np.ndarray]
    file: File | None = None

    def of_classes(self, classes: Classes) -> "Mask":
        """The mask of the same file, read by the values or colours of these classes."""
        file = self.file
        return self if file is None else replace(self, read=lambda: decode_label(file.read(), file.path, classes))


@dataclass(frozen=True)
class Example:
    """One example to be.

    Attributes:
      name: the name of the example in messages.
      image: the file of the photograph.
      mask: the label map; None if no pixel is labelled.
      attributes: uint8 `[A]`, if the data set has attributes of whole images.
      white: the largest number of a 16-bit image, see `smoothjax.data.read_image`.
    """

    name: str
    image: File
    mask: Mask | None = None
    attributes: np.ndarray | None = None
    white: int | None = None


@dataclass(frozen=True)
class Plan:
    """All examples of a data set.

    Attributes:
      classes: names and colours of the labels.
      splits: the examples of each split, in their order.
      problems: one line for each problem, with names of files.
      warnings: one line for each unusual thing that may be intended.
      published: the number of examples of each split that its authors state.
      attributes: names of the attributes, if the data set has them.
      has_labels: whether the data set has label maps at all.
      every_class_in: name of a split in which every class must have a pixel; "" for none.
    """

    classes: Classes
    splits: Mapping[str, list[Example]]
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    published: Mapping[str, int] = field(default_factory=dict)
    attributes: tuple[str, ...] = ()
    has_labels: bool = True
    every_class_in: str = ""


@dataclass(frozen=True)
class Expected:
    """A line of the picture that shows what a source should hold.

    Attributes:
      line: the line, indented as deep as the folder lies.
      paths: where it may be in each base folder, any of them; the name of a file may be a pattern.
      optional: whether the data set can be prepared without.
      packed_in: patterns of the archives that may hold it; by default all those of the data set.
    """

    line: str
    paths: tuple[str, ...]
    optional: bool = False
    packed_in: tuple[str, ...] | None = None


class Builder(abc.ABC):
    """A data set and the options of its preparation: a frozen dataclass whose fields are the options."""

    name: ClassVar[str]
    """Name of the data set, a Python identifier."""
    note: ClassVar[str]
    """One line: what it is, and where to get it."""
    archives: ClassVar[tuple[str, ...]] = ()
    """Patterns of the paths of its archives."""
    bases: ClassVar[tuple[str, ...]] = ("",)
    """Folders of the source in which the data set may begin."""
    downloads: ClassVar[Mapping[str, Download]] = {}
    """Archives that may be fetched from the web without asking, by the name of the file."""

    @abc.abstractmethod
    def expected(self) -> tuple[Expected, ...]:
        """The expected content of a source, relative to one of `bases`."""

    @abc.abstractmethod
    def plan(self, tree: SourceTree) -> Plan:
        """Finds the examples. Raises FileNotFoundError if the folder holds something else."""


def wrong_folder(builder: Builder, tree: SourceTree) -> FileNotFoundError:
    """The error for a source with other content: the expected tree, and which parts of it are there."""
    lines = [f"{tree.root}: not what {builder.name} is prepared from; expected"]
    for entry in builder.expected():
        found = any(tree.has(join(base, path)) for base in builder.bases for path in entry.paths)
        mark = "found" if found else "MISSING (optional)" if entry.optional else "MISSING"
        lines.append(f"  {entry.line:<76} {mark}")
    if builder.archives:
        lines.append(f"  unpacked, or packed in {', '.join(builder.archives)}")
    there = tree.folders("") + list(tree.files(""))
    if there:
        lines.append(f"there is: {', '.join(there[:10])}{', ...' if len(there) > 10 else ''}")
    return FileNotFoundError("\n".join(lines))


def layout(builder: Builder) -> str:
    """The expected content of a source, for a user who has not named one."""
    lines = [f"  {entry.line}{'   (optional)' if entry.optional else ''}" for entry in builder.expected()]
    packed = [f"  unpacked, or packed in {', '.join(builder.archives)}"] if builder.archives else []
    return "\n".join([*lines, *packed])


def stems(files: Mapping[str, File], problems: list[str], ending: str = "") -> dict[str, File]:
    """Files by their stem without an ending; a line in `problems` for two of one stem, and for another ending."""
    found: dict[str, File] = {}
    for name, file in files.items():
        # An image and its mask may have been named on different systems: ä is one letter or two.
        stem = unicodedata.normalize("NFC", name.rpartition(".")[0])
        if not stem.endswith(ending):
            problems.append(f"{file.path}: its name does not end in {ending} (--mask-suffix); rename or remove it")
            continue
        stem = stem.removesuffix(ending)
        if stem in found:
            problems.append(f"{found[stem].path} and {file.path} share a name; rename or remove one")
        found[stem] = file
    return found


def pair(
    images: Mapping[str, File],
    masks: Mapping[str, File],
    where: str,
    problems: list[str],
    read: Callable[[File], Mask] | None = None,
) -> list[Example]:
    """Examples of images and masks of one name; a line in `problems` for each image or mask without the other."""
    problems += [f"{images[name].path}: no mask of this name in {where}" for name in images if name not in masks]
    problems += [f"{masks[name].path}: no image of this name" for name in masks if name not in images]
    return [Example(name, images[name], (read or mask_of)(masks[name])) for name in images if name in masks]


def mask_of(file: File) -> Mask:
    """A mask as it is stored."""
    return Mask(file.path, lambda: decode_mask(file.read(), file.path), file)


def relabelled(file: File, new: Mapping[int, int]) -> Mask:
    """A mask whose labels get new numbers; a label without one is an error."""

    def read() -> np.ndarray:
        label = decode_mask(file.read(), file.path)
        unknown = sorted(set(np.unique(label).tolist()) - set(new))
        if unknown:
            raise ValueError(
                f"{file.path}: label {', '.join(map(str, unknown[:10]))} is not one of the labels of this data set "
                f"({compact(new)}); is this the right kind of mask?"
            )
        table = np.zeros(256, np.uint8)
        table[list(new)] = list(new.values())
        return table[label]

    return Mask(file.path, read, file)


def compact(numbers: Iterable[int]) -> str:
    """Numbers as ranges: 0-11, 255."""
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in ranges)


def read_lines(file: File) -> list[str]:
    """The lines of a text file, without empty ones."""
    try:
        text = file.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file.path}: no text file ({error})") from error
    return [line.strip() for line in text.splitlines() if line.strip()]
