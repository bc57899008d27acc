"""Images side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # files only; works without a display

import matplotlib.pyplot as plt
import numpy as np

from ..common.writing import write_figure

_DPI = 150
# The longer side of an image in the figure, in inches.
_SMALLEST, _LARGEST = 1.7, 6.0


def draw_columns(columns: Mapping[str, Sequence[np.ndarray]], path: Path, *, title: str) -> None:
    """Draws a column of images under each name, uint8 `[H, W, 3]`; those of a row belong together.

    Images are reduced where they are larger than what a figure is good for; small ones are drawn pixel by pixel.
    """
    rows = list(zip(*columns.values(), strict=True))
    longest = max(max(image.shape[:2]) for row in rows for image in row)
    cell = min(max(longest / _DPI, _SMALLEST), _LARGEST)
    heights = [cell * max(image.shape[0] for image in row) / longest for row in rows]
    width = cell * max(image.shape[1] for row in rows for image in row) / longest
    figure, grid = plt.subplots(
        len(rows),
        len(columns),
        figsize=(len(columns) * (width + 0.1), sum(heights) + 0.1 * len(rows) + 0.65),
        squeeze=False,
        height_ratios=heights,
        layout="constrained",
    )
    for axes_row, row in zip(grid, rows, strict=True):
        for axes, image in zip(axes_row, row, strict=True):
            axes.imshow(image)
            axes.set_axis_off()
    for axes, name in zip(grid[0], columns, strict=True):
        axes.set_title(name, fontsize=9)
    figure.suptitle(title, fontsize=11)
    write_figure(path, figure, dpi=_DPI)
