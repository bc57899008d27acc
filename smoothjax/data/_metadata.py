"""What a prepared data set knows of itself besides its records: classes, names, sizes, label counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..files import read_json
from ._classes import IGNORE_LABEL, Classes

METADATA_FILE = "metadata.json"
"""TFDS keeps metadata of its own choice in this file, beside dataset_info.json."""

INCOMPLETE_SUFFIX = ".incomplete"
"""Ending of the folder beside a data set in which it is being prepared."""

_FORMAT = 1
_MAX_BYTES = 2**30  # a name and two numbers for each example


@dataclass(frozen=True)
class LabelCounts:
    """How often each of K classes occurs in a split.

    Attributes:
      pixels: int64 `[K]`, labelled with the class.
      pixels_around: int64 `[K]`, all pixels of the images in which the class occurs.
      images: int64 `[K]`, in which the class occurs.
      ignored: pixels of label 255.
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
      name: of the data set.
      classes: names and colours of the labels.
      splits: by name.
      attributes: names of the attributes of whole images, if there are any.
      has_labels: whether its records hold label maps.
      options: of its preparation.
    """

    name: str
    classes: Classes
    splits: Mapping[str, SplitMetadata]
    attributes: tuple[str, ...] = ()
    has_labels: bool = True
    options: str = ""

    def to_json(self) -> dict[str, Any]:
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
    """The metadata of a prepared data set, None if the folder is none.

    Raises:
      ValueError: it was prepared by another version, or the file is damaged.
    """
    if not (folder / METADATA_FILE).is_file() or not (folder / "dataset_info.json").is_file():
        return None
    try:
        content: Any = read_json(folder / METADATA_FILE, max_bytes=_MAX_BYTES)
        if "has_labels" not in content:  # another data set of TFDS
            return None
        if content["format"] != _FORMAT:
            raise ValueError(f"its format is {content['format']}, this version reads {_FORMAT}")
        return Metadata(
            name=content["name"],
            classes=Classes(
                tuple(entry["name"] for entry in content["classes"]),
                tuple(tuple(entry["color"]) for entry in content["classes"]),
            ),
            splits={name: _split_from_json(split) for name, split in content["splits"].items()},
            attributes=tuple(content["attributes"]),
            has_labels=content["has_labels"],
            options=content["options"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder / METADATA_FILE} cannot be used ({error}); prepare the data set again") from error


def _split_to_json(split: SplitMetadata) -> dict[str, Any]:
    counts = split.counts
    return {
        "names": list(split.names),
        "sizes": [list(size) for size in split.sizes],
        "pixels": counts.pixels.tolist(),
        "pixels_around": counts.pixels_around.tolist(),
        "images": counts.images.tolist(),
        "ignored": counts.ignored,
    }


def _split_from_json(content: Mapping[str, Any]) -> SplitMetadata:
    pixels, around, images = (np.array(content[key], np.int64) for key in ("pixels", "pixels_around", "images"))
    sizes = tuple((height, width) for height, width in content["sizes"])
    return SplitMetadata(tuple(content["names"]), sizes, LabelCounts(pixels, around, images, content["ignored"]))
