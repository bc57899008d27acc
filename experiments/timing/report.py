"""The table and the bar chart of a measurement."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # files only; works without a display

import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ..common.report import align
from ..common.writing import write_figure
from .measure import Row


def make_table(rows: Sequence[Row]) -> str:
    """A Markdown table: milliseconds of both peers, their ratio, and the paper's ratio if there is one."""
    published = any(row.published for row in rows)
    header = ["compared", "size", "part", "ours, ms", "reference, ms", "ratio", *(["published"] if published else [])]
    cells = []
    for row in rows:
        line = [row.title, row.size, row.part, f"{row.ours:.2f}", f"{row.reference:.2f}", f"{row.ratio:.3g}"]
        cells.append(line + ([f"{row.published:.2f}" if row.published else "-"] if published else []))
    return align(header, cells)


def draw_bars(rows: Sequence[Row], path: Path, *, title: str) -> None:
    """Draws ratios as bars on a logarithmic axis; 1 is the reference."""
    parts = list(dict.fromkeys(row.part for row in rows))
    cases = list(dict.fromkeys((row.title, row.size) for row in rows))
    colors = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")  # Okabe & Ito: distinct to colour-blind eyes
    figure, axes = plt.subplots(figsize=(9, 1.2 + 0.45 * len(cases)), layout="constrained")
    marks = []
    for part, color in zip(parts, colors, strict=False):
        mine = [row for row in rows if row.part == part]
        places = []
        for row in mine:
            beside = [other.part for other in rows if (other.title, other.size) == (row.title, row.size)]
            places.append(cases.index((row.title, row.size)) + 0.4 * (beside.index(part) - (len(beside) - 1) / 2))
        bars = axes.barh(places, [row.ratio for row in mine], 0.4, color=color, label=part)
        # On white, because a line crosses some numbers.
        white = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
        axes.bar_label(bars, [f"{row.ratio:.3g}" for row in mine], fontsize=7, padding=2, bbox=white)
        marks += [(row.published, place) for row, place in zip(mine, places, strict=True) if row.published]
    if marks:
        axes.plot(*zip(*marks, strict=True), "k|", markersize=10, markeredgewidth=2, label="published")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.15)
    axes.set_yticks(range(len(cases)), [f"{name}\n{size}" for name, size in cases], fontsize=7)
    axes.invert_yaxis()
    axes.set(xlabel="time / time of the reference (lower is faster)", title=title)
    axes.legend(frameon=False, fontsize=8, loc="best")
    write_figure(path, figure, dpi=150)
