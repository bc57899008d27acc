"""The Oxford-IIIT Pet data set: the animal and its background."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from ...data import IGNORE_LABEL, Classes
from ._download import Download
from ._file import join
from ._plan import Builder, Example, Expected, Plan, read_lines, relabelled, stems, wrong_folder
from ._split import divide
from ._tree import SourceTree

PETS = Classes(("background", "pet"), ((0, 0, 0), (228, 87, 86)))

# A trimap's 1 is the animal, 2 the background, 3 the outline, which its authors call not classified.
_NEW = {1: 1, 2: 0, 3: IGNORE_LABEL}
_URL = "https://thor.robots.ox.ac.uk/~vgg/data/pets"


@dataclass(frozen=True)
class OxfordIIITPet(Builder):
    """Oxford-IIIT Pet: train (the authors' trainval), test, and val on request; downloads itself without a source.

    Two classes, background and pet; the outline between them is ignored. TFDS also has a builder for this data set,
    which needs TensorFlow to repair a few damaged files; this one reads them as they are.

    Args:
      val_fraction: share of trainval that becomes the split val; by default there is none, as in TFDS.
      seed: seed of the choice of val.

    Raises:
      ValueError: `val_fraction` is not in [0, 1).

    Example:
      >>> OxfordIIITPet(val_fraction=0.1).seed
      0
    """

    val_fraction: float = 0.0
    seed: int = 0

    name: ClassVar[str] = "oxford_iiit_pet"
    note: ClassVar[str] = (
        "Oxford-IIIT Pet, cats and dogs; downloads itself (0.8 GB), www.robots.ox.ac.uk/~vgg/data/pets"
    )
    archives: ClassVar[tuple[str, ...]] = ("images.tar*", "annotations.tar*")
    bases: ClassVar[tuple[str, ...]] = ("", "oxford-iiit-pet", "oxford_iiit_pet")
    downloads: ClassVar[Mapping[str, Download]] = {
        "images.tar.gz": Download(
            f"{_URL}/images.tar.gz", "67195c5e1c01f1ab5f9b6a5d22b8c27a580d896ece458917e61d459337fa318d"
        ),
        "annotations.tar.gz": Download(
            f"{_URL}/annotations.tar.gz", "52425fb6de5c424942b7626b428656fcbd798db970a937df61750c0f1d358e91"
        ),
    }

    def __post_init__(self) -> None:
        if not 0 <= self.val_fraction < 1:
            raise ValueError(f"val_fraction must be in [0, 1), got {self.val_fraction}: 0 makes no split val")

    def expected(self) -> tuple[Expected, ...]:
        """The expected content of a source."""
        images, annotations = ((pattern,) for pattern in self.archives)
        return (
            Expected("images/NAME.jpg", ("images",), packed_in=images),
            Expected("annotations/trimaps/NAME.png", ("annotations/trimaps",), packed_in=annotations),
            Expected("annotations/trainval.txt", ("annotations/trainval.txt",), packed_in=annotations),
            Expected("annotations/test.txt", ("annotations/test.txt",), packed_in=annotations),
        )

    def plan(self, tree: SourceTree) -> Plan:
        """Finds the examples, in the order of the authors' lists."""
        base = tree.locate(self.bases, "annotations/trimaps")
        if base is None or not tree.is_folder(join(base, "images")):
            raise wrong_folder(self, tree)
        problems: list[str] = []
        images = stems(tree.files(join(base, "images"), (".jpg", ".jpeg")), problems)
        masks = stems(tree.files(join(base, "annotations/trimaps"), (".png",)), problems)
        splits: dict[str, list[Example]] = {}
        for split, listed in (("train", "trainval"), ("test", "test")):
            file = tree.file(join(base, "annotations", f"{listed}.txt"))
            if file is None:
                raise wrong_folder(self, tree)
            splits[split] = []
            for name in dict.fromkeys(line.split()[0] for line in read_lines(file) if not line.startswith("#")):
                for files, what, path in (
                    (images, "image", f"images/{name}.jpg"),
                    (masks, "mask", f"annotations/trimaps/{name}.png"),
                ):
                    if name not in files:
                        problems.append(f"{tree.root / base / path}: missing {what}, named by {file.path}")
                if name in images and name in masks:
                    splits[split].append(Example(name, images[name], relabelled(masks[name], _NEW)))
        published = {"train": 3680, "test": 3669}
        if self.val_fraction:
            parts = divide(splits["train"], {"val": self.val_fraction}, self.seed)
            if splits["train"] and "val" not in parts:
                problems.append(
                    f"split val is empty: {tree.root / base / 'annotations/trainval.txt'} names {len(splits['train'])} "
                    "example, too few to divide; complete the data set, or leave val_fraction out"
                )
            splits = {**parts, "test": splits["test"]}
            held_out = round(self.val_fraction * published["train"])
            published = {"train": published["train"] - held_out, "val": held_out, "test": published["test"]}
        return Plan(PETS, splits, problems, [], published)
