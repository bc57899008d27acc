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
    """What lies in some folders and files.

    Attributes:
      runs: the finished ones, each configuration with each seed once.
      remarks: what was left out, and why.
    """

    runs: tuple[Run, ...]
    remarks: tuple[str, ...]


def find(places: Sequence[Path]) -> Found:
    """Reads every run below the folders, at any depth, and of the JSON files.

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
    """Each configuration with each seed once: the same result twice would make a spread too small."""
    kept: dict[str, Run] = {}
    for run in runs:
        key = json.dumps([hyperparameters(run.config, run.data), run.config.seed], sort_keys=True, default=str)
        if key in kept:
            remarks.append(f"{run.name} is left out: {kept[key].name} is the same run")
        else:
            kept[key] = run
    return tuple(kept.values())
