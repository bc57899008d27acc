"""Trains one run, from its configuration to its result."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from smoothjax import data, training

from . import study
from .config import Config
from .run_folder import check_run, describe_run, write

RESULT_FILE, EXAMPLES_FILE = "result.json", "examples.npz"
_EXAMPLES = 4


def train(config: Config, folder: Path, *, progress: bool = True) -> dict[str, Any]:
    """Trains a run, or continues the one in the folder; returns its result, also written to `result.json`.

    Whatever is wrong with the configuration or the data is found before anything is compiled.
    """
    mesh = training.data_mesh()
    _check_batches(config, mesh)
    check_run(folder, config)
    source, validation = (study.open_source(config.data, split) for split in ("train", "val"))
    if (folder / RESULT_FILE).exists():
        print(f"{folder} is finished")
        return json.loads((folder / RESULT_FILE).read_text())
    if config.data.check and config.data.name != "shapes":
        for split in (source, validation):
            data.check_source(split, progress=progress)
    loop = training.LoopConfig(config.steps, config.log_every, config.evaluate_every, config.checkpoint_every)
    iterator = data.train_iterator(
        source,
        augmentation=_augmentation(config),
        batch_size=config.batch_size,
        seed=config.seed,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )
    network = study.build_network(config, len(source.classes))
    loss_fn = study.make_loss(config, network, len(source.classes))
    optimizer, schedule = study.make_optimizer(config, network.params)
    evaluation = study.make_evaluation(config, network, len(source.classes), mesh)

    def evaluate(state: training.TrainState, **options: Any) -> tuple[np.ndarray, dict[int, np.ndarray]]:
        return study.evaluate_split(validation, evaluation, state, mesh, batch_size=config.eval_batch_size, **options)

    classes = source.classes
    describe_run(folder, config, dict(zip(classes.names, classes.colors, strict=True)))
    result = training.fit(
        config=loop,
        loss_fn=loss_fn,
        optimizer=optimizer,
        state=training.create_state(network.params, network.model_state, optimizer),
        iterator=iterator,
        folder=folder,
        mesh=mesh,
        schedule=schedule,
        evaluate=lambda state: study.scores(evaluate(state, limit=config.evaluate_images)[0]),
        progress=progress,
    )
    # The result is that of the last step, over the whole split.
    confusion, examples = evaluate(result.state, keep=example_indices(len(validation)))
    summary = {
        "smoothing": config.model.smoothing,
        "seed": config.seed,
        "steps": config.steps,
        "val": study.scores(confusion),
        "majority": study.majority_scores(confusion),
        **study.smoothing_report(result.state.params, network.params),
        "seconds_per_step": seconds_per_step(folder),
    }
    if jax.process_index() == 0:
        masks: dict[str, Any] = {str(index): mask for index, mask in examples.items()}
        np.savez_compressed(folder / EXAMPLES_FILE, **masks)
        write(folder / RESULT_FILE, json.dumps(summary, indent=2) + "\n")
    return summary


def example_indices(length: int) -> list[int]:
    """The validation images shown in figures: a few, spread evenly. One process alone can read every mask."""
    if jax.process_count() > 1:
        return []
    count = min(_EXAMPLES, length)
    return [i * length // count for i in range(count)]


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's `metrics.jsonl`."""
    path = folder / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def seconds_per_step(folder: Path) -> float:
    """Median over the log intervals, without the first one, which compiles."""
    speed = [line["steps_per_second"] for line in read_log(folder) if line["split"] == "train"]
    return float(1 / np.median(speed[1:] or speed)) if speed else float("nan")


def _augmentation(config: Config) -> data.Augmentation:
    low, high = config.data.scale_range
    return data.Augmentation(
        crop_size=config.data.crop_size,
        scale_range=(low * config.data.scale, high * config.data.scale),
        mirror=config.data.mirror,
        mean=study.MEAN,
        std=study.STD,
    )


def _check_batches(config: Config, mesh: Mesh) -> None:
    for option, size in (("--batch-size", config.batch_size), ("--eval-batch-size", config.eval_batch_size)):
        if size < 1 or size % mesh.size:
            raise ValueError(
                f"{option} must be a positive multiple of the {mesh.size} devices, got {size}: "
                f"try {max(1, round(size / mesh.size)) * mesh.size}"
            )
