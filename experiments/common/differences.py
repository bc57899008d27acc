"""The figure of a comparison over several seeds: paired differences to the baseline on the validation split."""

import math
from pathlib import Path

from .comparison import C, Comparison, Result
from .config import RunConfig
from .forest import Block, draw_forest, message, rows_of
from .statistics import Difference, listed, paired_difference
from .table import Score


def draw_differences(comparison: Comparison[RunConfig], path: Path) -> bool:
    """Draws the figure; returns False if there is nothing to draw. It needs a baseline, another method and two
    seeds."""
    config, results = comparison.config, comparison.results
    shown = [score for score in config.ordered_scores if all(_values(comparison, method, score) for method in results)]
    if config.baseline not in results or len(results) < 2 or len(comparison.seeds) < 2 or not shown:
        return False
    pairs = [paired_differences(comparison, config.baseline, score) for score in shown]
    differences = {comparison.labels[method]: [each[method] for each in pairs] for method in pairs[0]}
    block = Block(f"seeds {listed(comparison.seeds)}", rows_of(differences, shown))
    title = message(block.rows, shown[0], comparison.labels[config.baseline])
    draw_forest([block], shown, path, title=title, note=f"{comparison.title}; val")
    return True


def paired_differences(comparison: Comparison[C], baseline: str, score: Score) -> dict[str, Difference | None]:
    """Differences of a score to the baseline over the seeds, by method; None without a common seed."""
    first = _values(comparison, baseline, score) if baseline in comparison.results else {}
    others = [method for method in comparison.results if method != baseline]
    return {method: paired_difference(_values(comparison, method, score), first) for method in others}


def _values(comparison: Comparison[C], method: str, score: Score) -> dict[int, float]:
    """A score at the end of training by seed; seeds without it are left out."""
    found = {seed: value_of(run, score) for seed, run in zip(comparison.seeds, comparison.results[method], strict=True)}
    return {seed: value for seed, value in found.items() if not math.isnan(value)}


def value_of(run: Result, score: Score) -> float:
    """A score on val at the end of training; NaN if the run does not have it."""
    value: object = {**run, **run["val"]}
    for key in score.path:
        value = value.get(key) if isinstance(value, dict) else None
    return score.factor * float(value) if isinstance(value, int | float) else math.nan
