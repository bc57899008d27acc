"""A run read back: scored on a split, sampled from, or applied to images."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from smoothjax import data, training

from ..common.evaluate import Scored, save_scores
from ..common.identity import describe_split, is_foreign
from ..common.run_folder import load_config
from ..common.trained import Checkpoint, restore
from .config import Config, DataConfig
from .figures import grid, pairs
from .scores import Scorer, as_bytes
from .sources import Pictures, draw_latents, fit, images_root, open_source
from .study import STUDY

_COLUMNS = 8


@dataclass(frozen=True)
class Trained:
    """A run read back: its configuration, and the state of a checkpoint with what scores it."""

    config: Config
    state: training.TrainState
    step: int
    scorer: Scorer


def read_run(folder: Path, checkpoint: Checkpoint) -> Trained:
    """Reads a run's best or latest checkpoint."""
    config, mesh = load_config(folder, Config), training.data_mesh()
    network = STUDY.build_network(config)
    optimizer, _ = STUDY.make_optimizer(config, network.params)
    restored = restore(folder, network, optimizer, mesh, checkpoint, metric=STUDY.metric, mode=STUDY.mode)
    return Trained(config, restored.state, restored.step, Scorer(config, network, mesh))


def evaluate(folder: Path, split: str, checkpoint: Checkpoint, data_root: Path | None = None) -> Scored:
    """Scores of a run on a split; written to `evaluation-SPLIT.json`, or to a file of their own: see `evaluate`."""
    images = _images(folder, data_root)
    source = open_source(images, split)
    run = read_run(folder, checkpoint)
    scores, _ = run.scorer.score(run.state, source)
    described = None if images.name == "shapes" else describe_split(source.source)
    result = {
        "split": split,
        "images": len(source),
        "latent_samples_per_image": 1,
        "checkpoint": checkpoint,
        "step": run.step,
        "data": described,
        **scores,
        "checkerboard": run.scorer.samples(run.state, keep=0)[0],
        "checkerboard_of_images": run.scorer.checkerboard_of(source),
    }
    other = is_foreign(folder, split, lambda name: open_source(images, name).source, described)
    return save_scores(folder, result, checkpoint, foreign=images_root(images) if other else None)


def sample(folder: Path, count: int, seed: int, out: Path, checkpoint: Checkpoint) -> Path:
    """Writes a grid of images from the prior."""
    if count < 1:
        raise ValueError(f"--count must be at least 1 image, got {count}")
    if seed < 0:
        raise ValueError(f"--seed must not be negative, got {seed}")
    _check_out(out)
    run = read_run(folder, checkpoint)
    images = run.scorer.decode(run.state, draw_latents(count, run.config.model.latent_features, seed))
    return _save(grid(as_bytes(images), _COLUMNS), out)


def reconstruct(
    folder: Path,
    paths: Sequence[Path],
    split: str,
    count: int,
    out: Path,
    checkpoint: Checkpoint,
    data_root: Path | None = None,
) -> Path:
    """Writes originals above their reconstructions: of files, or of a split where none are given."""
    if count < 1:
        raise ValueError(f"--count must be at least 1 image, got {count}")
    _check_out(out)
    if paths:
        faces = load_config(folder, Config).data.name == "celeba"
        # Read at once, so that an unreadable file is reported before the network is compiled.
        images = [{"image": data.read_image(path, large=True)} for path in paths]
        source, count = Pictures(images, partial(fit, faces=faces)), len(paths)
    else:
        source = open_source(_images(folder, data_root), split)
    run = read_run(folder, checkpoint)
    pictures = run.scorer.reconstruct(run.state, source, min(count, len(source)))
    return _save(pairs(pictures["originals"], pictures["reconstructions"], _COLUMNS), out)


def _images(folder: Path, data_root: Path | None) -> DataConfig:
    """The images of a run, perhaps elsewhere."""
    config = load_config(folder, Config).data
    return config if data_root is None else dataclasses.replace(config, root=data_root)


def _check_out(out: Path) -> None:
    if out.suffix.lower() != ".png" or out.is_dir():
        raise ValueError(f"--out must be a PNG file, got {out}: name it e.g. samples.png")


def _save(pixels: np.ndarray, out: Path) -> Path:
    out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(out)
    return out
