"""What a checkpoint tells beside its state: what was measured there, and which one is the best so far."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from orbax.checkpoint import checkpoint_managers


class KeepBest(checkpoint_managers.PreservationPolicy):
    """Keeps the checkpoint with the highest score; `scores` is filled from outside.

    Deleted checkpoints may stay in it: what is deleted was not the best, and never will be.
    """

    def __init__(self, scores: dict[int, float]):
        self._scores = scores

    def should_preserve(
        self,
        checkpoints: Sequence[checkpoint_managers.PolicyCheckpointInfo],
        *,
        context: checkpoint_managers.PreservationContext,
    ) -> Sequence[bool]:
        best = best_of(self._scores)
        return [checkpoint.step == best for checkpoint in checkpoints]


def best_of(scores: Mapping[int, float]) -> int | None:
    return max(scores, key=lambda step: (scores[step], step), default=None)


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
