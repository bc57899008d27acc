"""Tables of the papers beside ours: of every row the published scores, ours, and the command behind them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .cells import TITLES, Cell, cells
from .facts import SPLIT, differences, expected, facts
from .formats import Table
from .runs import Run
from .scores import SCORES, by_class, value
from .statistics import deviation, listed

_SPLIT = "val"
# So many differences to a row at most are told of a run that belongs to none.
_TOLD = 4

_NAMED = ("init.source", "init.checkpoint")
_ONE_START = (*_NAMED, "init.sha256", SPLIT)

#: What is told of the runs behind a number.
SUMMARY = ("seeds", "steps", "initial rate", "s / step", "device", "commit")

Rows = Sequence[tuple[Cell, list[Run]]]


def paper_tables(names: Iterable[str], runs: Sequence[Run]) -> tuple[list[Table], list[str]]:
    """The scores of each table and, below them, its runs or the commands that would make them; and remarks."""
    tables = []
    for name in names:
        mine = [(cell, belonging(cell, runs)) for cell in cells() if cell.setting.table == name]
        tables += [_scores(name, mine), _runs(name, mine)]
    return tables, _strangers(runs)


def belonging(cell: Cell, runs: Sequence[Run]) -> list[Run]:
    """The runs of a row, by seed."""
    wanted = expected(cell)
    known = [(run, facts(run.config, run.data)) for run in runs if run.config.study == cell.setting.study]
    mine = [run for run, found in known if not differences(found, wanted)]
    return sorted(mine, key=lambda run: run.config.seed)


def run_scores(run: Run) -> dict[str, float]:
    """Scores of a run in percent by the columns of the papers, as far as they are known."""
    columns = {score.title: value(run, _SPLIT, score) for score in SCORES[run.config.study]}
    return by_class(run, _SPLIT) | {title: found for title, found in columns.items() if found is not None}


def _scores(name: str, mine: Rows) -> Table:
    """Four lines a row: published, ours as a mean over seeds, its standard deviation, and the difference."""
    columns = list(mine[0][0].scores)
    rows = []
    for cell, runs in mine:
        digits = cell.setting.digits
        rows.append((cell.row, "published", *(f"{cell.scores[column]:.{digits}f}" for column in columns)))
        for label, same in by_weights(runs).items() or [("ours", [])]:
            ours = [run_scores(run) for run in same]
            values = {column: [scores[column] for scores in ours if column in scores] for column in columns}
            rows.append(("", label, *(_mean(values[column], digits) for column in columns)))
            if len(same) > 1:
                rows.append(("", "± over seeds", *(deviation(values[column], digits) for column in columns)))
            if same:
                rows.append(("", "difference", *(_difference(values[x], cell.scores[x], digits) for x in columns)))
    parts = dict.fromkeys(cell.setting.title for cell, _ in mine)
    notes = (f"{'; '.join(parts)}. In percent, on val, once per image.",)
    return Table(f"{TITLES[name]}", ("model", "", *columns), tuple(rows), notes)


def by_weights(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Runs by the published weights that they start from: what differs between two of them is not a spread of seeds.

    So for what a run of an earlier version has not kept: its split, and the digest of its weights.
    """
    found: dict[tuple[Any, ...], list[Run]] = {}
    for run in runs:
        mine = facts(run.config, run.data)
        found.setdefault(tuple(mine.get(name) for name in _ONE_START), []).append(run)
    if len(found) == 1:
        return {"ours": list(runs)}
    # Kind and name are always told, the others where they tell two groups apart.
    told = [name in _NAMED or len({key[i] for key in found}) > 1 for i, name in enumerate(_ONE_START)]
    words = {key: [str(v) for v, tell in zip(key, told, strict=True) if tell and v is not None] for key in found}
    return {", ".join(["ours", *filter(None, [" ".join(words[key])])]): same for key, same in found.items()}


def _runs(name: str, mine: Rows) -> Table:
    """What is behind each row."""
    rows, notes = [], []
    for cell, runs in mine:
        if not runs:
            rate = f"{expected(cell)['initial rate']:g}"
            rows.append((cell.row, "none", "-", rate, "-", "-", "-"))
            notes.append(f"{cell.row}, no run yet; fill it with `{cell.command()}`")
            continue
        for same in by_weights(runs).values():
            rows.append((cell.row, *summary(same)))
            notes.append(made_by(cell.row, same))
        missing = [run for run in runs if set(cell.scores) - set(run_scores(run))]
        notes += [f"{run.name} lacks scores of each class; add them with `{run.evaluate(_SPLIT)}`" for run in missing]
    return Table(f"Runs of {TITLES[name]}", ("model", *SUMMARY), tuple(rows), tuple(notes))


def summary(runs: Sequence[Run]) -> tuple[str, ...]:
    """What `SUMMARY` heads, of runs that differ in their seeds alone."""
    device = "; ".join(
        dict.fromkeys(f"{run.start.get('device', 'unknown')}, {run.start.get('processor', 'unknown')}" for run in runs)
    )
    config = runs[0].config
    return (
        listed([run.config.seed for run in runs]),
        f"{config.steps:,}",
        f"{facts(config)['initial rate']:g}",
        f"{np.median([run.seconds_per_step for run in runs]):.3f}",
        device,
        "; ".join(dict.fromkeys(_commit(run) for run in runs)),
    )


def made_by(name: str, runs: Sequence[Run]) -> str:
    """The commands behind runs; those that differ in the seed alone are one loop."""
    alike: dict[str, dict[int, str]] = {}
    for run in runs:
        command, seed = run.start.get("command", "unknown command"), run.config.seed
        pattern = re.sub(rf"(--seed[ =]|seed){seed}\b", r"\1$seed", command)
        alike.setdefault(pattern, {})[seed] = command
    told = dict.fromkeys(_loop(pattern, commands) for pattern, commands in alike.items())
    return f"{name}, made by {', '.join(f'`{command}`' for command in told)}"


def _loop(pattern: str, commands: Mapping[int, str]) -> str:
    if len(set(commands.values())) == 1:
        return next(iter(commands.values()))
    return f"for seed in {' '.join(map(str, sorted(commands)))}; do {pattern}; done"


def _commit(run: Run) -> str:
    commit, *changed = (run.start.get("commit") or "unknown").split(" ", 1)
    return " ".join([commit[:7] if commit != "unknown" else commit, *changed])


def _mean(values: Sequence[float], digits: int) -> str:
    return f"{np.mean(values):.{digits}f}" if values else "-"


def _difference(values: Sequence[float], reference: float, digits: int) -> str:
    return f"{np.mean(values) - reference:+.{digits}f}" if values else "-"


def _strangers(runs: Sequence[Run]) -> list[str]:
    """Of the runs with a recipe's data set and method that belong to no row, in what they differ from the nearest."""
    rows, remarks = [(cell, expected(cell)) for cell in cells()], []
    for run in runs:
        mine = facts(run.config, run.data)
        near = [
            (differences(mine, wanted), cell)
            for cell, wanted in rows
            if all(mine.get(key) == wanted[key] for key in ("study", "data.name")) and run.config.method == cell.method
        ]
        if near and all(lines for lines, _ in near):
            lines, cell = min(near, key=lambda pair: len(pair[0]))
            more = f"; and {len(lines) - _TOLD} more" if len(lines) > _TOLD else ""
            remarks.append(f"{run.name} fills no row; from {cell.name} it differs in {'; '.join(lines[:_TOLD])}{more}")
    return remarks
