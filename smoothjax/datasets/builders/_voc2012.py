"""PASCAL VOC 2012, and its augmented training set."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ...data import VOC2012
from ._file import File, join
from ._plan import Builder, Example, Expected, Mask, Plan, mask_of, read_lines, stems, wrong_folder
from ._tree import SourceTree

_DEVKIT, _AUGMENTED = ("VOCtrainval*.tar",), "SegmentationClassAug*.zip"  # archives
_LISTS = "ImageSets/Segmentation"
_BOUNDARIES = ("cls", "SBD/cls", "dataset/cls", "benchmark_RELEASE/dataset/cls")


@dataclass(frozen=True)
class Voc2012(Builder):
    """PASCAL VOC 2012: train, val, test and train_aug.

    `train_aug` is the set of 10,582 images that most papers train on: those of the Semantic Boundaries Dataset (SBD)
    and of VOC's own train set, without VOC's val. It comes from the masks in `SegmentationClassAug` or from SBD's
    `cls/*.mat`; an image that VOC itself has labelled keeps VOC's mask. Without the list of val there is no
    `train_aug`: val would be in it. In `test` no pixel is labelled.

    Example:
      >>> Voc2012().name
      'voc2012'
    """

    name: ClassVar[str] = "voc2012"
    note: ClassVar[str] = "PASCAL VOC 2012 and its augmented train set, host.robots.ox.ac.uk/pascal/VOC/voc2012"
    archives: ClassVar[tuple[str, ...]] = (*_DEVKIT, "VOC2012test*.tar", _AUGMENTED, "benchmark*.tgz")
    bases: ClassVar[tuple[str, ...]] = ("", "VOC2012", "VOCdevkit/VOC2012")

    def expected(self) -> tuple[Expected, ...]:
        """The expected content of a source."""
        return (
            Expected("VOCdevkit/VOC2012/", ("JPEGImages", "ImageSets", "SegmentationClass"), packed_in=_DEVKIT),
            Expected("  JPEGImages/NAME.jpg", ("JPEGImages",), packed_in=_DEVKIT),
            Expected(
                "  ImageSets/Segmentation/train.txt, val.txt",
                (f"{_LISTS}/train.txt", f"{_LISTS}/val.txt"),
                packed_in=_DEVKIT,
            ),
            Expected("  ImageSets/Segmentation/test.txt", (f"{_LISTS}/test.txt",), optional=True),
            Expected(
                "  SegmentationClass/NAME.png",
                ("SegmentationClass", "SegmentationClassAug"),
                packed_in=(*_DEVKIT, _AUGMENTED),
            ),
            Expected("SegmentationClassAug/NAME.png, augmented masks", ("SegmentationClassAug",), optional=True),
            Expected("or cls/NAME.mat, augmented masks of SBD", _BOUNDARIES, optional=True),
        )

    def plan(self, tree: SourceTree) -> Plan:
        """Finds the examples in the layout of the devkit."""
        base = tree.locate(self.bases, "JPEGImages")
        if base is None:
            raise wrong_folder(self, tree)
        lists = {split: _names(tree, base, split) for split in ("train", "val", "test")}
        lists["train_aug"] = _names(tree, base, "train_aug") or _names(tree, base, "trainaug")
        places = list(dict.fromkeys((base, *self.bases)))
        problems: list[str] = []
        own = _masks(tree.files(join(base, "SegmentationClass"), (".png",)), problems)
        augmented = _masks(_first(tree, places, ("SegmentationClassAug",), ".png"), problems)
        # A val image that VOC's masks lack must not get the coarser one of SBD.
        labelled = {**augmented, **own}
        more = augmented or _masks(_first(tree, places, _BOUNDARIES, ".mat"), problems)
        if not any(lists.values()) or not labelled:
            raise wrong_folder(self, tree)

        warnings = [f"no {_LISTS}/{split}.txt: without split {split}" for split in ("train", "val") if not lists[split]]
        if more and not lists["val"]:
            warnings.append(f"no {_LISTS}/val.txt: without split train_aug, which could not be kept free of val")
        images = stems(tree.files(join(base, "JPEGImages"), (".jpg", ".jpeg")), problems)
        find = _Finder(str(tree.root / base), images, problems)
        splits = {split: find.examples(split, lists[split], labelled) for split in ("train", "val") if lists[split]}
        if any(name in images for name in lists["test"]):
            splits["test"] = find.examples("test", lists["test"], None)
        if more and lists["val"]:
            names = lists["train_aug"] or sorted({*more, *lists["train"]})
            held_out = set(lists["val"])
            names = [name for name in names if name not in held_out]
            splits["train_aug"] = find.examples("train_aug", names, {**more, **labelled})
        published = {"train": 1464, "val": 1449, "test": 1456, "train_aug": 10582}
        return Plan(VOC2012, splits, problems, warnings, published)


@dataclass(frozen=True)
class _Finder:
    root: str
    images: Mapping[str, File]
    problems: list[str]

    def examples(self, split: str, names: list[str], labels: Mapping[str, Mask] | None) -> list[Example]:
        """The named examples; adds a line to `problems` for each that lacks a file. No labels: none is labelled."""
        found = []
        for name in names:
            if name not in self.images:
                self.problems.append(f"{self.root}/JPEGImages/{name}.jpg: missing, named by split {split}")
            elif labels is not None and name not in labels:
                self.problems.append(f"{self.root}/SegmentationClass/{name}.png: missing mask, named by split {split}")
            else:
                found.append(Example(name, self.images[name], None if labels is None else labels[name]))
        return found


def _names(tree: SourceTree, base: str, split: str) -> list[str]:
    """The names in a list of images, none if there is no list."""
    file = tree.file(join(base, _LISTS, f"{split}.txt"))
    # Some augmented lists hold two paths a line: /JPEGImages/NAME.jpg /SegmentationClassAug/NAME.png.
    lines = [] if file is None else [line.split()[0].rpartition("/")[2] for line in read_lines(file)]
    return list(dict.fromkeys(line.removesuffix(".jpg") for line in lines))


def _first(tree: SourceTree, bases: list[str], folders: tuple[str, ...], suffix: str) -> dict[str, File]:
    """The files of the first folder that has any."""
    listed = (tree.files(join(base, folder), (suffix,)) for base in bases for folder in folders)
    return next((files for files in listed if files), {})


def _masks(files: Mapping[str, File], problems: list[str]) -> dict[str, Mask]:
    """The masks, by the names of their images."""
    named = stems(files, problems)
    return {stem: _boundaries_mask(f) if f.path.endswith(".mat") else mask_of(f) for stem, f in named.items()}


def _boundaries_mask(file: File) -> Mask:
    """The classes of a file of SBD, `GTcls.Segmentation`."""

    def read() -> np.ndarray:
        from scipy.io import loadmat

        try:
            content: Any = loadmat(io.BytesIO(file.read()), variable_names=["GTcls"])
            return np.asarray(content["GTcls"]["Segmentation"][0, 0], np.uint8)
        # SciPy raises errors of many types for a damaged file.
        except Exception as error:
            raise ValueError(
                f"{file.path}: cannot be read as a mask of SBD, GTcls.Segmentation ({error}); download it again"
            ) from error

    return Mask(file.path, read)
