"""The options of studies that train with Adam at a rate that falls along a cosine; imports no JAX."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .config import RunConfig, require_positive


@dataclass(frozen=True)
class AdamConfig:
    """Adam, whose rate falls to 0 along a cosine."""

    learning_rate: float = 0.003
    """Initial rate."""

    def validate(self) -> None:
        """Raises ValueError if an option is out of range."""
        require_positive(optim__learning_rate=self.learning_rate)


@dataclass(frozen=True)
class AdamRun(RunConfig):
    """A run with Adam, from random weights or those of another run."""

    if TYPE_CHECKING:
        # Each study adds it after its model and data: fields have the order of the help and of files.
        optim: AdamConfig = field(default_factory=AdamConfig)

    @property
    def initial_rate(self) -> float:
        """The initial learning rate of this run."""
        return self.optim.learning_rate
