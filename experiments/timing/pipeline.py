"""The speed of the input pipeline beside the demand of a training step."""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image

from smoothjax import data

from ..common.report import align
from .networks import deeplab_demand

#: Every augmentation at the strength of ordinary use.
EVERYTHING = data.Strengths(0.4, 0.4, 0.4, 0.1, 0.4, blur=1.5, jpeg=40, rotate=10.0, balanced=0.5)


class Whole:
    """A source whose images are always decoded at full size."""

    def __init__(self, source: data.Source):
        self._source, self.classes = source, source.classes
        self.name, self.size = source.name, source.size

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int, /) -> data.Record:
        return self._source[index]


def pipeline_table(
    *, quick: bool, images: data.Source | None = None, title: str = ""
) -> tuple[str, list[dict[str, Any]]]:
    """Images per second of the training pipeline, and of a training step, in Markdown and as numbers.

    Args:
      quick: whether to use small images and few batches.
      images: images from `open_images`, instead of generated files.
      title: the name of these images in the table.
    """
    size, batches = ((64, 64), 5) if quick else ((360, 480), 40)
    with tempfile.TemporaryDirectory() as folder:
        files = images
        if files is None:
            _write_files(Path(folder), size, count=8 if quick else 64)
            files, title = data.FolderSource(folder, "train", data.SHAPES), "JPEG and PNG files"
        # Each size of crop needs a network compiled for it.
        crops = ((17, 17),) * 4 if quick else ((97, 97), (161, 161), (321, 321), (241, 321))
        drawn, small, large, street = crops
        plain = data.Strengths()
        cases = [
            ("drawn shapes", data.ShapesSource(length=2048, size=(97, 97)), 1.0, drawn, plain),
            (title, files, 1.0, large, plain),
            (f"{title}, decoded whole", Whole(files), 0.5, small, plain),
            (f"{title}, decoded smaller", files, 0.5, small, plain),
            (f"{title}, decoded whole", Whole(files), 0.25, small, plain),
            (f"{title}, decoded smaller", files, 0.25, small, plain),
            (title, files, 1.0, street, plain),
            (f"{title}, rotated, balanced, all colours varied", files, 1.0, street, EVERYTHING),
        ]
        demand = {crop: deeplab_demand(crop, 8 if quick else 64) for crop in {case[3] for case in cases}}
        rows = [
            {
                "source": name,
                "scale": scale,
                "crop": list(crop),
                "images_per_second": _speed(source, scale, crop, batches, strengths),
                "demand": demand[crop],
            }
            for name, source, scale, crop, strengths in cases
        ]
    header = ["source", "scale", "crop", "images / s", "demand of a DeepLab ResNet-18 step, images / s"]
    cells = [
        [
            row["source"],
            f"{row['scale']:g}",
            "x".join(map(str, row["crop"])),
            f"{row['images_per_second']:.0f}",
            f"{row['demand']:.1f}",
        ]
        for row in rows
    ]
    return align(header, cells), rows


def open_images(root: Path | None) -> data.Source | None:
    """Opens the split train of a folder, prepared or {split}/{images,labels}, and reads its first example.

    Raises:
      ValueError: the folder holds no such images, or the first example cannot be read.
    """
    if root is None:
        return None
    # Speed does not depend on the classes.
    every = data.Classes(tuple(f"class {label}" for label in range(255)), data.default_colors(255))
    prepared = data.is_prepared(root)
    source = data.PreparedSource(root, "train") if prepared else data.FolderSource(root, "train", every)
    source[0]
    return source


def _speed(source: data.Source, scale: float, crop: tuple[int, int], batches: int, strengths: data.Strengths) -> float:
    """Images per second after warm-up, with two threads, batches of 8, and random scales of 0.5 to 1.5 times `scale`.

    The result follows from the median time of groups of eight batches.
    """
    augmentation = data.Augmentation(crop, scale_range=(0.5 * scale, 1.5 * scale), strengths=strengths)
    iterator = data.train_iterator(source, augmentation=augmentation, batch_size=8, seed=0)
    for _ in range(4):
        next(iterator)
    seconds = []
    # In groups, because single batches wait in the buffer.
    for _ in range(max(3, batches // 8)):
        start = time.perf_counter()
        for _ in range(8):
            next(iterator)
        seconds.append((time.perf_counter() - start) / 64)
    return 1 / statistics.median(seconds)


def _write_files(root: Path, size: tuple[int, int], count: int) -> None:
    source = data.ShapesSource(length=count, size=size)
    for kind in ("images", "labels"):
        (root / "train" / kind).mkdir(parents=True)
    for index in range(count):
        record = source[index]
        Image.fromarray(record["image"]).save(root / "train/images" / f"{index}.jpg", quality=90)
        Image.fromarray(record["label"]).save(root / "train/labels" / f"{index}.png")
