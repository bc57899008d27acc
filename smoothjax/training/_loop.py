"""The training loop of every study."""

import dataclasses
import functools
import numbers
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import grain
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from tqdm import tqdm

from ._checkpoint import Checkpoints
from ._interval import Interval, check_finite
from ._logging import RunLog, say
from ._mesh import replicate, shard_batch
from ._state import TrainState
from ._step import LossFn, compile_step
from ._stop import Stopped, StopSignals


@dataclasses.dataclass(frozen=True)
class LoopConfig:
    """How long to train and how often to do what, in steps (updates of the parameters).

    Attributes:
      max_steps: Length of the run.
      log_every: Steps between log lines, each the mean over the steps since the last.
      evaluate_every: Steps between evaluations; there is one at the end as well. Each saves a checkpoint.
      checkpoint_every: Steps between checkpoints; there is one at the end as well.

    Raises:
      ValueError: One of them is not an int, or less than 1.
    """

    max_steps: int
    log_every: int = 20
    evaluate_every: int = 1000
    checkpoint_every: int = 500

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, numbers.Integral):
                raise ValueError(
                    f"LoopConfig: {field.name} must be an int, got {value!r}; give a whole number of steps"
                )
            if value < 1:
                raise ValueError(f"LoopConfig: {field.name} must be at least 1 step, got {value}")


@dataclasses.dataclass(frozen=True)
class FitResult:
    """What a run ends with.

    Attributes:
      state: The last training state.
      metrics: The last evaluation; empty without one.
      best_step: The step of the checkpoint with the best metric; None without one.
      best_value: The value of the metric there.
      checkpoints: The folder of the checkpoints, for `Checkpoints(folder, read_only=True).restore_best`.
    """

    state: TrainState
    metrics: dict[str, float]
    best_step: int | None
    best_value: float | None
    checkpoints: Path


