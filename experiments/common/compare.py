"""Trains every method with every seed, and reports them side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from smoothjax import training

from .config import RunConfig
from .curves import draw_curves
from .identity import check_data
from .report import write_report
from .run_folder import REPORT_FILE, read_log
from .study import Comparison, Page, Result, Study
from .train import check, train


def compare(study: Study[Any], config: RunConfig, methods: Sequence[str], seeds: Sequence[int], out: Path) -> str:
    """Trains what is not trained yet, then writes `report.md`, `report.json` and figures; returns what to print.

    Every folder is looked at first: a conflict is not found hours later, when its turn comes.
    """
    comparison = Comparison(config, {method: [] for method in methods}, study.labels, seeds, out, study.title(config))
    runs = [(method, seed) for seed in seeds for method in methods]
    for run in runs:
        check(comparison.variant(*run), comparison.folder(*run))
    described = study.describe_data(config)  # methods and seeds share the data
    for run in runs:
        check_data(comparison.folder(*run), described)
    for method, seed in runs:
        folder = comparison.folder(method, seed)
        training.say(f"\n{study.labels[method]}, seed {seed} -> {folder}")
        comparison.results[method].append(train(study, comparison.variant(method, seed), folder, described=described))
    if jax.process_index() > 0:
        return ""  # one process reports
    page = _write(study, comparison)
    files = ", ".join([REPORT_FILE, *page.figures])
    return "\n" + "\n\n".join([page.table, *page.sections, f"{out}/{files} and curves.png show it."])


def report_run(study: Study[Any], config: RunConfig, folder: Path, result: Result) -> None:
    """Writes the report of one run into its folder: that of a comparison of one."""
    if jax.process_index() == 0 and not (folder / REPORT_FILE).exists():
        results = {config.method: [result]}
        _write(study, _Single(config, results, study.labels, (config.seed,), folder, study.title(config)))


@dataclass(frozen=True)
class _Single(Comparison[Any]):
    """One run, beside none."""

    def folder(self, method: str, seed: int) -> Path:
        return self.out


def _write(study: Study[Any], comparison: Comparison[Any]) -> Page:
    page = study.report(comparison)
    logs = {
        study.labels[name]: [read_log(comparison.folder(name, seed)) for seed in comparison.seeds]
        for name in comparison.results
    }
    draw_curves(logs, study.curves, comparison.out / "curves.png", title=comparison.title)
    write_report(comparison, page)
    return page
