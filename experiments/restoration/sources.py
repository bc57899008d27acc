"""Sources of pairs of degraded and clean images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from smoothjax import data

from .config import DataConfig

SPLITS = ("train", "val", "test")
_PERIOD = 10
_LISTED = 10


class Restorable(Protocol):
    """A split: records of `"clean"`, and of `"image"`, the degraded one, unless it is to be made; uint8."""

    problems: tuple[str, ...]
    """Problems with the names of its files."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> data.Record: ...

    def name(self, index: int, /) -> str:
        """A name for people."""
        ...

    def size(self, index: int, /) -> tuple[int, int]:
        """Height and width in pixels, without decoding the image."""
        ...


class Shapes:
    """Drawn shapes, to which haze is added."""

    problems: tuple[str, ...] = ()

    def __init__(self, config: DataConfig, split: str):
        length = config.train_images if split == "train" else config.val_images
        self._source = data.ShapesSource(length=length, size=config.image_size, split=split)

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int, /) -> data.Record:
        return {"clean": self._source[index]["image"]}

    def name(self, index: int, /) -> str:
        """Split, seed and index."""
        return self._source.name(index)

    def size(self, index: int, /) -> tuple[int, int]:
        """The same for all."""
        return self._source.size(index)


class Files:
    """Image files: only clean ones, or degraded and clean ones of the same names.

    Args:
      files: the files of all examples, by the name of the record's entry.
      problems: problems with their names.
    """

    def __init__(self, files: dict[str, Sequence[Path]], problems: tuple[str, ...] = ()):
        self._files, self.problems = files, problems

    def __len__(self) -> int:
        return len(self._files["clean"])

    def __repr__(self) -> str:
        return f"{len(self)} images of {self._files['clean'][0].parent}"

    def __getitem__(self, index: int, /) -> data.Record:
        """Reads the files of an example. Raises InvalidDataError with all their problems."""
        record, sizes, problems = {}, {}, []
        for read, found in ((data.read_size, sizes), (data.read_image, record)):
            # Sizes are compared before an image is decoded.
            if problems or len({*sizes.values()}) > 1:
                break
            for entry, paths in self._files.items():
                try:
                    found[entry] = read(paths[index])
                except (ValueError, FileNotFoundError) as error:
                    problems.append(str(error))
        if len({*sizes.values()}) > 1:
            degraded, clean = (f"{sizes[entry][0]} x {sizes[entry][1]}" for entry in ("image", "clean"))
            problems.append(
                f"{self._files['image'][index]}: the degraded image is {degraded} pixels high and wide, the clean one "
                f"{clean}; make them the same"
            )
        if problems:
            raise data.InvalidDataError(tuple(problems))
        return record

    def name(self, index: int, /) -> str:
        """The name of the file, without its ending."""
        return self._files["clean"][index].stem

    def size(self, index: int, /) -> tuple[int, int]:
        """Height and width of the upright image, from the header."""
        return data.read_size(self._files["clean"][index])

    def file_sizes(self, index: int, /) -> tuple[int, ...]:
        """Sizes of the files of an example in bytes."""
        return tuple(paths[index].stat().st_size for paths in self._files.values())


def open_source(config: DataConfig, split: str) -> Restorable:
    """A split of the data set; the error says what is missing if it cannot be opened.

    Raises:
      FileNotFoundError: a folder is missing.
      ValueError: there is no such split, no folder is given, or nothing is in it.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    if config.name == "shapes":
        return Shapes(config, split)
    if config.root is None:
        pairs = "{train,val,test}/{degraded,clean} with images of the same names"
        what = pairs if config.name == "folder" else "clean images, in {train,val,test} or all together"
        raise ValueError(f"name the images: --data.root FOLDER, a folder of {what}")
    return _paired(config.root, split) if config.name == "folder" else _clean(config.root, split)


def _paired(root: Path, split: str) -> Files:
    folders = {"degraded": root / split / "degraded", "clean": root / split / "clean"}
    missing = [str(folder) for folder in folders.values() if not folder.is_dir()]
    if missing:
        there = sorted(path.parent.name for path in root.glob("*/degraded"))
        raise FileNotFoundError(
            f"split {split!r} of {root} is incomplete: no folder {' and no folder '.join(missing)}; expected are "
            "{train,val,test}/{degraded,clean} with images of the same names"
            + (f" (splits there: {', '.join(there)})" if there else "")
        )
    problems: list[str] = []
    degraded, clean = (_by_stem(folder, problems) for folder in folders.values())
    for kind, other, lonely in (
        ("degraded", "clean", sorted(degraded.keys() - clean.keys())),
        ("clean", "degraded", sorted(clean.keys() - degraded.keys())),
    ):
        if lonely:
            names = ", ".join(lonely[:_LISTED]) + (", ..." if len(lonely) > _LISTED else "")
            problems.append(
                f"{root / split}: {len(lonely)} of {kind}/ without an image of that name in {other}/ ({names}); add or "
                "remove files until the names agree"
            )
    both = sorted(degraded.keys() & clean.keys())
    if not both and not problems:
        raise ValueError(f"{root / split}: the split is empty; put images into degraded/ and clean/")
    return Files({"image": [degraded[s] for s in both], "clean": [clean[s] for s in both]}, tuple(problems))


def _clean(root: Path, split: str) -> Files:
    if not root.is_dir():
        raise FileNotFoundError(f"--data.root {root}: no such folder")
    place = next((p for p in (root / split / "clean", root / split / "images", root / split) if p.is_dir()), None)
    if place is None and any((root / other).is_dir() for other in SPLITS):
        raise FileNotFoundError(f"split {split!r} of {root} is missing: make the folder {root / split}")
    paths, problems = data.list_images(root if place is None else place)
    if place is None:
        # A name's position in the list decides, so the same folder always gives the same splits.
        kept = {"val": (0,), "test": (1,), "train": range(2, _PERIOD)}[split]
        paths = [path for position, path in enumerate(paths) if position % _PERIOD in kept]
    if not paths and not problems:
        raise ValueError(
            f"split {split!r} of {root} has no images: put some ({', '.join(s[1:] for s in data.IMAGE_SUFFIXES)}) into "
            f"{place or f'it, {_PERIOD} or more, or into {root / split}'}"
        )
    return Files({"clean": paths}, tuple(problems))


def _by_stem(folder: Path, problems: list[str]) -> dict[str, Path]:
    """Images by name; `problems` gets a line for every shared name and for every file left out."""
    paths, left_out = data.list_images(folder)
    problems += left_out
    return data.by_stem(paths, problems)
