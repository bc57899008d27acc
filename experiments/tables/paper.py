"""Tables of the papers beside ours: for every row the published scores, ours, and the command that made them."""

from collections.abc import Iterable, Sequence

import numpy as np

from ..common.recipe import table_title
from ..common.table import deviation
from .formats import Table
from .hyperparameters import RATE, SPLIT, hyperparameters, mismatches
from .rows import Row, rows
from .runs import Run
from .summary import SUMMARY, made_by, summary

_SCORED = "val"
# Largest number of mismatches listed for a run that fills no row.
_LISTED = 4

_NAMED = ("init.source", "init.checkpoint")
_START = (*_NAMED, "init.sha256", SPLIT)

Filled = Sequence[tuple[Row, list[Run]]]


def paper_tables(names: Iterable[str], runs: Sequence[Run]) -> tuple[list[Table], list[str]]:
    """Each table of scores, a table of its runs or of the commands that would make them, and remarks."""
    tables = []
    for name in names:
        filled = [(row, belonging(row, runs)) for row in rows() if row.recipe.table == name]
        tables += [_scores(name, filled), _runs(name, filled)]
    return tables, _strays(runs)


def belonging(row: Row, runs: Sequence[Run]) -> list[Run]:
    """The runs of a row, by seed."""
    wanted = row.expected
    known = [(run, hyperparameters(run.config, run.data)) for run in runs if run.config.study == row.config.study]
    return sorted((run for run, found in known if not mismatches(found, wanted)), key=lambda run: run.config.seed)


def run_scores(run: Run) -> dict[str, float]:
    """The known scores of a run in percent, by the columns of the papers."""
    columns = {score.title: run.score(_SCORED, score) for score in run.config.scores}
    return run.class_scores(_SCORED) | {title: found for title, found in columns.items() if found is not None}


def by_weights(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Runs by training split and by the published weights that they start from: both differ by more than a seed."""
    found: dict[tuple[object, ...], list[Run]] = {}
    for run in runs:
        mine = hyperparameters(run.config, run.data)
        found.setdefault(tuple(mine.get(name) for name in _START), []).append(run)
    if len(found) == 1:
        return {"ours": list(runs)}
    # Always show kind and name, the others only where they distinguish two groups.
    shown = [name in _NAMED or len({key[i] for key in found}) > 1 for i, name in enumerate(_START)]
    words = {key: [str(v) for v, show in zip(key, shown, strict=True) if show and v is not None] for key in found}
    return {", ".join(["ours", *filter(None, [" ".join(words[key])])]): same for key, same in found.items()}


def _scores(name: str, filled: Filled) -> Table:
    """Four lines per row: published, our mean over seeds, its standard deviation, and the difference."""
    columns = list(filled[0][0].scores)
    lines = []
    for row, runs in filled:
        digits = row.recipe.digits
        lines.append((row.model, "published", *(f"{row.scores[column]:.{digits}f}" for column in columns)))
        for label, same in by_weights(runs).items() or [("ours", [])]:
            ours = [run_scores(run) for run in same]
            values = {column: [scores[column] for scores in ours if column in scores] for column in columns}
            lines.append(("", label, *(_mean(values[column], digits) for column in columns)))
            if len(same) > 1:
                lines.append(("", "± over seeds", *(deviation(values[column], digits) for column in columns)))
            if same:
                lines.append(("", "difference", *(_difference(values[x], row.scores[x], digits) for x in columns)))
    parts = dict.fromkeys(row.recipe.title for row, _ in filled)
    notes = (f"{'; '.join(parts)}. In percent, on val, once per image.",)
    return Table(table_title(name), ("model", "", *columns), tuple(lines), notes)


def _runs(name: str, filled: Filled) -> Table:
    """The runs behind each row."""
    lines, notes = [], []
    for row, runs in filled:
        if not runs:
            lines.append((row.model, "none", "-", f"{row.expected[RATE]:g}", "-", "-", "-"))
            notes.append(f"{row.model}, no run yet; fill it with `{row.command}`")
            continue
        for same in by_weights(runs).values():
            lines.append((row.model, *summary(same)))
            notes.append(made_by(row.model, same))
        missing = [run for run in runs if set(row.scores) - set(run_scores(run))]
        notes += [f"{run.name} lacks scores of each class; add them with `{run.evaluate(_SCORED)}`" for run in missing]
    return Table(f"Runs of {table_title(name)}", ("model", *SUMMARY), tuple(lines), tuple(notes))


def _mean(values: Sequence[float], digits: int) -> str:
    return f"{np.mean(values):.{digits}f}" if values else "-"


def _difference(values: Sequence[float], reference: float, digits: int) -> str:
    return f"{np.mean(values) - reference:+.{digits}f}" if values else "-"


def _strays(runs: Sequence[Run]) -> list[str]:
    """Remarks about runs that fill no row but share data set and method with one: how they differ from the nearest."""
    wanted, remarks = [(row, row.expected) for row in rows()], []
    for run in runs:
        mine = hyperparameters(run.config, run.data)
        near = [
            (mismatches(mine, expected), row)
            for row, expected in wanted
            if all(mine.get(key) == expected[key] for key in ("study", "data.name"))
            and run.config.method == row.config.method
        ]
        if near and all(lines for lines, _ in near):
            lines, row = min(near, key=lambda pair: len(pair[0]))
            more = f"; and {len(lines) - _LISTED} more" if len(lines) > _LISTED else ""
            remarks.append(f"{run.name} fills no row; from {row.name} it differs in {'; '.join(lines[:_LISTED])}{more}")
    return remarks
