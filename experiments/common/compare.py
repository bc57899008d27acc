"""Trains every method with every seed, and reports them side by side."""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax

from smoothjax import training
from smoothjax.files import read_text
from smoothjax.progress import Progress

from .checks import check
from .comparison import Comparison, Page, Result
from .config import RunConfig
from .curves import draw_curves
from .differences import draw_differences
from .fork import check_forks, describe
from .identity import check_data
from .report import write_report
from .run_files import CURVES_FILE, DIFFERENCES_FILE, REPORT_FILE, REPORT_JSON_FILE, damage_named, read_log
from .shared import Shared
from .study import AnyStudy
from .train import prepare, train

_FIGURE = re.compile(r"^!\[.*\]\((.*)\)$", re.MULTILINE)


def compare(study: AnyStudy, config: RunConfig, methods: Sequence[str], seeds: Sequence[int], out: Path) -> str:
    """Trains the missing runs, then writes `report.md`, `report.json` and figures; returns the text to print.

    All folders are checked first, so no conflict shows up hours later.
    """
    comparison = Comparison(config, {method: [] for method in methods}, study.labels, seeds, out, study.title(config))
    training.check_folder(out, name="--out")
    runs = [(method, seed) for seed in seeds for method in methods]
    for run in runs:
        check(comparison.variant(*run), comparison.folder(*run))
    described = describe(study, config)  # methods and seeds share the data
    for run in runs:
        check_data(comparison.folder(*run), described)
    check_forks(study, config, methods)
    if jax.process_index() == 0:
        out.mkdir(parents=True, exist_ok=True)
        picture = study.preview(config, out)
        if picture is not None:
            training.say(f"{picture} shows what the networks learn")
    # All seeds train the same programs.
    make_job = partial(prepare, shared=Shared(config, programs=None if len(seeds) == 1 else {}))
    with Progress(len(runs), "compare", unit="networks", shown=jax.process_index() == 0) as bar:
        for method, seed in runs:
            folder = comparison.folder(method, seed)
            training.say(f"\n{study.labels[method]}, seed {seed} -> {folder}")
            variant = comparison.variant(method, seed)
            comparison.results[method].append(train(study, variant, folder, described=described, make_job=make_job))
            bar.update()
    if jax.process_index() > 0:
        return ""  # one process reports
    page = _write(study, comparison)
    files = ", ".join([REPORT_FILE, *page.figures])
    return "\n" + "\n\n".join([page.table, *page.sections, f"{out}/{files} and curves.png show it."])


def report_run(study: AnyStudy, config: RunConfig, folder: Path, result: Result) -> list[str]:
    """Writes the report of one run into its folder, as a comparison of one, unless all of it exists.

    Returns:
      The names of its pictures, on the one process that reports.
    """
    if jax.process_index() > 0:
        return []
    pictures = _pictures(folder)
    if pictures is None:
        results = {config.method: [result]}
        title = study.title(config)
        _write(study, Comparison(config, results, study.labels, (config.seed,), folder, title, single=True))
    return _pictures(folder) or []


def _pictures(folder: Path) -> list[str] | None:
    """The figures of a report; None unless its numbers and all figures exist."""
    report = folder / REPORT_FILE
    if not report.is_file():
        return None
    try:
        pictures = list(dict.fromkeys([CURVES_FILE, *_FIGURE.findall(read_text(report))]))
    except ValueError:
        return None
    return pictures if all((folder / name).is_file() for name in (REPORT_JSON_FILE, *pictures)) else None


def _write(study: AnyStudy, comparison: Comparison[RunConfig]) -> Page:
    with damage_named(comparison.folders()):
        page = study.report(comparison)
    logs = {
        study.labels[name]: [read_log(comparison.folder(name, seed)) for seed in comparison.seeds]
        for name in comparison.results
    }
    draw_curves(logs, study.curves, comparison.out / CURVES_FILE, title=comparison.title)
    if draw_differences(comparison, comparison.out / DIFFERENCES_FILE):
        page = replace(page, figures={**page.figures, DIFFERENCES_FILE: "Paired differences to the baseline"})
    write_report(comparison, page)
    return page
