"""What every run has: frozen, typed, and free of JAX imports, so that `--help` answers at once."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Self


@dataclass(frozen=True)
class RunConfig(ABC):
    """One run; each study's configuration adds what is its own.

    Attributes:
      study: the name of the study, that of its package.
    """

    study: ClassVar[str]

    steps: int = 20000
    """Length of the run in updates."""
    batch_size: int = 10
    """Images in an update, over all devices."""
    eval_batch_size: int = 4
    """Images evaluated together, over all devices."""
    log_every: int = 20
    """Updates between log lines."""
    evaluate_every: int = 1000
    """Updates between evaluations; there is one at the end, too."""
    evaluate_images: int | None = None
    """Validation images of the evaluations during training; by default all."""
    checkpoint_every: int = 500
    """Updates between checkpoints; there is one at each evaluation, too."""
    seed: int = 0
    """Of initial weights, order and augmentation."""

    @property
    @abstractmethod
    def method(self) -> str:
        """What the study compares: the name of this run's variant."""

    @abstractmethod
    def with_method(self, method: Any) -> Self:
        """The same run with another method."""


def command_of(study: str) -> str:
    """How a study is called."""
    return f"python -m experiments.{study}"
