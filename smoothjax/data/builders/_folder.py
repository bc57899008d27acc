"""A user's own images and masks."""

import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from .._classes import IGNORE_LABEL, Classes, default_colors, load_classes
from .._files import open_image
from ._plan import (
    IMAGE_SUFFIXES,
    MASK_SUFFIXES,
    Builder,
    Example,
    Expected,
    Plan,
    pair,
    read_lines,
    stems,
    wrong_folder,
)
from ._split import divide
from ._tree import File, SourceTree, join

_CLASS_FILES = ("classes.yaml", "classes.yml", "classes.json")


@dataclass(frozen=True)
class Folder(Builder):
    """Your own images and masks, paired by name: one folder of each, or one of each for every split.

    A mask is an 8-bit grey or palette image (PNG, BMP, TIFF or GIF): the numbers stored are the labels, 255 is ignored.
    The classes are those of `classes`, or of `classes.yaml`, `.yml` or `.json` in the folder; without, they are the
    numbers found in the masks, in the colours of a palette mask. Images that do not come in splits are divided by the
    file `splits`, or else by chance.

    Args:
      images: name of the folder of images.
      masks: name of the folder of masks.
      classes: YAML or JSON file of class names and colours; by default classes.yaml beside the images.
      splits: a file of lines NAME SPLIT, or a folder of train.txt, val.txt, ... that list names.
      val_fraction: share of the images that becomes the split val, where nothing else divides them.
      test_fraction: share of the images that becomes the split test, where nothing else divides them.
      seed: of the choice.

    Example:
      >>> Folder(masks="masks").val_fraction
      0.1
    """

    images: str = "images"
    masks: str = "labels"
    classes: Path | None = None
    splits: Path | None = None
    val_fraction: float = 0.1
    test_fraction: float = 0.0
    seed: int = 0

    name: ClassVar[str] = "folder"
    note: ClassVar[str] = "your own images and masks, paired by name"
    archives: ClassVar[tuple[str, ...]] = ()
    bases: ClassVar[tuple[str, ...]] = ("",)

    def expected(self) -> tuple[Expected, ...]:
        """What the folder should hold."""
        return (
            Expected("classes.yaml", _CLASS_FILES, optional=True),
            Expected(f"{self.images}/NAME.jpg", (self.images,)),
            Expected(f"{self.masks}/NAME.png", (self.masks,)),
            Expected(f"or train/{self.images}/NAME.jpg", (f"train/{self.images}",)),
            Expected(f"   train/{self.masks}/NAME.png", (f"train/{self.masks}",)),
            Expected(f"   val/{self.images}, val/{self.masks}, ... alike", (f"val/{self.images}",)),
        )

    def plan(self, tree: SourceTree) -> Plan:
        """Finds the examples, in the order of their names."""
        problems: list[str] = []
        warnings: list[str] = []
        masks: list[File] = []
        folders = [f for f in tree.folders("") if tree.is_folder(join(f, self.images)) and re.fullmatch(r"\w+", f)]
        if tree.is_folder(self.images) and tree.is_folder(self.masks):
            examples = self._pairs(tree, "", masks, problems)
            if self.splits is not None:
                splits = _listed(self.splits, examples, problems, warnings)
            else:
                fractions = {"val": self.val_fraction, "test": self.test_fraction}
                splits = divide(examples, fractions, self.seed) if examples else {"train": []}
        elif folders and self.splits is None:
            splits = {folder: self._pairs(tree, folder, masks, problems) for folder in folders}
        else:
            raise wrong_folder(self, tree)
        return Plan(self._classes(tree, masks, warnings), splits, problems, warnings)

    def _pairs(self, tree: SourceTree, base: str, masks: list[File], problems: list[str]) -> list[Example]:
        """The examples of one folder of images; their masks are added to `masks`."""
        where = join(base, self.masks)
        found = stems(tree.walk(where, MASK_SUFFIXES), problems)
        masks += found.values()
        images = stems(tree.walk(join(base, self.images), IMAGE_SUFFIXES), problems)
        return pair(images, found, str(tree.root / where), problems)

    def _classes(self, tree: SourceTree, masks: Sequence[File], warnings: list[str]) -> Classes:
        if self.classes is not None:
            return load_classes(self.classes)
        for name in _CLASS_FILES:
            if file := tree.file(name):
                return _load(name, file)
        classes = _found_in(masks)
        warnings.append(
            f"no {_CLASS_FILES[0]}: the masks hold labels up to {len(classes) - 1}, so there are {len(classes)} "
            "classes; write one class a line, such as road: [128, 64, 128], to give them names and colours"
        )
        return classes


def _load(name: str, file: File) -> Classes:
    """The classes of a file, which may lie in an archive."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(file.read())
        try:
            return load_classes(path)
        except ValueError as error:
            raise ValueError(str(error).replace(str(path), file.path)) from error


def _found_in(masks: Sequence[File]) -> Classes:
    """As many classes as the masks have labels, in the colours of the first mask with a palette."""

    def look(file: File) -> tuple[int, list[int] | None]:
        try:
            image = open_image(file.read(), file.path, upright=False)
        except ValueError:
            return 0, None  # told in the report, with everything else
        label = np.asarray(image) if image.mode in ("L", "P") else np.zeros(1, np.uint8)
        return int(label[label != IGNORE_LABEL].max(initial=0)), image.getpalette()

    with ThreadPoolExecutor() as pool:
        seen = list(pool.map(look, masks))
    count = 1 + max((highest for highest, _ in seen), default=0)
    palettes = (palette for _, palette in seen if palette is not None and len(palette) >= 3 * count)
    palette = next(palettes, None)
    colors = default_colors(count)
    if palette is not None:
        colors = tuple((palette[3 * i], palette[3 * i + 1], palette[3 * i + 2]) for i in range(count))
    return Classes(tuple(f"class {label}" for label in range(count)), colors)


def _listed(
    path: Path, examples: Sequence[Example], problems: list[str], warnings: list[str]
) -> dict[str, list[Example]]:
    """The splits as a file or a folder of files says."""
    if path.is_dir():
        files = {file.stem: file for file in sorted(path.glob("*.txt"))}
        entries = [(line, split) for split, file in files.items() for line in read_lines(_file(file))]
        if not files:
            raise FileNotFoundError(f"{path}: holds no train.txt, val.txt, ... that list names")
    elif path.is_file():
        pairs = [re.match(r"(.*\S)\s*[,\s]\s*(\w+)$", line) for line in read_lines(_file(path))]
        if not all(pairs):
            raise ValueError(f"{path}: line {pairs.index(None) + 1} must be NAME SPLIT, such as street_001 train")
        entries = [match.groups() for match in pairs if match]
    else:
        raise FileNotFoundError(f"{path}: no such file or folder; write lines NAME SPLIT, such as street_001 train")
    by_name = {example.name: example for example in examples}
    splits: dict[str, list[Example]] = {split: [] for _, split in entries}
    for entry, split in entries:
        stem = entry.rpartition(".")[0]
        name = entry if entry in by_name else stem
        if name in by_name:
            splits[split].append(by_name[name])
        else:
            problems.append(f"{path}: {entry} of split {split} has no image and mask")
    times = Counter(example.name for split in splits.values() for example in split)
    problems += [f"{path}: {name} stands in it {count} times" for name, count in times.items() if count > 1]
    if unused := [name for name in by_name if name not in times]:
        more = ", ..." if len(unused) > 5 else ""
        warnings.append(f"{len(unused)} images are in no split of {path}: {', '.join(unused[:5])}{more}")
    return splits


def _file(path: Path) -> File:
    return File(str(path), path.read_bytes)
