"""One pass over a split at full image size, with each image unpadded or in batches of few shapes."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import grain
import numpy as np

from ._arrays import check_statistics
from ._classes import IGNORE_LABEL
from ._pipeline import check_shares
from ._source import Record, Source
from ._transforms import PerChannel, normalize, pad_to

# All pairs of shapes are compared, so their number is limited: frequent sizes stay, the others form groups.
_MOST_CANDIDATES, _FREQUENT = 64, 24


@dataclass(frozen=True)
class _Batch:
    """The examples of one batch of a process, -1 for none, and the shape to pad them to."""

    indices: tuple[int, ...]
    shape: tuple[int, int]


def evaluation_batches(
    source: Source,
    *,
    batch_size: int,
    mean: PerChannel,
    std: PerChannel,
    process_index: int = 0,
    process_count: int = 1,
    limit: int | None = None,
    most_shapes: int | None = None,
    threads: int = 2,
) -> Iterator[dict[str, np.ndarray]]:
    """Every example of a split once, unscaled, in batches that are all full.

    Examples of one size share batches, and every image keeps its size: a network sees it as if it were alone, and is
    compiled once for each size of the split. Empty examples, with index -1 and label 255 everywhere, fill the last
    batch of a size. Images are always decoded at full size.

    For many sizes, `most_shapes` trades exactness for speed: images are padded at the bottom and on the right to that
    many shapes, chosen for little padding over the split, so that frequent sizes mostly stay exact. Padding has the
    mean colour, which is 0, and label 255. It is not counted, but a network sees it: after the first layer it is no
    longer 0, and layers that average over the whole image, such as image pooling, include it. The mask of a padded
    image can differ a little near the bottom and right border, and elsewhere if the image is small beside its shape or
    the network's field of view. The scores then depend on the sizes in the split: compare methods on the same images.
    `size` shows which examples are padded.

    Every process gets the same number of batches in the same sequence of shapes: process i of n reads the i-th n-th of
    the rows of each batch.

    Args:
      source: the split.
      batch_size: examples in a batch of the whole job, B.
      mean: mean of each channel, in 0 .. 255; it becomes 0.
      std: standard deviation of each channel, in units of 0 .. 255; it becomes 1.
      process_index: number of this process, i.
      process_count: number of processes of the job, n.
      limit: if given, only this many examples, spread evenly over the split.
      most_shapes: if given, the largest number of shapes; a split with at most as many sizes is not padded.
      threads: threads that read ahead; 0 reads each batch when it is asked for.

    Returns:
      An iterator of `{"image": float32 [B/n, H, W, C], "label": int32 [B/n, H, W], "index": int32 [B/n],
      "size": int32 [B/n, 2]}`, where `index` is the example's place in the source and `size` its height and width
      without the padding (0, 0 for an empty one).

    Raises:
      ValueError: the split is empty, `batch_size` is not a positive multiple of `process_count`, or another argument is
        out of range; while iterating, an example that `normalize` refuses, with its name.

    Example:
      >>> from smoothjax.data import IMAGENET_MEAN, IMAGENET_STD, ShapesSource
      >>> source = ShapesSource(length=3, size=(32, 40))
      >>> for batch in evaluation_batches(source, batch_size=2, mean=IMAGENET_MEAN, std=IMAGENET_STD):
      ...     print(batch["image"].shape, batch["index"])
      (2, 32, 40, 3) [0 1]
      (2, 32, 40, 3) [ 2 -1]
    """
    if not len(source):
        raise ValueError(f"{source!r} has no examples to evaluate")
    check_shares(batch_size, process_index, process_count)
    check_statistics(mean, std)
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}; leave it out to evaluate the whole split")
    if most_shapes is not None and most_shapes < 1:
        raise ValueError(f"most_shapes must be at least 1, got {most_shapes}; leave it out to pad no image")
    if threads < 0:
        raise ValueError(f"threads must not be negative, got {threads}; 0 reads without threads")
    rows = slice(
        process_index * batch_size // process_count,
        (process_index + 1) * batch_size // process_count,
    )
    plan = [_Batch(batch.indices[rows], batch.shape) for batch in _plan(source, batch_size, limit, most_shapes)]
    dataset = grain.MapDataset.source(plan).map(partial(_load, source=source, mean=mean, std=std))
    return iter(dataset.to_iter_dataset(grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)))


def _plan(source: Source, batch_size: int, limit: int | None, most_shapes: int | None) -> list[_Batch]:
    """The batches of the whole job."""
    count = min(limit or len(source), len(source))
    # Neighbours in a split are often frames of one video: a prefix would show one street.
    indices = [i * len(source) // count for i in range(count)]
    sizes = [source.size(index) for index in indices]
    shape_of = _shapes(Counter(sizes), most_shapes)
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, size in zip(indices, sizes, strict=True):
        groups[shape_of[size]].append(index)
    batches = []
    for shape, members in sorted(groups.items()):
        members += [-1] * (-len(members) % batch_size)
        batches += [_Batch(tuple(members[i : i + batch_size]), shape) for i in range(0, len(members), batch_size)]
    return batches


def _shapes(sizes: Counter[tuple[int, int]], most: int | None) -> dict[tuple[int, int], tuple[int, int]]:
    """The shape to pad each size to: its own, or one of a few, with little padding."""
    if most is None:
        return {size: size for size in sizes}
    frequent = set(sorted(sizes, key=lambda size: (-sizes[size], size))[:_FREQUENT])
    shape_of, step = {size: size for size in sizes}, 1
    while len(set(shape_of.values())) > _MOST_CANDIDATES:
        step *= 2
        shape_of = {size: size for size in frequent} | _together(sizes.keys() - frequent, step)
    counts: Counter[tuple[int, int]] = Counter()
    for size, shape in shape_of.items():
        counts[shape] += sizes[size]
    while len(counts) > most:
        # Merge the two shapes whose common shape adds the fewest pixels to the split.
        pair = min(combinations(sorted(counts), 2), key=lambda pair: _added(pair, counts))
        common = _common(pair)
        shape_of = {size: common if shape in pair else shape for size, shape in shape_of.items()}
        counts[common] = sum(counts.pop(shape) for shape in {*pair, common} if shape in counts)
    return shape_of


def _together(sizes: Iterable[tuple[int, int]], step: int) -> dict[tuple[int, int], tuple[int, int]]:
    """The smallest common shape for all sizes between the same multiples of a step."""
    groups: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for height, width in sizes:
        groups[-(-height // step), -(-width // step)].append((height, width))
    return {size: _common(members) for members in groups.values() for size in members}


def _common(shapes: Collection[tuple[int, int]]) -> tuple[int, int]:
    """The smallest shape that holds all of these."""
    return max(height for height, _ in shapes), max(width for _, width in shapes)


def _added(pair: tuple[tuple[int, int], ...], counts: Counter[tuple[int, int]]) -> int:
    """The number of pixels that a common shape adds."""
    height, width = _common(pair)
    return sum((height * width - shape[0] * shape[1]) * counts[shape] for shape in pair)


def _load(batch: _Batch, *, source: Source, mean: PerChannel, std: PerChannel) -> dict[str, np.ndarray]:
    rows = len(batch.indices)
    images = np.zeros((rows, *batch.shape, len(mean)), np.float32)
    labels = np.full((rows, *batch.shape), IGNORE_LABEL, np.int32)
    sizes = np.zeros((rows, 2), np.int32)
    for row, index in enumerate(batch.indices):
        if index < 0:
            continue
        record = source[index]
        padded = _padded(record, batch.shape, f"example {index} ({source.name(index)})", mean, std)
        sizes[row] = record["label"].shape
        images[row], labels[row] = padded["image"], padded["label"]
    return {"image": images, "label": labels, "index": np.asarray(batch.indices, np.int32), "size": sizes}


def _padded(record: Record, shape: tuple[int, int], name: str, mean: PerChannel, std: PerChannel) -> Record:
    """The example ready for a network, padded to a shape; errors give its name."""
    try:
        padded = pad_to(normalize(record, mean=mean, std=std), shape)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    if padded["label"].shape != shape:
        raise ValueError(
            f"{name}: size() of the source says at most {shape[0]} x {shape[1]} pixels, the label is "
            f"{record['label'].shape}; return the height and width of the label"
        )
    return padded
