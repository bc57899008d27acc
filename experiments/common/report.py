"""Tables, and the report of a comparison."""

from collections.abc import Sequence

import numpy as np

from .comparison import Comparison, Page, Result
from .config import RunConfig
from .environment import environment
from .run_files import CURVES_FILE, REPORT_FILE, REPORT_JSON_FILE
from .table import align as align
from .table import spread as spread
from .writing import write, write_json


def median_seconds(runs: Sequence[Result]) -> str:
    """The cell "s / step" of a method; a dash if nothing was measured."""
    seconds = [run["seconds_per_step"] for run in runs]
    return "-" if np.isnan(seconds).all() else f"{np.nanmedian(seconds):.3f}"


def write_report(comparison: Comparison[RunConfig], page: Page) -> None:
    """Writes `report.md` and `report.json`."""
    where = environment(comparison.config.study)
    seeds = comparison.seeds
    body = "\n\n".join([page.table, *page.sections])
    figures = {**page.figures, CURVES_FILE: "Training curves"}
    pictures = "\n\n".join(f"![{text}]({name})" for name, text in figures.items())
    text = f"""# {comparison.title}

{body}

{page.setting} Seeds {", ".join(map(str, seeds))}{"; mean ± standard deviation" if len(seeds) > 1 else ""}.
Seconds a step: median, data included.

Command: `{where["command"]}`
Commit: {where["commit"] or "unknown"}
Device: {where["device"]}; {where["processor"]}
Versions: Python {where["python"]}, {", ".join(f"{name} {version}" for name, version in where["packages"].items())}

{pictures}
"""
    write(comparison.out / REPORT_FILE, text)
    content = {"title": comparison.title, "environment": where, "results": comparison.results}
    write_json(comparison.out / REPORT_JSON_FILE, content)
