"""The command line of the study; imports JAX only once it is needed."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from smoothjax.command_line import choose
from smoothjax.files import check_figure

from ..common.config import require
from ..common.huge_pages import use_huge_pages
from ..common.limits import check_limits
from ..common.parsing import parse
from ..common.status import status_of
from ..common.writing import check_out
from .config import PRESETS, Config

_USAGE = """usage: python -m experiments.gridding [COMMAND ...]

When degridding helps: tiny networks of dilated layers on drawn pictures, behind a stem that mixes more or less.
Without a command: compare demo, which takes at most three minutes on two cores.

commands:
  compare PRESET    Runs the missing cases of a preset, and prints the tables of all.
  show FILE ...     Prints the tables of result files, and draws the heat map.

presets:
{presets}

The same command continues where it stopped, since every case has a file. With more --methods it adds these to cases
that lack them, and trains nothing twice."""


@dataclass(frozen=True)
class Compare:
    """Runs the missing cases of a preset, and prints the tables of all."""

    config: Annotated[Config, tyro.conf.arg(name="")]
    first: int | None = None
    """Number of cases to run, from the first of the preset; by default all."""
    out: Path | None = None
    """Folder for a file of each case, results.json and two figures; by default runs/gridding/PRESET."""


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
    name, *rest = arguments
    choose("command", name, {"compare": None, "show": None})
    if name == "show":
        options = parse(Show, rest, "python -m experiments.gridding show")
        return status_of(lambda: _show(options))
    name = rest.pop(0) if rest and not rest[0].startswith("-") else "demo"
    preset = choose("preset", name, PRESETS)
    description = f"{Compare.__doc__} Preset: {preset.note}."
    chosen = parse(Compare, rest, f"python -m experiments.gridding compare {name}", Compare(preset.config), description)
    stopped = "stopped; run the same command to continue after the last finished case"
    return status_of(lambda: _compare(name, chosen), stopped=stopped)


def _compare(name: str, options: Compare) -> None:
    use_huge_pages()
    check_limits(options)
    options.config.validate()
    first = options.first
    require(first is None or first >= 1, f"--first must be at least 1, got {first}: leave it out for all cases")
    cases = PRESETS[name].cases[:first]
    out = options.out or Path("runs/gridding") / name
    check_out(out)
    from ..common.writing import write_json
    from .figures import draw_differences, draw_heat_map
    from .report import cells_of, tables_of
    from .study import compare

    content = compare(cases, options.config, out)
    write_json(out / "results.json", content, indent=1)
    cells = cells_of(content)
    draw_heat_map(cells, out / "heat_map.png")
    draw_differences(cells, out / "differences.png")
    shown = f"{out}/heat_map.png and differences.png show it; results.json has the numbers."
    print("\n" + "\n\n".join([*tables_of(content), shown]))


def _show(options: Show) -> None:
    if options.out is not None:
        check_figure(options.out, name="--out")
    from .figures import draw_heat_map
    from .report import read_cells, read_results, tables_of

    content, cells = read_results(options.file), read_cells(options.file)
    tables = tables_of(content)
    if options.out is not None:
        draw_heat_map(cells, options.out)
    print("\n\n".join(tables))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
