"""Makes folders of runs without training."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import grain
import jax.numpy as jnp
import yaml

from experiments.common.config import with_options
from experiments.common.network import Network
from experiments.common.plain import to_dict
from experiments.common.run_folder import describe_run, load_config
from experiments.common.study import Trained
from smoothjax import data, training

START = {
    "command": "python -m experiments.segmentation compare camvid --data.root /home/me/camvid --out /home/me/runs/x",
    "commit": "0123456789abcdef",
    "device": "1 x NVIDIA H100",
    "processor": "x86_64, 16 cores",
}


def write(folder: Any, config: Any, val: float, test: float | None = None, **result: Any) -> None:
    """Writes a finished run as training leaves it; with `test`, also its scores on test, class by class."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump({"study": config.study, **to_dict(config)}))
    (folder / "environment.json").write_text(json.dumps([START]))
    if config.data.name == "voc2012":
        (folder / "data.json").write_text(json.dumps({"train_split": config.data.train_split or "train_aug"}))
    content = {"val": {"mean_iou": val, "pixel_accuracy": 0.9}, "extra_parameters": 7, "seconds_per_step": 0.05}
    (folder / "result.json").write_text(json.dumps(content | result))
    if test is not None:
        evaluate(folder, "test", test, {"sky": test + 0.1, "car": test - 0.1, "sign": None})


def placed(config: Any) -> Any:
    """The configuration of a preset; one that starts from a run, which the user names, names one."""
    return with_options(config, {"init.checkpoint": Path("run")}) if config.init.source == "run" else config


def evaluate(folder: Any, split: str, mean: float, iou: dict[str, float | None], **more: Any) -> None:
    steps = yaml.safe_load((folder / "config.yaml").read_text())["steps"]
    scores = {"split": split, "step": steps, "mean_iou": mean, "pixel_accuracy": 0.9, "iou": iou}
    scores["boundary"] = {"distance": 0.02, "mean_boundary_iou": mean / 2, "trimap_mean_iou": mean / 3}
    (folder / f"evaluation-{split}.json").write_text(json.dumps(scores | more))


def mark_learnt(folder: Path) -> None:
    """Marks a run as if it had saved its first checkpoint, so that no other run may replace it."""
    (folder / "checkpoints/1").mkdir(parents=True, exist_ok=True)


def assert_survives_its_file(config: Any, folder: Path) -> None:
    """Asserts that a configuration with a path in it survives writing and reading."""
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, root=Path("somewhere")))
    describe_run(folder, config)
    assert load_config(folder, type(config)) == config


def save_untrained(
    study: Any,
    folder: Any,
    config: Any,
    target: Any = data.SHAPES,
    change: Callable[[Any], Any] = lambda params: params,
) -> None:
    """Saves a run of no steps, by default with masks of several of eight classes; `change` makes other weights."""
    network = study.build_network(config, target)
    optimizer, _ = study.make_optimizer(config, network.params)
    describe_run(folder, config, target if isinstance(target, data.Classes) else None)
    with training.Checkpoints(folder / "checkpoints") as checkpoints:
        state = training.create_state(change(network.params), network.model_state, optimizer)
        checkpoints.save(0, state, iter(grain.MapDataset.range(1).to_iter_dataset()))


def classes(count: int) -> data.Classes:
    """The given number of classes."""
    return data.Classes(tuple(f"class {index}" for index in range(count)), data.default_colors(count))


def measured(study: Any, config: Any, target: Any, params: Any, initial: Any) -> dict[str, Any]:
    """The numbers of parameters that a run reports."""
    network = Network(initial, {}, cast(Any, None), cast(Any, None))
    state = training.TrainState(jnp.zeros((), jnp.int32), params, {}, ())
    return study.measure(Trained(config, target, network, state, 0, training.data_mesh()))
