"""Lists runs and the options in which they differ; imports no JAX."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from .common.config import RunConfig, flat
from .common.parsing import parse
from .common.plain import to_dict
from .common.run_files import CONFIG_FILE, RESULT_FILE, read_config, read_data, read_log, read_object
from .common.run_folder import load_config
from .common.status import status_of
from .common.table import align
from .tables.studies import config_of


@dataclass(frozen=True)
class Runs:
    """Lists runs by study: method, step, best score, and the options in which they differ."""

    folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FOLDER")] = Path("runs")
    """Folder that holds the runs, at any depth."""


def main(arguments: Sequence[str]) -> int:
    """Prints a table for each study; returns the exit status."""
    folder = parse(Runs, arguments, "python -m experiments.runs").folder
    return status_of(lambda: print("\n\n".join(_tables(folder))), stopped="stopped")


def _tables(folder: Path) -> list[str]:
    paths = sorted(path.parent for path in folder.rglob(CONFIG_FILE)) if folder.is_dir() else []
    if not paths:
        raise FileNotFoundError(f"no run in {folder}: name the folder that holds them")
    studies: dict[str, list[Path]] = {}
    for path in paths:
        studies.setdefault(_study(path), []).append(path)
    return [_table(study, runs, folder) for study, runs in studies.items()]


def _study(run: Path) -> str:
    try:
        return read_config(run)[0]
    except (OSError, ValueError):
        return "unreadable"


def _table(study: str, runs: list[Path], folder: Path) -> str:
    try:
        kind = config_of(study)
    except ValueError:
        return f"{study}:\n" + "\n".join(f"  {_reason(run)}" for run in runs)
    configs, unreadable = {}, []
    for run in runs:
        try:
            configs[run] = load_config(run, kind)
        except (OSError, ValueError) as error:
            unreadable.append(str(error))
    options = {run: flat(to_dict(config)) for run, config in configs.items()}
    names = dict.fromkeys(name for values in options.values() for name in values)
    parents = {run: _parent(run, config) for run, config in configs.items()}
    if all(config.init.parent == config.init.checkpoint for config in configs.values()):
        names.pop("init.checkpoint", None)  # the column of parents shows it, with the step
    differing = [name for name in names if len({json.dumps(values.get(name)) for values in options.values()}) > 1]
    columns = ["parent", *differing] if set(parents.values()) != {"-"} else differing
    rows = []
    for run, config in configs.items():
        try:
            step = _step(run, config.steps)
        except (OSError, ValueError) as error:
            step = f"unknown of {config.steps:,}"
            unreadable.append(str(error))
        values = [parents[run] if name == "parent" else str(options[run].get(name)) for name in columns]
        rows.append([str(run.relative_to(folder)), config.method, step, _best(run), *values])
    table = [align(["run", "method", "step", "best", *columns], rows)] if rows else []
    return "\n".join([f"{study}:", *table, *unreadable])


def _reason(run: Path) -> str:
    """Why a run is not listed."""
    try:
        read_config(run)
    except (OSError, ValueError) as error:
        return str(error)
    return f"{run}: {CONFIG_FILE} names no study of this version"


def _parent(run: Path, config: RunConfig) -> str:
    """The run whose weights it starts from, and their step; a dash if there is none."""
    parent = config.init.parent
    if parent is None:
        return "-"
    try:
        step = read_data(run).get("weights", {}).get("step")
    except (OSError, ValueError):
        step = None
    return f"{parent} at {step:,}" if isinstance(step, int) else str(parent)


def _step(run: Path, steps: int) -> str:
    if (run / RESULT_FILE).exists():
        try:
            done = read_object(run / RESULT_FILE).get("steps")
        except ValueError:  # the run is finished, even if its result is damaged
            done = None
        early = isinstance(done, int) and done < steps
        return f"{done:,} of {steps:,}, ended early" if early else f"{steps:,}, finished"
    return f"{max((line['step'] for line in read_log(run)), default=0):,} of {steps:,}"


def _best(run: Path) -> str:
    """The best score so far on the whole split, from the newest checkpoint that can be read."""
    for path in sorted(run.glob("checkpoints/*/summary/metadata"), key=_number, reverse=True):
        try:
            best = read_object(path)["best"]
            return f"{best.get('metric', '')} {best['value']:.4g} at {best['step']:,}".strip() if best else "-"
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return "-"


def _number(path: Path) -> int:
    name = path.parents[1].name
    return int(name) if name.isdigit() else -1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
