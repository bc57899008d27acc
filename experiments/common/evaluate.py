"""Scores of a network on a split, and the files that keep them.

The tables only take `evaluation-SPLIT.json`: the last step, whole images, the run's own data. Scores made in another
way go into separate files, so they never replace scores that the tables show.
"""

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Generic, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from smoothjax import training
from smoothjax.compilation import JitByShape
from smoothjax.progress import Progress

from .comparison import C, Result
from .config import fill_devices
from .identity import short_digest
from .learner import S, T
from .network import M, Network, Trees
from .run_files import DATA_FILE, read_evaluation
from .run_folder import load_config
from .study import Arrays, Scored, Study
from .trained import AskedWeights, Checkpoint, read_run
from .writing import write_json


class Scorer(Generic[C, T, S, M]):
    """Scores states of a network, compiled over a mesh."""

    def __init__(self, study: Study[C, T, S, M], config: C, network: Network[M], mesh: Mesh):
        self._study, self._config, self._mesh = study, fill_devices(config, mesh.size), mesh
        everywhere, split = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((), ("data",)))
        self._score = JitByShape(
            lambda trees, batch: study.score(config, network.model(trees), batch), out_shardings=(everywhere, split)
        )

    def score(
        self,
        state: training.TrainState,
        source: S,
        *,
        limit: int | None = None,
        keep: Collection[int] = (),
        progress: bool = True,
    ) -> Scored:
        """Scores a split, or `limit` examples spread evenly over it; also returns the outputs of the examples to
        `keep`."""
        trees, totals = Trees.of(state), None
        kept: dict[int, Arrays] = {}
        number, shown = min(limit or len(source), len(source)), progress and jax.process_index() == 0
        with Progress(number, "evaluate", unit=self._study.unit, shown=shown) as bar:
            for batch in self._study.batches(self._config, source, limit):
                index = batch.pop("index")
                sums, outputs = self._score(trees, training.shard_batch(batch, self._mesh))
                sums = jax.tree.map(_widened, sums)
                totals = sums if totals is None else jax.tree.map(np.add, totals, sums)
                for row in np.flatnonzero(np.isin(index, list(keep))):
                    kept[int(index[row])] = self._study.example(batch, outputs, int(row))
                # Every process has its share of each batch.
                bar.update(min(jax.process_count() * int((index >= 0).sum()), number - bar.done))
        assert totals is not None, "a split has at least one batch"
        return Scored(self._study.scores(totals), totals, kept, number)


def _widened(total: jax.Array) -> np.ndarray:
    """Widens the counts of a batch, 32 bits on the devices, to 64: a large split has more than 2^31 pixels."""
    found = np.asarray(total)
    return found.astype(np.int64 if np.issubdtype(found.dtype, np.integer) else np.float64)


def spread_evenly(count: int, length: int) -> list[int]:
    """`count` of `length` indices, or all. With several processes none: a process cannot read outputs of another."""
    count = min(count, length) if jax.process_count() == 1 else 0
    return [i * length // count for i in range(count)]


class Saved(NamedTuple):
    """Scores, and the file that they were written to.

    Attributes:
      result: the scores and everything they depend on.
      path: the file that holds them.
      before: the former content of the file; None if there was none, or it was unreadable.
      note: a sentence about data that are not the run's own; None otherwise.
    """

    result: Result
    path: Path
    before: Result | None
    note: str | None


def evaluate(
    study: Study[C, T, S, M],
    folder: Path,
    split: str,
    checkpoint: Checkpoint,
    data_root: Path | None = None,
    weights: AskedWeights = "better",
) -> Saved:
    """Scores a run on a split, and writes `evaluation-SPLIT.json`; `data_root` is a new place of the data, or other
    data."""
    config = load_config(folder, study.config)
    if data_root is not None:
        config = study.moved(config, data_root)
    target = study.read_target(config, folder)
    source = study.open_split(config, split, target)
    study.check_scored_data(config, target, source)
    trained = read_run(study, folder, checkpoint, data_root, weights)
    found = Scorer(study, config, trained.network, trained.mesh).score(trained.state, source)
    origin = study.origin(config, folder, split, source)
    result = {
        "split": split,
        "checkpoint": checkpoint,
        "step": trained.step,
        # None: the place in the run's configuration.
        "data_root": None if data_root is None else str(data_root),
        **({} if trained.weights is None else {"network": trained.weights}),
        **origin.entries,
        **found.scores,
        **study.summarize(trained, source, found).results,
        **study.details(trained, source, found),
    }
    # A run without averaged weights has only one network, so there is no choice to name.
    asked = [] if weights == "better" or trained.weights is None else [f"{weights}-network"]
    return save_scores(folder, result, checkpoint, [*study.qualifiers(), *asked], origin.other)


def save_scores(
    folder: Path, result: Result, checkpoint: Checkpoint, qualifiers: Sequence[str] = (), other: Path | None = None
) -> Saved:
    """Writes the scores of `result["split"]` into the folder of a run.

    Args:
      folder: of the run.
      result: the scores; `"data"`, or for a text `"sha256"`, identifies the data.
      checkpoint: the checkpoint that is scored.
      qualifiers: a word for each way in which the scores differ from the plain ones.
      other: the place of the data if they are not the run's own; None if they are.
    """
    words, note = [*qualifiers, *(["best"] if checkpoint == "best" else [])], None
    if other is not None:
        digest = short_digest(result.get("data") or result.get("sha256"))[:8]
        name = re.sub(r"[^\w.]+", "-", other.absolute().name) or "data"
        words.insert(0, f"of-{name}-{digest}")
        note = (
            f"{other} is not the data that {folder} has learnt from, as its {DATA_FILE} shows: these scores go "
            "into a separate file, which no table takes"
        )
    path = folder / f"{'-'.join(['evaluation', result['split'], *words])}.json"
    before = read_evaluation(path)
    write_json(path, result)
    return Saved(result, path, before, note)
