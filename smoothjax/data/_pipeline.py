"""The endless stream of augmented training batches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar, runtime_checkable

import grain
import numpy as np

from ..augmentation import Strengths
from ._arrays import check_statistics, check_weights
from ._geometric import balanced_crop, random_rotate
from ._photometric import random_colors
from ._source import Examples, Record, ScaledSource
from ._transforms import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    PerChannel,
    check_largest_scale,
    checked_size,
    normalize,
    pad_to,
    random_crop,
    random_mirror,
    random_scale,
    resize,
    scaled_size,
)

# JPEG is decoded at 1/2, 1/4 or 1/8 of its size, so larger factors gain nothing.
_HALF = 0.5


@dataclass(frozen=True)
class Augmentation:
    """Random variation of training examples: scale, mirror, rotation, crop, colours, with padding in the mean colour.

    `train_iterator` decodes a JPEG at 1/2, 1/4 or 1/8 of its size if the drawn factor is no larger and the source can
    do so (see `read`). Size, mirroring, window, label and place of the picture are exactly those of the whole image;
    its pixels differ a little, since the decoder averages squares of them: on photographs of CamVid and VOC 2012 by 0.6
    to 2.7 of 255 in the median, depending on the factor, and by 3.9 at most; their mean by less than 1, their standard
    deviation by less than 2.5 %.

    Args:
      crop_size: height and width of the training images in pixels.
      scale_range: smallest and largest factor of `random_scale`.
      mirror: whether to exchange left and right in half of the cases.
      mean: mean of each channel, in 0 .. 255; it becomes 0. By default of red, green and blue.
      std: standard deviation of each channel, in units of 0 .. 255; it becomes 1.
      strengths: strengths of rotation and of colour changes, and the share of crops that show a class drawn by
        `crop_weights`; by default 0. See `random_rotate`, `random_colors` and `balanced_crop`.
      crop_weights: weight of each class in `strengths.balanced` crops, such as `datasets.median_frequency_weights`; by
        default all are equal.

    Raises:
      ValueError: an option is out of range, or the images do not have the colours of a strength.

    Example:
      >>> Augmentation(crop_size=(97, 97)).scale_range
      (0.5, 1.5)
    """

    crop_size: tuple[int, int]
    scale_range: tuple[float, float] = (0.5, 1.5)
    mirror: bool = True
    mean: PerChannel = IMAGENET_MEAN
    std: PerChannel = IMAGENET_STD
    strengths: Strengths = field(default_factory=Strengths)
    crop_weights: Sequence[float] | np.ndarray = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "crop_size", checked_size("crop_size", self.crop_size))
        if len(self.scale_range) != 2 or not 0 < self.scale_range[0] <= self.scale_range[1]:
            raise ValueError(f"scale_range must be (low, high) with 0 < low <= high, got {self.scale_range}")
        check_largest_scale(self.scale_range[1])
        check_statistics(self.mean, self.std)
        self.strengths.check()
        self.strengths.check_channels(len(self.mean))
        check_weights("crop_weights", self.crop_weights)
        # Arrays become tuples, so that configurations can be compared.
        object.__setattr__(self, "crop_weights", tuple(map(float, self.crop_weights)))

    def __call__(self, record: Record, rng: np.random.Generator, /) -> Record:
        """Augments one example to `crop_size`, ready for a network.

        Args:
          record: image uint8 `[H, W, C]` and label uint8 `[H, W]`.
          rng: generator of every choice.

        Returns:
          Image float32 `[*crop_size, C]`, exactly 0 where padded; label int32 `crop_size`, 255 where padded.

        Raises:
          ValueError: image or label is not uint8.

        Example:
          >>> import numpy as np
          >>> record = {"image": np.zeros((8, 9, 3), np.uint8), "label": np.zeros((8, 9), np.uint8)}
          >>> Augmentation(crop_size=(5, 5))(record, np.random.default_rng(0))["image"].shape
          (5, 5, 3)
        """
        low, high = self.scale_range
        return self._finish(random_scale(record, rng, low=low, high=high), rng)

    def read(self, source: Examples[Record], index: int, rng: np.random.Generator, /) -> Record:
        """`self(source[index], rng)`, but an image that shrinks is decoded no larger than it needs to be.

        Args:
          source: a split; a `ScaledSource` reads images at less than their size.
          index: place of the example in it.
          rng: generator of every choice.

        Returns:
          The same as from a call with the same choices.

        Example:
          >>> import numpy as np
          >>> from smoothjax.data import ShapesSource
          >>> vary, source = Augmentation(crop_size=(5, 5)), ShapesSource(length=1, size=(32, 32))
          >>> whole, read = vary(source[0], np.random.default_rng(0)), vary.read(source, 0, np.random.default_rng(0))
          >>> bool((whole["image"] == read["image"]).all())
          True
        """
        factor = rng.uniform(*self.scale_range)
        if factor <= _HALF and isinstance(source, ScaledSource):
            size = scaled_size(source.size(index), factor)
            record = source.read(index, size)
        else:
            record = source[index]
            size = scaled_size(record["label"].shape, factor)
        return self._finish(resize(record, size), rng)

    def _finish(self, record: Record, rng: np.random.Generator) -> Record:
        """The steps after scaling; a strength of 0 draws no number, so it does not change the draws of the others."""
        strengths = self.strengths
        if self.mirror:
            record = random_mirror(record, rng)
        if strengths.rotate:
            record = random_rotate(record, rng, strengths.rotate, fill=self.mean)
        # Cropping before padding gives the same result as after it, see random_crop, and leaves fewer pixels to
        # process.
        if strengths.balanced and rng.random() < strengths.balanced:
            record = balanced_crop(record, rng, self.crop_size, self.crop_weights)
        else:
            record = random_crop(record, rng, self.crop_size)
        image = random_colors(record["image"], rng, strengths)
        record = normalize({"image": image, "label": record["label"]}, mean=self.mean, std=self.std)
        return pad_to(record, self.crop_size)


E = TypeVar("E")
E_contra = TypeVar("E_contra", contravariant=True)


@runtime_checkable
class ReadingAugmentation(Protocol[E_contra]):
    """A function that prepares an example, and can also read it, such as an `Augmentation`."""

    def __call__(self, example: E_contra, rng: np.random.Generator, /) -> Record:
        """The augmented example, ready for a network."""
        ...

    def read(self, source: Examples[E_contra], index: int, rng: np.random.Generator, /) -> Record:
        """The same from a source and an index; it may read less than the whole example."""
        ...


def train_iterator(
    source: Examples[E],
    *,
    augmentation: Callable[[E, np.random.Generator], Record],
    batch_size: int,
    seed: int,
    process_index: int = 0,
    process_count: int = 1,
    threads: int = 2,
) -> grain.DatasetIterator[dict[str, np.ndarray]]:
    """Endless shuffled and augmented batches of this process.

    Every epoch has its own order and its own augmentation, both functions of the seed only. Process i of n takes
    examples `i, i + n, ...` of each batch of the whole job, so that the job sees the same examples at every step for
    every number of processes. An epoch that the batch does not divide continues into the next one.

    The iterator's state (`get_state`, `set_state`, or Grain's checkpoint handlers) is the number of batches taken. It
    resumes exactly, also within an epoch, since every choice depends on the seed and the position in the stream.

    Args:
      source: the training split; only its length and items are used, unless `augmentation` reads more.
      augmentation: an `Augmentation`, or any other function of an example and a generator, from which all its
        randomness must come. It is called from several threads. For a `ReadingAugmentation`, its method `read` is
        called instead.
      batch_size: examples in a batch of the whole job, B.
      seed: 0 .. 2^32 - 1.
      process_index: number of this process, i.
      process_count: number of processes of the job, n.
      threads: threads that prepare batches ahead; 0 prepares each batch on request.

    Returns:
      An iterator of the stacked results of `augmentation`: `{"image": float32 [B/n, *crop_size, C], "label": int32
      [B/n, *crop_size]}` for an `Augmentation`.

    Raises:
      ValueError: the split is empty, `batch_size` is not a positive multiple of `process_count`, or another argument is
        out of range.

    Example:
      >>> from smoothjax.data import Augmentation, ShapesSource
      >>> source = ShapesSource(length=8, size=(40, 40))
      >>> batches = train_iterator(source, augmentation=Augmentation(crop_size=(33, 33)), batch_size=4, seed=0)
      >>> next(batches)["image"].shape
      (4, 33, 33, 3)
    """
    if not len(source):
        raise ValueError(f"{source!r} has no examples; a training split needs at least one")
    check_shares(batch_size, process_index, process_count)
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed must be 0 .. 2^32 - 1, got {seed}")
    if threads < 0:
        raise ValueError(f"threads must not be negative, got {threads}; 0 reads without threads")
    # Random transforms come before the slice, so they do not depend on the number of processes.
    dataset = (
        grain.MapDataset.range(len(source))
        .seed(seed)
        .shuffle()
        .repeat()
        .random_map(partial(_example, source=source, augmentation=augmentation))
        .slice(slice(process_index, None, process_count))
        .batch(batch_size // process_count, drop_remainder=True)
    )
    # The buffer holds whole batches; Grain's default of 500 would fill the memory.
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
    return dataset.to_iter_dataset(options).__iter__()


def _example(
    index: int,
    rng: np.random.Generator,
    *,
    source: Examples[E],
    augmentation: Callable[[E, np.random.Generator], Record],
) -> Record:
    if isinstance(augmentation, ReadingAugmentation):
        return augmentation.read(source, index, rng)
    return augmentation(source[index], rng)


def check_shares(batch_size: int, process_index: int, process_count: int) -> None:
    """Raises ValueError unless the batch divides evenly among the processes."""
    if process_count < 1 or not 0 <= process_index < process_count:
        raise ValueError(
            f"process_index must be 0 .. process_count - 1, got {process_index} of {process_count} processes"
        )
    if batch_size < 1 or batch_size % process_count:
        raise ValueError(
            f"batch_size must be a positive multiple of the {process_count} processes, got {batch_size}; "
            "it counts the examples of all processes together"
        )
