"""Tables of the results: a row for each case, a table for each method."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smoothjax.files import read_json

from ..common.config import require
from ..common.run_files import Json
from ..common.statistics import Difference, holm, paired_difference, power_text
from ..common.table import align
from .config import BASELINE, LABELS, Case

#: The compared scores, and the digits of their differences. The first is the primary score.
SCORES: Mapping[str, tuple[str, int]] = {
    "mean_iou": ("mean IoU", 1),
    "thin_iou": ("IoU of wires", 1),
    "boundary_iou": ("boundary IoU", 1),
    "isolated": ("isolated pixels %", 2),
}
PRIMARY = "mean_iou"


@dataclass(frozen=True)
class Cell:
    """A method under one condition, against the baseline.

    Attributes:
      case: the condition.
      method: name of the method.
      scores: scores of the method, one value per seed.
      baseline: scores of the baseline.
      differences: by score; None if a class does not occur.
      over_images: the bootstrap interval of the difference of mean IoU; None if the counts of each picture are not
        kept.
      adjusted: the p-value of the difference of each score, adjusted over its family.
    """

    case: Case
    method: str
    scores: Mapping[str, Sequence[float | None]]
    baseline: Mapping[str, Sequence[float | None]]
    differences: Mapping[str, Difference | None]
    over_images: tuple[float, float] | None
    adjusted: Mapping[str, float]

    def is_distinguishable(self, score: str) -> bool:
        """Whether the difference is distinguishable from chance."""
        return self.adjusted.get(score, 1.0) < 0.05


def read_results(path: Path) -> Json:
    """The content of a file of this study."""
    content = read_json(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a JSON object of this study: name a file that compare has written")
    return content


def read_cells(path: Path) -> list[Cell]:
    """The cells of a file, from which every table can be made.

    Raises:
      ValueError: it is not a results.json, is damaged, or holds no case.
    """
    try:
        content = read_results(path)
        cells = cells_of(content)
        if cells:
            tables_of(content)
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is not the results.json of a comparison, or damaged ({error!r}): name one, or repeat the "
            "comparison, which keeps its cases"
        ) from error
    require(bool(cells), f"{path} holds no case: name the results.json of a comparison")
    return cells


def cells_of(content: Json) -> list[Cell]:
    """All methods under all conditions. A family is all tests of one score."""
    found: list[Cell] = []
    for row in content["rows"]:
        case = case_of(row)
        baseline = row["scores"][BASELINE]
        for method, scores in row["scores"].items():
            if method != BASELINE:
                differences = {name: _difference(scores[name], baseline[name]) for name in SCORES}
                interval = row["over_images"][method]
                over_images = None if interval is None else (interval[0], interval[1])
                found.append(Cell(case, method, scores, baseline, differences, over_images, {}))
    families = {
        name: {i: d.p_value for i, cell in enumerate(found) if (d := cell.differences[name]) is not None}
        for name in SCORES
    }
    adjusted = {name: dict(zip(family, holm(list(family.values())), strict=True)) for name, family in families.items()}
    return [
        dataclasses.replace(cell, adjusted={name: family[i] for name, family in adjusted.items() if i in family})
        for i, cell in enumerate(found)
    ]


def case_of(row: Json) -> Case:
    """The condition of a row."""
    return Case(**{**row["case"], "rates": tuple(row["case"]["rates"])})


def _difference(values: Sequence[float | None], baseline: Sequence[float | None]) -> Difference | None:
    pairs = [_defined(values), _defined(baseline)]
    return paired_difference(*pairs)


def _defined(values: Sequence[float | None]) -> dict[int, float]:
    """Values by seed, without seeds in which a class does not occur."""
    return {seed: value for seed, value in enumerate(values) if value is not None and not math.isnan(value)}


def tables_of(content: Json) -> list[str]:
    """A table for each method, and the conclusions."""
    cells, parts = cells_of(content), list[str]()
    for method in dict.fromkeys(cell.method for cell in cells):
        mine = [cell for cell in cells if cell.method == method]
        parts += [f"{LABELS[method]}: differences to the {LABELS[BASELINE]}", _table(mine)]
        parts += _absence(method, mine, cells)
    return [*parts, headline(cells), *conclusions(content)]


def _absence(method: str, mine: Sequence[Cell], cells: Sequence[Cell]) -> list[str]:
    """A sentence about the cases that a method has not been run in; empty if there are none."""
    run = {cell.case for cell in mine}
    missing = [case for case in dict.fromkeys(cell.case for cell in cells) if case not in run]
    if not missing:
        return []
    conditions = "; ".join(
        f"{', '.join(case.front for case in missing if case.condition == condition)} before {condition}"
        for condition in dict.fromkeys(case.condition for case in missing)
    )
    return [
        f"{LABELS[method]} has not been run in {len(missing)} of {len(missing) + len(run)} cases ({conditions}): the "
        f"command of these cases with --methods {method} adds it."
    ]


def headline(cells: Sequence[Cell]) -> str:
    """The primary comparison in a sentence: SS convolution, or the first method, under the first condition."""
    first, method = cells[0].case.condition, cells[0].method
    method = "ss_conv" if any(cell.method == "ss_conv" for cell in cells) else method
    mine = [cell for cell in cells if cell.method == method and cell.case.condition == first]

    def by_front(name: str) -> str:
        digits = SCORES[name][1]
        changes = [(cell.case.front, cell.differences[name]) for cell in mine]
        return ", ".join(f"{change.text(digits)} behind {front}" for front, change in changes if change is not None)

    label = LABELS[method][0].upper() + LABELS[method][1:]
    return (
        f"{label} changes mean IoU, in points, by {by_front(PRIMARY)}; isolated pixels, in percent of all, by "
        f"{by_front('isolated')} ({first})."
    )


def verdict(cells: Sequence[Cell]) -> str:
    """The differences of the primary score that are distinguishable from chance, and where."""
    found = [(cell, d.mean) for cell in cells if (d := cell.differences[PRIMARY]) is not None]

    def where(sign: int) -> str:
        mine = [cell for cell, mean in found if sign * mean > 0 and cell.is_distinguishable(PRIMARY)]
        fronts = " and ".join(dict.fromkeys(cell.case.front for cell in mine))
        return f"{len(mine)} {'above' if sign > 0 else 'below'} 0{f' (behind {fronts})' if mine else ''}"

    return f"Of {len(found)} differences of mean IoU, significant (Holm): {where(1)}, {where(-1)}."


def _table(cells: Sequence[Cell]) -> str:
    header = [
        "before the dilated layers",
        "condition",
        "mean IoU of the baseline",
        "mean IoU",
        "other images",
        "p",
        *(title for name, (title, _) in SCORES.items() if name != PRIMARY),
        "zeros seen %",
        "phase imbalance",
    ]
    return align(header, [_row(cell) for cell in cells])


def _row(cell: Cell) -> list[str]:
    p = cell.adjusted[PRIMARY]
    texts = {}
    for name, (_, digits) in SCORES.items():
        difference = cell.differences[name]
        texts[name] = "-" if difference is None else difference.text(digits) + " *" * cell.is_distinguishable(name)
    return [
        cell.case.front,
        cell.case.condition,
        f"{np.mean(list(_defined(cell.baseline[PRIMARY]).values())):.1f}",
        texts.pop(PRIMARY),
        "-" if cell.over_images is None else "[{:+.1f}, {:+.1f}]".format(*cell.over_images),
        f"{p:.3f}" if p >= 0.001 else "< 0.001",
        *texts.values(),
        *(_before_and_after(cell, name, digits) for name, digits in (("zeros", 0), ("imbalance", 2))),
    ]


def _before_and_after(cell: Cell, name: str, digits: int) -> str:
    """As in "75 -> 0"; a dash if no seed has the score."""
    ends = (list(_defined(scores[name]).values()) for scores in (cell.baseline, cell.scores))
    return " -> ".join(f"{np.mean(end):.{digits}f}" if end else "-" for end in ends)


def conclusions(content: Json) -> list[str]:
    """How to read the tables, the differences distinguishable from chance, and the power of the study."""
    cells = cells_of(content)
    differences = [d for cell in cells if (d := cell.differences[PRIMARY]) is not None]
    pairs = min(d.pairs for d in differences)
    return [
        f"Means over {pairs} paired seeds, in brackets the 95 % intervals: Student's t over seeds, and for other "
        "images a bootstrap within seeds. A star marks what is distinguishable from chance after Holm's correction "
        f"over all {len(differences)} tests of that score in these tables; p is that of mean IoU, the primary score.",
        verdict(cells),
        power_text(differences, *SCORES[PRIMARY], effect=0.5),
        "Baseline -> method: zeros seen is the share of pixels without weight in the rectangle that the central output "
        "sees; phase imbalance is how unevenly its weight is spread over the phases of rate 2: 0 evenly, 1 on one.",
    ]
