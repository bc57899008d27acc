"""Masks of a user's images."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import numpy as np
from PIL import Image

from smoothjax import data

from ..network import M, Trees
from ..trained import Checkpoint, Trained, read_run
from ..writing import write_picture
from .averaging import Averaging, resized
from .init import normalization
from .sources import Images, batches_of
from .study import C, DenseStudy
from .tiles import classes_by_tiles


def predict(
    study: DenseStudy[C, M], folder: Path, paths: Sequence[Path], out: Path, checkpoint: Checkpoint
) -> list[Path]:
    """Writes `NAME_mask.png` (class indices with a palette of colours) and `NAME_overlay.png` for each image.

    An image is seen at its own size, whatever else is predicted with it.

    Returns:
      The files written.
    """
    source = Images(paths, data.Classes(("any",), ((0, 0, 0),)))
    trained = read_run(study, folder, checkpoint)
    source.white = trained.config.data.white
    written: list[Path] = []
    for index, mask in _masks(study, trained, source):
        out.mkdir(parents=True, exist_ok=True)
        indexed = Image.fromarray(mask)
        indexed.putpalette(np.asarray(trained.target.colors, np.uint8).tobytes())
        overlay = Image.fromarray(data.overlay(source[index]["image"], mask, trained.target))
        for picture, suffix in ((indexed, "mask"), (overlay, "overlay")):
            written.append(out / f"{source.name(index)}_{suffix}.png")
            write_picture(written[-1], picture)
    return written


def _masks(
    study: DenseStudy[C, M], trained: Trained[C, data.Classes, M], source: Images
) -> Iterator[tuple[int, np.ndarray]]:
    """The place of each image, and its mask uint8 `[H, W]`."""
    config, trees, statistics = trained.config, Trees.of(trained.state), normalization(trained.config.init)
    seen = study.view(config, source)
    tile = study.averaging.tile
    if tile is not None and study.averaging == Averaging(tile=tile) and seen is source:
        yield from _by_tiles(study, trained, source, tile)
        return

    def apply(given: Trees, images: jax.Array, size: tuple[int, int]) -> jax.Array:
        return study.segment(config, trained.network.model(given), images, size)

    compiled = jax.jit(apply, static_argnames="size")
    for batch in batches_of(seen, 1, statistics):
        index = int(batch["index"][0])
        masks = compiled(trees, batch["image"], size=source.size(index))
        yield index, np.asarray(masks[0], np.uint8)


def _by_tiles(
    study: DenseStudy[C, M], trained: Trained[C, data.Classes, M], source: Images, tile: tuple[int, int]
) -> Iterator[tuple[int, np.ndarray]]:
    """`_masks`, the memory beside an image and its mask that of one row of tiles."""
    trees, (mean, std) = Trees.of(trained.state), normalization(trained.config.init)

    def apply(given: Trees, images: jax.Array) -> jax.Array:
        logits = study.logits(trained.config, trained.network.model(given), images)
        return resized(logits, (images.shape[1], images.shape[2]))

    compiled = jax.jit(apply)

    def logits_of(window: np.ndarray) -> jax.Array:
        return compiled(trees, data.normalize_image(window, mean=mean, std=std)[None])

    for index in range(len(source)):
        yield index, classes_by_tiles(source[index]["image"], tile, logits_of)
