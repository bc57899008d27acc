"""The figure of predictions."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # files only; works without a display

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Patch

from smoothjax import data


def draw_predictions(
    source: data.Source, masks: Mapping[str, Mapping[int, np.ndarray]], path: Path, *, title: str
) -> None:
    """Images, labels and the masks of each method, a row for each image, with the classes below."""
    indices = sorted(next(iter(masks.values())))
    if not indices:
        return
    white = (255, 255, 255)
    columns = ["image", "labels", *masks]
    height, width = source.size(indices[0])
    cell = 1.7
    figure, grid = plt.subplots(
        len(indices),
        len(columns),
        figsize=(cell * len(columns), cell * len(indices) * height / width + 1.3),
        squeeze=False,
        layout="constrained",
    )
    for row, index in zip(grid, indices, strict=True):
        record = source[index]
        label = record["label"]
        predictions = [data.colorize(masks[method][index], source.classes) for method in masks]
        pictures = [record["image"], data.colorize(label, source.classes, white), *predictions]
        for axes, picture in zip(row, pictures, strict=True):
            axes.imshow(picture, interpolation="nearest")
            axes.set_axis_off()
    for axes, name in zip(grid[0], columns, strict=True):
        axes.set_title(name, fontsize=9)
    patches = [
        Patch(facecolor=(red / 255, green / 255, blue / 255), edgecolor="grey", label=name)
        for name, (red, green, blue) in zip(source.classes.names, source.classes.colors, strict=True)
    ]
    patches.append(Patch(facecolor="white", edgecolor="grey", label="ignored"))
    figure.legend(handles=patches, loc="outside lower center", ncols=min(6, len(patches)), fontsize=8, frameon=False)
    figure.suptitle(title)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def side_by_side(source: data.Source, index: int, mask: np.ndarray) -> np.ndarray:
    """An image, its labels and a mask in one picture, uint8 `[H, 3 W, 3]`."""
    record = source[index]
    labels = data.colorize(record["label"], source.classes, (255, 255, 255))
    return np.concatenate([record["image"], labels, data.colorize(mask, source.classes)], axis=1)
