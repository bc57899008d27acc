"""Collects finished runs from folders and from files of results."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..common.run_files import CONFIG_FILE
from .hyperparameters import hyperparameters
from .runs import Run, read_run
from .stored import load


@dataclass(frozen=True)
class Found:
    """The runs in some folders and files.

    Attributes:
      runs: finished runs, each configuration with each seed once.
      remarks: sentences that name each run or file left out, and the reason.
    """

    runs: tuple[Run, ...]
    remarks: tuple[str, ...]


def find(places: Sequence[Path]) -> Found:
    """Reads all runs below the folders, at any depth, and all runs in the JSON files.

    Raises:
      FileNotFoundError: there is no such folder or file.
      ValueError: a file holds no results.
    """
    runs: list[Run] = []
    remarks: list[str] = []
    for place in places:
        if not place.exists():
            raise FileNotFoundError(f"{place} does not exist: name folders of runs, or files of results (--json)")
        if place.is_dir():
            read = (read_run(path.parent, remarks) for path in sorted(place.rglob(CONFIG_FILE)))
            runs += [run for run in read if run is not None]
        else:
            runs += load(place, remarks)
    return Found(_unique(runs, remarks), tuple(remarks))


def _unique(runs: Iterable[Run], remarks: list[str]) -> tuple[Run, ...]:
    """Keeps each configuration with each seed once: a result counted twice would make the spread too small."""
    kept: dict[str, Run] = {}
    for run in runs:
        key = json.dumps([hyperparameters(run.config, run.data), run.config.seed], sort_keys=True, default=str)
        if key in kept:
            remarks.append(f"{run.name} is left out: {kept[key].name} is the same run")
        else:
            kept[key] = run
    return tuple(kept.values())
