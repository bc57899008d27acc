"""The length of training, and the intervals of logs, evaluations and checkpoints."""

import dataclasses
import numbers
from typing import Protocol


class Intervals(Protocol):
    """The numbers that `fit` needs; `LoopConfig` has them, and so may any object."""

    @property
    def steps(self) -> int:
        """Length of the run in steps, each an update of the parameters."""
        ...

    @property
    def accumulate(self) -> int:
        """Parts of a batch whose gradients are added up, see `train_step`."""
        ...

    @property
    def log_every(self) -> int:
        """Steps between log lines, each the mean over the steps since the last."""
        ...

    @property
    def evaluate_every(self) -> int:
        """Steps between evaluations; a last one follows at the end. Each saves a checkpoint."""
        ...

    @property
    def checkpoint_every(self) -> int:
        """Steps between checkpoints; a last one follows at the end."""
        ...

    @property
    def patience(self) -> int | None:
        """Evaluations without improvement of the metric that end the run; None never ends it early."""
        ...


@dataclasses.dataclass(frozen=True)
class LoopConfig:
    """The numbers that `fit` needs, see `Intervals`."""

    steps: int
    accumulate: int = 1
    log_every: int = 20
    evaluate_every: int = 1000
    checkpoint_every: int = 500
    patience: int | None = None


def check_intervals(config: Intervals) -> None:
    """Raises ValueError if one of the numbers is not an int, or less than 1."""
    for name in ("steps", "accumulate", "log_every", "evaluate_every", "checkpoint_every"):
        value = getattr(config, name)
        if not isinstance(value, numbers.Integral):
            raise ValueError(f"fit: config.{name} must be an int, got {value!r}; give a whole number")
        if value < 1:
            raise ValueError(f"fit: config.{name} must be at least 1, got {value}")
    patience = config.patience
    if patience is not None and not (isinstance(patience, numbers.Integral) and patience >= 1):
        raise ValueError(f"fit: config.patience must be an int, at least 1, got {patience!r}; None never ends early")
