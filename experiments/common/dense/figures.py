"""The figure of predictions."""

from collections.abc import Mapping
from pathlib import Path
from textwrap import wrap

import matplotlib

matplotlib.use("Agg")  # files only; works without a display

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Patch

from smoothjax import data

from ..writing import write_figure


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
    records = [source[index] for index in indices]
    ignored = any((record["label"] == data.IGNORE_LABEL).any() for record in records)
    names = [*source.classes.names, *["ignored"] * ignored]
    # Room below the images for a patch and the longest name, at 8 points.
    legend_columns = max(1, min(6, len(names), int(cell * len(columns) / (0.55 + 0.07 * max(map(len, names))))))
    legend_rows = -(-len(names) // legend_columns)
    figure, grid = plt.subplots(
        len(indices),
        len(columns),
        figsize=(cell * len(columns), cell * len(indices) * height / width + 0.9 + 0.2 * legend_rows),
        squeeze=False,
        layout="constrained",
    )
    for row, index, record in zip(grid, indices, records, strict=True):
        label = record["label"]
        predictions = [data.colorize(masks[method][index], source.classes) for method in masks]
        pictures = [data.to_rgb(record["image"]), data.colorize(label, source.classes, white), *predictions]
        for axes, picture in zip(row, pictures, strict=True):
            axes.imshow(picture, interpolation="nearest")
            axes.set_axis_off()
    for axes, name in zip(grid[0], columns, strict=True):
        axes.set_title(name, fontsize=9)
    colors = [*source.classes.colors, white][: len(names)]
    patches = [
        Patch(facecolor=(red / 255, green / 255, blue / 255), edgecolor="grey", label=name)
        for name, (red, green, blue) in zip(names, colors, strict=True)
    ]
    figure.legend(handles=patches, loc="outside lower center", ncols=legend_columns, fontsize=8, frameon=False)
    # Of 11 points, some nine letters fit into an inch.
    figure.suptitle("\n".join(wrap(title, int(9 * cell * len(columns)))), fontsize=11)
    write_figure(path, figure, dpi=150)


def draw_legend(classes: data.Classes, path: Path) -> None:
    """The colour, number and name of every class, as in masks and overlays."""
    labels = [f"{index} {name}" for index, name in enumerate(classes.names)]
    columns = 1 + (len(labels) - 1) // 12
    longest = max(map(len, labels))
    size = (columns * (0.7 + 0.085 * longest), 0.2 + 0.24 * -(-len(labels) // columns))
    figure = plt.figure(figsize=size)
    patches = [
        Patch(facecolor=f"#{bytes(color).hex()}", edgecolor="grey", label=label)
        for label, color in zip(labels, classes.colors, strict=True)
    ]
    figure.legend(handles=patches, loc="center", ncols=columns, fontsize=9, frameon=False)
    write_figure(path, figure, dpi=110)


def side_by_side(source: data.Source, index: int, mask: np.ndarray) -> np.ndarray:
    """An image, its labels and a mask in one picture, uint8 `[H, 3 W, 3]`."""
    record = source[index]
    labels = data.colorize(record["label"], source.classes, (255, 255, 255))
    return np.concatenate([data.to_rgb(record["image"]), labels, data.colorize(mask, source.classes)], axis=1)
