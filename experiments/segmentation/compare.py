"""Trains every method with every seed, and reports them side by side."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np

from smoothjax import data

from . import study
from .config import Config, Method, learning_rate
from .figures import draw_curves, draw_predictions
from .run_folder import environment, write
from .train import EXAMPLES_FILE, read_log, train

METHODS: tuple[Method, ...] = get_args(Method)
LABELS: dict[str, str] = {
    "none": "baseline",
    "multigrid": "multigrid",
    "group_interaction": "group interaction",
    "ss_conv": "SS convolution",
}


def compare(config: Config, methods: Sequence[Method], seeds: Sequence[int], out: Path, *, title: str) -> str:
    """Trains what is not trained yet, then writes `report.md`, `report.json` and two figures; returns the table."""
    results: dict[str, list[dict[str, Any]]] = {method: [] for method in methods}
    for seed in seeds:
        for method in methods:
            print(f"\n{LABELS[method]}, seed {seed} -> {_folder(out, method, seed)}", flush=True)
            results[method].append(train(_variant(config, method, seed), _folder(out, method, seed)))
    table = make_table(config, results)
    validation = study.open_source(config.data, "val")
    curves = {LABELS[method]: [read_log(_folder(out, method, seed)) for seed in seeds] for method in methods}
    draw_curves(curves, out / "curves.png", title=title)
    masks = {
        f"{LABELS[method]}\nmIoU {100 * results[method][0]['val']['mean_iou']:.1f}": _examples(
            _folder(out, method, seeds[0])
        )
        for method in methods
    }
    draw_predictions(validation, masks, out / "predictions.png", title=f"{title}, seed {seeds[0]}")
    _write_report(config, results, table, validation, out, title)
    return table


def make_table(config: Config, results: dict[str, list[dict[str, Any]]]) -> str:
    """The comparison as a Markdown table: mean over seeds, and spread where there are several."""
    header = [
        "method",
        "mean IoU %",
        "pixel accuracy %",
        "extra parameters",
        "largest change of a smoothing parameter",
        "initial rate",
        "s / step",
    ]
    rows = []
    for method, runs in results.items():
        moved = f"{max(run['largest_move'] for run in runs):.3f}" if runs[0]["extra_parameters"] else "-"
        rows.append(
            [
                LABELS[method],
                spread([100 * run["val"]["mean_iou"] for run in runs]),
                spread([100 * run["val"]["pixel_accuracy"] for run in runs]),
                f"{runs[0]['extra_parameters']:,}",
                moved,
                f"{learning_rate(_variant(config, method, 0)):g}",
                f"{np.median([run['seconds_per_step'] for run in runs]):.3f}",
            ]
        )
    majority = next(iter(results.values()))[0]["majority"]
    constant = ["always the most frequent class", *(f"{100 * majority[k]:.1f}" for k in ("mean_iou", "pixel_accuracy"))]
    rows.append(constant + ["-"] * (len(header) - len(constant)))
    return _align(header, rows)


def spread(values: Sequence[float]) -> str:
    """Mean, and the sample standard deviation where there are several values."""
    deviation = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{np.mean(values):.1f}{deviation}"


def _align(header: list[str], rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def _variant(config: Config, method: Any, seed: int) -> Config:
    model = dataclasses.replace(config.model, smoothing=method)
    return dataclasses.replace(config, model=model, seed=seed)


def _folder(out: Path, method: str, seed: int) -> Path:
    return out / f"{method}-seed{seed}"


def _examples(folder: Path) -> dict[int, np.ndarray]:
    with np.load(folder / EXAMPLES_FILE) as stored:
        return {int(index): stored[index] for index in stored.files}


def _write_report(
    config: Config,
    results: dict[str, list[dict[str, Any]]],
    table: str,
    validation: data.Source,
    out: Path,
    title: str,
) -> None:
    where = environment()
    seeds = [run["seed"] for run in next(iter(results.values()))]
    text = f"""# {title}

{table}

Validation split of {config.data.name}: {len(validation)} images, scored at full size after {config.steps:,} steps of
{config.batch_size} images. Seeds {", ".join(map(str, seeds))}{"; mean ± standard deviation" if len(seeds) > 1 else ""}.
Seconds a step: median, data included.

Command: `{where["command"]}`
Commit: {where["commit"] or "unknown"}
Device: {where["device"]}; {where["processor"]}
Versions: Python {where["python"]}, {", ".join(f"{name} {version}" for name, version in where["packages"].items())}

![Predictions](predictions.png)

![Training curves](curves.png)
"""
    write(out / "report.md", text)
    write(out / "report.json", json.dumps({"title": title, "environment": where, "results": results}, indent=2) + "\n")
