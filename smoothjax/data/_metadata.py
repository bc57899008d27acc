"""Metadata of a prepared data set beside its records: classes, names, sizes, label counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..files import read_json
from ._classes import IGNORE_LABEL, Classes, Color

METADATA_FILE = "metadata.json"
"""The file in which TFDS keeps custom metadata, beside dataset_info.json."""

INCOMPLETE_SUFFIX = ".incomplete"
"""Ending of the working folder beside a data set during preparation."""

_FORMAT = 1
_MAX_BYTES = 2**30  # a name and two numbers for each example


@dataclass(frozen=True)
class LabelCounts:
    """The frequencies of K classes in a split.

    Attributes:
      pixels: int64 `[K]`, pixels labelled with the class.
      pixels_around: int64 `[K]`, all pixels of the images in which the class occurs.
      images: int64 `[K]`, images in which the class occurs.
      ignored: number of pixels with label 255.
    """

    pixels: np.ndarray
    pixels_around: np.ndarray
    images: np.ndarray
    ignored: int

    @staticmethod
    def of(label: np.ndarray, num_classes: int) -> "LabelCounts":
        """Counts of one label map, uint8 `[H, W]`."""
        histogram = np.bincount(label.ravel(), minlength=256)
        pixels = histogram[:num_classes]
        occurs = (pixels > 0).astype(np.int64)
        return LabelCounts(pixels, occurs * label.size, occurs, int(histogram[IGNORE_LABEL]))

    @staticmethod
    def none(num_classes: int) -> "LabelCounts":
        """Counts of no label map."""
        return LabelCounts(*(np.zeros(num_classes, np.int64) for _ in range(3)), ignored=0)

    def __add__(self, other: "LabelCounts") -> "LabelCounts":
        return LabelCounts(
            self.pixels + other.pixels,
            self.pixels_around + other.pixels_around,
            self.images + other.images,
            self.ignored + other.ignored,
        )


@dataclass(frozen=True)
class SplitMetadata:
    """A split: the name of each example, its height and width in pixels, and how often each class occurs."""

    names: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    counts: LabelCounts


@dataclass(frozen=True)
class Metadata:
    """A prepared data set.

    Attributes:
      name: name of the data set.
      classes: names and colours of the labels.
      splits: the splits by name.
      attributes: names of the attributes of whole images, if there are any.
      has_labels: whether its records hold label maps.
      options: options of its preparation.
    """

    name: str
    classes: Classes
    splits: Mapping[str, SplitMetadata]
    attributes: tuple[str, ...] = ()
    has_labels: bool = True
    options: str = ""

    def to_json(self) -> dict[str, object]:
        """The content of the file."""
        return {
            "format": _FORMAT,
            "name": self.name,
            "options": self.options,
            "classes": [
                {"name": name, "color": list(color)}
                for name, color in zip(self.classes.names, self.classes.colors, strict=True)
            ],
            "attributes": list(self.attributes),
            "has_labels": self.has_labels,
            "splits": {name: _split_to_json(split) for name, split in self.splits.items()},
        }


def read_metadata(folder: Path) -> Metadata | None:
    """The metadata of a prepared data set; None if the folder is not one.

    Raises:
      ValueError: it was prepared by another version, or the file is damaged.
    """
    if not (folder / METADATA_FILE).is_file() or not (folder / "dataset_info.json").is_file():
        return None
    try:
        content = _mapping(read_json(folder / METADATA_FILE, max_bytes=_MAX_BYTES), "the whole")
        if "has_labels" not in content:  # another data set of TFDS
            return None
        if content["format"] != _FORMAT:
            raise ValueError(f"its format is {content['format']}, this version reads {_FORMAT}")
        name = _text(content["name"], "name")
        entries = [_mapping(entry, "a class") for entry in _list(content["classes"], "classes")]
        classes = Classes(
            tuple(_text(entry["name"], "the name of a class") for entry in entries),
            tuple(_color(entry["color"]) for entry in entries),
        )
        splits = _mapping(content["splits"], "splits")
        return Metadata(
            name=name,
            classes=classes,
            splits={
                name: _split_from_json(name, _mapping(split, name), len(classes)) for name, split in splits.items()
            },
            attributes=_texts(content["attributes"], "attributes"),
            has_labels=bool(content["has_labels"]),
            options=_text(content["options"], "options"),
        )
    except (ValueError, KeyError) as error:
        raise ValueError(f"{folder / METADATA_FILE} cannot be used ({error}); prepare the data set again") from error


def _split_to_json(split: SplitMetadata) -> dict[str, object]:
    counts = split.counts
    return {
        "names": list(split.names),
        "sizes": [list(size) for size in split.sizes],
        "pixels": counts.pixels.tolist(),
        "pixels_around": counts.pixels_around.tolist(),
        "images": counts.images.tolist(),
        "ignored": counts.ignored,
    }


def _split_from_json(name: str, value: object, num_classes: int) -> SplitMetadata:
    content = _mapping(value, name)
    names = _texts(content["names"], f"names of split {name}")
    sizes = tuple(_numbers(size, f"a size in split {name}", 2) for size in _list(content["sizes"], "sizes"))
    if len(sizes) != len(names):
        raise ValueError(f"split {name} has {len(names)} names and {len(sizes)} sizes")
    if any(min(size) < 1 for size in sizes):
        raise ValueError(f"split {name} has an image without pixels")
    pixels, around, images = (
        np.array(_numbers(content[key], f"{key} of split {name}", num_classes), np.int64)
        for key in ("pixels", "pixels_around", "images")
    )
    (ignored,) = _numbers([content["ignored"]], f"ignored of split {name}", 1)
    return SplitMetadata(
        names, tuple((size[0], size[1]) for size in sizes), LabelCounts(pixels, around, images, ignored)
    )


def _mapping(value: object, what: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} must be a mapping, is {type(value).__name__}")
    return value


def _list(value: object, what: str) -> Sequence[object]:
    if not isinstance(value, list):
        raise ValueError(f"{what} must be a list, is {type(value).__name__}")
    return value


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{what} must be text, is {type(value).__name__}")
    return value


def _texts(value: object, what: str) -> tuple[str, ...]:
    return tuple(_text(entry, f"an entry of {what}") for entry in _list(value, what))


def _numbers(value: object, what: str, count: int) -> tuple[int, ...]:
    numbers = tuple(entry for entry in _list(value, what) if type(entry) is int and 0 <= entry < 2**62)
    if len(numbers) != len(_list(value, what)) or len(numbers) != count:
        raise ValueError(f"{what} must be {count} whole numbers, not negative")
    return numbers


def _color(value: object) -> Color:
    red, green, blue = _numbers(value, "a colour", 3)
    return red, green, blue
