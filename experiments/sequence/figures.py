"""The figure of a comparison: the steps that an output sees."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # files only; works without a display

import matplotlib.pyplot as plt
import numpy as np

from ..common.writing import write_figure

# Of the axis, in %.
_BOTTOM = 1e-4


def draw_fields(fields: Mapping[str, Mapping[str, np.ndarray]], rate: int, path: Path, *, title: str) -> None:
    """Draws receptive fields of the last output, a row for each method: of the last block, and of the network.

    Args:
      fields: by method, `"block"` and `"network"`, not negative, `[T]`.
      rate: dilation rate of the last block.
      path: file to write.
      title: heading.
    """
    panels = {"block": f"block of rate {rate}, from its input", "network": "whole network, from the embedded input"}
    figure, grid = plt.subplots(
        len(fields), 2, figsize=(11, 1.9 * len(fields) + 1.2), sharex=True, squeeze=False, layout="constrained"
    )
    for row, (label, by_name) in zip(grid, fields.items(), strict=True):
        for axes, (name, heading) in zip(row, panels.items(), strict=True):
            share = 100 * by_name[name] / by_name[name].sum()
            lag = np.arange(1 - len(share), 1)
            seen = share > 0
            # A step that is not seen at all has no bar on any scale, so it gets a mark.
            axes.bar(lag[seen], share[seen], width=0.8, color="#0072B2")
            axes.plot(lag[~seen], np.full(np.sum(~seen), 2 * _BOTTOM), "x", color="#D55E00", markersize=3)
            axes.set_yscale("log")
            axes.set_ylim(_BOTTOM, 100)
            axes.grid(alpha=0.3, axis="y")
            axes.set_title(f"{label}: {heading}", fontsize=9)
        row[0].set_ylabel("share (%)")
    for axes in grid[-1]:
        axes.set_xlabel("step, counted from the output")
    figure.suptitle(f"{title}\nshare of each step in the effective receptive field; x: the step is not seen")
    write_figure(path, figure, dpi=150)
