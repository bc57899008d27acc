"""Trains one run, from its configuration to its result."""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Generic

import grain
import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from smoothjax import data, training

from .average import score_better, statistics_estimator
from .checks import check
from .comparison import C, Result
from .evaluate import Scorer, spread_evenly
from .fork import describe, forked
from .identity import check_data
from .learner import S, T
from .network import M, Network
from .parameters import count, smoothing_parameters
from .run_files import (
    EXAMPLES_FILE,
    EXAMPLES_KEY,
    LOCK_FILE,
    MEASURED_FILE,
    RESULT_FILE,
    Json,
    damage_named,
    read_measured,
    read_result,
    read_starts,
    seconds_per_step,
)
from .run_folder import check_run, describe_run, note_on_start, starts_anew
from .shared import Programs, Shared
from .study import Scored, Study, Trained
from .wandb_logging import open_wandb
from .writing import write_arrays, write_json


@dataclass(frozen=True)
class Job(Generic[C, T, S, M]):
    """A configuration with its data and network, ready to train."""

    config: C
    target: T
    network: Network[M]
    mesh: Mesh
    problem: training.Problem
    validation: S
    scorer: Scorer[C, T, S, M]
    measured: Json
    refresh: Callable[[training.TrainState], training.TrainState] | None

    def evaluate(self, state: training.TrainState, limit: int | None, examples: int, *, progress: bool) -> Scored:
        """Scores the validation split, or `limit` of its examples."""
        keep = spread_evenly(examples, len(self.validation))
        return self.scorer.score(state, self.validation, limit=limit, keep=keep, progress=progress)


def prepare(
    study: Study[C, T, S, M],
    config: C,
    mesh: Mesh,
    *,
    progress: bool,
    folder: Path | None = None,
    shared: Shared[C, T, S, M] | None = None,
) -> Job[C, T, S, M]:
    """Opens the data and builds the network; faults are found here, before anything is written.

    Values that an earlier start has measured on the training split are read from the folder. Splits and programs are
    taken from the shared ones, or added to them.
    """
    shared = Shared(config) if shared is None else shared
    shown = progress and jax.process_index() == 0
    source, validation = shared.open_splits(study, progress=shown)
    target = study.target(config, source)
    kept = {} if folder is None or starts_anew(folder) else read_measured(folder)
    learnt, measured, lines = study.measured(config, source, kept, progress=shown)
    if measured and measured not in shared.printed:
        shared.printed.append(measured)
        training.say(lines)
    examples = study.training_examples(config, source)
    augmentation = study.training_augmentation(config, target, source)

    def batches() -> grain.DatasetIterator[dict[str, np.ndarray]]:
        return data.train_iterator(
            examples,
            augmentation=augmentation,
            batch_size=config.batch_size,
            seed=config.seed,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )

    network = forked(study, config, target, study.with_weights(config, study.build_network(config, target)))
    decay = study.average_decay(config)
    # Averaged weights are estimated from batches of the seed.
    programs_of = shared.programs if decay is None else None

    def compiled() -> Programs[C, T, S, M]:
        graphs = network.graphs
        optimizer, schedule = study.make_optimizer(config, network.params)
        loss = study.make_loss(learnt, graphs)
        step = None
        if programs_of is not None:
            step = training.compile_step(loss, optimizer, mesh, accumulate=config.accumulate)
            training.say("compiling the training step, once for all seeds")
        refresh = None if decay is None else statistics_estimator(study, learnt, graphs, mesh, batches)
        return Programs(loss, optimizer, schedule, step, Scorer(study, config, graphs, mesh), refresh)

    key = replace(learnt, seed=0)
    known = {} if programs_of is None else programs_of
    if key not in known:
        known[key] = compiled()
    programs = known[key]
    optimizer, epoch = programs.optimizer, len(examples) / config.batch_size
    state = training.create_state(network.params, network.model_state, optimizer, average=decay is not None)
    problem = training.Problem(
        programs.loss, optimizer, programs.schedule, state, batches(), epoch, decay, programs.step
    )
    return Job(config, target, network, mesh, problem, validation, programs.scorer, measured, programs.refresh)


