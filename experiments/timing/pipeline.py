"""The input pipeline against the demand of a training step."""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image

from smoothjax import data

from ..common.report import align
from .networks import deeplab_demand


def pipeline_table(*, quick: bool) -> tuple[str, list[dict[str, Any]]]:
    """Images per second of the training pipeline, and of a training step, in Markdown and as numbers."""
    size, batches = ((64, 64), 5) if quick else ((360, 480), 40)
    crop = (33, 33) if quick else (321, 321)
    rows = []
    with tempfile.TemporaryDirectory() as root:
        _write_files(Path(root), size, count=8 if quick else 64)
        for name, source, shape in (
            ("drawn shapes", data.ShapesSource(length=2048, size=(97, 97)), (97, 97)),
            ("JPEG and PNG files", data.FolderSource(root, "train", data.SHAPES), crop),
        ):
            width = 8 if quick else 64
            rows.append(
                {
                    "source": name,
                    "crop": list(shape),
                    "images_per_second": _speed(source, shape, batches),
                    "demand": deeplab_demand(shape, width),
                }
            )
    header = ["source", "crop", "images / s", "demand of a DeepLab ResNet-18 step, images / s"]
    cells = [
        [
            row["source"],
            "x".join(map(str, row["crop"])),
            f"{row['images_per_second']:.0f}",
            f"{row['demand']:.1f}",
        ]
        for row in rows
    ]
    return align(header, cells), rows


def _speed(source: data.Source, crop: tuple[int, int], batches: int) -> float:
    """Median over single batches of 8, with two threads, after warm-up."""
    iterator = data.train_iterator(source, augmentation=data.Augmentation(crop), batch_size=8, seed=0)
    for _ in range(4):
        next(iterator)
    seconds = []
    # In bunches, since single batches wait in the buffer.
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
