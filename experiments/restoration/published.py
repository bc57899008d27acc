"""Scores published weights on pairs of images, as runs are scored, image by image."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from smoothjax import models, weights
from smoothjax.compilation import JitByShape
from smoothjax.files import write_whole
from smoothjax.names import RestorationTask
from smoothjax.progress import track

from ..common.network import Network, Trees
from .batches import held_out_batches
from .config import FOLDER, ModelConfig
from .study import STUDY

Scores = Mapping[str, float]


def read_weights(file: Path, task: RestorationTask) -> models.GCANet:
    """GCANet with published weights, in a file that `weights.read` reads."""
    return weights.gcanet_from_torch(weights.read(file), task=task)


def score_weights(file: Path, task: RestorationTask, folder: Path, split: str) -> dict[str, Scores]:
    """PSNR in dB and SSIM of the published network, by the name of the image.

    Args:
      file: weights of GCANet that `weights.read` reads.
      task: the task that they were trained for.
      folder: `{train,val,test}/{degraded,clean}`, images of the same names.
      split: one of the three.

    Returns:
      For each image `psnr`, `ssim`, and with `degraded_` before them those of the image as it was.

    Raises:
      ValueError: a file is damaged, a pair is incomplete, or its images differ in size.
      FileNotFoundError: a file or a folder is missing.
    """
    config = replace(
        FOLDER.config, model=ModelConfig(task=task, smoothing="ss_conv"), data=replace(FOLDER.config.data, root=folder)
    )
    source = STUDY.open_split(config, split)
    STUDY.check_scored_data(config, None, source)
    network = Network.of(read_weights(file, task))

    score = JitByShape(lambda variables, batch: STUDY.score(config, network.model(variables), batch)[0])
    found, variables = dict[int, Scores](), Trees.of(network)
    # One image at a time: every one has its own scores.
    for batch in track(held_out_batches(source, config), "evaluate", len(source), unit="images"):
        found[int(batch["index"][0])] = STUDY.scores(score(variables, batch))
    return {source.name(index): found[index] for index in sorted(found)}


def mean_scores(scores: Sequence[Scores]) -> Scores:
    """The mean of each score over images."""
    return {name: float(np.mean([of_image[name] for of_image in scores])) for name in scores[0]}


def write_scores(scores: Mapping[str, Scores], path: Path) -> None:
    """Writes a CSV file with a row for each image."""
    text = io.StringIO()
    writer = csv.writer(text)
    names = list(next(iter(scores.values())))
    writer.writerow(["image", *names])
    writer.writerows([image, *(f"{row[name]:.6g}" for name in names)] for image, row in scores.items())
    write_whole(path, text.getvalue().encode())
