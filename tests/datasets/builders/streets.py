"""A user's own folder in miniature: twenty streets with masks of three classes."""

from collections.abc import Sequence
from pathlib import Path

from smoothjax import data
from tests.datasets.archives import jpeg, labels, pixels, png

NAMES = [f"street {i:02d}" for i in range(20)]
IMAGES = {name: jpeg(pixels(i)) for i, name in enumerate(NAMES)}
LABELS = {name: labels(i, [0, 1, 2, 255]) for i, name in enumerate(NAMES)}
CLASSES = b"road: [1, 2, 3]\ncar: [4, 5, 6]\nsky: [7, 8, 9]\n"


def files(
    images: str = "images", masks: str = "labels", palette: bool = False, names: Sequence[str] = NAMES
) -> dict[str, bytes]:
    """The content of the folder, by path."""
    return {
        **{f"{images}/{name}.jpg": IMAGES[name] for name in names},
        **{f"{masks}/{name}.png": png(LABELS[name], palette) for name in names},
    }


def names(out: Path, split: str) -> list[str]:
    """The names in a prepared split."""
    source = data.PreparedSource(out, split)
    return [source.name(i) for i in range(len(source))]
