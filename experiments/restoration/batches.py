"""Pairs of images as batches for the network."""

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import grain
import jax
import numpy as np

from smoothjax import data
from smoothjax.progress import track

from .config import SMALLEST, Config
from .degradation import WHOLE, Degradation
from .haze import Haze
from .noise import Noise
from .sources import Restorable, Shapes

# Seed of the degradation in evaluations; nothing else uses it, so no score depends on a run's seed.
_HELD_OUT = 2019
_REPORTED = 20


def degradation_of(config: Config) -> Degradation:
    """How clean images are degraded; those of pairs are degraded already."""
    return Noise(config.noise) if config.data.name == "noise" else Haze(config.haze)


@dataclass(frozen=True)
class Augment:
    """Degrades an image unless it is degraded already, crops and mirrors it.

    All randomness is in the batches, so a resumed run equals one that was never stopped.
    """

    crop_size: tuple[int, int]
    mirror: bool
    degradation: Degradation

    def __call__(self, record: data.Record, rng: np.random.Generator, /) -> dict[str, np.ndarray]:
        """Turns 8-bit images into `"image"`, degraded, and `"clean"`, float32 `[*crop_size, 3]` in 0 .. 255."""
        size = record["clean"].shape[:2]
        degrade = None if "image" in record else self.degradation.prepare(rng, size)
        room = [length - wanted for length, wanted in zip(size, self.crop_size, strict=True)]
        if min(room) < 0:
            raise ValueError(_too_small(size, self.crop_size))
        top, left = (int(rng.integers(length + 1)) for length in room)
        window = slice(top, top + self.crop_size[0]), slice(left, left + self.crop_size[1])
        clean = record["clean"][window]
        image = record["image"][window] if degrade is None else degrade(record["clean"], window)
        if self.mirror and rng.random() < 0.5:
            image, clean = image[:, ::-1], clean[:, ::-1]
        return {"image": image.astype(np.float32), "clean": clean.astype(np.float32)}


def whole_pair(record: data.Record, index: int, degradation: Degradation) -> tuple[np.ndarray, np.ndarray]:
    """The degraded and the clean image, as evaluations see them: what is drawn depends on the place in the split."""
    clean = record["clean"]
    if "image" in record:
        return record["image"], clean
    rng = np.random.default_rng((_HELD_OUT, 1 + index))
    return degradation.prepare(rng, clean.shape[:2])(clean, WHOLE), clean


def held_out_batches(source: Restorable, config: Config, limit: int | None = None) -> Iterator[dict[str, np.ndarray]]:
    """This process's share of the batches of a split, whole images, those of one size together.

    Nothing is padded: the statistics of instance normalisation would include the padding.

    Returns:
      Batches of `"image"` and `"clean"`, float32 `[B, H, W, 3]` in 0 .. 255, `"valid"` and `"index"` `[B]`, 0 and -1
      where a batch is filled up.
    """
    degradation, processes = degradation_of(config), jax.process_count()
    rows = slice(
        jax.process_index() * config.eval_batch_size // processes,
        (jax.process_index() + 1) * config.eval_batch_size // processes,
    )
    count = min(limit or len(source), len(source))
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for position in range(count):
        index = position * len(source) // count
        groups[source.size(index)].append(index)
    plan = []
    for size, members in sorted(groups.items()):
        members += [-1] * (-len(members) % config.eval_batch_size)
        starts = range(0, len(members), config.eval_batch_size)
        plan += [(size, members[start : start + config.eval_batch_size][rows]) for start in starts]

    def load(entry: tuple[tuple[int, int], list[int]]) -> dict[str, np.ndarray]:
        size, indices = entry
        images, clean = (np.zeros((len(indices), *size, 3), np.float32) for _ in range(2))
        for row, index in enumerate(indices):
            if index >= 0:
                images[row], clean[row] = whole_pair(source[index], index, degradation)
        index = np.asarray(indices, np.int32)
        return {"image": images, "clean": clean, "valid": (index >= 0).astype(np.float32), "index": index}

    dataset: Any = grain.MapDataset.source(plan).map(load)
    return iter(dataset.to_iter_dataset(grain.ReadOptions(num_threads=2, prefetch_buffer_size=4)))


def check_sources(sources: Mapping[str, Restorable], config: Config, *, progress: bool = False) -> None:
    """Reports all problems of the splits in one error, before anything is trained or written.

    Names are always compared; with `config.data.check` every file is read.

    Raises:
      data.InvalidDataError: there are problems; the message lists the first of them.
    """
    # Splits made of one folder share the problems with its names.
    problems = list(dict.fromkeys(problem for source in sources.values() for problem in source.problems))
    for split, source in sources.items() if config.data.check else ():
        smallest = config.data.crop_size if split == "train" else (SMALLEST, SMALLEST)
        # Decoding is done outside Python's lock.
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            # Drawn images are all of one kind.
            indices = range(1 if isinstance(source, Shapes) else len(source))
            results = pool.map(partial(_problems, source, smallest), indices)
            for found in track(results, f"check {split}", len(indices), unit="images", shown=progress):
                problems += found
    if not problems:
        return
    where = config.data.name if config.data.root is None else config.data.root
    count = f"{len(problems)} problem{'s' * (len(problems) > 1)}"
    lines = [f"{count} with the images of {where}:", *problems[:_REPORTED]]
    if len(problems) > _REPORTED:
        lines.append(f"and {len(problems) - _REPORTED} more")
    raise data.InvalidDataError(tuple(problems), "\n".join(lines))


def _problems(source: Restorable, smallest: tuple[int, int], index: int) -> tuple[str, ...]:
    try:
        size = source[index]["clean"].shape[:2]
    except data.InvalidDataError as error:
        return error.problems
    small = any(length < wanted for length, wanted in zip(size, smallest, strict=True))
    return (f"{source.name(index)}: {_too_small(size, smallest)}",) if small else ()


def _too_small(size: tuple[int, ...], wanted: tuple[int, int]) -> str:
    return (
        f"the image is {size[0]} x {size[1]} pixels high and wide, less than the {wanted[0]} x {wanted[1]} that are "
        "needed; leave it out, or take a smaller --data.crop-size"
    )
