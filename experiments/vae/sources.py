"""Sources of 64x64 images, and their preparation for the network."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import jax
import numpy as np
from PIL import Image

from smoothjax import data

from .config import Config, DataConfig

SIZE = 64
# Seed of noise and dequantisation in evaluations; nothing else uses it, so no score depends on a run's seed.
_HELD_OUT = 2017
_FACES = ("face",)
# 178 : 218, to within the rounding of small copies.
_ALIGNED = (0.80, 0.83)


class Drawable(data.Examples[data.Record], data.Named, Protocol):
    """Records with an image, and their names."""


class Pictures:
    """Images without labels, as a source for the pipelines, with zeros as labels.

    Args:
      source: any source of records with an image.
      fit: makes an image SIZE x SIZE; by default images have this size already.

    Attributes:
      source: the given source.
    """

    def __init__(self, source: Drawable, fit: Callable[[np.ndarray], np.ndarray] | None = None):
        self.source, self._fit = source, fit
        self.classes = data.Classes(("any",), ((0, 0, 0),))

    def __len__(self) -> int:
        return len(self.source)

    def __repr__(self) -> str:
        return repr(self.source)

    def __getitem__(self, index: int, /) -> data.Record:
        image = self.source[index]["image"]
        image = image if self._fit is None else self._fit(image)
        return {"image": image, "label": np.zeros(image.shape[:2], np.uint8)}

    def name(self, index: int, /) -> str:
        """The name of the image."""
        return self.source.name(index)

    def size(self, index: int, /) -> tuple[int, int]:
        """The same for all."""
        del index
        return SIZE, SIZE


def open_source(config: DataConfig, split: str) -> Pictures:
    """A split of the data set, prepared or as distributed; the error says what is missing if it cannot be opened."""
    if config.name == "shapes":
        length = config.train_images if split == "train" else config.val_images
        return Pictures(data.ShapesSource(length=length, size=(SIZE, SIZE), split=split))
    root = images_root(config)
    if config.root is None and not data.is_prepared(root):
        raise ValueError(
            f"the data set celeba is not in {root}: make it there from its archives with "
            "python -m smoothjax.data prepare celeba --source DIR, or add --data.root FOLDER_OR_ZIP, a prepared one, "
            "img_align_celeba.zip or the folder that holds it, with list_eval_partition.txt beside it"
        )
    if not data.is_prepared(root):
        return Pictures(data.CelebASource(root, split, size=SIZE))
    source = data.PreparedSource(root, split)
    if source.classes.names != _FACES:
        raise ValueError(f"{root} is a prepared data set, but not celeba: name another one with --data.root")
    # Decoding a published image at half its size gains nothing: the face would be 53 pixels wide.
    return Pictures(source, partial(data.crop_face, size=SIZE))


def images_root(config: DataConfig) -> Path:
    """The place of the faces: the given folder or file, or the prepared data set."""
    return Path(data.DATA_DIR, "celeba") if config.root is None else config.root


def fit(image: np.ndarray, *, faces: bool) -> np.ndarray:
    """A user's image at SIZE x SIZE: its central square, or the face of an aligned image if the run has learnt
    faces."""
    height, width = image.shape[:2]
    if faces and _ALIGNED[0] <= width / height <= _ALIGNED[1]:
        return data.crop_face(image, SIZE)
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = Image.fromarray(image[top : top + side, left : left + side])
    return np.asarray(square.resize((SIZE, SIZE), Image.Resampling.BICUBIC))


@dataclass(frozen=True)
class Augment:
    """Mirrors an image at random, makes it what the likelihood asks for, and draws the noise of its latents.

    A batch holds all the chance there is, so that a run that is resumed is the run that was never stopped.
    """

    likelihood: str
    latent_features: int
    mirror: bool

    def __call__(self, record: data.Record, rng: np.random.Generator, /) -> dict[str, np.ndarray]:
        """Turns an image, uint8 `[64, 64, 3]`, into `"image"` in 0 .. 1 and `"noise"` `[latent_features]`, float32."""
        pixels = record["image"]
        if self.mirror and rng.random() < 0.5:
            pixels = pixels[:, ::-1]
        return {"image": to_unit(pixels, self.likelihood, rng), "noise": _noise(self.latent_features, rng)}


def to_unit(pixels: np.ndarray, likelihood: str, rng: np.random.Generator) -> np.ndarray:
    """8-bit values in 0 .. 1: dequantised for the Gaussian likelihood, as they are for the discretised logistic."""
    if likelihood == "gaussian":
        # With 16 bits behind the point, value and dither fit into a float32: none is rounded into the next bin.
        dither = np.minimum(rng.random(pixels.shape, np.float32), np.float32(1 - 2**-16))
        return (pixels.astype(np.float32) + dither) / np.float32(256)
    return pixels.astype(np.float32) / np.float32(255)


def held_out_batches(
    source: Pictures, config: Config, limit: int | None = None, batch_size: int | None = None
) -> Iterator[dict[str, np.ndarray]]:
    """This process's share of the batches of a split.

    Dequantisation and noise of an image depend only on its place in the split: every run is scored on the same ones.

    Returns:
      Batches of `"pixels"` (8-bit values over 255) and `"image"` (as the likelihood asks), `[B, 64, 64, 3]`, `"noise"`
      `[B, latent_features]`, all float32; `"valid"` and `"index"` `[B]`, 0 and -1 where a batch is filled up.
    """
    for batch in data.evaluation_batches(
        source,
        batch_size=batch_size or config.eval_batch_size,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        limit=limit,
    ):
        rngs = [np.random.default_rng((_HELD_OUT, 1 + int(index))) for index in batch["index"]]
        pairs = list(zip(batch["image"], rngs, strict=True))
        yield {
            "pixels": batch["image"] / np.float32(255),
            "image": np.stack([to_unit(image, config.model.likelihood, rng) for image, rng in pairs]),
            "noise": np.stack([_noise(config.model.latent_features, rng) for rng in rngs]),
            "valid": (batch["index"] >= 0).astype(np.float32),
            "index": batch["index"],
        }


def draw_latents(count: int, features: int, seed: int) -> np.ndarray:
    """Latents from the prior, float32 `[count, features]`: the same for every run of as many latents."""
    return np.random.default_rng(seed).standard_normal((count, features), np.float32)


def _noise(features: int, rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal(features, np.float32)
