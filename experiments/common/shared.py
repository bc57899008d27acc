"""What the runs of a comparison share: data that are read once, and programs that are compiled once."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic

import optax

from smoothjax import training

from .comparison import C
from .evaluate import Scorer
from .learner import S, T
from .network import M
from .run_files import Json
from .study import Study


@dataclass(frozen=True)
class Programs(Generic[C, T, S, M]):
    """The compiled programs of a run, shared by runs that differ only in their seed.

    Attributes:
      loss, optimizer, schedule, step: see `training.Problem`.
      scorer: scores a state.
      refresh: see `training.Evaluator`.
    """

    loss: training.LossFn
    optimizer: optax.GradientTransformation
    schedule: optax.Schedule
    step: training.Step | None
    scorer: Scorer[C, T, S, M]
    refresh: Callable[[training.TrainState], training.TrainState] | None


@dataclass
class Shared(Generic[C, T, S, M]):
    """What the runs of one comparison share.

    Attributes:
      config: the configuration of the comparison, whose data all methods and seeds have.
      programs: the programs by configuration; None if every run compiles its own.
      splits: those for training and validation, once a run has opened and checked them.
      printed: the values measured on the training split that have been printed.
    """

    config: C
    programs: dict[C, Programs[C, T, S, M]] | None = None
    splits: tuple[S, S] | None = None
    printed: list[Json] = field(default_factory=list)

    def open_splits(self, study: Study[C, T, S, M], *, progress: bool) -> tuple[S, S]:
        """The splits, opened once. So labels are counted once, since their counts stay with the source."""
        if self.splits is None:
            config = self.config
            source, validation = (study.open_split(config, split) for split in (study.training_split(config), "val"))
            study.check_training_data(config, source, validation, progress=progress)
            self.splits = source, validation
        return self.splits
