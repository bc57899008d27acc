"""The origin of numbers: seeds, machine, commit and commands of the runs behind a row."""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from ..common.statistics import listed
from .runs import Run

#: The header of the cells that `summary` returns.
SUMMARY = ("seeds", "steps", "initial rate", "s / step", "device", "commit")


def summary(runs: Sequence[Run]) -> tuple[str, ...]:
    """The cells below `SUMMARY`, for runs that differ only in their seeds."""
    config = runs[0].config
    return (
        listed([run.config.seed for run in runs]),
        " to ".join(f"{steps:,}" for steps in sorted({run.steps for run in runs})),
        f"{config.initial_rate:g}",
        f"{np.median([run.seconds_per_step for run in runs]):.3f}",
        "; ".join(dict.fromkeys(f"{run.text('device')}, {run.text('processor')}" for run in runs)),
        "; ".join(dict.fromkeys(_commit(run) for run in runs)),
    )


def made_by(name: str, runs: Sequence[Run]) -> str:
    """The commands behind runs; commands that differ only in the seed become one loop."""
    alike: dict[str, dict[int, str]] = {}
    for run in runs:
        command, seed = str(run.start.get("command", "unknown command")), run.config.seed
        pattern = re.sub(rf"(--seed[ =]|seed){seed}\b", r"\1$seed", command)
        alike.setdefault(pattern, {})[seed] = command
    commands = dict.fromkeys(_loop(pattern, commands) for pattern, commands in alike.items())
    return f"{name}, made by {', '.join(f'`{command}`' for command in commands)}"


def _loop(pattern: str, commands: Mapping[int, str]) -> str:
    if len(set(commands.values())) == 1:
        return next(iter(commands.values()))
    return f"for seed in {' '.join(map(str, sorted(commands)))}; do {pattern}; done"


def _commit(run: Run) -> str:
    """Seven digits of the commit, and the mark of uncommitted changes."""
    commit, *changed = run.text("commit").split(" ", 1)
    return " ".join([commit[:7], *changed])
