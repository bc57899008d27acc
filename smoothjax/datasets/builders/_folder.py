"""A user's own images and masks."""

import re
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from ...data import (
    CLASS_FILES,
    IGNORE_LABEL,
    IMAGE_SUFFIXES,
    MASK_SUFFIXES,
    OTHER_SUFFIXES,
    Classes,
    decode_palette,
    default_colors,
    load_classes,
    parse_classes,
)
from ._file import File, join
from ._plan import (
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
from ._tree import SourceTree, suffix_of

_SPLIT = re.compile(r"(train|training|trainval|val|valid|validation|dev|test|testing)([\W\d_].*)?", re.IGNORECASE)
"""How folders of splits are usually named."""


@dataclass(frozen=True)
class Folder(Builder):
    """Your own images and masks, paired by name: one folder of each, or one of each for every split.

    The folders of the splits hold those of images and masks (train/images, train/labels), or lie in them (images/train,
    labels/train).

    All of it may lie in one folder of any name. A mask is a grey or palette image of at most 8 bits (PNG, BMP, TIFF or
    GIF): the numbers stored are the labels, 255 is ignored. The classes are those of `classes`, or of `classes.yaml`,
    `.yml` or `.json` in the folder, where they may also have other values or be read from colours, see
    `smoothjax.data.load_classes`; without such a file, they are the numbers found in the masks, in the colours of a
    palette mask. Images that do not come in splits are divided by the file `splits`, or else by chance.

    Args:
      images: name of the folder of images.
      masks: name of the folder of masks.
      classes: YAML or JSON file of class names and colours; by default classes.yaml beside the images.
      splits: a file of lines NAME SPLIT, or a folder of train.txt, val.txt, ... that list names.
      val_fraction: share of the images that becomes the split val, where nothing else divides them.
      test_fraction: share of the images that becomes the split test, where nothing else divides them.
      seed: seed of the choice.
      mask_suffix: what the names of masks have in addition, such as _mask for street_mask.png.
      white: the largest number of 16-bit images, such as 4095 for 12 bits.
      allow_empty_classes: whether a class may have no pixel in train.

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
    mask_suffix: str = ""
    white: int | None = None
    allow_empty_classes: bool = False

    name: ClassVar[str] = "folder"
    note: ClassVar[str] = "your own images and masks, paired by name"
    archives: ClassVar[tuple[str, ...]] = ()
    bases: ClassVar[tuple[str, ...]] = ("",)

    def expected(self) -> tuple[Expected, ...]:
        """The expected content of the folder."""
        return (
            Expected("classes.yaml", CLASS_FILES, optional=True),
            Expected(f"{self.images}/NAME.jpg", (self.images,)),
            Expected(f"{self.masks}/NAME.png", (self.masks,)),
            Expected(f"or train/{self.images}/NAME.jpg", (f"train/{self.images}",)),
            Expected(f"   train/{self.masks}/NAME.png", (f"train/{self.masks}",)),
            Expected(f"   val/{self.images}, val/{self.masks}, ... alike", (f"val/{self.images}",)),
            Expected(f"or {self.images}/train/NAME.jpg", (f"{self.images}/train",)),
            Expected(f"   {self.masks}/train/NAME.png", (f"{self.masks}/train",)),
            Expected(f"   {self.images}/val, {self.masks}/val, ... alike", (f"{self.images}/val",)),
        )

    def plan(self, tree: SourceTree) -> Plan:
        """Finds the examples, in the order of their names."""
        problems: list[str] = []
        warnings: list[str] = []
        base = self._base(tree)
        found = self._declared(tree, base)
        masks: list[File] = []
        if self.splits is None and (inner := self._inner_splits(tree, base)):
            problems += self._beside_images(tree, base) + self._beside_inner(tree, base, inner)
            splits = {name: self._pairs(tree, base, masks, problems, name) for name in inner}
        elif all(self._parts(tree, base)):
            problems += self._beside_images(tree, base)
            examples = self._pairs(tree, base, masks, problems)
            if self.splits is not None:
                splits = _listed(Path(self.splits).expanduser(), examples, problems, warnings)
            else:
                fractions = {"val": self.val_fraction, "test": self.test_fraction}
                splits = divide(examples, fractions, self.seed) if examples else {"train": []}
                absent = [split for split, fraction in fractions.items() if fraction and split not in splits]
                warnings += [f"too few images to divide: without split {split}" for split in absent if examples]
        else:
            folders, unmatched = self._split_folders(tree, base)
            if not folders or self.splits is not None:
                raise FileNotFoundError("\n".join([str(wrong_folder(self, tree)), *unmatched]))
            problems += unmatched
            splits = {folder: self._pairs(tree, join(base, folder), masks, problems) for folder in folders}
        if "train" not in splits and self.splits is None:
            warnings.append(f"no split train: the splits are named like the folders, {', '.join(splits)}")
        classes = found or _found_in(masks)
        if found is None:
            warnings.append(
                f"no {CLASS_FILES[0]}: the masks hold labels up to {len(classes) - 1}, so there are {len(classes)} "
                "classes; write one class a line, such as road: [128, 64, 128], to give them names and colours"
            )
        coded = {split: [self._coded(example, classes) for example in part] for split, part in splits.items()}
        required = "" if self.allow_empty_classes else "train"
        return Plan(classes.by_index(), coded, problems, warnings, every_class_in=required)

    def _coded(self, example: Example, classes: Classes) -> Example:
        """The example with its mask read by the values or colours of these classes."""
        return replace(example, white=self.white, mask=example.mask and example.mask.of_classes(classes))

    def _base(self, tree: SourceTree) -> str:
        """Where the data set begins: an archive often holds everything in one folder, named like the archive."""
        base = ""
        while not any(self._parts(tree, base)):
            folders = tree.folders(base)
            if len(folders) != 1 or _SPLIT.fullmatch(folders[0]):
                break
            base = join(base, folders[0])
        return base

    def _parts(self, tree: SourceTree, folder: str) -> tuple[bool, bool]:
        """Whether a folder of images and one of masks lie in a folder."""
        return tree.is_folder(join(folder, self.images)), tree.is_folder(join(folder, self.masks))

    def _own(self) -> set[str]:
        """The folders of images and masks outside of splits."""
        return {self.images.partition("/")[0], self.masks.partition("/")[0]}

    def _beside_images(self, tree: SourceTree, base: str) -> list[str]:
        """A line for each split folder that lies beside images without splits."""
        folders = [folder for folder in tree.folders(base) if folder not in self._own()]
        return [
            f"{tree.root / base / folder}: not used, it lies beside {tree.root / base / self.images}; keep either the "
            "folders of the splits or the one that is to be divided, and move the other elsewhere"
            for folder in folders
            if any(self._parts(tree, join(base, folder)))
        ]

    def _inner_splits(self, tree: SourceTree, base: str) -> list[str]:
        """The folders of splits inside those of images and masks, none if the folders there are of another kind."""
        images, masks = (set(tree.folders(join(base, part))) for part in (self.images, self.masks))
        both = sorted(images & masks)
        named = [folder for folder in both if _SPLIT.fullmatch(folder)]
        # A single such folder among others may be a class: pictures of trains.
        return both if named and (len(named) == len(both) or len(named) > 1) else []

    def _beside_inner(self, tree: SourceTree, base: str, splits: Sequence[str]) -> list[str]:
        """A line for everything in the folders of images and masks that is in no split."""
        lines = []
        for part, other, suffixes in (
            (self.images, self.masks, IMAGE_SUFFIXES),
            (self.masks, self.images, MASK_SUFFIXES),
        ):
            where = tree.root / base / part
            lines += [
                f"{where / folder}: there is no {other}/{folder}; add it, or move the folder elsewhere"
                for folder in tree.folders(join(base, part))
                if folder not in splits
            ]
            if loose := list(tree.files(join(base, part), suffixes)):
                lines.append(
                    f"{where}: {loose[0]}{f' and {len(loose) - 1} more' if len(loose) > 1 else ''} lie beside the "
                    f"folders of the splits ({', '.join(splits)}); move them into one"
                )
        return lines

    def _split_folders(self, tree: SourceTree, base: str) -> tuple[list[str], list[str]]:
        """The folders of splits, and a line for each folder that seems to be one and cannot be used."""
        folders: list[str] = []
        unmatched: list[str] = []
        beside: list[str] = []
        for folder in tree.folders(base):
            where = tree.root / base / folder
            images, masks = self._parts(tree, join(base, folder))
            if folder in self._own():
                beside.append(f"{where}: not used, it lies beside the folders of the splits; move it elsewhere")
            elif images and masks and re.fullmatch(r"\w+", folder):
                folders.append(folder)
            elif images and masks:
                name = re.sub(r"\W+", "_", folder)
                unmatched.append(f"{where}: the name of a split is letters, digits and _; rename it, such as {name}")
            elif images or masks:
                there, absent = (self.images, self.masks) if images else (self.masks, self.images)
                unmatched.append(f"{where}: holds {there}/ without {absent}/; add it, or move the folder elsewhere")
            elif _SPLIT.fullmatch(folder):
                unmatched.append(
                    f"{where}: holds neither {self.images}/ nor {self.masks}/; put the images and masks into these, or "
                    "move the folder elsewhere"
                )
        return folders, unmatched + beside if folders else unmatched

    def _pairs(
        self, tree: SourceTree, base: str, masks: list[File], problems: list[str], split: str = ""
    ) -> list[Example]:
        """The examples of one folder of images; their masks are added to `masks`."""
        where = join(base, self.masks, split)
        found = stems(tree.walk(where, MASK_SUFFIXES), problems, self.mask_suffix)
        masks += found.values()
        images = tree.walk(join(base, self.images, split))
        other = sorted(file.path for name, file in images.items() if suffix_of(name) in OTHER_SUFFIXES)
        problems += [
            f"{path}: images of this kind are not read; convert it, such as to PNG, or remove it" for path in other
        ]
        readable = {name: file for name, file in images.items() if suffix_of(name) in IMAGE_SUFFIXES}
        return pair(stems(readable, problems), found, str(tree.root / where), problems)

    def _declared(self, tree: SourceTree, base: str) -> Classes | None:
        """The classes that a file names, if there is one."""
        if self.classes is not None:
            return load_classes(Path(self.classes).expanduser())
        for folder in dict.fromkeys((base, "")):
            for name in CLASS_FILES:
                if file := tree.file(join(folder, name)):
                    return parse_classes(file.read(), file.path)
        return None


def _found_in(masks: Sequence[File]) -> Classes:
    """One class for each label in the masks, in the colours of the first mask with a palette."""

    def look(file: File) -> tuple[int, list[int] | None]:
        try:
            label, palette = decode_palette(file.read(), file.path)
        except ValueError:
            return 0, None  # the report names it, with everything else
        return int(label[label != IGNORE_LABEL].max(initial=0)), palette

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
    """Reads the splits from a file or a folder of files."""
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
