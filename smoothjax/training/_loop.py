"""The training loop of every study."""

import dataclasses
import functools
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, Literal, TypeVar

import grain
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ..progress import Progress
from ._checkpoint import Checkpoints
from ._interval import Interval, check_finite
from ._intervals import Intervals, check_intervals
from ._logging import Mirror, RunLog, say
from ._mesh import replicate, shard_batch
from ._patience import Patience
from ._state import TrainState, Tree
from ._step import LossFn, Step, compile_step
from ._stop import Stopped, StopSignals

D = TypeVar("D")


@dataclasses.dataclass(frozen=True)
class Problem:
    """The problem to train.

    Attributes:
      loss_fn: See `train_step`.
      optimizer: The optimiser, made with `schedule`.
      schedule: Maps the step, counted from 0, to the learning rate, for the log.
      state: The initial state; copied, so it stays alive. A resumed run only uses its shapes.
      iterator: Grain iterator of batches (trees of NumPy arrays), at its start; it must not end: use `repeat()`.
      epoch_steps: Steps per epoch, perhaps a fraction, to show epochs in the log.
      average: See `train_step`; the state is then made with `create_state(..., average=True)`.
      step: The result of `compile_step` for this loss, optimiser, mesh, parts and average, to share it between runs; by
        default `fit` makes it.
    """

    loss_fn: LossFn
    optimizer: optax.GradientTransformation
    schedule: optax.Schedule
    state: TrainState
    iterator: grain.DatasetIterator[Tree]
    epoch_steps: float | None = None
    average: float | None = None
    step: Step | None = None


@dataclasses.dataclass(frozen=True)
class Evaluation(Generic[D]):
    """The result of an evaluation.

    Attributes:
      scores: Numbers by name, for the log and the checkpoint.
      details: Anything that the caller wants to keep, such as a confusion matrix or pictures.
      ranks: Whether it counts for the best checkpoint, since evaluations on different examples cannot be compared;
        others are only logged.
    """

    scores: Mapping[str, float]
    details: D
    ranks: bool = True


@dataclasses.dataclass(frozen=True)
class Evaluator(Generic[D]):
    """The evaluation of a run.

    Attributes:
      evaluate: Maps the state to an `Evaluation`. It must not keep the state, which the next step overwrites.
      metric: The score that ranks the checkpoints.
      mode: The best value of the score, "max" or "min".
      refresh: Called before each evaluation, and not cut short by a signal; maps the state to the one to evaluate, save
        and continue with. It estimates values that only evaluations need, such as the batch statistics of averaged
        weights.
      watch: Called after each evaluation with the log, the step and the state, to show pictures and histograms.
    """

    evaluate: Callable[[TrainState], Evaluation[D]]
    metric: str = "mean_iou"
    mode: Literal["max", "min"] = "max"
    watch: Callable[[RunLog, int, TrainState, Evaluation[D]], None] | None = None
    refresh: Callable[[TrainState], TrainState] | None = None


@dataclasses.dataclass(frozen=True)
class FitResult(Generic[D]):
    """The result of a run.

    Attributes:
      state: The last training state.
      metrics: The scores of the last evaluation; empty without one.
      evaluation: The last evaluation; None if it was made before this run was resumed, or never.
      best_step: The step of the checkpoint with the best metric; None without one.
      best_value: The value of the metric there.
      checkpoints: The folder of the checkpoints, for `Checkpoints(folder, read_only=True).restore_best`.
    """

    state: TrainState
    metrics: dict[str, float]
    evaluation: Evaluation[D] | None
    best_step: int | None
    best_value: float | None
    checkpoints: Path


