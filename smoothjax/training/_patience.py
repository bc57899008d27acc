"""When a run ends early: after evaluations without improvement."""

import math
from pathlib import Path

from ..files import parse_json


class Patience:
    """Counts the evaluations since the best one.

    What has been found before is read from the log of the run, so that a resumed run counts on. Equal values are no
    improvement, nor is NaN: a network that always answers the same ends its run.

    Args:
      patience: So many evaluations without improvement end the run; None never ends it.
      metric: The score that has to improve.
      mode: "max" or "min": which value of it is best.
    """

    def __init__(self, patience: int | None, metric: str, mode: str):
        self._patience, self._metric, self._sign = patience, metric, 1 if mode == "max" else -1
        self._best = -math.inf
        self.since = 0
        """Evaluations since the best one."""

    def see(self, value: float) -> None:
        """Takes the score of an evaluation."""
        if self._sign * value > self._best:
            self._best, self.since = self._sign * value, 0
        else:
            self.since += 1

    def read(self, folder: Path, step: int) -> None:
        """Takes the evaluations that the log of a run holds up to a step; a damaged line counts for nothing."""
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
