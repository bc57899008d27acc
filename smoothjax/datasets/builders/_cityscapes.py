"""Cityscapes in its nineteen training classes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from ...data import CITYSCAPES, IGNORE_LABEL
from ._file import File, join
from ._plan import Builder, Example, Expected, Plan, relabelled, wrong_folder
from ._tree import SourceTree

# Label ids 0 .. 33 in the order of the train ids; every other one, and the plates at -1 = 255, is ignored.
_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
TRAIN_IDS = {**dict.fromkeys((*range(34), 255), IGNORE_LABEL), **{label: new for new, label in enumerate(_IDS)}}
_IMAGE = "_leftImg8bit.png"


@dataclass(frozen=True)
class Cityscapes(Builder):
    """Cityscapes: train, val, test, and with `coarse` train_coarse and train_extra.

    Label ids become the nineteen train ids, and everything else becomes 255. In `test` no pixel is labelled, or only
    those that the published files label, none of which counts.

    Args:
      coarse: whether to prepare the coarse labels: train_coarse, and train_extra if its images are there.

    Example:
      >>> Cityscapes(coarse=True)
      Cityscapes(coarse=True)
    """

    coarse: bool = False

    name: ClassVar[str] = "cityscapes"
    note: ClassVar[str] = "Cityscapes street scenes, 1024x2048, www.cityscapes-dataset.com"
    archives: ClassVar[tuple[str, ...]] = ("leftImg8bit_*.zip", "gtFine_*.zip", "gtCoarse*.zip")
    bases: ClassVar[tuple[str, ...]] = ("", "cityscapes", "Cityscapes")

    def expected(self) -> tuple[Expected, ...]:
        """The expected content of a source."""
        return (
            Expected(
                f"leftImg8bit/{{train,val,test}}/CITY/CITY_000000_000019{_IMAGE}",
                ("leftImg8bit",),
                packed_in=("leftImg8bit_*.zip",),
            ),
            Expected(
                "gtFine/{train,val}/CITY/CITY_000000_000019_gtFine_labelIds.png",
                ("gtFine",),
                packed_in=("gtFine_*.zip",),
            ),
            Expected("  or ..._gtFine_labelTrainIds.png", ("gtFine",), optional=True),
            Expected("leftImg8bit/train_extra/CITY/", ("leftImg8bit/train_extra",), optional=True),
            Expected("gtCoarse/{train,train_extra}/CITY/", ("gtCoarse",), optional=True),
        )

    def plan(self, tree: SourceTree) -> Plan:
        """Finds the examples, in the order of their names."""
        base = tree.locate(self.bases, "leftImg8bit")
        if base is None or not (tree.is_folder(join(base, "gtFine")) or self.coarse):
            raise wrong_folder(self, tree)
        problems: list[str] = []
        warnings: list[str] = []
        wanted = [(split, split, "gtFine") for split in ("train", "val", "test")]
        if self.coarse:
            wanted += [("train_coarse", "train", "gtCoarse"), ("train_extra", "train_extra", "gtCoarse")]
        splits = {}
        for split, folder, kind in wanted:
            images, masks = join(base, "leftImg8bit", folder), join(base, kind, folder)
            if not tree.is_folder(images) or not (tree.is_folder(masks) or split == "test"):
                absent = masks if tree.is_folder(images) else images
                warnings.append(f"no {tree.root / absent}: without split {split}")
                continue
            splits[split] = _examples(tree, images, masks, kind, split == "test", problems)
        if not splits:
            raise wrong_folder(self, tree)
        published = {"train": 2975, "val": 500, "test": 1525, "train_coarse": 2975, "train_extra": 19998}
        return Plan(CITYSCAPES, splits, problems, warnings, published)


def _examples(
    tree: SourceTree, images: str, masks: str, kind: str, unlabelled: bool, problems: list[str]
) -> list[Example]:
    photographs = {path.removesuffix(_IMAGE): file for path, file in tree.walk(images).items() if path.endswith(_IMAGE)}
    walked = tree.walk(masks, (".png",))
    readers = {}
    for suffix, new in (
        (f"_{kind}_labelTrainIds.png", {label: label for label in (*range(len(CITYSCAPES)), IGNORE_LABEL)}),
        # Later, and so preferred: these come from the authors, the others from a script that each user runs.
        (f"_{kind}_labelIds.png", TRAIN_IDS),
    ):
        readers.update(_with_suffix(walked, suffix, new))
    examples = []
    for path, file in photographs.items():
        name = path.rpartition("/")[2]
        if path in readers:
            examples.append(Example(name, file, relabelled(*readers[path])))
        elif unlabelled and not readers:
            examples.append(Example(name, file))
        else:
            problems.append(f"{file.path}: no mask {tree.root / masks}/{path}_{kind}_labelIds.png")
    lonely = readers.keys() - photographs.keys()
    problems += [f"{readers[path][0].path}: no image {tree.root / images}/{path}{_IMAGE}" for path in sorted(lonely)]
    return examples


def _with_suffix(
    files: Mapping[str, File], suffix: str, new: Mapping[int, int]
) -> dict[str, tuple[File, Mapping[int, int]]]:
    """The files of a suffix by their path without it, each with the numbers that its labels get."""
    return {path.removesuffix(suffix): (file, new) for path, file in files.items() if path.endswith(suffix)}
