"""Masks of a user's images."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from smoothjax import data, models
from smoothjax.compilation import JitByShape
from smoothjax.progress import track

from ..network import M, Trees
from ..run_folder import load_config
from ..trained import AskedWeights, Checkpoint, Trained, read_run
from ..writing import write_picture
from .figures import draw_legend
from .init import normalization
from .sources import Images, batches_of
from .study import C, DenseStudy, has_independent_classes


def predict(
    study: DenseStudy[C, M],
    folder: Path,
    paths: Sequence[Path],
    out: Path,
    checkpoint: Checkpoint,
    weights: AskedWeights = "better",
) -> list[Path]:
    """Writes `NAME_mask.png` (class indices with a palette of colours) and `NAME_overlay.png` for each image.

    `legend.png` shows the colours of the classes.

    The network sees each image at its own size, independent of the other images.

    Returns:
      The files written.
    """
    images = load_config(folder, study.config).data
    source = Images(paths, data.Classes(("any",), ((0, 0, 0),)), white=images.white, channels=images.channels)
    trained = read_run(study, folder, checkpoint, weights=weights)
    written: list[Path] = []
    for index, mask in track(_masks(study, trained, source), "predict", len(source), unit="images"):
        out.mkdir(parents=True, exist_ok=True)
        indexed = Image.fromarray(mask)
        indexed.putpalette(np.asarray(trained.target.colors, np.uint8).tobytes())
        overlay = Image.fromarray(data.overlay(source[index]["image"], mask, trained.target))
        for picture, suffix in ((indexed, "mask"), (overlay, "overlay")):
            written.append(out / f"{source.name(index)}_{suffix}.png")
            write_picture(written[-1], picture)
    written.append(out / "legend.png")
    draw_legend(trained.target, written[-1])
    return written


def _masks(
    study: DenseStudy[C, M], trained: Trained[C, data.Classes, M], source: Images
) -> Iterator[tuple[int, np.ndarray]]:
    """The index of each image, and its mask uint8 `[H, W]`."""
    config, trees, statistics = trained.config, Trees.of(trained.state), normalization(trained.config)
    seen = study.view(config, source)
    if study.averaging.tile is not None and seen is source:
        yield from _by_tiles(study, trained, source)
        return

    def apply(given: Trees, images: jax.Array, size: tuple[int, int]) -> jax.Array:
        return study.segment(config, trained.network.model(given), images, size)

    compiled = JitByShape(apply, static_argnames="size")
    for batch in batches_of(seen, 1, statistics):
        index = int(batch["index"][0])
        masks = compiled(trees, jnp.asarray(batch["image"]), size=source.size(index))
        yield index, np.asarray(masks[0], np.uint8)


def _by_tiles(
    study: DenseStudy[C, M], trained: Trained[C, data.Classes, M], source: Images
) -> Iterator[tuple[int, np.ndarray]]:
    """`_masks` that needs, besides an image and its mask, the memory of a few rows of tiles."""
    trees, (mean, std) = Trees.of(trained.state), normalization(trained.config)
    compiled = JitByShape(lambda given, images: study.logits(trained.config, trained.network.model(given), images))
    averaging = study.averaging
    for index in range(len(source)):
        yield (
            index,
            models.segment(
                partial(compiled, trees),
                source[index]["image"],
                prepare=partial(data.normalize_image, mean=mean, std=std),
                tile=averaging.tile,
                scales=averaging.scales,
                flip=averaging.flip,
                independent=has_independent_classes(trained.config),
                progress=True,
            ),
        )