def fit(
    *,
    config: LoopConfig,
    loss_fn: LossFn,
    optimizer: optax.GradientTransformation,
    state: TrainState,
    iterator: grain.DatasetIterator[Any],
    folder: str | os.PathLike[str],
    mesh: Mesh,
    schedule: optax.Schedule,
    evaluate: Callable[[TrainState], Mapping[str, float]] | None = None,
    metric: str = "mean_iou",
    mode: str = "max",
    ranks: Callable[[int], bool] = lambda step: True,
    watch: Callable[[RunLog, int, TrainState], None] | None = None,
    mirror: Callable[[int, Mapping[str, float]], None] | None = None,
    accumulate: int = 1,
    progress: bool = True,
) -> FitResult:
    """Trains, or continues what `folder` holds, until `config.max_steps`.

    Step n is the n-th update; the checkpoint and the log lines of step n are of the state after it. Killed at any
    moment and started again with the same arguments, a run continues from its latest checkpoint and ends, on CPU, with
    bitwise the same parameters. The first log line after it is the mean over the steps since the checkpoint.

    SIGTERM, and SIGINT once, save a checkpoint after the running step and raise `Stopped`, which ends the process with
    code 143 or 130; an evaluation is cut short, and only the last one is made up for, when the run is started again.
    Several processes stop together, whichever of them got the signal; they finish an evaluation first.

    The batches are global: every process's iterator gives its own rows, and they are split over the devices of `mesh`.
    Compute in bfloat16 by casting inside `loss_fn`; the parameters, the loss and the optimiser stay float32.

    Args:
      config: Length and intervals.
      loss_fn: See `train_step`.
      optimizer: The optimiser, made with `schedule`.
      state: The initial state; copied, so it stays alive. Only its shapes are used where the run is resumed.
      iterator: Grain iterator of batches (trees of NumPy arrays), at its start; it must not end: use `repeat()`.
      folder: The run: `checkpoints/`, `metrics.jsonl`, `tensorboard/`.
      mesh: From `data_mesh`.
      schedule: From the step, counted from 0, to the learning rate; here for the log alone.
      evaluate: From the state to numbers by name. It must not keep the state, which the next step overwrites.
      metric: The number of `evaluate` that ranks the checkpoints.
      mode: "max" or "min": which value of it is best.
      ranks: From the step to whether the evaluation there counts for the best checkpoint: evaluations of different
        examples cannot be compared. The others are logged and not kept.
      watch: Called after each evaluation with the log, the step and the state, to show pictures and histograms.
      mirror: See `RunLog`.
      accumulate: Parts of a batch whose gradients are added up, see `train_step`.
      progress: Whether to show the bar (on a terminal only) and a line for each log interval.

    Returns:
      The last state, the last evaluation, and where the best checkpoint is.

    Raises:
      FloatingPointError: The loss, the gradient or the state became NaN or infinite. The message names the step and
        the last good checkpoint; none is ever saved after.
      KeyError: `evaluate` does not return `metric`.
      OSError: A checkpoint cannot be written; earlier ones are intact.
      Stopped: A signal asked for it.
      ValueError: The iterator ends, or a batch does not divide over the devices.
    """
    folder, total = Path(folder), config.max_steps
    evaluation = evaluate and functools.partial(
        _evaluation, evaluate=evaluate, metric=metric, watch=watch, progress=progress
    )
    everywhere = NamedSharding(mesh, PartitionSpec())
    template = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=everywhere), state)
    with Checkpoints(folder / "checkpoints", metric=metric, mode=mode) as checkpoints:
        restored = checkpoints.restore_latest(template, iterator)
        start, measured = (restored.step, restored.metrics) if restored else (0, {})
        state = restored.state if restored else replicate(state, mesh)
        if start >= total:
            say(f"{folder} is finished: it holds step {start} of {total}")
            if evaluation is not None and metric not in measured and ranks(start):
                with RunLog(folder, resume_step=start, console=progress, mirror=mirror) as log, StopSignals() as stop:
                    found = evaluation(start, state, log=log, stop=stop)
                    if found is None:
                        raise Stopped(128 + stop.signal)
                    checkpoints.measure(start, found)
                    measured = found
            return _result(state, measured, checkpoints)
        if restored:
            say(f"resuming {folder} from step {start} of {total}")

        step_fn = compile_step(loss_fn, optimizer, mesh, accumulate=accumulate)
        interval = Interval(checkpoints)
        with (
            RunLog(folder, resume_step=start, console=progress, mirror=mirror) as log,
            _bar(start, total, progress) as bar,
            StopSignals() as stop,
        ):
            for step in range(start + 1, total + 1):
                # The device is still busy with the steps before: preparing this batch costs it nothing. No batch is
                # taken ahead, so the iterator stands at the first unseen one whenever a checkpoint is saved.
                batch = shard_batch(_next(iterator, step, total), mesh)
                if step == start + 1 and progress:
                    say("compiling the training step")
                state, metrics = step_fn(state, batch)
                interval.push(step, metrics)
                bar.update()
                last = step == total
                if last or step % config.log_every == 0:
                    means = interval.means()
                    bar.set_postfix(loss=f"{means['loss']:.4g}", refresh=False)
                    means["learning_rate"] = float(jnp.asarray(schedule(step - 1)))
                    log.scalars(step, "train", means)
                stopping = stop.at(step)
                evaluates = evaluate is not None and (last or step % config.evaluate_every == 0)
                if evaluates or last or stopping or step % config.checkpoint_every == 0:
                    interval.read_all()
                    paused = time.perf_counter()
                    check_finite(step, state, checkpoints)
                    found = None
                    if evaluation is not None and evaluates:
                        found = evaluation(step, state, log=log, stop=stop)
                        stopping, measured = stopping or found is None, found or measured
                    kept = found if ranks(step) else None
                    checkpoints.save(step, state, iterator, metrics=kept)
                    if stopping:
                        checkpoints.wait()
                        where = checkpoints.path(step)
                        saved = f"stopped by {stop.signal.name} after step {step} of {total}, which is saved in {where}"
                        say(f"{saved}; the same command continues from there")
                        raise Stopped(128 + stop.signal)
                    interval.started += time.perf_counter() - paused
        checkpoints.wait()
        return _result(state, measured, checkpoints)


def _evaluation(
    step: int,
    state: TrainState,
    *,
    evaluate: Callable[[TrainState], Mapping[str, float]],
    metric: str,
    watch: Callable[[RunLog, int, TrainState], None] | None,
    progress: bool,
    log: RunLog,
    stop: StopSignals,
) -> dict[str, float] | None:
    """Evaluates and logs; None where a signal came."""
    if progress:
        say(f"evaluating after step {step}")
    found = stop.interruptible(functools.partial(evaluate, state))
    if found is None:
        return None
    measured = _measured(found, metric)
    log.scalars(step, "val", measured)
    if watch is not None:
        watch(log, step, state)
    return measured


def _measured(found: Mapping[str, float], metric: str) -> dict[str, float]:
    measured = {name: float(value) for name, value in found.items()}
    if metric not in measured:
        raise KeyError(
            f"fit: evaluate must return the metric {metric!r} that ranks the checkpoints, got {sorted(measured)}; "
            "name one of them with `metric`"
        )
    return measured


def _next(iterator: grain.DatasetIterator[Any], step: int, total: int) -> Any:
    try:
        return next(iterator)
    except StopIteration:
        raise ValueError(
            f"fit: the data ended before step {step} of {total}; end the pipeline with .repeat() before .batch()"
        ) from None


def _bar(start: int, total: int, progress: bool) -> "tqdm[Any]":
    silent = not progress or jax.process_index() != 0
    # None: shown on a terminal, not in a file.
    return tqdm(initial=start, total=total, unit="step", dynamic_ncols=True, disable=True if silent else None)


def _result(state: TrainState, measured: dict[str, float], checkpoints: Checkpoints) -> FitResult:
    return FitResult(state, measured, checkpoints.best_step, checkpoints.best_value, checkpoints.folder)
