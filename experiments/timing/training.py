"""The cost of checkpoints, logs and evaluations beside training steps, and the time to resume a run."""

import statistics
import tempfile
import time
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

import grain
import jax
from jax.sharding import Mesh

from smoothjax import data, models, training

from ..common.config import with_options
from ..common.report import align
from ..common.run_files import RESULT_FILE
from ..common.train import Job, prepare, train
from ..segmentation.config import Config
from ..segmentation.presets import DEMO
from ..segmentation.study import STUDY, SmoothedDilation

# Steps that are not counted: they compile, or find cold caches.
_WARM = 10
# Steps in flight before the metrics of one are read, as in the loop of the studies.
_IN_FLIGHT = 2
SegmentationJob = Job[Config, data.Classes, data.Source, models.DeepLab]
# Options for a quick run: a network and images that compile and train within seconds.
_QUICK = {
    **{"steps": 30, "evaluate_every": 15, "checkpoint_every": 15, "model.width": 4, "model.head_rates": (1, 2)},
    "model.encoder": "resnet10",
    **{"data.train_images": 64, "data.val_images": 16, "data.image_size": (40, 40), "data.crop_size": (33, 33)},
}


def training_table(*, quick: bool, repeats: int) -> tuple[str, dict[str, Any]]:
    """Steps per second of the segmentation demo, bare and complete, and its resume time: in Markdown and as numbers.

    The bare run has only batches and updates. The complete run is timed from its eleventh step until `result.json` is
    written, with evaluations over the whole split; compilation, also that of the evaluation, is excluded. The two
    alternate.
    """
    config = with_options(DEMO.config, _QUICK) if quick else DEMO.config
    without, measured = _Bare(config), []
    for _ in range(2 if quick else repeats):
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder) / "run"
            measured.append((without.speed(), _speed(config, run), *_resume(config, run)))
    bare, full, restore, resume = (statistics.median(column) for column in zip(*measured, strict=True))
    costs = [before / after - 1 for before, after, *_ in measured]
    numbers = {
        "steps": config.steps,
        "steps_per_second_without": bare,
        "steps_per_second_with": full,
        "costs": costs,
        "seconds_to_restore": restore,
        "seconds_to_resume": resume,
    }
    rows = [
        ["steps per second, only batches and updates", f"{bare:.2f}"],
        ["steps per second with checkpoints, logs and evaluations", f"{full:.2f}"],
        ["additional time for these", f"{100 * statistics.median(costs):.1f} %"],
        ["seconds to restore only the checkpoint", f"{restore:.2f}"],
        ["seconds to resume: data, network, checkpoint, compilation, first update", f"{resume:.2f}"],
    ]
    return align([f"{config.steps} steps of {config.batch_size} images, medians of {len(measured)}", ""], rows), numbers


class _Clock(grain.DatasetIterator):
    """An iterator that records when each batch is requested."""

    def __init__(self, inner: grain.DatasetIterator):
        super().__init__()
        self._inner = inner
        self.asked: list[float] = []

    def __next__(self) -> Any:
        self.asked.append(time.perf_counter())
        return next(self._inner)

    def get_state(self) -> Any:
        return self._inner.get_state()

    def set_state(self, state: Any) -> None:
        self._inner.set_state(state)


class _Clocked:
    """Prepares a run with a clock around its data, and compiles its evaluation before training begins."""

    def __init__(self) -> None:
        self.clock: _Clock | None = None
        self.compiling = 0.0

    def __call__(
        self, study: SmoothedDilation, config: Config, mesh: Mesh, *, progress: bool, folder: Path
    ) -> SegmentationJob:
        """Prepares the run like `prepare`, and compiles the evaluation."""
        job = prepare(study, config, mesh, progress=progress, folder=folder)
        self.clock = _Clock(job.problem.iterator)
        start = time.perf_counter()
        job.evaluate(training.replicate(job.problem.state, mesh), config.eval_batch_size, 0, progress=False)
        self.compiling = time.perf_counter() - start
        return replace(job, problem=replace(job.problem, iterator=self.clock))


class _Bare:
    """A run of only batches and updates, compiled once."""

    def __init__(self, config: Config):
        self._config, self._mesh = config, training.data_mesh()
        problem = prepare(STUDY, config, self._mesh, progress=False).problem
        self._state = problem.state
        self._step = training.compile_step(problem.loss_fn, problem.optimizer, self._mesh, accumulate=config.accumulate)

    def speed(self) -> float:
        """Steps per second of one run."""
        iterator = prepare(STUDY, self._config, self._mesh, progress=False).problem.iterator
        state, unread = training.replicate(self._state, self._mesh), deque()
        start = 0.0
        for step in range(self._config.steps):
            if step == _WARM:
                start = time.perf_counter()
            state, metrics = self._step(state, training.shard_batch(next(iterator), self._mesh))
            unread.append(metrics)
            if len(unread) > _IN_FLIGHT:
                jax.device_get(unread.popleft())
        jax.block_until_ready(state)
        return (self._config.steps - _WARM) / (time.perf_counter() - start)


def _speed(config: Config, folder: Path) -> float:
    """Steps per second of one complete run."""
    clocked = _Clocked()
    train(STUDY, config, folder, make_job=clocked, progress=False)
    assert clocked.clock is not None
    return (config.steps - _WARM) / (time.perf_counter() - clocked.clock.asked[_WARM])


def _resume(config: Config, folder: Path) -> tuple[float, float]:
    """Seconds to restore the latest checkpoint, and to resume a run until its first update is dispatched."""
    (folder / RESULT_FILE).unlink()
    mesh = training.data_mesh()
    problem = prepare(STUDY, config, mesh, progress=False).problem
    state = training.replicate(problem.state, mesh)
    start = time.perf_counter()
    with training.Checkpoints(folder / "checkpoints", read_only=True) as checkpoints:
        restored = checkpoints.restore_latest(state, problem.iterator)
        jax.block_until_ready(restored)
        last = checkpoints.path(checkpoints.steps[-1])
    restore = time.perf_counter() - start
    last.rename(folder / "last")
    clocked = _Clocked()
    start = time.perf_counter()
    train(STUDY, config, folder, make_job=clocked, progress=False)
    assert clocked.clock is not None
    return restore, clocked.clock.asked[1] - start - clocked.compiling
