"""What every run has: frozen, typed, and free of JAX imports, so that `--help` answers at once."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

import tyro

# On the command line it is --precision, wherever in the configuration a study keeps it.
Precision = Annotated[Literal["float32", "bf16"], tyro.conf.arg(name="precision", prefix_name=False)]


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
    accumulate: int = 1
    """Parts of a batch that are computed one after the other, to save memory; each is normalised by itself."""
    eval_batch_size: int = 4
    """Images evaluated together, over all devices."""
    log_every: int = 20
    """Updates between log lines."""
    evaluate_every: int = 1000
    """Updates between evaluations; there is one at the end, too."""
    evaluate_images: int | None = None
    """Validation images of the evaluations during training; by default all, which the last one always takes. Only
    evaluations of all of them rank checkpoints: with a number, --checkpoint best is the last one."""
    checkpoint_every: int = 500
    """Updates between checkpoints; there is one at each evaluation, too."""
    seed: int = 0
    """Of initial weights, order and augmentation: on one machine, the same seed gives the same result."""
    wandb: str | None = None
    """Project of Weights & Biases where scalars are logged, too; needs the extra wandb."""

    @property
    @abstractmethod
    def method(self) -> str:
        """What the study compares: the name of this run's variant."""

    @abstractmethod
    def with_method(self, method: Any) -> Self:
        """The same run with another method."""

    def validate(self) -> None:
        """Refuses what cannot be trained, as far as it shows before data are opened and devices are touched.

        Raises:
          ValueError: an option is out of its range, or does not go with another one; the message has a suggestion.
        """
        for name in ("steps", "batch_size", "accumulate", "eval_batch_size", "log_every", "evaluate_every",
                     "checkpoint_every"):  # fmt: skip
            value = getattr(self, name)
            require(
                value >= 1, f"--{name.replace('_', '-')} must be at least 1, got {value}: leave it out for the preset's"
            )
        parts = self.accumulate
        require(
            self.batch_size % parts == 0,
            f"--batch-size must be a multiple of the {parts} parts of --accumulate, got {self.batch_size}: try "
            f"{-(-self.batch_size // parts) * parts}",
        )
        require(
            self.evaluate_images is None or self.evaluate_images >= 1,
            f"--evaluate-images must be at least 1, got {self.evaluate_images}: leave it out for the whole split",
        )
        require(0 <= self.seed < 2**32, f"--seed must be 0 .. 2^32 - 1, got {self.seed}: try 0")


def require(holds: bool, message: str) -> None:
    """Raises ValueError with the message unless the condition holds."""
    if not holds:
        raise ValueError(message)


def require_positive(**values: float) -> None:
    """Raises ValueError unless these options, `optim__learning_rate` for --optim.learning-rate, are positive."""
    for name, value in values.items():
        option = name.replace("__", ".").replace("_", "-")
        require(
            0 < value < float("inf"),
            f"--{option} must be positive and finite, got {value}: leave it out for the preset's",
        )


def command_of(study: str) -> str:
    """How a study is called."""
    return f"python -m experiments.{study}"
