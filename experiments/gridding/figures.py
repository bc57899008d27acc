"""Figures: where degridding helps, and by how much, as a heat map and with every interval."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # files only; works without a display

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import Normalize

from ..common.forest import Block, Row, draw_forest, message
from ..common.table import Score
from ..common.writing import write_figure
from .config import LABELS
from .report import SCORES, Cell

#: The rows of panels, and whether more is better.
_SHOWN = {"mean_iou": True, "isolated": False}
_TITLE = "Difference to the baseline, by what stands before the dilated layers"


def draw_heat_map(cells: Sequence[Cell], path: Path) -> None:
    """Draws a panel for each method and score: conditions in rows, the layers before the dilated ones in columns.

    Orange is better than the baseline, purple worse, colours that are distinct to colour-blind eyes; differences that
    are not distinguishable from chance are in brackets.
    """
    methods = list(dict.fromkeys(cell.method for cell in cells))
    fronts = list(dict.fromkeys(cell.case.front for cell in cells))
    conditions = list(dict.fromkeys(cell.case.condition for cell in cells))
    size = (3.4 + 2.9 * len(methods), 1.8 + 2 * (0.8 + 0.52 * len(conditions)))
    figure, axes = plt.subplots(len(_SHOWN), len(methods), figsize=size, squeeze=False, layout="constrained")
    for line, (score, more) in zip(axes, _SHOWN.items(), strict=True):
        title, digits = SCORES[score]
        limit = max((abs(d.mean) for cell in cells if (d := cell.differences[score]) is not None), default=0) or 1.0
        image: Any = None
        for panel, method in zip(line, methods, strict=True):
            mine = [cell for cell in cells if cell.method == method]
            values = np.full((len(conditions), len(fronts)), np.nan)
            panel.set_facecolor("0.85")
            for cell in mine:
                place = conditions.index(cell.case.condition), fronts.index(cell.case.front)
                difference = cell.differences[score]
                if difference is None:
                    continue
                values[place] = difference.mean
                mean, _, interval = difference.text(digits).partition(" ")
                dark = abs(difference.mean) > 0.6 * limit
                panel.text(
                    *reversed(place),
                    f"{mean if cell.is_distinguishable(score) else f'({mean})'}\n{interval}",
                    ha="center",
                    va="center",
                    fontsize=7,
                    color="white" if dark else "black",
                )
            colors = "PuOr_r" if more else "PuOr"
            image = panel.imshow(values, cmap=colors, norm=Normalize(-limit, limit), aspect="auto")
            panel.set_xticks(range(len(fronts)), fronts, fontsize=8)
            panel.set_yticks(range(len(conditions)), conditions if panel is line[0] else [""] * len(conditions))
            panel.tick_params(labelsize=8, length=0)
            panel.set_title(f"{LABELS[method]}: {title}", fontsize=9)
        figure.colorbar(image, ax=line.tolist(), shrink=0.8).ax.tick_params(labelsize=8)
    figure.suptitle(_TITLE, fontsize=10)
    missing = len(cells) < len(methods) * len(fronts) * len(conditions)
    figure.supxlabel(
        "Orange: better. Below each difference its 95 % interval over seeds. (In round brackets: not "
        f"distinguishable from chance, over all tests.){' Grey: not run.' * missing}",
        fontsize=8,
    )
    write_figure(path, figure, dpi=130)


def draw_differences(cells: Sequence[Cell], path: Path) -> None:
    """Draws every difference to the baseline with its interval: a block for each method and condition."""
    blocks = dict[tuple[str, str], list[Row]]()
    for cell in cells:
        differences = {SCORES[name][0]: found for name, found in cell.differences.items() if found is not None}
        significant = [SCORES[name][0] for name in SCORES if cell.is_distinguishable(name)]
        rows = blocks.setdefault((cell.method, cell.case.condition), [])
        rows.append(Row(f"behind {cell.case.front}", differences, significant))
    shown = [
        Score(title, (name,), digits=digits, lower=not _SHOWN.get(name, True))
        for name, (title, digits) in SCORES.items()
    ]
    found = [Block(f"{LABELS[method]}: {condition}", rows) for (method, condition), rows in blocks.items()]
    note = "by what stands before the dilated layers; significant: over all tests of a score in this figure (Holm)"
    title = message((row for block in found for row in block.rows), shown[0], "baseline")
    draw_forest(found, shown, path, title=title, note=note)
