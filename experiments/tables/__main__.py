"""The command line of the tables; imports no JAX."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from smoothjax.command_line import check_unused
from smoothjax.files import check_figure

from ..common.config import require
from ..common.parsing import parse
from ..common.status import status_of
from ..common.writing import check_file, write
from .formats import Format, Table, render

Name = Literal["1", "2", "3", "4", "5", "6", "pixel-1", "pixel-2"]
_NAMES: tuple[Name, ...] = ("1", "2", "3", "4", "5", "6", "pixel-1", "pixel-2")


@dataclass(frozen=True)
class Options:
    """Prints the papers' tables beside our runs, or tables of our own.

    Runs of a recipe fill its row in the papers' tables. Below each table stand those runs, or the command that fills
    the row. For example:

    python -m experiments.tables runs --table 2 4 --format latex --out tables.tex

    python -m experiments.tables --table pixel-2 --timing timing.json

    python -m experiments.tables runs --own --split test --json experiments/results/camvid_deeplab.json

    python -m experiments.tables experiments/results/camvid_deeplab.json --own --split test --figure differences.png
    """

    runs: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="[RUNS...]")] = ()
    """Folders that hold runs, at any depth, and files of results (--json); by default runs, if it exists."""
    table: tuple[Name, ...] = _NAMES
    """Tables: 1 to 6 of Wang & Ji (KDD 2018), pixel-1 and pixel-2 of Gao et al. (2017)."""
    own: bool = False
    """Whether to compare any runs instead: means over seeds for each method, and paired differences to the
    baseline."""
    split: Literal["train", "val", "test"] = "val"
    """With --own, the split to show: val, or another one that `evaluate RUN --split SPLIT` has scored."""
    figure: Path | None = None
    """With --own, a figure of the differences to the baseline with their intervals: .png, .pdf or .svg."""
    timing: Path | None = None
    """Measurements for table pixel-2, written by `python -m experiments.timing networks --json FILE`."""
    format: Format = field(default="markdown")
    """Format of the tables."""
    out: Path | None = None
    """File for the tables, which are printed by default; CSV takes one numbered file per table."""
    json: Path | None = None
    """File for the results of all runs with seeds, commands, commits and machines; small enough to be committed."""


def main(arguments: Sequence[str]) -> int:
    """Prints tables; returns the exit status."""
    options = parse(Options, arguments, "python -m experiments.tables")
    return status_of(lambda: _run(options))


def _run(options: Options) -> None:
    for name, path in (("--out", options.out), ("--json", options.json)):
        if path is not None:
            check_file(name, path)
    tables, remarks = _tables(options)
    if options.out is None:
        print(render(tables, options.format))
    else:
        for path, part in _files(options.out, tables, options.format):
            write(path, render(part, options.format) + "\n")
    for remark in remarks:
        print(f"note: {remark}", file=sys.stderr)


def _files(out: Path, tables: list[Table], form: Format) -> list[tuple[Path, list[Table]]]:
    """The tables of each file: one per CSV file, because all rows of a CSV file have the same width."""
    if form != "csv" or len(tables) == 1:
        return [(out, tables)]
    return [(out.with_stem(f"{out.stem}-{number}"), [table]) for number, table in enumerate(tables, 1)]


def _tables(options: Options) -> tuple[list[Table], list[str]]:
    if options.own:
        check_unused(options, ("table", "timing"), "--own shows other tables")
    else:
        check_unused(options, ("split",), "the papers' tables have one split", "add --own, or leave it out")
    if "pixel-2" not in options.table:
        check_unused(options, ("timing",), "table pixel-2 is not shown", "add --table pixel-2, or leave it out")
    if options.figure is not None:
        require(options.own, f"--figure {options.figure} draws what --own compares: add --own, or leave it out")
        check_figure(options.figure, name="--figure")
    from .comparison import comparison_tables
    from .find import find
    from .paper import paper_tables
    from .stored import save
    from .timing import TIMING, timing_table

    default = Path("runs")
    found = find(options.runs or ((default,) if default.is_dir() else ()))
    if not found.runs and (options.own or options.json is not None):
        left_out = f" ({'; '.join(found.remarks)})" if found.remarks else ""
        raise ValueError(f"no finished run{left_out}: name the folders that hold them")
    if options.own:
        tables, remarks = comparison_tables(found.runs, options.split)
        if options.figure is not None:
            from .forest import draw_comparison

            draw_comparison(found.runs, options.split, options.figure)
    else:
        tables, remarks = paper_tables([name for name in options.table if name != TIMING], found.runs)
        if TIMING in options.table:
            tables.append(timing_table(options.timing))
    if options.json is not None:
        save(found.runs, options.json)
    return tables, [*found.remarks, *remarks]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
