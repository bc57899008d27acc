"""Draws stored results: paired differences with their intervals, one figure per file; imports no JAX."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from smoothjax.files import read_json

from .common.parsing import parse
from .common.status import status_of
from .common.writing import check_out

_STORED = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Figures:
    """Draws the differences to the baseline in stored results, with their intervals, beside each file.

    Reads files that `python -m experiments.tables --json` writes, and results.json of `experiments.gridding`, which
    becomes a heat map. Shows scores on test if runs have them, and on val otherwise.
    """

    files: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="[FILES...]")] = ()
    """Files of results; by default the comparisons in experiments/results."""
    out: Path | None = None
    """Folder for the figure NAME.png of each NAME.json; by default the folder of the file."""


def main(arguments: Sequence[str]) -> int:
    """Draws the figures and prints their paths; returns the exit status."""
    options = parse(Figures, arguments, "python -m experiments.figures")
    return status_of(lambda: _run(options))


def _run(options: Figures) -> None:
    if options.out is not None:
        check_out(options.out)
    files = options.files or [path for path in sorted(_STORED.glob("*.json")) if _compares(path)]
    for file, path in zip(files, _places(files, options.out), strict=True):
        draw(file, path)
        print(path)


def _places(files: Sequence[Path], out: Path | None) -> list[Path]:
    """The figure of each file; refuses two files that would share one."""
    found = dict[Path, Path]()
    for file in files:
        path = (out or file.parent) / f"{file.stem}.png"
        if path in found:
            raise ValueError(
                f"{found[path]} and {file} would both be drawn as {path}: draw one at a time, or rename one"
            )
        found[path] = file
    return list(found)


def draw(file: Path, path: Path) -> None:
    """Draws one file.

    Raises:
      ValueError: the file holds no comparison, or cannot be read.
    """
    kind = _kind(file)
    if kind is None:
        raise ValueError(f"{file} holds no comparison: name a file of experiments.tables --json, or of gridding")
    if kind == "gridding":
        from .gridding.figures import draw_heat_map
        from .gridding.report import read_cells

        draw_heat_map(read_cells(file), path)
        return
    from .tables.find import find
    from .tables.forest import draw_comparison

    runs = find([file]).runs
    tested = any(run.score("test", run.config.ordered_scores[0]) is not None for run in runs)
    draw_comparison(runs, "test" if tested else "val", path)


def _compares(file: Path) -> bool:
    """Whether a stored file has methods to compare; that of a recipe has one."""
    content = read_json(file)
    if _kind(file) == "runs" and isinstance(content, dict):
        return len({run["result"]["method"] for run in content["runs"]}) > 1
    return _kind(file) is not None


def _kind(file: Path) -> str | None:
    """The content of a file: "runs", "gridding" for its cases, or None for neither."""
    content = read_json(file)
    if not isinstance(content, dict):
        return None
    rows = content.get("rows")
    if isinstance(rows, list) and rows and isinstance(rows[0], dict) and "case" in rows[0]:
        return None if "chosen" in content else "gridding"  # fits without labels also have cases
    return "runs" if isinstance(content.get("runs"), list) and "size" not in content else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
