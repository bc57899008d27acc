"""Reading prepared data sets."""

import shlex
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ._classes import IGNORE_LABEL, Classes
from ._files import decode_mask, decode_view
from ._folder import FolderSource
from ._metadata import INCOMPLETE_SUFFIX, LabelCounts, Metadata, read_metadata
from ._source import InvalidDataError, Record, Source, checked_index, label_problems
from ._stored import StoredRecord, open_records

DATA_DIR = "data"
"""The default folder of prepared data sets."""

DATA_SETS = ("voc2012", "cityscapes", "coco2015", "celeba", "camvid", "oxford_iiit_pet", "folder")
"""Names of the data sets that `smoothjax.datasets` can prepare; reading a data set needs no builder."""


class PreparedSource:
    """A split of a prepared data set.

    Examples are in the order of their names or of the data set's own list. Reading is safe from several threads, and
    from other processes that receive the source.

    Args:
      data_set: name of the data set, which is then `{data_dir}/{name}`, or its folder.
      split: name of the split, such as "train".
      data_dir: folder of all prepared data sets.
      channels: 3 for RGB, as stored, or 1 for grey.

    Raises:
      FileNotFoundError: there is no such data set; the message has the command to prepare it.
      ValueError: there is no such split, the data set was prepared by another version, or `channels` is invalid.

    Example:
      >>> PreparedSource("voc2012", "train", data_dir="nowhere")
      Traceback (most recent call last):
      FileNotFoundError: there is no prepared data set in nowhere/voc2012; ...
    """

    def __init__(self, data_set: str | Path, split: str, *, data_dir: str | Path = DATA_DIR, channels: int = 3):
        if channels not in (1, 3):
            raise ValueError(
                f"channels of a prepared data set must be 3, as its images are stored, or 1 for grey, got {channels}: "
                "read images of other channels from a folder that is not prepared"
            )
        self._channels = channels
        folder = find_prepared(data_set, data_dir)
        metadata = require_metadata(folder)
        if split not in metadata.splits:
            raise ValueError(f"{folder} has no split {split!r}; it has {', '.join(metadata.splits)}")
        self._folder, self._split_name, self._metadata = folder, split, metadata
        self._split = metadata.splits[split]
        self._records = open_records(
            folder, split, len(self._split.names), ("image", "label") if metadata.has_labels else ("image",)
        )

    @property
    def classes(self) -> Classes:
        """Names and colours of the labels."""
        return self._metadata.classes

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of the attributes of whole images, none for most data sets."""
        return self._metadata.attributes

    @property
    def counts(self) -> LabelCounts:
        """The class counts of the split, made during preparation."""
        return self._split.counts

    def __len__(self) -> int:
        return len(self._split.names)

    def __repr__(self) -> str:
        return f"PreparedSource({str(self._folder)!r}, {self._split_name!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process opens the files itself.
        return partial(PreparedSource, channels=self._channels), (self._folder.absolute(), self._split_name)

    def __getitem__(self, index: int, /) -> Record:
        """Decodes an example; the label is 255 everywhere if the data set has no label maps."""
        return self.read(index)

    def read(self, index: int, /, at_least: tuple[int, int] | None = None) -> Record:
        """Decodes an example, its image perhaps smaller: see `at_least` of `read_view`. The label is always whole."""
        record, name = self._record(index)
        try:
            view = decode_view(record["image"], name, at_least, expected=self.size(index), channels=self._channels)
            if "label" in record:
                label = decode_mask(record["label"], name)
            else:
                label = np.full(self.size(index), IGNORE_LABEL, np.uint8)
        except ValueError as error:
            problem = f"{error}; it was in order when the data set was prepared: prepare it again"
            raise InvalidDataError((problem,)) from error
        if problems := label_problems(label, self.classes, name):
            raise InvalidDataError(problems)
        attributes = {"attributes": record["attributes"]} if "attributes" in record else {}
        return {**view.entries(), "label": label, **attributes}

    def image(self, index: int, /, at_least: tuple[int, int] | None = None) -> np.ndarray:
        """Only the image, uint8 `[H, W, channels]`, perhaps smaller: see `at_least` of `read_image`."""
        record, name = self._record(index)
        return decode_view(record["image"], name, at_least, channels=self._channels).pixels

    def name(self, index: int, /) -> str:
        """The name of the image, without the suffix."""
        return self._split.names[checked_index(index, len(self))]

    def size(self, index: int, /) -> tuple[int, int]:
        """Height and width in pixels, stored beside the records."""
        return self._split.sizes[checked_index(index, len(self))]

    def _record(self, index: int) -> tuple[StoredRecord, str]:
        """The stored record of an example, and its name in errors."""
        name = f"{self!r}: {self.name(index)}"
        try:
            return self._records[checked_index(index, len(self))], name
        # The reader of records raises errors of several types for a damaged file.
        except RuntimeError as error:
            raise InvalidDataError((f"{name}: {error}; the data set is damaged, prepare it again",)) from error


def is_prepared(folder: str | Path) -> bool:
    """Whether a folder is a prepared data set.

    Args:
      folder: any path.

    Returns:
      True if it is; False for any other path.

    Example:
      >>> is_prepared("nowhere")
      False
    """
    return read_metadata(Path(folder)) is not None


def prepared_splits(folder: str | Path) -> tuple[str, ...]:
    """The names of the splits of a prepared data set.

    Args:
      folder: the folder of the data set.

    Returns:
      The names, such as ("train", "val").

    Raises:
      FileNotFoundError: the folder is not a prepared data set.

    Example:
      >>> prepared_splits("nowhere")
      Traceback (most recent call last):
      FileNotFoundError: there is no prepared data set in nowhere; ...
    """
    return tuple(require_metadata(Path(folder)).splits)


def open_split(
    folder: str | Path,
    split: str,
    classes: Classes | None = None,
    *,
    mask_suffix: str = "",
    white: int | None = None,
    channels: int = 3,
) -> Source:
    """A split of a prepared data set, or of a folder `{split}/{images,labels}`.

    Args:
      folder: the folder of all splits.
      split: name of the split, such as "train".
      classes: the classes of a folder of images, see `FolderSource`; a prepared data set must have these classes.
      mask_suffix: see `FolderSource`; a prepared data set has none.
      white: see `FolderSource`; a prepared data set has none.
      channels: number of channels of the images, see `FolderSource`; a prepared data set has 3, or 1 for grey.

    Returns:
      A `PreparedSource` or a `FolderSource`.

    Raises:
      FileNotFoundError: a folder is missing, or no classes are given.
      ValueError: there is no such split, or a prepared data set has other classes or channels.

    Example:
      >>> open_split("nowhere", "train")
      Traceback (most recent call last):
      FileNotFoundError: split 'train' of nowhere is incomplete: ...
    """
    if not is_prepared(folder):
        return FolderSource(folder, split, classes, mask_suffix=mask_suffix, white=white, channels=channels)
    if mask_suffix or white is not None:
        option = "mask_suffix" if mask_suffix else "white"
        raise ValueError(
            f"{folder} is prepared: {option} is an option of its preparation (--{option.replace('_', '-')}); leave it "
            "out here, or prepare it again with it"
        )
    source = PreparedSource(Path(folder), split, channels=channels)
    if classes is not None and classes.names != source.classes.names:
        raise ValueError(
            f"{folder} is prepared with the classes {_some(source.classes)}, not with {_some(classes)}; leave the "
            "classes out, or prepare it again"
        )
    return source


def find_prepared(data_set: str | Path, data_dir: str | Path = DATA_DIR) -> Path:
    """The folder of a data set: the path itself, or that of its name in `data_dir`."""
    path = Path(data_set).expanduser()
    if isinstance(data_set, Path) or path.name != data_set or is_prepared(path):
        return path
    return Path(data_dir).expanduser() / data_set


def require_metadata(folder: Path) -> Metadata:
    """The metadata of a prepared data set. Raises FileNotFoundError if the folder is not one."""
    metadata = read_metadata(folder)
    if metadata is not None:
        return metadata
    state = ""
    if folder.with_name(folder.name + INCOMPLETE_SUFFIX).exists():
        state = " (its preparation still runs, or was interrupted: start it again)"
    known = folder.name in DATA_SETS
    names = "" if known else f"NAME is one of {', '.join(DATA_SETS)}; "
    raise FileNotFoundError(
        f"there is no prepared data set in {folder}{state}; prepare it:\n"
        f"  python -m smoothjax.data prepare {folder.name if known else 'NAME'} --source DIR "
        f"--out {shlex.quote(str(folder))}\n"
        f"{names}python -m smoothjax.data lists the data sets"
    )


def _some(classes: Classes) -> str:
    return f"{', '.join(classes.names[:5])}{', ...' if len(classes) > 5 else ''} ({len(classes)})"