def train(
    study: Study[C, T, S, M],
    config: C,
    folder: Path,
    *,
    described: Mapping[str, object] | None = None,
    make_job: Callable[..., Job[C, T, S, M]] = prepare,
    progress: bool = True,
) -> Result:
    """Trains a run, or continues the one in the folder; returns its result, also written to `result.json`.

    `described` is the result of `fork.describe`, if the caller has it already; `make_job` replaces `prepare`. Faults of
    the configuration or the data are found before anything is compiled. Several processes (see `cluster`) make the same
    call and need a shared folder; process 0 writes everything except the checkpoints.
    """
    mesh = check(config, folder)
    described = describe(study, config) if described is None else described
    check_data(folder, described)
    exists, finished = folder.exists(), (folder / RESULT_FILE).exists()
    # Process 0 is about to write to the folder; the others have checked it already.
    multihost_utils.sync_global_devices(f"checked {folder}")
    if finished:
        result = read_result(folder)
        with damage_named([folder]):
            study.outcome(result)
        training.say(f"{folder} is finished")
        return result
    with contextlib.ExitStack() as stack:
        if exists:  # a second process stops at once
            stack.enter_context(training.lock_folder(folder, file=LOCK_FILE))
        job = make_job(study, config, mesh, progress=progress, folder=folder)
        if not exists:  # the lock makes the folder, so faulty data leave none behind
            stack.enter_context(training.lock_folder(folder, file=LOCK_FILE))
            check_run(folder, config)  # another process may have finished in the meantime
        return _train(study, job, folder, described, progress=progress)


def _train(
    study: Study[C, T, S, M], job: Job[C, T, S, M], folder: Path, described: Mapping[str, object], *, progress: bool
) -> Result:
    config, mesh, metric = job.config, job.mesh, study.ranked_by(job.config)
    if jax.process_index() == 0:
        if note := note_on_start(folder, config):
            training.say(note)
        describe_run(folder, config, job.target if isinstance(job.target, data.Classes) else None, described)
        if job.measured:
            write_json(folder / MEASURED_FILE, job.measured)

    def evaluate(state: training.TrainState) -> training.Evaluation[Scored]:
        # The last evaluation is the result: it takes the whole split.
        whole = config.evaluate_images is None or int(state.step) == config.steps
        limit = None if whole else config.evaluate_images
        score = partial(job.evaluate, limit=limit, examples=study.examples, progress=progress)
        found = score_better(score, state, metric, study.mode)
        # The log records the number: scores of a few examples and scores of all do not form one curve.
        return training.Evaluation({**found.scores, EXAMPLES_KEY: found.count}, found, ranks=whole)

    def watch(log: training.RunLog, step: int, state: training.TrainState, found: training.Evaluation[Scored]) -> None:
        filters = {f"smoothing/{name}": np.asarray(leaf) for name, leaf in smoothing_parameters(state.params).items()}
        log.histograms(step, filters)
        log.pictures(step, study.pictures(job.validation, found.details))

    with open_wandb(config, folder) as mirror:
        fitted = training.fit(
            config,
            job.problem,
            folder,
            mesh=mesh,
            evaluator=training.Evaluator(evaluate, metric, study.mode, watch, job.refresh),
            mirror=mirror,
            progress=progress,
        )
    # The loop's last evaluation, unless it had no step left.
    found = evaluate(fitted.state).details if fitted.evaluation is None else fitted.evaluation.details
    state, steps = fitted.state, int(fitted.state.step)
    shown = training.averaged_state(state) if found.weights == "averaged" else state
    trained = Trained(config, job.target, job.network, shown, steps, mesh, found.weights)
    results, examples = study.summarize(trained, job.validation, found)
    result = {
        "method": config.method,
        "seed": config.seed,
        "steps": steps,
        "val": found.scores,
        **results,
        **study.measure(trained),
        "parameters": count(state.params),
        "seconds_per_step": seconds_per_step(folder),
    }
    if steps < config.steps:
        result["ended_early"] = {"patience": config.patience, "of": config.steps}
    if found.weights is not None:
        result |= {"network": found.weights, "val_by_network": found.by_weights}
        scores = ", ".join(f"{name} {each[metric]:.4g}" for name, each in found.by_weights.items())
        training.say(f"{metric} on val by network: {scores}; the {found.weights} one is shown")
    if changes := [start["changed"] for start in read_starts(folder) if isinstance(start.get("changed"), str)]:
        result["changes"] = changes
    if jax.process_index() == 0:
        write_arrays(folder / EXAMPLES_FILE, examples)
        write_json(folder / RESULT_FILE, result)
    return result
