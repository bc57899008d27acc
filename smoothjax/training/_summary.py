"""The summary of a checkpoint, stored beside its state: its metrics, and the best checkpoint so far."""

import copy
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from orbax.checkpoint import checkpoint_managers

from ..files import write_whole


class Best(TypedDict):
    """The best checkpoint so far, by the value of a metric."""

    metric: str
    step: int
    value: float


class Summary(TypedDict):
    """The metrics of a checkpoint, and the best checkpoint at that time."""

    metrics: dict[str, float]
    best: Best | None


class Ranking:
    """The values of the metric that ranks checkpoints, by step.

    It may hold steps that are deleted or being saved; the caller passes the existing ones.
    """

    def __init__(self, metric: str, mode: str):
        if mode not in ("max", "min"):
            raise ValueError(f"Checkpoints: mode must be 'max' or 'min', got {mode!r}")
        self.metric, self._sign = metric, 1 if mode == "max" else -1
        self.values: dict[int, float] = {}

    def put(self, step: int, metrics: Mapping[str, float]) -> None:
        """Ranks a step by these metrics; it gets no rank if the metric is missing or not finite."""
        self.values.pop(step, None)
        if math.isfinite(value := float(metrics.get(self.metric, math.nan))):
            self.values[step] = value

    def ranked(self, steps: Iterable[int]) -> list[int]:
        """The steps that have a rank, the best first, the later one of equals."""
        known = [step for step in steps if step in self.values]
        return sorted(known, key=lambda step: (self._sign * self.values[step], step), reverse=True)

    def best(self, steps: Iterable[int]) -> int | None:
        """The best of these steps, the later one of equals; None if none has a rank."""
        return next(iter(self.ranked(steps)), None)

    def summary(self, step: int, metrics: Mapping[str, float], steps: Iterable[int]) -> Summary:
        """The summary of a step, with the existing `steps`; changes no rank."""
        with_it = copy.copy(self)
        with_it.values = dict(self.values)
        with_it.put(step, metrics)
        best = with_it.best({step, *steps})
        named = None if best is None else Best(metric=self.metric, step=best, value=with_it.values[best])
        return Summary(metrics={name: float(value) for name, value in metrics.items()}, best=named)


class KeepBest(checkpoint_managers.PreservationPolicy):
    """Keeps the best of the existing checkpoints."""

    def __init__(self, ranking: Ranking):
        self._ranking = ranking

    def should_preserve(
        self,
        checkpoints: Sequence[checkpoint_managers.PolicyCheckpointInfo],
        *,
        context: checkpoint_managers.PreservationContext,
    ) -> Sequence[bool]:
        best = self._ranking.best(checkpoint.step for checkpoint in checkpoints)
        return [checkpoint.step == best for checkpoint in checkpoints]


def without_nan(summary: Summary) -> dict[str, Mapping[str, float | None] | Best | None]:
    """The summary for a JSON file, which has no NaN: null instead."""
    finite = {name: value if math.isfinite(value) else None for name, value in summary["metrics"].items()}
    return {"metrics": finite, "best": summary["best"]}


def read_metrics(checkpoint: Path) -> dict[str, float]:
    """The metrics of a checkpoint; empty if its summary is damaged, which costs it only its rank."""
    try:
        metrics = json.loads(_path(checkpoint).read_text(encoding="utf-8"))["metrics"]
        return {str(name): _number(value) for name, value in metrics.items()}
    except Exception:  # the file may hold any text, so any reader may fail
        return {}


def rewrite(checkpoint: Path, summary: Summary) -> None:
    """Replaces the summary in the folder of a checkpoint, atomically."""
    path = _path(checkpoint)
    if path.parent.is_symlink():
        raise OSError(f"{path.parent} is a link, which would be followed out of the checkpoint: remove it")
    path.parent.mkdir(exist_ok=True)  # of a damaged checkpoint it may be gone
    write_whole(path, json.dumps(without_nan(summary)))


def _path(checkpoint: Path) -> Path:
    return checkpoint / "summary" / "metadata"  # where Orbax keeps the item, a JSON file


def _number(value: float | None) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"a metric must be a number, got {value!r}")
    return float(value)
