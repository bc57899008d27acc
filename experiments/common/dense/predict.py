"""Masks of a user's images."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from PIL import Image

from smoothjax import data, training

from ..network import M
from ..trained import Checkpoint, read_run
from .init import normalization
from .sources import Images, batches_of
from .study import C, DenseStudy


class Predicted(NamedTuple):
    """The files written, and how many images were padded, to compile the network for few shapes."""

    written: list[Path]
    padded: int


def predict(
    study: DenseStudy[C, M], folder: Path, paths: Sequence[Path], out: Path, checkpoint: Checkpoint
) -> Predicted:
    """Writes `NAME_mask.png` (class indices with a palette of colours) and `NAME_overlay.png` for each image.

    An image is seen at its own size, whatever else is predicted with it, unless the images have more sizes than
    `data.evaluation_batches` keeps.
    """
    source = Images(paths, data.Classes(("any",), ((0, 0, 0),)))
    trained = read_run(study, folder, checkpoint)

    def apply(state: training.TrainState, images: jax.Array, size: tuple[int, int]) -> jax.Array:
        return study.segment(trained.config, trained.network.model(state), images, size)

    compiled = jax.jit(apply, static_argnames="size")
    out.mkdir(parents=True, exist_ok=True)
    written, padded = [], 0
    for batch in batches_of(study.view(trained.config, source), 1, normalization(trained.config.init)):
        index, seen = int(batch["index"][0]), tuple(map(int, batch["size"][0]))
        height, width = source.size(index)
        # An image at its own size may be padded, so that there are few shapes; its mask then includes the padding.
        size = batch["image"].shape[1:3] if seen == (height, width) else (height, width)
        padded += size != (height, width)
        masks = compiled(trained.state, batch["image"], size=size)
        mask = np.asarray(masks[0], np.uint8)[:height, :width]
        indexed = Image.fromarray(mask)
        indexed.putpalette(np.asarray(trained.target.colors, np.uint8).tobytes())
        overlay = Image.fromarray(data.overlay(source[index]["image"], mask, trained.target))
        for picture, suffix in ((indexed, "mask"), (overlay, "overlay")):
            written.append(out / f"{source.name(index)}_{suffix}.png")
            picture.save(written[-1])
    return Predicted(written, padded)
