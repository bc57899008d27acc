"""Sources of images."""

import threading
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import jax
import numpy as np

from smoothjax import data, datasets
from smoothjax.progress import track

from ..images import output_names
from .config import DRAWN, ImagesConfig
from .init import PerChannel

CLASSES = {
    "shapes": data.SHAPES,
    "wires": data.WIRES,
    "camvid": data.CAMVID,
    "voc2012": data.VOC2012,
    "coco2015": data.COCO,
    "cityscapes": data.CITYSCAPES,
}


# Bytes of decoded images to keep: a few photographs, not a folder.
_KEPT_BYTES = 2**27
# Compiling for this many sizes takes little time.
_FEW_SIZES = 8


def open_source(config: ImagesConfig, split: str) -> data.Source:
    """A split of the data set; the error says what is missing if it cannot be opened."""
    if config.name in DRAWN:
        length = config.train_images if split == "train" else config.val_images
        if config.name == "wires":
            return data.WiresSource(length=length, size=config.image_size, noise=config.noise, split=split)
        return data.ShapesSource(length=length, size=config.image_size, split=split)
    classes = CLASSES.get(config.name) if config.classes is None else data.load_classes(config.classes)
    options = {"mask_suffix": config.mask_suffix, "white": config.white, "channels": config.channels}
    return data.open_split(images_root(config), split, classes, **options)


def check_images(config: ImagesConfig, train: data.Source, val: data.Source, *, progress: bool) -> None:
    """Reads all files of a folder once, and refuses labels without anything to learn."""
    for source, what in ((train, f"split {train_split(config)}"), (val, "split val")):
        # Drawn images need no check, and prepared images have been checked: only their labels are counted.
        if isinstance(source, data.PreparedSource):
            counts = source.counts
        elif isinstance(source, data.FolderSource) and config.check:
            counts = datasets.check_source(source, progress=progress, channels=config.channels)
        else:
            continue
        # A part of a published data set may lack classes, and its labels are known to be right.
        every = source is train and config.name == "folder" and not config.allow_empty_classes
        datasets.check_labels(counts, source.classes, what, every_class=every)


def train_split(config: ImagesConfig) -> str:
    """The split to train on: the given one, or the augmented split of VOC if it is prepared, or train."""
    if config.train_split is not None or config.name != "voc2012":
        return config.train_split or "train"
    root = images_root(config)
    augmented = data.is_prepared(root) and "train_aug" in data.prepared_splits(root)
    return "train_aug" if augmented else "train"


def note_on_split(config: ImagesConfig) -> str | None:
    """A note if training on VOC uses no augmented labels without being asked to; None otherwise."""
    if config.name != "voc2012" or config.train_split is not None or train_split(config) == "train_aug":
        return None
    count = len(open_source(config, "train"))
    return (
        f"Trained on the {count:,} images of train: {images_root(config)} has no split train_aug, the 10,582 images "
        "that published models are trained on. `python -m smoothjax.data prepare voc2012` makes it from the labels "
        "SegmentationClassAug or those of SBD."
    )


def images_root(config: ImagesConfig) -> Path:
    """The folder of the data set: the given one, or the one where it was prepared."""
    root = Path(data.DATA_DIR, config.name) if config.root is None else config.root
    if config.root is None and not data.is_prepared(root):
        if config.name == "folder":
            raise ValueError(
                "name your folder: add --data.root FOLDER, which holds {train,val,test}/{images,labels} with an image "
                "and a mask (PNG, class indices, 255 = ignore) of each name, and classes.yaml; python -m "
                "smoothjax.data info FOLDER says what it lacks"
            )
        prepare = f"python -m smoothjax.data prepare {config.name} --source DIR"
        raise ValueError(
            f"the data set {config.name} is not in {root}: make it there from its archives with {prepare}, or add "
            "--data.root FOLDER, a prepared data set or {train,val,test}/{images,labels} with an image and a mask "
            "(PNG, class indices, 255 = ignore) of each name"
        )
    return root


def batches_of(
    source: data.Source,
    batch_size: int,
    statistics: tuple[PerChannel, PerChannel],
    limit: int | None = None,
    most_shapes: int | None = None,
) -> Iterator[dict[str, np.ndarray]]:
    """This process's share of the batches of a split, normalised with mean and standard deviation as in training."""
    mean, std = statistics
    return data.evaluation_batches(
        source,
        batch_size=batch_size,
        mean=mean,
        std=std,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        limit=limit,
        most_shapes=most_shapes,
    )


def scaled(length: Any, factor: float) -> Any:
    """A length times a factor, rounded; also for a length that only becomes known when an exported program runs."""
    ratio = Fraction(str(factor))
    rounded = (2 * length * ratio.numerator + ratio.denominator) // (2 * ratio.denominator)
    return max(1, rounded) if isinstance(length, int) else rounded


def note_on_sizes(source: data.Source, most_shapes: int | None) -> str | None:
    """A note if a network is compiled for many sizes that padding could spare; None otherwise."""
    if most_shapes is not None:
        return None
    count = len({source.size(index) for index in range(len(source))})
    if count <= _FEW_SIZES:
        return None
    return (
        f"The validation images have {count} sizes. Each is scored at its own, exactly, and the network is compiled "
        f"for each. --eval-shapes {_FEW_SIZES} pads them to {_FEW_SIZES} shapes instead, which is faster and changes "
        "masks a little near borders."
    )


class Images:
    """Images without labels, as a source for the pipeline of evaluation.

    Args:
      paths: the files.
      classes: the classes of the masks.
      white, channels: see `data.read_image`.
    """

    def __init__(self, paths: Sequence[Path], classes: data.Classes, *, white: int | None = None, channels: int = 3):
        self._names = output_names(paths)
        self._paths, self.classes, self._white, self._channels = list(paths), classes, white, channels
        self._lock, self._kept = threading.Lock(), dict[tuple[int, tuple[int, int] | None], data.Decoded]()
        # Read now, so that an unreadable file is reported before the network is compiled.
        read = track(range(len(self._paths)), "read", len(self._paths), unit="images")
        self._sizes = [self._decoded(index, None).size for index in read]

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int, /) -> data.Record:
        return self.read(index)

    def read(self, index: int, /, at_least: tuple[int, int] | None = None) -> data.Record:
        """The image, perhaps smaller, as a network trained on images of one size sees it."""
        view = self._decoded(index, at_least).entries()
        return {**view, "label": np.full(self._sizes[index], data.IGNORE_LABEL, np.uint8)}

    def _decoded(self, index: int, at_least: tuple[int, int] | None) -> data.Decoded:
        """The image; the latest are kept, since each is checked, then segmented, then drawn."""
        key, path = (index, at_least), self._paths[index]
        with self._lock:
            if key in self._kept:
                return self._kept[key]
        found = data.decode_view(path, str(path), at_least, white=self._white, large=True, channels=self._channels)
        with self._lock:
            self._kept[key] = found
            while len(self._kept) > 1 and sum(each.pixels.nbytes for each in self._kept.values()) > _KEPT_BYTES:
                self._kept.pop(next(iter(self._kept)))
        return found

    def name(self, index: int, /) -> str:
        """The base of the names of the image's output files, see `output_names`."""
        return self._names[index]

    def size(self, index: int, /) -> tuple[int, int]:
        """Height and width of the upright image."""
        return self._sizes[index]
