"""Training curves."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # files only; works without a display

import matplotlib.pyplot as plt

from .comparison import Curve
from .run_files import Json
from .writing import write_figure

# Okabe & Ito: distinct to colour-blind eyes.
_COLORS = ("#000000", "#E69F00", "#0072B2", "#009E73", "#D55E00", "#CC79A7")
# Where methods are more than colours.
_LINES = ("-", "--", ":")


def draw_curves(logs: Mapping[str, Sequence[list[Json]]], panels: Sequence[Curve], path: Path, *, title: str) -> None:
    """Numbers of the logs over the steps, a panel for each; a colour for each method, a line for each seed.

    What is not finite, null in the logs, is a gap.
    """
    figure, row = plt.subplots(1, len(panels), figsize=(5 * len(panels), 4), squeeze=False, layout="constrained")
    last = max((line["step"] for runs in logs.values() for log in runs for line in log), default=1)
    for axes, panel in zip(row[0], panels, strict=True):
        for number, (label, runs) in enumerate(logs.items()):
            repeats, color = divmod(number, len(_COLORS))
            for index, log in enumerate(runs):
                lines = [line for line in log if line["split"] == panel.split and panel.key in line]
                axes.plot(
                    [line["step"] for line in lines],
                    [_value(panel, line) for line in lines],
                    color=_COLORS[color],
                    linestyle=_LINES[repeats % len(_LINES)],
                    label=label if index == 0 else None,
                    linewidth=1.5,
                    # Evaluations are few: a mark shows where they are.
                    **({} if panel.split == "train" else {"marker": "o", "markersize": 4}),
                )
        axes.set(xlabel="step", ylabel=panel.unit, title=panel.title, xlim=(0, 1.03 * last))
        if panel.from_zero:
            axes.set_ylim(0, None)
        axes.grid(alpha=0.3)
    row[0][-1].legend(frameon=False)
    figure.suptitle(title)
    write_figure(path, figure, dpi=150)


def _value(panel: Curve, line: Json) -> float:
    value = line[panel.key]
    return math.nan if value is None else panel.factor * value
