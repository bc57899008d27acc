"""CelebA: aligned faces, with attributes instead of label maps."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...data import Classes
from ._file import File, join
from ._plan import Builder, Example, Expected, Plan, read_lines, wrong_folder
from ._tree import SourceTree

FACES = Classes(("face",), ((228, 178, 140),))

_FOLDERS = ("img_align_celeba/img_align_celeba", "img_align_celeba", "Img/img_align_celeba")
_PARTITIONS = tuple(
    f"{folder}list_eval_partition.{suffix}" for folder in ("", "Eval/", "Anno/") for suffix in ("txt", "csv")
)
_ATTRIBUTES = tuple(f"{folder}list_attr_celeba.{suffix}" for folder in ("", "Anno/") for suffix in ("txt", "csv"))
_SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Celeba(Builder):
    """CelebA: train, val and test of the authors' partition; whole aligned images, 218 x 178 as published.

    There are no label maps: every pixel is 255. The forty attributes are kept if their list is present, 1 for yes.

    Example:
      >>> Celeba().name
      'celeba'
    """

    name: ClassVar[str] = "celeba"
    note: ClassVar[str] = "CelebA aligned faces, without label maps, mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
    archives: ClassVar[tuple[str, ...]] = ("img_align_celeba*.zip", "Img/img_align_celeba*.zip")
    bases: ClassVar[tuple[str, ...]] = ("", "celeba", "CelebA")

    def expected(self) -> tuple[Expected, ...]:
        """The expected content of a source."""
        return (
            Expected("img_align_celeba/000001.jpg", _FOLDERS),
            Expected("list_eval_partition.txt (or .csv, or in Eval/)", _PARTITIONS, packed_in=()),
            Expected("list_attr_celeba.txt (or .csv, or in Anno/)", _ATTRIBUTES, optional=True),
        )

    def plan(self, tree: SourceTree) -> Plan:
        """Finds the examples, in the order of the partition."""
        folder = tree.locate(join(base, folder) for base in self.bases for folder in _FOLDERS)
        partition = self._file(tree, _PARTITIONS)
        if folder is None or partition is None:
            raise wrong_folder(self, tree)
        images = tree.files(folder, (".jpg", ".jpeg", ".png"))
        problems: list[str] = []
        names, values = _attributes(self._file(tree, _ATTRIBUTES), problems)
        splits: dict[str, list[Example]] = {split: [] for split in _SPLITS}
        for number, line in enumerate(read_lines(partition), 1):
            fields = line.replace(",", " ").split()
            if fields[0] == "image_id":
                continue
            if len(fields) != 2 or fields[1] not in ("0", "1", "2"):
                problems.append(f"{partition.path}: line {number} must be NAME and 0, 1 or 2, is {line!r}")
                continue
            name = fields[0]
            if name not in images:
                problems.append(f"{tree.root / folder / name}: missing, named by {partition.path}")
            elif names and name not in values:
                problems.append(f"{images[name].path}: has no line in the list of attributes")
            else:
                example = Example(name.rpartition(".")[0], images[name], None, values.get(name))
                splits[_SPLITS[int(fields[1])]].append(example)
        published = {"train": 162770, "val": 19867, "test": 19962}
        return Plan(FACES, splits, problems, [], published, attributes=names, has_labels=False)

    def _file(self, tree: SourceTree, paths: tuple[str, ...]) -> File | None:
        found = (tree.file(join(base, path)) for base in self.bases for path in paths)
        return next((file for file in found if file is not None), None)


def _attributes(file: File | None, problems: list[str]) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """The names of the attributes, and uint8 `[A]` for each image."""
    if file is None:
        return (), {}
    lines = [line.replace(",", " ").split() for line in read_lines(file)]
    # The text file begins with a count, the table of Kaggle with the heading image_id.
    if lines and len(lines[0]) == 1:
        lines = lines[1:]
    if not lines:
        problems.append(f"{file.path}: is empty")
        return (), {}
    names = tuple(name for name in lines[0] if name != "image_id")
    values = {}
    for fields in lines[1:]:
        if len(fields) != len(names) + 1 or not set(fields[1:]) <= {"1", "-1", "0"}:
            problems.append(f"{file.path}: {fields[0]} must have {len(names)} values 1 or -1")
        else:
            values[fields[0]] = np.array([field == "1" for field in fields[1:]], np.uint8)
    return names, values
