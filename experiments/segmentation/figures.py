"""The figures of a comparison."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # files only; works without a display

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Patch

from smoothjax import data

# Okabe & Ito: distinct to colour-blind eyes.
_COLORS = ("#000000", "#E69F00", "#0072B2", "#009E73", "#D55E00", "#CC79A7")


def draw_curves(curves: Mapping[str, Sequence[list[dict[str, Any]]]], path: Path, *, title: str) -> None:
    """Training loss and validation mean IoU over the steps; a colour for each method, a line for each seed."""
    figure, (loss, iou) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for (label, logs), color in zip(curves.items(), _COLORS * len(curves), strict=False):
        for index, log in enumerate(logs):
            style = {"color": color, "label": label if index == 0 else None, "linewidth": 1.5}
            train = [(line["step"], line["loss"]) for line in log if line["split"] == "train"]
            val = [(line["step"], 100 * line["mean_iou"]) for line in log if line["split"] == "val"]
            loss.plot(*zip(*train, strict=True), **style)
            iou.plot(*zip(*val, strict=True), marker="o", markersize=4, **style)
    loss.set(xlabel="step", ylabel="cross entropy (nats per pixel)", title="Training loss", ylim=(0, None))
    iou.set(xlabel="step", ylabel="mean IoU (%)", title="Validation mean IoU", ylim=(0, None))
    iou.legend(frameon=False)
    for axes in (loss, iou):
        axes.grid(alpha=0.3)
    figure.suptitle(title)
    figure.savefig(path, dpi=150)
    plt.close(figure)


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