def fit(
    config: Intervals,
    problem: Problem,
    folder: str | os.PathLike[str],
    *,
    mesh: Mesh,
    evaluator: Evaluator[D] | None = None,
    mirror: Mirror | None = None,
    progress: bool = True,
) -> FitResult[D]:
    """Trains, or continues the run in `folder`, until `config.steps`.

    Step n is the n-th update; the checkpoint and the log lines of step n describe the state after it. A run that is
    killed at any moment and started again with the same arguments continues from its latest checkpoint and ends, on
    CPU, with bitwise equal parameters. Its first log line is the mean over the steps since the checkpoint.

    SIGTERM, and SIGINT once, save a checkpoint after the running step and raise `Stopped`, which ends the process with
    code 143 or 130; an evaluation is cut short, and only the last one is repeated when the run is started again.
    Several processes stop together, whichever got the signal, after they finish an evaluation. A signal after the last
    step also raises `Stopped`, once everything is saved, so that nothing else starts.

    Batches are global: every process's iterator gives its own rows, which are split over the devices of `mesh`. With
    `config.patience`, the run also ends after that number of evaluations without improvement of the metric, prints
    the reason, and then counts as finished. A resumed run reads earlier evaluations from the log of the folder.

    Compute in bfloat16 by casting inside the loss function; the parameters, the loss and the optimiser stay float32.

    Args:
      config: Length and intervals.
      problem: Loss, optimiser, initial state and data.
      folder: The run: `checkpoints/`, `metrics.jsonl`, `tensorboard/`.
      mesh: From `data_mesh`.
      evaluator: The evaluation; None never evaluates.
      mirror: See `RunLog`.
      progress: Whether to show a line for each log interval and, after five seconds, a bar with rate and remaining time
        (lines without a terminal).

    Returns:
      The last state, the last evaluation, and the best checkpoint.

    Raises:
      FloatingPointError: The loss, the gradient or the state became NaN or infinite. The message names the step and the
        last good checkpoint; no later one is saved.
      KeyError: The evaluation lacks the metric.
      OSError: A checkpoint cannot be written; earlier ones are intact.
      Stopped: A signal asked for it.
      ValueError: A number of `config` is not an int or less than 1, there is patience and no evaluator, the initial
        state is not of step 0, the iterator ends, or a batch does not divide over the devices.
    """
    check_intervals(config)
    if config.patience is not None and evaluator is None:
        raise ValueError(
            f"fit: config.patience counts evaluations, got {config.patience} and no evaluator; give one, or take None"
        )
    folder, total = Path(folder), config.steps
    iterator, state = problem.iterator, problem.state
    metric, mode = ("mean_iou", "max") if evaluator is None else (evaluator.metric, evaluator.mode)
    everywhere = NamedSharding(mesh, PartitionSpec())
    template = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=everywhere), state)
    with Checkpoints(folder / "checkpoints", metric=metric, mode=mode) as checkpoints:
        restored = checkpoints.restore_latest(template, iterator)
        if restored is None and int(state.step) != 0:
            raise ValueError(
                f"fit: problem.state must be of step 0, got step {int(state.step)}: `create_state` begins with given "
                "parameters, and a run continues in its own folder"
            )
        start, metrics = (restored.step, restored.metrics) if restored else (0, {})
        patience = Patience(config.patience, metric, mode)
        patience.read(folder, start)
        state = restored.state if restored else replicate(state, mesh)
        last: Evaluation[D] | None = None

        def result() -> FitResult[D]:
            return FitResult(state, metrics, last, checkpoints.best_step, checkpoints.best_value, checkpoints.folder)

        if start >= total or patience.exhausted:
            early = "" if start >= total else f", {patience.since} evaluations without improvement of {metric}"
            say(f"{folder} is finished: it holds step {start} of {total}{early}")
            if evaluator is not None and evaluator.metric not in metrics:
                with RunLog(folder, resume_step=start, console=progress, mirror=mirror) as log, StopSignals() as stop:
                    last = _evaluate(evaluator, start, state, log=log, stop=stop, progress=progress)
                    if last is None:
                        raise Stopped(128 + stop.signal)
                    metrics = dict(last.scores)
                    if last.ranks:
                        checkpoints.measure(start, metrics)
            return result()
        if restored:
            say(f"resuming {folder} from step {start} of {total}")

        step_fn = problem.step or compile_step(
            problem.loss_fn, problem.optimizer, mesh, accumulate=config.accumulate, average=problem.average
        )
        interval = Interval(checkpoints)
        with (
            RunLog(folder, resume_step=start, console=progress, mirror=mirror) as log,
            Progress(total, "train", initial=start, shown=progress and jax.process_index() == 0) as bar,
            StopSignals() as stop,
        ):
            for step in range(start + 1, total + 1):
                # The device is still busy with earlier steps, so preparing this batch costs nothing. No batch is taken
                # ahead, so the iterator is at the first unseen batch whenever a checkpoint is saved.
                batch = shard_batch(_next(iterator, step, total), mesh)
                if step == start + 1 and progress and problem.step is None:
                    say("compiling the training step")
                state, measured = step_fn(state, batch)
                interval.push(step, measured)
                bar.update()
                ends = step == total
                if ends or step % config.log_every == 0:
                    means = interval.means()
                    bar.note(loss=f"{means['loss']:.4g}")
                    if problem.epoch_steps is not None:
                        means["epoch"] = step / problem.epoch_steps
                        bar.note(epoch=f"{means['epoch']:.2f}")
                    means["learning_rate"] = float(jnp.asarray(problem.schedule(step - 1)))
                    log.scalars(step, "train", means)
                stopping = stop.at(step)
                evaluates = evaluator is not None and (ends or step % config.evaluate_every == 0)
                if evaluates or ends or stopping or step % config.checkpoint_every == 0:
                    interval.read_all()
                    paused = time.perf_counter()
                    check_finite(step, state, checkpoints)
                    found = None
                    if evaluator is not None and evaluates:
                        if evaluator.refresh is not None and (ends or not stopping):
                            state = evaluator.refresh(state)
                        found = _evaluate(evaluator, step, state, log=log, stop=stop, progress=progress)
                        stopping = stopping or found is None
                    if found is not None:
                        last, metrics = found, dict(found.scores)
                        if found.ranks:
                            patience.see(metrics[metric])
                    checkpoints.save(step, state, iterator, metrics=metrics if found and found.ranks else None)
                    if stopping:
                        checkpoints.wait()
                        where = checkpoints.path(step)
                        saved = f"stopped by {stop.signal.name} after step {step} of {total}, which is saved in {where}"
                        say(f"{saved}; the same command continues from there")
                        raise Stopped(128 + stop.signal)
                    if patience.exhausted and not ends:
                        since = f"{patience.since} evaluations without improvement of {metric}"
                        say(f"{folder} ends early, after step {step} of {total}: {since}")
                        break
                    interval.started += time.perf_counter() - paused
            checkpoints.wait()  # while signals are still caught
        return result()


def _evaluate(
    evaluator: Evaluator[D], step: int, state: TrainState, *, log: RunLog, stop: StopSignals, progress: bool
) -> Evaluation[D] | None:
    """Evaluates and logs; None if a signal came."""
    if progress:
        say(f"evaluating after step {step}")
    found = stop.interruptible(functools.partial(evaluator.evaluate, state))
    if found is None:
        return None
    found = dataclasses.replace(found, scores={name: float(value) for name, value in found.scores.items()})
    if evaluator.metric not in found.scores:
        raise KeyError(
            f"fit: evaluate must return the metric {evaluator.metric!r} that ranks the checkpoints, got "
            f"{sorted(found.scores)}; name one of them as `Evaluator.metric`"
        )
    log.scalars(step, "val", found.scores)
    if evaluator.watch is not None:
        evaluator.watch(log, step, state, found)
    return found


def _next(iterator: grain.DatasetIterator[Tree], step: int, total: int) -> Tree:
    try:
        return next(iterator)
    except StopIteration:
        raise ValueError(
            f"fit: the data ended before step {step} of {total}; end the pipeline with .repeat() before .batch()"
        ) from None
