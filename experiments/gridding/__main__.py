"""The command line of the study; imports JAX only once it is needed."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from ..common.config import require
from ..common.limits import check_limits
from ..common.status import status_of
from .config import PRESETS, Config

_USAGE = """usage: python -m experiments.gridding [COMMAND ...]

When degridding helps: tiny networks of dilated layers on drawn pictures, behind a stem that mixes more or less.
Without a command: compare demo, which takes under three minutes on two cores.

commands:
  compare PRESET    Runs the cases of a preset that have not been run, and prints the tables of all.
  show FILE ...     Prints the tables of result files, and draws the heat map.

presets:
{presets}

The same command continues where it was stopped: every case has a file."""


@dataclass(frozen=True)
class Compare:
    """Runs the cases of a preset that have not been run, and prints the tables of all."""

    config: Annotated[Config, tyro.conf.arg(name="")]
    first: int | None = None
    """Number of cases to run, the first of the preset; by default all."""
    out: Path | None = None
    """Folder for a file of each case, results.json and heat_map.png; by default runs/gridding/PRESET."""


@dataclass(frozen=True)
class Show:
    """Prints the tables of a result file, and draws the heat map."""

    file: tyro.conf.Positional[Path]
    """results.json of a comparison."""
    out: Path | None = None
    """File for the heat map; by default none is drawn."""


def main(arguments: Sequence[str]) -> int:
    """Runs a command; returns the exit status."""
    arguments = list(arguments) or ["compare", "demo"]
    if arguments[0] in ("-h", "--help"):
        width = max(map(len, PRESETS)) + 2
        print(_USAGE.format(presets="\n".join(f"  {name:<{width}}{p.note}" for name, p in PRESETS.items())))
        return 0
    command, *rest = arguments
    if command == "show":
        options = tyro.cli(Show, args=rest, prog="python -m experiments.gridding show")
        return status_of(lambda: _show(options))
    if command != "compare":
        print(f"error: unknown command {command!r}: choose one of compare, show", file=sys.stderr)
        return 2
    name = rest.pop(0) if rest and not rest[0].startswith("-") else "demo"
    if name not in PRESETS:
        print(f"error: unknown preset {name!r}: choose one of {', '.join(PRESETS)}", file=sys.stderr)
        return 2
    preset = PRESETS[name]
    description = f"{Compare.__doc__} Preset: {preset.note}."
    prog = f"python -m experiments.gridding compare {name}"
    chosen = tyro.cli(Compare, args=rest, prog=prog, default=Compare(preset.config), description=description)
    stopped = "stopped; the same command continues after the last case that was finished"
    return status_of(lambda: _compare(name, chosen), stopped=stopped)


def _compare(name: str, options: Compare) -> None:
    check_limits(options)
    options.config.validate()
    first = options.first
    require(first is None or first >= 1, f"--first must be at least 1, got {first}: leave it out for all cases")
    cases = PRESETS[name].cases[:first]
    out = options.out or Path("runs/gridding") / name
    require(not out.exists() or out.is_dir(), f"--out must be a folder, {out} is a file: name another one")
    from ..common.writing import write_json
    from .figures import draw_heat_map
    from .report import cells_of, tables_of
    from .study import compare

    content = compare(cases, options.config, out)
    write_json(out / "results.json", content, indent=1)
    draw_heat_map(cells_of(content), out / "heat_map.png")
    print("\n" + "\n\n".join([*tables_of(content), f"{out}/heat_map.png shows it; results.json has the numbers."]))


def _show(options: Show) -> None:
    from .figures import draw_heat_map
    from .report import cells_of, tables_of
    from .study import read_results

    content = read_results(options.file)
    try:
        cells = cells_of(content)
        require(bool(cells), f"{options.file} holds no case: name the results.json of a comparison")
        tables = tables_of(content)
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise ValueError(
            f"{options.file} is no results.json of a comparison, or damaged ({error!r}): name one, or repeat the "
            "comparison, which keeps its cases"
        ) from error
    if options.out is not None:
        draw_heat_map(cells, options.out)
    print("\n\n".join(tables))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
