"""Trains one run, from its configuration to its result."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from smoothjax import nn, training

from .config import RunConfig
from .cost import compare_steps, describe_step
from .identity import check_data
from .network import count
from .run_folder import EXAMPLES_FILE, LOCK_FILE, RESULT_FILE, check_run, describe_run, read_log, read_object, write
from .study import Evaluation, Job, Result, Study
from .wandb_logging import check_mirror, open_mirror


def train(
    study: Study[Any],
    config: RunConfig,
    folder: Path,
    *,
    described: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> Result:
    """Trains a run, or continues the one in the folder; returns its result, also written to `result.json`.

    `described` is what `Study.describe_data` tells, if the caller knows it already. Whatever is wrong with the
    configuration or the data is found before anything is compiled. Several processes (see `cluster`) call it alike and
    need to see the same folder; process 0 writes all but the checkpoints.
    """
    mesh = check(config, folder)
    described = study.describe_data(config) if described is None else described
    check_data(folder, described)
    finished = (folder / RESULT_FILE).exists()
    # Process 0 is about to write there: the others have looked before.
    multihost_utils.sync_global_devices(f"looked at {folder}")
    if finished:
        result = read_object(folder / RESULT_FILE)
        training.say(f"{folder} is finished")
        return result
    with training.lock_folder(folder, file=LOCK_FILE):
        return _train(study, config, folder, mesh, described, progress=progress)


def _train(
    study: Study[Any],
    config: RunConfig,
    folder: Path,
    mesh: Mesh,
    described: Mapping[str, Any],
    *,
    progress: bool,
) -> Result:
    job = study.prepare(config, mesh, progress=progress)
    if jax.process_index() == 0:
        describe_run(folder, config, job.classes, described)

    def evaluate(state: training.TrainState) -> training.Evaluation[Evaluation]:
        # The last evaluation is the result: it takes the whole split.
        whole = config.evaluate_images is None or int(state.step) == config.steps
        found = job.evaluate(state, None if whole else config.evaluate_images)
        return training.Evaluation(found.scores, found, ranks=whole)

    def watch(
        log: training.RunLog, step: int, state: training.TrainState, found: training.Evaluation[Evaluation]
    ) -> None:
        log.histograms(step, _smoothers(state.params))
        if job.pictures is not None:
            log.pictures(step, job.pictures(found.details))

    state = training.create_state(job.network.params, job.network.model_state, job.optimizer)
    with open_mirror(config, folder) as mirror:
        fitted = training.fit(
            config,
            training.Problem(job.loss_fn, job.optimizer, job.schedule, state, job.iterator),
            folder,
            mesh=mesh,
            evaluator=training.Evaluator(evaluate, study.metric, study.mode, watch),
            mirror=mirror,
            progress=progress,
        )
    # What the loop has just found, unless it had nothing left to do.
    evaluation = job.evaluate(fitted.state, None) if fitted.evaluation is None else fitted.evaluation.details
    results, examples = job.summarize(fitted.state, evaluation)
    summary = {
        "method": config.method,
        "seed": config.seed,
        "steps": config.steps,
        "val": evaluation.scores,
        **results,
        "parameters": count(fitted.state.params),
        "seconds_per_step": seconds_per_step(folder),
    }
    if jax.process_index() == 0:
        arrays: dict[str, Any] = dict(examples)
        np.savez_compressed(folder / EXAMPLES_FILE, **arrays)
        write(folder / RESULT_FILE, json.dumps(summary, indent=2) + "\n")
    return summary


def dry_run(study: Study[Any], config: RunConfig, folder: Path) -> str:
    """Compiles the step of a run and describes it; trains nothing, writes nothing."""
    mesh = _check_dry(config, folder)
    job = study.prepare(config, mesh, progress=False)
    training.say("compiling the training step")
    return describe_step(job, config, mesh)


def dry_compare(study: Study[Any], config: RunConfig, methods: Sequence[str], folder: Path) -> str:
    """Compiles the step of each method, and sets their costs side by side; trains nothing, writes nothing."""

    def prepare(variant: RunConfig, label: str, mesh: Mesh) -> Job:
        training.say(f"compiling the training step of {label}")
        return study.prepare(variant, mesh, progress=False)

    jobs, mesh = {}, training.data_mesh()
    for method in methods:
        variant, label = config.with_method(method), study.labels[method]
        mesh = _check_dry(variant, folder / f"{method}-seed{variant.seed}")
        jobs[label] = partial(prepare, variant, label, mesh)
    return compare_steps(jobs, config, mesh)


def read_examples(folder: Path) -> dict[str, np.ndarray]:
    """The arrays of a run's `examples.npz`."""
    with np.load(folder / EXAMPLES_FILE) as stored:
        return {name: stored[name] for name in stored.files}


def seconds_per_step(folder: Path) -> float:
    """Median over the log intervals, without the first one, which compiles."""
    speed = [line["steps_per_second"] for line in read_log(folder) if line["split"] == "train"]
    return float(1 / np.median(speed[1:] or speed)) if speed else float("nan")


def check(config: RunConfig, folder: Path) -> Mesh:
    """Refuses what does not fit the devices or the folder; returns the mesh of all devices."""
    mesh = _check_devices(config)
    training.check_folder(folder, name="--run")
    check_run(folder, config)
    return mesh


def _check_dry(config: RunConfig, folder: Path) -> Mesh:
    """As `check`, but says what the folder would refuse: nothing is going to be written there."""
    try:
        check_run(folder, config)
    except (ValueError, OSError) as error:
        training.say(f"note: to train, another folder is needed: {error}")
    return _check_devices(config)


def _check_devices(config: RunConfig) -> Mesh:
    config.validate()
    check_mirror(config)
    mesh = training.data_mesh()
    training.check_rows("--batch-size", config.batch_size, devices=mesh.size, parts=config.accumulate)
    return mesh


def _smoothers(params: Any) -> dict[str, np.ndarray]:
    """The smoothing parameters by name."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    flags = jax.tree.leaves(training.label_parameters(params, nn.is_smoother))
    return {
        "smoothing/" + jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf)
        for (path, leaf), smooths in zip(leaves, flags, strict=True)
        if smooths
    }
