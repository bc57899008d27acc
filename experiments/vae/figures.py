"""Grids of images, and figures of a comparison, without resampling, which would hide or make checkerboards."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # files only; works without a display

import matplotlib.pyplot as plt
import numpy as np

from ..common.writing import write_figure

_DPI = 100
_GAP = 2


def grid(images: np.ndarray, columns: int, scale: int = 2) -> np.ndarray:
    """Puts images side by side, white between them, every pixel `scale` times as large.

    Args:
      images: uint8 `[N, H, W, 3]`.
      columns: images in a row; the last row may be shorter.
      scale: pixels of the result per pixel of an image, along each axis.

    Returns:
      uint8 `[rows * (scale * H + gap) - gap, columns * (scale * W + gap) - gap, 3]`.
    """
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    large = images.repeat(scale, 1).repeat(scale, 2)
    height, width = large.shape[1] + _GAP, large.shape[2] + _GAP
    canvas = np.full((rows * height - _GAP, columns * width - _GAP, 3), 255, np.uint8)
    for index, image in enumerate(large):
        top, left = index // columns * height, index % columns * width
        canvas[top : top + height - _GAP, left : left + width - _GAP] = image
    return canvas


def pairs(originals: np.ndarray, reconstructions: np.ndarray, columns: int = 8) -> np.ndarray:
    """Rows of originals, each above the row of their reconstructions; uint8, as `grid`."""
    columns, blocks = min(columns, len(originals)), []
    for start in range(0, len(originals), columns):
        both = [part[start : start + columns] for part in (originals, reconstructions)]
        white = np.full((columns - len(both[0]), *originals.shape[1:]), 255, np.uint8)
        blocks += [row for part in both for row in (part, white)]
    return grid(np.concatenate(blocks), columns)


def draw_strips(strips: Mapping[str, np.ndarray], path: Path, *, title: str) -> None:
    """Grids below one another, their names on the left."""
    margin, head, gap = 190, 44, 10
    width = margin + max(strip.shape[1] for strip in strips.values()) + gap
    height = head + sum(strip.shape[0] + gap for strip in strips.values())
    figure = plt.figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
    figure.text(0.5, 1 - 0.5 * head / height, title, ha="center", va="center", fontsize=12)
    top = head
    for label, strip in strips.items():
        bottom = height - top - strip.shape[0]
        axes = figure.add_axes(
            (margin / width, bottom / height, strip.shape[1] / width, strip.shape[0] / height), frameon=False
        )
        axes.imshow(strip, interpolation="none", aspect="auto")
        axes.set_axis_off()
        figure.text((margin - gap) / width, (bottom + strip.shape[0] / 2) / height, label, ha="right", va="center")
        top += strip.shape[0] + gap
    write_figure(path, figure, dpi=_DPI)
