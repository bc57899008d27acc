"""What a study supplies beyond a `Learner`: scores, and how they are shown. The engine does the rest."""

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
    """What a pass over a split finds.

    Attributes:
      scores: numbers by name, for logs and tables.
      totals: what they are made from: the sums over the split.
      examples: of some of the images, by their index, what `Study.example` keeps.
      count: how many examples were scored.
      weights: of a run that averages its weights, which ones are scored: the better.
      by_weights: the scores of both.
    """

    scores: dict[str, float]
    totals: Tree
    examples: Mapping[int, Arrays]
    count: int
    weights: Weights | None = None
    by_weights: Mapping[Weights, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Trained(Generic[C, T, M]):
    """A run with the state of its end, or of a checkpoint.

    Of a run that averages its weights, the state is seen with the ones that `weights` names.
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
    """What a split shows beyond scores.

    Attributes:
      results: entries of `result.json` and `evaluation-SPLIT.json`.
      examples: arrays for `examples.npz`; none where several processes share the work.
    """

    results: Result
    examples: Arrays


class Origin(NamedTuple):
    """Which data are scored.

    Attributes:
      entries: of `evaluation-SPLIT.json`, what identifies them.
      other: where they lie, if they are not the run's own.
    """

    entries: Result
    other: Path | None


class Study(Learner[C, T, S, M]):
    """A study: what `Learner` requires, and the following.

    Attributes:
      config: the class of its configurations.
      labels: what tables and figures call its methods.
      metric, mode: which score ranks checkpoints, and whether "max" or "min" is best.
      curves: the panels of its figure of training curves.
      examples: images of the validation split to keep for figures.
      unit: what a split consists of.
    """

    config: type[C]
    labels: ClassVar[Mapping[str, str]]
    metric: ClassVar[str]
    mode: ClassVar[Literal["max", "min"]] = "max"
    curves: ClassVar[tuple[Curve, ...]]
    examples: ClassVar[int] = 0
    unit: ClassVar[str] = "images"

    # Data.

    @abstractmethod
    def read_target(self, config: C, folder: Path) -> T:
        """The same of a run, from its folder: the data need not be here."""

    @abstractmethod
    def batches(self, config: C, source: S, limit: int | None) -> Iterator[dict[str, np.ndarray]]:
        """This process's share of the batches of a split, or of `limit` examples spread evenly over it.

        `"index"` holds the place of each example in the split, -1 for a row that only fills up the batch.
        """

    def check_scored_data(self, config: C, target: T, source: S) -> None:
        """Refuses a split that a run cannot be scored on."""

    def moved(self, config: C, place: Path) -> C:
        """The same run with its data, or others, in another place."""
        return with_options(config, {"data.root": place})

    def describe_data(self, config: C) -> Result:
        """What the run folder keeps of data and initial weights, where the configuration only says where they lie.

        A finished run is shown, and an unfinished one continued, only on the same data: see `identity.check_data`. So
        it describes contents, not places, and is cheap; an entry `"name"`, what messages call the data, may change. By
        default nothing: the configuration says all about data that are drawn.
        """
        return {}

    def class_names(self, target: T) -> Sequence[str] | None:
        """Names of the classes, in the order of the logits; None where there are none."""
        return None

    def preprocessing(self, config: C) -> weights.Preprocessing | None:
        """What the network expects of an image; None where its own functions prepare one."""
        return None

    def usage(self, config: C, path: Path) -> str:
        """A line of Python that uses an exported network, loaded as `model`; empty where none is worth showing."""
        del config, path
        return ""

    def origin(self, config: C, folder: Path, split: str, source: S) -> Origin:
        """Which data are scored, and whether they are those of the run in the folder."""
        return Origin({self.unit: len(source)}, None)

    # What another run passes on, see `fork`.

    def same_target(self, target: T, other: T) -> bool:
        """Whether the outputs of networks that know these of their data mean the same."""
        return True

    def output_layers(self, config: C) -> Sequence[tuple[Hashable, ...]]:
        """Paths in the network to all that depends on what the outputs mean, such as the classes."""
        return ()

    def method_layers(self, config: C) -> Sequence[tuple[Hashable, ...]]:
        """Paths in the network to what methods exchange, beside smoothing parameters."""
        return ()

    def method_key(self, config: C) -> Hashable:
        """What is equal where those layers are the same."""
        return config.method

    # Scores.

    @abstractmethod
    def score(self, config: C, model: M, batch: Mapping[str, jax.Array]) -> tuple[Tree, Tree | None]:
        """Sums over a batch that `scores` is made from, and the outputs of each row, for `example`."""

    @abstractmethod
    def scores(self, totals: Tree) -> dict[str, float]:
        """The scores of a split from the sums over it."""

    def example(self, batch: Batch, outputs: Tree, row: int) -> Arrays:
        """What is kept of a row of a batch."""
        return {}

    def summarize(self, trained: Trained[C, T, M], source: S, found: Scored) -> Summary:
        """What a split shows beyond scores."""
        return Summary({}, {})

    def measure(self, trained: Trained[C, T, M]) -> Result:
        """Entries of `result.json` about the trained parameters, except their number."""
        return {}

    def details(self, trained: Trained[C, T, M], source: S, found: Scored) -> Result:
        """Further entries of `evaluation-SPLIT.json`."""
        return {}

    def qualifiers(self) -> list[str]:
        """Words for the name of a file of scores that are not made in the plain way."""
        return []

    # What is shown.

    def pictures(self, source: S, found: Scored) -> Arrays:
        """What TensorBoard shows of an evaluation, uint8 `[H, W, 3]` by name."""
        return {}

    @abstractmethod
    def score_table(self, result: Result) -> str:
        """The scores of a split, for the console."""

    def setting(self, result: Result) -> str:
        """What these scores depend on, in words."""
        words = f"step {result.get('step', 'unknown')}, checkpoint {result.get('checkpoint', 'unknown')}"
        return f"{words}, {result['network']} network" if result.get("network") else words

    @abstractmethod
    def outcome(self, result: Result) -> str:
        """A line about a trained run."""

    @abstractmethod
    def title(self, config: C) -> str:
        """The heading of a comparison."""

    def preview(self, config: C, out: Path) -> Path | None:
        """Draws what can be shown before a comparison trains anything, into its folder; None for nothing."""
        return None

    @abstractmethod
    def report(self, comparison: Comparison[C]) -> Page:
        """The table of a comparison; draws its figures, except the training curves."""


class PlainStudy(Study[C, None, S, M]):
    """A study whose network need not know anything of the data."""

    def target(self, config: C, source: S) -> None:
        """Nothing."""

    def read_target(self, config: C, folder: Path) -> None:
        """Nothing."""


def means(totals: Tree, count: str) -> dict[str, float]:
    """Means over a split from named sums, of which one is the number of what was summed."""
    sums = {name: float(total) for name, total in totals.items()}
    number = sums.pop(count)
    return {name: total / number for name, total in sums.items()}


AnyStudy = Study[Any, Any, Any, Any]
"""A study that the command line has found by its name."""
