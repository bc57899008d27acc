"""Shared parts of the figures of maps: units as coloured squares."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: One colour for each group, distinct with any colour vision (Okabe and Ito); four for rate 2, nine for rate 3.
GROUPS = np.array(
    [
        *([0.00, 0.45, 0.70], [0.90, 0.62, 0.00], [0.00, 0.62, 0.45], [0.80, 0.47, 0.65]),
        *([0.34, 0.71, 0.91], [0.84, 0.37, 0.00], [0.74, 0.68, 0.05], [0.45, 0.20, 0.55], [0.45, 0.45, 0.45]),
    ]
)
INK = "0.15"


def canvas(axes: "Axes", width: float, height: float) -> None:
    """Units of one square each, the origin at the upper left, without axes."""
    axes.set(xlim=(-0.1, width + 0.1), ylim=(height + 0.1, -0.1), aspect="equal")
    axes.set_axis_off()


def cells(
    axes: "Axes", colours: np.ndarray, at: tuple[float, float] = (0, 0), scale: float = 1, line: float = 0.8
) -> None:
    """Draws colours `[H, W, 3]` as squares of a side, the upper left corner at (x, y)."""
    colours = np.asarray(colours)
    height, width = colours.shape[:2]
    x, y = np.arange(width + 1) * scale + at[0], np.arange(height + 1) * scale + at[1]
    axes.pcolormesh(x, y, colours, edgecolor="white", linewidth=line)


def frame(axes: "Axes", at: tuple[float, float], width: float, height: float) -> None:
    """A black rectangle that stands out on any colour."""
    from matplotlib.patches import Rectangle

    for colour, line in (("white", 4.5), ("black", 2.0)):
        axes.add_patch(Rectangle(at, width, height, fill=False, edgecolor=colour, linewidth=line, zorder=3))


def phases(height: int, width: int, rate: int) -> np.ndarray:
    """The group of every position: its phase in the block, in row-major order."""
    return rate * (np.arange(height) % rate)[:, None] + np.arange(width) % rate


def tinted(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The colour of the group, paler for smaller values: `[..., 3]`."""
    values = np.asarray(values, np.float64)
    span = values.max() - values.min()
    strength = 0.25 + 0.75 * (values - values.min()) / (span if span > 0 else 1)
    return 1 - strength[..., None] * (1 - GROUPS[groups])
