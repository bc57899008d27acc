"""What a checkpoint tells beside its state: what was measured there, and which one is the best so far."""

import copy
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from orbax.checkpoint import checkpoint_managers


class Ranking:
    """The values of the metric that ranks checkpoints, by step.

    It may know of steps that are deleted, or that are being saved: which checkpoints exist, the caller says.
    """

    def __init__(self, metric: str, mode: str):
        if mode not in ("max", "min"):
            raise ValueError(f"Checkpoints: mode must be 'max' or 'min', got {mode!r}")
        self.metric, self._sign = metric, 1 if mode == "max" else -1
        self.values: dict[int, float] = {}

    def put(self, step: int, metrics: Mapping[str, float]) -> None:
        """Gives a step the rank of these metrics: none where the metric is missing or not finite."""
        self.values.pop(step, None)
        if math.isfinite(value := float(metrics.get(self.metric, math.nan))):
            self.values[step] = value

    def best(self, steps: Iterable[int]) -> int | None:
        """Of these steps the best one, the later one of equals; None where none has a rank."""
        ranked = [step for step in steps if step in self.values]
        return max(ranked, key=lambda step: (self._sign * self.values[step], step), default=None)

    def summary(self, step: int, metrics: Mapping[str, float], steps: Iterable[int]) -> dict[str, Any]:
        """What a checkpoint tells beside its state; `steps` are those that exist. It changes no rank."""
        with_it = copy.copy(self)
        with_it.values = dict(self.values)
        with_it.put(step, metrics)
        best = with_it.best({step, *steps})
        named = None if best is None else {"metric": self.metric, "step": best, "value": with_it.values[best]}
        return {"metrics": {name: float(value) for name, value in metrics.items()}, "best": named}


class KeepBest(checkpoint_managers.PreservationPolicy):
    """Keeps the best checkpoint of those that exist."""

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


def without_nan(tree: Any) -> Any:
    """JSON has no NaN: null instead."""
    return jax.tree.map(lambda x: None if isinstance(x, float) and not math.isfinite(x) else x, tree)


def rewrite(checkpoint: Path, summary: Mapping[str, Any]) -> None:
    """Replaces the summary in the folder of a checkpoint, at once or not at all."""
    path = checkpoint / "summary" / "metadata"  # where Orbax keeps the item, a JSON file
    path.parent.mkdir(exist_ok=True)  # of a damaged checkpoint it may be gone
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(without_nan(summary)))
    os.replace(temporary, path)
