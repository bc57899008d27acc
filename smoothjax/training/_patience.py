"""Early stopping after evaluations without improvement."""

import math
from pathlib import Path

from ..files import parse_json


class Patience:
    """Counts the evaluations since the best one.

    Earlier evaluations are read from the log of the run, so a resumed run continues the count. Equal values and NaN are
    no improvement, so a network with constant predictions ends its run.

    Args:
      patience: Evaluations without improvement that end the run; None never ends it.
      metric: The score that has to improve.
      mode: "max" or "min", its best value.
    """

    def __init__(self, patience: int | None, metric: str, mode: str):
        self._patience, self._metric, self._sign = patience, metric, 1 if mode == "max" else -1
        self._best = -math.inf
        self.since = 0
        """Evaluations since the best one."""

    def see(self, value: float) -> None:
        """Counts the score of an evaluation."""
        if self._sign * value > self._best:
            self._best, self.since = self._sign * value, 0
        else:
            self.since += 1

    def read(self, folder: Path, step: int) -> None:
        """Counts the evaluations in the log of a run up to a step; damaged lines are ignored."""
        path = folder / "metrics.jsonl"
        for line in path.read_bytes().splitlines() if self._patience is not None and path.exists() else ():
            try:
                found = parse_json(line, str(path))
            except ValueError:
                continue
            if not isinstance(found, dict) or found.get("split") != "val" or self._metric not in found:
                continue
            if isinstance(at := found.get("step"), int) and at <= step:
                value = found[self._metric]
                self.see(float(value) if isinstance(value, int | float) else math.nan)

    @property
    def exhausted(self) -> bool:
        """Whether the run ends."""
        return self._patience is not None and self.since >= self._patience
