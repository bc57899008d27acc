"""Training curves."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # files only; works without a display

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from .comparison import Curve
from .run_files import EXAMPLES_KEY, Json
from .writing import write_figure

# Okabe & Ito: distinct to colour-blind eyes. Lines and marks also differ, for prints in grey.
_COLORS = ("#000000", "#E69F00", "#0072B2", "#009E73", "#D55E00", "#CC79A7")
_LINES = ("-", "--", "-.", ":")
_MARKS = ("o", "s", "^", "D", "v", "P", "X")
#: Fewer evaluations than this are points: a line between two would suggest values that were not measured.
_FEWEST = 3

Logs = Mapping[str, Sequence[list[Json]]]


def draw_curves(logs: Logs, panels: Sequence[Curve], path: Path, *, title: str) -> None:
    """Numbers of the logs over the steps, a panel for each; a colour for each method, a line for each seed.

    Values that are not finite, null in the logs, leave a gap. Scores on different numbers of examples are never joined:
    the number with the most evaluations makes the curve, the others are open marks. If every run has one evaluation,
    the panel shows the scores method by method.
    """
    figure, row = plt.subplots(1, len(panels), figsize=(5 * len(panels), 4.3), squeeze=False, layout="constrained")
    last = max((line["step"] for runs in logs.values() for log in runs for line in log), default=1)
    for axes, panel in zip(row[0], panels, strict=True):
        found = {label: [_lines(log, panel) for log in runs] for label, runs in logs.items()}
        axes.set_title(panel.title)
        axes.grid(alpha=0.3)
        if panel.split != "train" and all(len(lines) < 2 for runs in found.values() for lines in runs):
            _scores(axes, found, panel)
        else:
            _curves(axes, found, panel)
            axes.set(xlabel="step", ylabel=panel.unit, xlim=(0, 1.03 * last))
            if panel.from_zero:
                axes.set_ylim(0, None)
    handles = [Line2D([], [], label=label, **_style(number)) for number, label in enumerate(logs)]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)), frameon=False)
    figure.suptitle(title)
    write_figure(path, figure, dpi=150)


def _curves(axes: Axes, found: Mapping[str, Sequence[list[Json]]], panel: Curve) -> None:
    counts = [line.get(EXAMPLES_KEY) for runs in found.values() for lines in runs for line in lines]
    usual = max(counts, key=counts.count, default=None)
    others = list(dict.fromkeys(count for count in counts if count != usual))
    for number, runs in enumerate(found.values()):
        for lines in runs:
            for apart in (False, True):
                mine = [line for line in lines if (line.get(EXAMPLES_KEY) != usual) == apart]
                style = _style(number)
                if panel.split == "train" and len(mine) > 1:
                    style["marker"] = ""
                elif apart or len(mine) < _FEWEST:
                    style["linestyle"] = ""
                if apart:
                    style |= {"markerfacecolor": "white", "markersize": 7}
                axes.plot([line["step"] for line in mine], [_value(panel, line) for line in mine], **style)
    if others and usual is not None:
        on = " and ".join(map(str, others))
        axes.set_title(f"{panel.title}, on {usual} examples (open: on {on})", fontsize=10)


def _scores(axes: Axes, found: Mapping[str, Sequence[list[Json]]], panel: Curve) -> None:
    """The only score of each run, a line of marks for each method."""
    for number, runs in enumerate(found.values()):
        values = [_value(panel, line) for lines in runs for line in lines]
        axes.plot(values, [number] * len(values), **{**_style(number), "linestyle": ""})
    steps = sorted({line["step"] for runs in found.values() for lines in runs for line in lines})
    after = f" after step {' or '.join(f'{step:,}' for step in steps)}" if steps else ""
    axes.set_yticks(range(len(found)), list(found))
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.margins(x=0.1)
    axes.set_xlabel(f"{panel.unit}{after}")


def _style(number: int) -> Json:
    return {
        "color": _COLORS[number % len(_COLORS)],
        "linestyle": _LINES[number % len(_LINES)],
        "marker": _MARKS[number % len(_MARKS)],
        "markersize": 5,
        "linewidth": 1.5,
    }


def _lines(log: Sequence[Json], panel: Curve) -> list[Json]:
    return [line for line in log if line["split"] == panel.split and panel.key in line]


def _value(panel: Curve, line: Json) -> float:
    value = line[panel.key]
    return math.nan if value is None else panel.factor * value
