"""The figure of effective receptive fields, ten times enlarged."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # files only; works without a display

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from ..run_files import Json
from ..writing import write_figure
from .fields import Field, box

#: Pixels per cell, as in the paper.
ENLARGEMENT = 10
#: Smallest share of the largest weight with its own colour; smaller nonzero weights get the last colour.
FLOOR = 1e-6
# Without its dark end: black is zero.
COLORS = ListedColormap(plt.get_cmap("viridis")(np.linspace(0.22, 1, 256))).with_extremes(
    bad="black", under=plt.get_cmap("viridis")(0.22)
)


def draw(
    fields: Sequence[Field],
    rows: Sequence[Json],
    path: Path,
    *,
    title: str,
    note: str,
    cell: int = 8,
    outline: str = "around the theoretical receptive field",
) -> None:
    """Draws the fields side by side, each cell as 10x10 pixels; zero weights are black.

    All panels show the same cells, each of `cell` pixels of the image: the rectangle around everything that is
    connected. An outline marks the connected part of each field.
    """
    window = _window(fields)
    height, width = (ENLARGEMENT * (part.stop - part.start) for part in window)
    # Text grows with the maps: even the smallest stays legible next to them.
    letter = max(11.0, width / 34)
    pitch = max(width + 3 * letter, 19 * letter)
    left, top, bottom = 5 * letter, 7.2 * letter, 6 * letter
    # Room on the right for the colour bar.
    total, high = round(left + len(fields) * pitch + 7 * letter), round(top + height + bottom)
    figure = plt.figure(figsize=(total / 100, high / 100), dpi=100)
    sizes: dict[str, Any] = {"fontsize": letter * 0.72}  # a point is 1/72 inch
    figure.text(0.5, 1 - 1.6 * letter / high, title, ha="center", va="center", fontsize=letter * 0.95)
    figure.text(0.5, 1 - 3.1 * letter / high, note, ha="center", va="center", color="0.35", **sizes)
    image: Any = None
    unit = f"cells of {cell} pixels" if cell > 1 else "pixels"
    for index, (field, row) in enumerate(zip(fields, rows, strict=True)):
        start = round(left + index * pitch + (pitch - width - 3 * letter) / 2)
        axes = figure.add_axes((start / total, round(bottom) / high, width / total, height / high))
        image = _panel(axes, field, window)
        axes.set_title(
            f"{field.label}\n{row['support']:,} seen, {100 * row['zero_share']:.0f} % zeros inside",
            **sizes,
        )
        axes.set_xlabel(f"offset, {unit}", **sizes)
        axes.tick_params(labelsize=letter * 0.65)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(6, integer=True))
        if index == 0:
            axes.set_ylabel("offset", **sizes)
    bar = figure.add_axes(((total - 6 * letter) / total, round(bottom) / high, letter / total, height / high))
    figure.colorbar(image, bar, extend="min").set_label("share of the largest weight", **sizes)
    bar.tick_params(labelsize=letter * 0.65)
    handles = [
        Patch(facecolor="black", label="zero weight"),
        Line2D([], [], color="0.5", linestyle="--", label=outline),
    ]
    figure.legend(handles=handles, loc="lower center", ncols=2, frameon=False, **sizes)
    write_figure(path, figure, dpi=100)


def _panel(axes: Any, field: Field, window: tuple[slice, slice]) -> Any:
    shown = field.values[window]
    top, left = (part.start - size // 2 - 0.5 for part, size in zip(window, field.values.shape, strict=True))
    extent = (left, left + shown.shape[1], top + shown.shape[0], top)
    # Enlarged here, so that every cell has its pixels exactly.
    enlarged = np.kron(shown / field.values.max(), np.ones((ENLARGEMENT, ENLARGEMENT)))
    image = axes.imshow(
        np.ma.masked_equal(enlarged, 0), cmap=COLORS, norm=LogNorm(FLOOR, 1), extent=extent, interpolation="none"
    )
    rows, columns = box(field.connected)
    corner = (columns.start - field.values.shape[1] // 2 - 0.5, rows.start - field.values.shape[0] // 2 - 0.5)
    size = (columns.stop - columns.start, rows.stop - rows.start)
    axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor="0.75", linestyle="--", linewidth=0.8))
    return image


def _window(fields: Sequence[Field]) -> tuple[slice, slice]:
    """The rectangle around all theoretical fields, with a margin of one cell if there is room."""
    boxes = [box(field.connected) for field in fields]
    shape = np.min([field.values.shape for field in fields], 0)
    rows, columns = (
        slice(
            max(0, min(b[axis].start for b in boxes) - 1), min(int(shape[axis]), max(b[axis].stop for b in boxes) + 1)
        )
        for axis in (0, 1)
    )
    return rows, columns
