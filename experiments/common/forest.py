"""A table of paired differences as a picture: a mean and its interval for each method and score."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # files only; works without a display

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import blended_transform_factory

from .statistics import LEVEL, Difference, holm
from .table import Score
from .writing import write_figure

# Okabe & Ito: distinct to colour-blind eyes, and of different brightness in grey. The position of a mark repeats it.
_BETTER, _WORSE, _OPEN = "#0072B2", "#D55E00", "0.35"
# Behind text, so that no line runs through it.
_PAPER = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}


@dataclass(frozen=True)
class Row:
    """A method, or a case, against its baseline.

    Attributes:
      label: its name.
      differences: by the title of their score; unknown ones are left out. distinguishable: titles of the scores in
        which it is distinguishable from chance.
    """

    label: str
    differences: Mapping[str, Difference]
    distinguishable: Collection[str] = ()


@dataclass(frozen=True)
class Block:
    """Rows that are one comparison, with its heading."""

    title: str
    rows: Sequence[Row]


def rows_of(differences: Mapping[str, Sequence[Difference | None]], shown: Sequence[Score]) -> list[Row]:
    """A row for each label; each score has one family of tests over these rows (Holm).

    Args:
      differences: by label, one per score; None if unknown.
      shown: the scores.
    """
    distinguishable: dict[str, set[str]] = {label: set() for label in differences}
    for index, score in enumerate(shown):
        family = {label: pair for label, found in differences.items() if (pair := found[index]) is not None}
        adjusted = holm([pair.p_value for pair in family.values()])
        for label, p in zip(family, adjusted, strict=True):
            if p < 1 - LEVEL:
                distinguishable[label].add(score.title)
    return [
        Row(
            label,
            {score.title: pair for score, pair in zip(shown, found, strict=True) if pair is not None},
            distinguishable[label],
        )
        for label, found in differences.items()
    ]


def message(differences: Iterable[Row], score: Score, baseline: str) -> str:
    """How many differences of a score are distinguishable from chance."""
    rows = [row for row in differences if score.title in row.differences]
    better = [
        row
        for row in rows
        if score.title in row.distinguishable and (row.differences[score.title].mean > 0) != score.lower
    ]
    counts = {"better": len(better), "worse": sum(score.title in row.distinguishable for row in rows) - len(better)}
    counted = " and ".join(f"{count} {'is' if count == 1 else 'are'} {word}" for word, count in counts.items() if count)
    tests = f"Of {len(rows)} difference{'s' * (len(rows) != 1)} in {score.title} to the baseline"
    tests = f"{tests}, {baseline}" if baseline != "baseline" else tests
    others = len(rows) - sum(counts.values())
    rest = f"; the other{' is' if others == 1 else 's are'} not distinguishable from chance" if others else ""
    return f"{tests}, {counted}{rest}" if counted else f"{tests}, none is distinguishable from chance"


def draw_forest(blocks: Sequence[Block], scores: Sequence[Score], path: Path, *, title: str, note: str) -> None:
    """Draws a panel for each score: rows of all blocks below one another, a mark at the mean, a bar over its interval.

    Marks are filled where a difference is distinguishable from chance; a cross is a single pair, which has no interval.

    Args:
      blocks: the comparisons.
      scores: the panels, by the titles of the differences.
      path: the file to write.
      title: the title of the figure.
      note: a line below it, such as the number of distinguishable differences and of tests.
    """
    places, headings, place = list[tuple[float, Row]](), list[tuple[float, str]](), 0.0
    for block in blocks:
        headings.append((place, block.title))
        places += [(place + 1 + index, row) for index, row in enumerate(block.rows)]
        place += 1.4 + len(block.rows)
    # Text needs most of the room: labels on the left, a mean and its interval in each panel.
    left = 0.3 + 0.075 * max((len(row.label) for _, row in places), default=0)
    longest = max((len(heading) for _, heading in headings), default=0)
    width, height = max(left + 2.9 * len(scores), 0.3 + 0.095 * longest), 1.75 + 0.36 * place
    figure, grid = plt.subplots(1, len(scores), figsize=(width, height), sharey=True, squeeze=False)
    top, bottom = 1 - 0.75 / height, 0.95 / height
    figure.subplots_adjust(left=left / width, right=1 - 0.12 / width, top=top, bottom=bottom, wspace=0.06)
    for axes, score in zip(grid[0], scores, strict=True):
        _panel(axes, places, score)
    first = grid[0][0]
    first.set_ylim(place - 0.4, -0.7)
    first.set_yticks([y for y, _ in places], [row.label for _, row in places], fontsize=9)
    for y, heading in headings:
        # Over all panels, beginning where labels may.
        across = blended_transform_factory(figure.transFigure, first.transData)
        text = figure.text(0.12 / width, y, heading, transform=across, fontsize=9, fontweight="bold", va="center")
        text.set_bbox(_PAPER)
    figure.suptitle(title, fontsize=11, y=1 - 0.22 / height, va="center")
    figure.text(0.5, 1 - 0.52 / height, note, ha="center", va="center", fontsize=8, color="0.3")
    marks = {_color(row, score) for _, row in places for score in scores if score.title in row.differences}
    handles = [
        *(
            Line2D([], [], marker="o", color=color, label=f"{word}, significant (Holm)")
            for word, color in (("better", _BETTER), ("worse", _WORSE))
            if color in marks
        ),
        Line2D(
            [],
            [],
            marker="o",
            color=_OPEN,
            markerfacecolor="white",
            label=f"not significant; bars: {100 * LEVEL:g} % intervals",
        ),
    ]
    if any(d.half_width is None for _, row in places for d in row.differences.values()):
        handles.append(Line2D([], [], marker="x", color=_OPEN, linestyle="", label="one pair: no interval"))
    figure.legend(handles=handles, loc="lower center", ncols=len(handles), fontsize=8, frameon=False)
    write_figure(path, figure, dpi=130)


def _color(row: Row, score: Score) -> str:
    if score.title not in row.distinguishable:
        return _OPEN
    return _WORSE if (row.differences[score.title].mean < 0) != score.lower else _BETTER


def _panel(axes: Axes, places: Sequence[tuple[float, Row]], score: Score) -> None:
    axes.axvline(0, color="0.5", linewidth=0.8)
    beside = blended_transform_factory(axes.transAxes, axes.transData)
    for y, row in places:
        found = row.differences.get(score.title)
        if found is None:
            continue
        color = _color(row, score)
        axes.errorbar(
            found.mean,
            y,
            xerr=found.half_width,
            fmt="x" if found.half_width is None else "o",
            color=color,
            markerfacecolor="white" if color == _OPEN else color,
            markersize=5,
            linewidth=1.4,
        )
        text = axes.text(0.985, y - 0.36, found.text(score.digits), transform=beside, ha="right", va="center")
        text.set(fontsize=6.5, color="0.3", bbox=_PAPER)
    axes.margins(x=0.08)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_xlabel(f"{score.title}: {'← better' if score.lower else 'better →'}", fontsize=9)
