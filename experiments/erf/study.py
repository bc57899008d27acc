"""Measures runs, and writes the tables, the figures and the files."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from smoothjax.training import say

from ..common.dense.field_figures import draw
from ..common.dense.fields import SHARES, SIZES, Field, Images, numbers
from ..common.dense.sources import open_source
from ..common.environment import environment
from ..common.labels import data_label
from ..common.run_files import Json
from ..common.shared import Shared
from ..common.table import align
from ..common.train import prepare, train
from ..common.trained import Checkpoint, read_run
from ..common.writing import write_arrays, write_json
from ..segmentation.config import Method
from ..segmentation.presets import WIRES
from ..segmentation.study import STUDY
from .fields import FIGURES, measure

#: The panels of Figures 8 and 9.
METHODS: tuple[Method, ...] = ("none", "group_interaction", "ss_conv")
DEMO_RUNS = Path("runs/segmentation/wires")


def study(
    runs: Sequence[Path],
    out: Path,
    limit: int | None,
    size: tuple[int, int] | None,
    batch_size: int,
    checkpoint: Checkpoint,
    data_root: Path | None = None,
) -> str:
    """Measures the given runs, or those of the demo, and writes the results; returns the text to print."""
    runs = list(runs) or demo_runs()
    methods = [read_run(STUDY, run, checkpoint, data_root) for run in runs]
    cells = [STUDY.encoder_cell(trained.config) for trained in methods]
    if len(set(cells)) > 1:
        raise ValueError("--runs must name networks of one resolution, got cells of 1 and of 8 pixels: draw them apart")
    size = size or SIZES[cells[0]]
    labels = [STUDY.labels[trained.config.method] for trained in methods]
    names = [
        f"{label}\n{run.name}" if labels.count(label) > 1 else label for run, label in zip(runs, labels, strict=True)
    ]
    fields: dict[str, list[Field]] = {figure: [] for figure in FIGURES}
    described = []
    for run, trained, name in zip(runs, methods, names, strict=True):
        config = trained.config
        source = open_source(config.data, "val")
        images = Images(source, config, size, limit, batch_size, config.data.scale)
        say(f"{run}: {len(images.indices)} images of {size[0]}x{size[1]} pixels")
        try:
            found = measure(trained.local_model(), images, name)
        except ValueError as error:
            raise ValueError(f"{run}: {error}") from error
        for figure, field in found.items():
            fields[figure].append(field)
        data = data_label(trained.config.data.name, trained.config.data.root)
        described.append({"run": str(run), "step": trained.step, "data": data, "images": len(images.indices)})
    return report(fields, described, size, out, cells[0])


def demo_runs() -> list[Path]:
    """The runs of `python -m experiments.segmentation` that the figures need; trains missing ones."""
    folders, make_job = [], partial(prepare, shared=Shared(WIRES.config))
    for method in METHODS:
        folder = DEMO_RUNS / f"{method}-seed0"
        say(f"\n{STUDY.labels[method]} -> {folder}")
        try:
            train(STUDY, replace(WIRES.config.with_method(method), seed=0), folder, make_job=make_job)
        except ValueError as error:
            raise ValueError(f"{error}\n(or name existing runs with --runs)") from error
        folders.append(folder)
    return folders


def report(
    fields: dict[str, list[Field]], described: Sequence[Json], size: tuple[int, int], out: Path, cell: int
) -> str:
    """Writes figures, arrays and numbers; returns the tables."""
    out.mkdir(parents=True, exist_ok=True)
    rows = {figure: [numbers(field) for field in panels] for figure, panels in fields.items()}
    counts = sorted({entry["images"] for entry in described})
    data = ", ".join(dict.fromkeys(entry["data"] for entry in described))
    over = f"{' or '.join(map(str, counts))} validation images of {data}"
    for figure, (what, _) in FIGURES.items():
        arrays: dict[str, Any] = {}
        for index, field in enumerate(fields[figure]):
            arrays |= {
                f"label_{index}": field.label,
                f"erf_{index}": field.values,
                f"connected_{index}": field.connected,
            }
        write_arrays(out / f"{figure}.npz", arrays)
        title = f"Effective receptive field of {what}"
        draw(fields[figure], rows[figure], out / f"{figure}.png", title=title, note=f"mean over {over}", cell=cell)
    content = {"environment": environment("erf"), "size": list(size), "runs": list(described), "shares": SHARES, **rows}
    write_json(out / "erf.json", content)
    cut = any(row["cut"] for panel in rows.values() for row in panel)
    notes = ["* reaches the border of the map: a larger --size may show more of it"] if cut else []
    files = ", ".join(f"{figure}.png" for figure in FIGURES)
    return "\n" + "\n\n".join(
        [*tables_of(rows), *notes, f"{out}/{files} show it; erf.json and .npz files have the numbers."]
    )


def tables_of(rows: Json) -> list[str]:
    """A table for each figure, of the numbers in `erf.json`."""
    return [
        f"Figure {number}: {what}, phases of rate {rate}\n\n{_table(rows[figure])}"
        for number, (figure, (what, rate)) in enumerate(FIGURES.items(), 8)
    ]


def _table(rows: Sequence[Json]) -> str:
    shares = "/".join(f"{100 * share:g}" for share in SHARES)
    header = [
        "network",
        "theoretical field",
        "support, cells",
        "zeros inside %",
        "phase imbalance",
        "whole blocks %",
        f"fewest cells with {shares} %",
        f"centred square with {shares} %, cells",
    ]
    return align(
        header,
        [
            [
                row["label"].replace("\n", " "),
                "x".join(map(str, row["theoretical"])) + ("*" if row["cut"] else ""),
                f"{row['support']:,}",
                f"{100 * row['zero_share']:.1f}",
                f"{row['phase_imbalance']:.3f}",
                f"{100 * row['whole_blocks']:.0f}",
                "/".join(map(str, row["fewest"])),
                "/".join(map(str, row["square"])),
            ]
            for row in rows
        ],
    )
