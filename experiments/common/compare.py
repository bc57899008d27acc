"""Trains every method with every seed, and reports them side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .config import RunConfig
from .curves import draw_curves
from .report import write_report
from .run_folder import read_log
from .study import Comparison, Study
from .train import train


def compare(study: Study[Any], config: RunConfig, methods: Sequence[str], seeds: Sequence[int], out: Path) -> str:
    """Trains what is not trained yet, then writes `report.md`, `report.json` and figures; returns what to print."""
    comparison = Comparison(config, {method: [] for method in methods}, study.labels, seeds, out, study.title(config))
    for seed in seeds:
        for method in methods:
            folder = comparison.folder(method, seed)
            print(f"\n{study.labels[method]}, seed {seed} -> {folder}", flush=True)
            comparison.results[method].append(train(study, comparison.variant(method, seed), folder))
    page = study.report(comparison)
    logs = {study.labels[name]: [read_log(comparison.folder(name, seed)) for seed in seeds] for name in methods}
    draw_curves(logs, study.curves, out / "curves.png", title=comparison.title)
    write_report(comparison, page)
    files = ", ".join(["report.md", *page.figures])
    return "\n" + "\n\n".join([page.table, *page.sections, f"{out}/{files} and curves.png show it."])
