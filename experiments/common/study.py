"""A study is a `Learner` that also supplies scores and their presentation. The engine does the rest."""

from abc import abstractmethod
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from smoothjax import training, weights

from .comparison import C, Comparison, Curve, Page, Result
from .config import with_options
from .learner import Learner, S, T
from .network import M, Network, Tree, Trees

Weights = Literal["raw", "averaged"]
"""The two networks of a run that averages its weights."""
Batch = Mapping[str, np.ndarray]
Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Scored:
    """The results of a pass over a split.

    Attributes:
      scores: numbers by name, for logs and tables.
      totals: the sums over the split that the scores are computed from.
      examples: the results of `Study.example` for some images, by their index.
      count: number of scored examples.
      weights: the scored weights of a run that averages its weights: the better ones.
      by_weights: the scores of raw and averaged weights.
    """

    scores: dict[str, float]
    totals: Tree
    examples: Mapping[int, Arrays]
    count: int
    weights: Weights | None = None
    by_weights: Mapping[Weights, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Trained(Generic[C, T, M]):
    """A run with its final state, or that of a checkpoint.

    If the run averages its weights, `weights` names those in use.
    """

    config: C
    target: T
    network: Network[M]
    state: training.TrainState
    step: int
    mesh: Mesh
    weights: Weights | None = None

    def local_model(self) -> M:
        """The model in evaluation mode on this process, whatever the mesh."""
        return self.network.model(jax.tree.map(jnp.asarray, jax.device_get(Trees.of(self.state))))


class Summary(NamedTuple):
    """The results of a split besides scores.

    Attributes:
      results: entries of `result.json` and `evaluation-SPLIT.json`.
      examples: arrays for `examples.npz`; empty with several processes.
    """

    results: Result
    examples: Arrays


class Origin(NamedTuple):
    """The scored data.

    Attributes:
      entries: entries of `evaluation-SPLIT.json` that identify the data.
      other: their place, if they are not the run's own.
    """

    entries: Result
    other: Path | None


class Study(Learner[C, T, S, M]):
    """A study: a `Learner` with scores and reports.

    Attributes:
      config: the class of its configurations.
      labels: names of its methods in tables and figures.
      metric, mode: the score that ranks checkpoints, see `ranked_by`, and whether "max" or "min" is best.
      curves: panels of the figure of training curves.
      examples: images of the validation split to keep for figures.
      unit: the unit that a split is counted in.
    """

    config: type[C]
    labels: ClassVar[Mapping[str, str]]
    metric: ClassVar[str]
    mode: ClassVar[Literal["max", "min"]] = "max"
    curves: ClassVar[tuple[Curve, ...]]
    examples: ClassVar[int] = 0
    unit: ClassVar[str] = "images"

    def ranked_by(self, config: C) -> str:
        """The score of val that ranks checkpoints and averaged weights, and that patience waits for."""
        return self.metric

    # Data.

    @abstractmethod
    def read_target(self, config: C, folder: Path) -> T:
        """The target of a run, read from its folder: the data need not be available."""

    @abstractmethod
    def batches(self, config: C, source: S, limit: int | None) -> Iterator[dict[str, np.ndarray]]:
        """This process's share of the batches of a split, or of `limit` examples spread evenly over it.

        `"index"` holds the index of each example in the split, or -1 for a row that only fills up the batch.
        """

    def check_scored_data(self, config: C, target: T, source: S) -> None:
        """Refuses a split that a run cannot be scored on."""

    def moved(self, config: C, place: Path) -> C:
        """The same run with its data, or others, in another place."""
        return with_options(config, {"data.root": place})

    def describe_data(self, config: C) -> Result:
        """The run folder's record of data and initial weights, of which the configuration only has the place.

        A finished run is shown, and an unfinished one continued, only on the same data: see `identity.check_data`. So
        the record describes contents, not places, and is cheap to make; its entry `"name"`, for messages, may change.
        Empty by default: the configuration describes drawn data completely.
        """
        return {}

    def class_names(self, target: T) -> Sequence[str] | None:
        """Names of the classes, in the order of the logits; None if there are none."""
        return None

    def preprocessing(self, config: C) -> weights.Preprocessing | None:
        """The preprocessing of images; None if the network's own functions do it."""
        return None

    def usage(self, config: C, path: Path) -> str:
        """A line of Python that uses an exported network, loaded as `model`; empty to show none."""
        del config, path
        return ""

    def origin(self, config: C, folder: Path, split: str, source: S) -> Origin:
        """The scored data, and whether they are those of the run in the folder."""
        return Origin({self.unit: len(source)}, None)

    # Inheritance from another run, see `fork`.

    def same_target(self, target: T, other: T) -> bool:
        """Whether the outputs of networks with these targets have the same meaning."""
        return True

    def output_layers(self, config: C) -> Sequence[tuple[Hashable, ...]]:
        """Paths in the network to all layers that depend on the meaning of the outputs, such as the classes."""
        return ()

    def method_layers(self, config: C) -> Sequence[tuple[Hashable, ...]]:
        """Paths in the network to the layers that methods exchange, besides smoothing parameters."""
        return ()

    def method_key(self, config: C) -> Hashable:
        """A key that is equal if those layers are the same."""
        return config.method

    # Scores.

    @abstractmethod
    def score(self, config: C, model: M, batch: Mapping[str, jax.Array]) -> tuple[Tree, Tree | None]:
        """Sums over a batch for `scores`, and the outputs of each row for `example`."""

    @abstractmethod
    def scores(self, totals: Tree) -> dict[str, float]:
        """The scores of a split from the sums over it."""

    def example(self, batch: Batch, outputs: Tree, row: int) -> Arrays:
        """The arrays to keep of a row of a batch."""
        return {}

    def summarize(self, trained: Trained[C, T, M], source: S, found: Scored) -> Summary:
        """The results of a split besides scores."""
        return Summary({}, {})

    def measure(self, trained: Trained[C, T, M]) -> Result:
        """Entries of `result.json` about the trained parameters, except their number."""
        return {}

    def details(self, trained: Trained[C, T, M], source: S, found: Scored) -> Result:
        """Additional entries of `evaluation-SPLIT.json`."""
        return {}

    def qualifiers(self) -> list[str]:
        """Words for the file name of scores that are not made in the plain way."""
        return []

    # Presentation.

    def pictures(self, source: S, found: Scored) -> Arrays:
        """Pictures of an evaluation for TensorBoard, uint8 `[H, W, 3]` by name."""
        return {}

    @abstractmethod
    def score_table(self, result: Result) -> str:
        """The scores of a split, for the console."""

    def setting(self, result: Result) -> str:
        """The setting of these scores, in words."""
        words = f"step {result.get('step', 'unknown')}, checkpoint {result.get('checkpoint', 'unknown')}"
        return f"{words}, {result['network']} network" if result.get("network") else words

    @abstractmethod
    def outcome(self, result: Result) -> str:
        """A line about a trained run."""

    @abstractmethod
    def title(self, config: C) -> str:
        """The heading of a comparison."""

    def preview(self, config: C, out: Path) -> Path | None:
        """Draws a picture into the folder of a comparison before it trains anything; None for no picture."""
        return None

    @abstractmethod
    def report(self, comparison: Comparison[C]) -> Page:
        """The table of a comparison; draws its figures, except the training curves."""


class PlainStudy(Study[C, None, S, M]):
    """A study whose network does not depend on the data."""

    def target(self, config: C, source: S) -> None:
        """Nothing."""

    def read_target(self, config: C, folder: Path) -> None:
        """Nothing."""


def means(totals: Tree, count: str) -> dict[str, float]:
    """Means over a split from named sums, one of which is the count."""
    sums = {name: float(total) for name, total in totals.items()}
    number = sums.pop(count)
    return {name: total / number for name, total in sums.items()}


AnyStudy = Study[Any, Any, Any, Any]
"""A study found by its name on the command line."""
