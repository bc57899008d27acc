"""MS-COCO as semantic segmentation: eighty kinds of things and the background."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import ClassVar, Literal

import numpy as np

from ...data import COCO
from ._coco_annotations import Picture, Thing, read_instances
from ._file import File, join
from ._plan import Builder, Example, Expected, Mask, Plan, wrong_folder
from ._tree import SourceTree

_YEARS = (2014, 2015, 2017)
_PUBLISHED = {2014: {"train": 82783, "val": 40504}, 2017: {"train": 118287, "val": 5000}}


@dataclass(frozen=True)
class Coco2015(Builder):
    """MS-COCO: train and val, the instances drawn as one label map.

    Where things overlap, the smaller one lies on top; crowds, which are not outlined one by one, become 255. 2014 and
    2015 have the same images; 2017 divides the same images into other train and val splits.

    Args:
      year: of the archives, where a folder holds more than one: 2014, 2015 or 2017.

    Example:
      >>> Coco2015(year=2017)
      Coco2015(year=2017)
    """

    year: Literal[2014, 2015, 2017] | None = None

    name: ClassVar[str] = "coco2015"
    note: ClassVar[str] = "MS-COCO, 80 things and background, of 2014/2015 or 2017, cocodataset.org"
    archives: ClassVar[tuple[str, ...]] = ("train20*.zip", "val20*.zip", "annotations_trainval20*.zip")
    bases: ClassVar[tuple[str, ...]] = ("", "coco", "COCO")

    def __post_init__(self) -> None:
        if self.year not in (None, *_YEARS):
            raise ValueError(f"year must be one of {', '.join(map(str, _YEARS))}, got {self.year!r}")

    def expected(self) -> tuple[Expected, ...]:
        """The expected content of a source."""
        train, val, annotations = ((pattern,) for pattern in self.archives)
        return (
            Expected(
                "annotations/instances_train2014.json (or 2015, 2017)",
                ("annotations/instances_train20*.json",),
                packed_in=annotations,
            ),
            Expected(
                "annotations/instances_val2014.json", ("annotations/instances_val20*.json",), packed_in=annotations
            ),
            Expected(
                "train2014/ (or images/train2014/)",
                tuple(f"{i}train{y}" for i in ("", "images/") for y in _YEARS),
                packed_in=train,
            ),
            Expected("val2014/", tuple(f"{i}val{y}" for i in ("", "images/") for y in _YEARS), packed_in=val),
        )

    def plan(self, tree: SourceTree) -> Plan:
        """Finds the examples, in the order of their file names."""
        years = {year: found for year in _YEARS if (found := self._found(tree, year))}
        if self.year is not None and years:
            if self.year not in years:
                raise FileNotFoundError(
                    f"{tree.root} holds MS-COCO of {', '.join(map(str, years))}, not of {self.year}; choose another "
                    "--year (year= in Python), or another source"
                )
            years = {year: found for year, found in years.items() if year == self.year}
        if not years:
            raise wrong_folder(self, tree)
        if len(years) > 1:
            raise ValueError(
                f"{tree.root} holds MS-COCO of {', '.join(map(str, years))}; choose one with --year, or year= in Python"
            )
        ((year, found),) = years.items()
        problems: list[str] = []
        absent = [split for split in ("train", "val") if split not in found]
        warnings = [f"no annotations and images of {split}{year}: without this split" for split in absent]
        coder = _coder()
        splits = {split: _examples(tree, *places, problems, warnings, coder) for split, places in found.items()}
        return Plan(COCO, splits, problems, warnings, _PUBLISHED[2017 if year == 2017 else 2014])

    def _found(self, tree: SourceTree, year: int) -> dict[str, tuple[File, str]]:
        """The annotations and the folder of images of each split of a year that has both."""
        found = {}
        for split in ("train", "val"):
            paths = (join(base, "annotations", f"instances_{split}{year}.json") for base in self.bases)
            annotations = next((file for path in paths if (file := tree.file(path))), None)
            name = f"{split}{year}"
            folder = tree.locate(join(base, inside, name) for base in self.bases for inside in ("", "images"))
            if annotations and folder is not None:
                found[split] = (annotations, folder)
        return found


def _examples(
    tree: SourceTree, annotations: File, folder: str, problems: list[str], warnings: list[str], coder: ModuleType
) -> list[Example]:
    instances = read_instances(annotations)
    problems += instances.problems
    warnings += instances.left_out
    images = tree.files(folder)
    examples = []
    for picture in instances.pictures:
        if picture.name in images:
            label = _label(instances.things.get(picture.number, ()), picture, annotations.path, coder)
            examples.append(Example(picture.name.rpartition(".")[0], images[picture.name], label))
        else:
            problems.append(f"{tree.root / folder / picture.name}: missing, named by {annotations.path}")
    return examples


def _coder() -> ModuleType:
    """Imports the module of pycocotools that draws masks, before anything is written."""
    try:
        from pycocotools import mask
    except ImportError as error:
        raise ModuleNotFoundError(
            f"MS-COCO's masks need pycocotools, which cannot be imported ({error}): run pip install -e '.[coco]' in "
            "the checkout of smoothjax"
        ) from error
    return mask


def _label(things: Sequence[Thing], picture: Picture, path: str, coder: ModuleType) -> Mask:
    height, width = picture.size

    def read() -> np.ndarray:
        layers = []
        for thing in things:
            if thing.polygons:
                coded = coder.merge(coder.frPyObjects(list(thing.polygons), height, width))
            else:
                coded = coder.frPyObjects({"size": [height, width], "counts": list(thing.runs)}, height, width)
            layers.append((float(coder.area(coded)), thing.label, coded))
        canvas = np.zeros(picture.size, np.uint8)
        # Of two equally large things, the later one of the file lies on top: sorting keeps their order.
        for _, label, coded in sorted(layers, key=lambda layer: -layer[0]):
            canvas[coder.decode(coded).astype(bool)] = label
        return canvas

    return Mask(f"{path}: image {picture.name}", read)
