"""What a study gives to the common code."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeVar

import grain
import numpy as np
import optax
from jax.sharding import Mesh

from smoothjax import data, training

from .config import RunConfig
from .network import Network

C = TypeVar("C", bound=RunConfig)
Result = dict[str, Any]


@dataclass(frozen=True)
class Evaluation:
    """What a pass over the validation split finds.

    Attributes:
      scores: numbers by name, for the log; one of them is the study's metric.
      details: whatever `Job.summarize` wants to see besides.
    """

    scores: dict[str, float]
    details: Any = None


@dataclass(frozen=True)
class Job:
    """A configuration made ready to train.

    Attributes:
      iterator: endless training batches of this process.
      network: the initial network.
      loss_fn: see `training.train_step`.
      optimizer, schedule: the optimiser, and the rate that it was made with.
      evaluate: from the state, and the number of validation images or None for all, to an evaluation.
      summarize: from the last state and its evaluation over the whole split to further entries of `result.json`, and
        arrays for `examples.npz` (none where several processes share the work).
      pictures: from an evaluation to what to show of it in TensorBoard, uint8 `[H, W, 3]` by name.
      classes: what predictions mean, if they are classes; kept in the run folder.
    """

    iterator: grain.DatasetIterator
    network: Network
    loss_fn: training.LossFn
    optimizer: optax.GradientTransformation
    schedule: optax.Schedule
    evaluate: Callable[[training.TrainState, int | None], Evaluation]
    summarize: Callable[[training.TrainState, Evaluation], tuple[Result, Mapping[str, np.ndarray]]]
    classes: data.Classes | None = None
    pictures: Callable[[Evaluation], Mapping[str, np.ndarray]] | None = None


@dataclass(frozen=True)
class Curve:
    """A panel of the figure of training curves.

    Attributes:
      split: "train" or "val".
      key: name of the number in the log.
      title, unit: heading, and label of the axis.
      factor: by which the number is multiplied.
      from_zero: whether the axis begins at 0.
    """

    split: str
    key: str
    title: str
    unit: str
    factor: float = 1.0
    from_zero: bool = True


@dataclass(frozen=True)
class Comparison(Generic[C]):
    """Runs side by side.

    Attributes:
      config: the configuration that they share.
      results: by method, `result.json` of each seed.
      labels: what tables and figures call the methods.
      seeds: their seeds.
      out: the folder that holds theirs.
      title: what is compared.
    """

    config: C
    results: dict[str, list[Result]]
    labels: Mapping[str, str]
    seeds: Sequence[int]
    out: Path
    title: str

    def variant(self, method: str, seed: int) -> C:
        """The configuration of one run."""
        return replace(self.config.with_method(method), seed=seed)

    def folder(self, method: str, seed: int) -> Path:
        """The folder of one run."""
        return self.out / f"{method}-seed{seed}"


@dataclass(frozen=True)
class Page:
    """What a comparison says.

    Attributes:
      table: in Markdown, see `report.align`.
      setting: a sentence about data and scores.
      sections: more Markdown, after the table.
      figures: files in the folder of the comparison, and what they show.
    """

    table: str
    setting: str
    sections: tuple[str, ...] = ()
    figures: Mapping[str, str] = field(default_factory=dict)


class Study(ABC, Generic[C]):
    """What a study is, beside its command line.

    Attributes:
      config: the class of its configurations.
      labels: what tables and figures call its methods.
      metric, mode: which number of an evaluation ranks checkpoints, and whether "max" or "min" is best.
      curves: the panels of its figure of training curves.
    """

    config: ClassVar[type[Any]]
    labels: ClassVar[Mapping[str, str]]
    metric: ClassVar[str]
    mode: ClassVar[Literal["max", "min"]] = "max"
    curves: ClassVar[tuple[Curve, ...]]

    @abstractmethod
    def prepare(self, config: C, mesh: Mesh, *, progress: bool) -> Job:
        """Opens the data and builds the network; whatever is wrong is found here, before anything is written."""

    def describe_data(self, config: C) -> Mapping[str, Any]:
        """What the run folder keeps of data and initial weights, where the configuration says no more than where.

        A finished run is shown, and an unfinished one continued, on the same alone: see `identity.check_data`. So it
        tells contents, not places, and is cheap; an entry `"name"`, what messages call the thing, may change.
        """
        return {}

    @abstractmethod
    def outcome(self, result: Result) -> str:
        """A line about a trained run."""

    @abstractmethod
    def title(self, config: C) -> str:
        """The heading of a comparison."""

    @abstractmethod
    def report(self, comparison: Comparison[C]) -> Page:
        """The table of a comparison; draws its figures, but for the training curves."""
