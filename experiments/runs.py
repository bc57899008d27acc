"""Lists runs, and what their configurations differ in; imports no JAX."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
import yaml

from .common.config import flat
from .common.run_folder import CONFIG_FILE, RESULT_FILE, load_config, read_log, to_dict
from .common.table import align
from .tables.studies import config_of


@dataclass(frozen=True)
class Runs:
    """Lists runs by study: method, step, best score, and the options in which they differ."""

    folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FOLDER")] = Path("runs")
    """Folder that holds them, at any depth."""


def main(arguments: Sequence[str]) -> int:
    """Prints a table for each study; returns the exit status."""
    folder = tyro.cli(Runs, args=list(arguments), prog="python -m experiments.runs", description=Runs.__doc__).folder
    paths = sorted(path.parent for path in folder.rglob(CONFIG_FILE)) if folder.is_dir() else []
    if not paths:
        print(f"error: no run in {folder}: name the folder that holds them", file=sys.stderr)
        return 1
    studies: dict[str, list[Path]] = {}
    for path in paths:
        studies.setdefault(_study(path), []).append(path)
    print("\n\n".join(_table(study, runs, folder) for study, runs in studies.items()))
    return 0


def _study(run: Path) -> str:
    try:
        return yaml.safe_load((run / CONFIG_FILE).read_text())["study"]
    except (yaml.YAMLError, KeyError, TypeError, ValueError):
        return "unreadable"


def _table(study: str, runs: list[Path], folder: Path) -> str:
    try:
        kind = config_of(study)
    except ValueError:
        return f"{study}:\n" + "\n".join(f"  {run}: {CONFIG_FILE} names no study of this version" for run in runs)
    configs, unreadable = {}, []
    for run in runs:
        try:
            configs[run] = load_config(run, kind)
        except ValueError as error:
            unreadable.append(str(error))
    options = {run: flat(to_dict(config)) for run, config in configs.items()}
    names = dict.fromkeys(name for values in options.values() for name in values)
    differing = [name for name in names if len({json.dumps(values.get(name)) for values in options.values()}) > 1]
    rows = []
    for run, config in configs.items():
        try:
            step = _step(run, config.steps)
        except ValueError as error:
            step = f"unknown of {config.steps:,}"
            unreadable.append(str(error))
        values = [str(options[run].get(name)) for name in differing]
        rows.append([str(run.relative_to(folder)), config.method, step, _best(run), *values])
    table = [align(["run", "method", "step", "best", *differing], rows)] if rows else []
    return "\n".join([f"{study}:", *table, *unreadable])


def _step(run: Path, steps: int) -> str:
    if (run / RESULT_FILE).exists():
        return f"{steps:,}, finished"
    return f"{max((line.get('step', 0) for line in read_log(run)), default=0):,} of {steps:,}"


def _best(run: Path) -> str:
    """The best score so far on the whole split, as the newest checkpoint has it."""
    for path in sorted(run.glob("checkpoints/*/summary/metadata"), key=_number, reverse=True):
        try:
            best = json.loads(path.read_text())["best"]
        except (ValueError, KeyError, TypeError):
            continue
        return f"{best.get('metric', '')} {best['value']:.4g} at {best['step']:,}".strip() if best else "-"
    return "-"


def _number(path: Path) -> int:
    name = path.parents[1].name
    return int(name) if name.isdigit() else -1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
