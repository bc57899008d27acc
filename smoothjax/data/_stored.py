"""The records of a prepared data set, opened by TFDS once its description has been checked.

TFDS imports any class that `features.json` names, and reads any place that `dataset_info.json` points to. A received
data set must not run code or read elsewhere, so only descriptions as `smoothjax.datasets` writes them reach TFDS.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Required, TypedDict

import numpy as np

from ..files import read_json

if TYPE_CHECKING:
    from tensorflow_datasets.core import DatasetBuilder

_CLASSES = {
    "image": "tensorflow_datasets.core.features.image_feature.Image",
    "label": "tensorflow_datasets.core.features.image_feature.Image",
    "attributes": "tensorflow_datasets.core.features.tensor_feature.Tensor",
}
_ALL = "tensorflow_datasets.core.features.features_dict.FeaturesDict"
_CONTENT = {"image": {"image"}, "label": {"image"}, "attributes": {"tensor"}}
_BESIDE = {"pythonClassName", "description"}
_REMEDY = "the data set is damaged, prepare it again"
_TEMPLATE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_INDEX}"


class StoredRecord(TypedDict, total=False):
    """A stored example: encoded image and label map, and an array of attributes."""

    image: Required[bytes]
    label: bytes
    attributes: np.ndarray


class Records(Protocol):
    """The records of a split by index."""

    def __len__(self) -> int:
        """The number of records."""
        ...

    def __getitem__(self, index: int, /) -> StoredRecord:
        """One record."""
        ...


def open_builder(folder: str | Path) -> "DatasetBuilder":
    """The builder of TFDS that reads a prepared data set, see its `as_data_source`.

    Args:
      folder: the folder of the data set.

    Returns:
      The builder.

    Raises:
      FileNotFoundError: a file of it is missing.
      ValueError: its description names a class, a format or a file that this package does not write; nothing named
          there is imported or opened.

    Example:
      >>> open_builder("nowhere")
      Traceback (most recent call last):
      FileNotFoundError: nowhere/features.json: no such file
    """
    folder = Path(folder)
    _check_features(folder / "features.json")
    _check_info(folder / "dataset_info.json")
    import tensorflow_datasets as tfds

    try:
        return tfds.builder_from_directory(folder)
    # Incompatible versions of packages.
    except (AttributeError, ImportError):
        raise
    # TFDS and Protocol Buffers raise errors of many types for invalid input.
    except Exception as error:
        raise ValueError(
            f"{folder / 'dataset_info.json'}: cannot be read ({type(error).__name__}: {error}); {_REMEDY}"
        ) from error


def open_records(folder: Path, split: str, count: int, encoded: tuple[str, ...]) -> Records:
    """The records of a split, with the features `encoded` as contents of files; opens every file once.

    Args:
      folder: of the data set.
      split: name of the split.
      count: required number of records.
      encoded: names of the features that stay encoded.

    Raises:
      FileNotFoundError: a file is missing.
      ValueError: a file is damaged, or holds another number of records.
    """
    builder = open_builder(folder)
    if split not in builder.info.splits:
        raise ValueError(
            f"{folder / 'dataset_info.json'}: has no split {split!r}; the data set is damaged, prepare it again"
        )
    described = builder.info.splits[split]
    paths = [Path(path) for path in described.filepaths]
    lengths = list(described.shard_lengths)
    if sum(lengths) != count:
        raise ValueError(
            f"{folder / 'dataset_info.json'}: states {sum(lengths)} examples in split {split}, metadata.json {count}; "
            f"{_REMEDY}"
        )
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: {_REMEDY}")
    import tensorflow_datasets as tfds

    # We decode ourselves: TFDS decodes masks with whatever library is installed.
    skip = tfds.decode.SkipDecoding()
    opener: Any = builder  # a decorator of TFDS hides the arguments of its method
    records: Records = opener.as_data_source(split, decoders=dict.fromkeys(encoded, skip))
    start = 0
    for path, length in zip(paths, lengths, strict=True):
        try:
            # If the last record exists, all do.
            for index in {start, start + length - 1}:
                records[index]
        # The reader raises errors of several types for a damaged file.
        except Exception as error:
            raise ValueError(f"{path}: its {length} records cannot be read ({error}); {_REMEDY}") from error
        start += length
    return records


def _check_features(path: Path) -> None:
    """Refuses classes that this package does not write: TFDS would import them."""
    content = _mapping(read_json(path), path, "")
    features = _mapping(content.get("featuresDict"), path, "featuresDict")
    found = _mapping(features.get("features"), path, "featuresDict.features")
    _check_keys(content, {"featuresDict"}, path, "")
    _check_keys(features, {"features"}, path, "featuresDict", class_names=False)
    _check_class(content, _ALL, path, "")
    if not found.keys() <= _CLASSES.keys() or "image" not in found:
        raise ValueError(
            f"{path}: describes the features {', '.join(map(repr, sorted(found)))}; a prepared data set has image, and "
            "perhaps label and attributes: use another folder, or prepare it again"
        )
    for name, entry in found.items():
        feature = _mapping(entry, path, name)
        _check_class(feature, _CLASSES[name], path, name)
        _check_keys(feature, _CONTENT[name], path, name)


def _check_class(entry: Mapping[str, object], expected: str, path: Path, where: str) -> None:
    named = entry.get("pythonClassName")
    if named != expected:
        raise ValueError(
            f"{path}: {where or 'the whole'} is of class {named!r}, a prepared data set has {expected!r} there; "
            "nothing was imported: use data sets that smoothjax has prepared, or prepare it again"
        )


def _check_keys(
    entry: Mapping[str, object], content: set[str], path: Path, where: str, class_names: bool = True
) -> None:
    # Other spellings of the same entries would slip past the check of the class.
    if unknown := sorted(entry.keys() - content - (_BESIDE if class_names else set())):
        raise ValueError(
            f"{path}: {where or 'the whole'} has the unknown entries {', '.join(map(repr, unknown))}; use data sets "
            "that smoothjax has prepared, or prepare it again"
        )


def _check_info(path: Path) -> None:
    """Refuses a description of files in other places or formats."""
    content = _mapping(read_json(path), path, "")
    name, splits = content.get("name"), content.get("splits")
    if not isinstance(name, str) or not re.fullmatch(r"\w+", name) or content.get("fileFormat") != "array_record":
        raise ValueError(
            f"{path}: describes {name!r} in files of the format {content.get('fileFormat')!r}, not a data set in "
            f"array_record; {_REMEDY}"
        )
    for entry in splits if isinstance(splits, list) else [None]:
        split = _mapping(entry, path, "splits")
        lengths = split.get("shardLengths")
        known = isinstance(split.get("name"), str) and re.fullmatch(r"\w+", str(split["name"]))
        numbers = isinstance(lengths, list) and all(re.fullmatch(r"[1-9]\d{0,9}", str(length)) for length in lengths)
        if not known or not numbers or split.get("filepathTemplate") != _TEMPLATE:
            raise ValueError(
                f"{path}: the split {split.get('name')!r} is not described as a name, numbers of records and files "
                f"{_TEMPLATE}; {_REMEDY}"
            )


def _mapping(value: object, path: Path, where: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise ValueError(f"{path}: {where or 'the whole'} must be a mapping, is {type(value).__name__}; {_REMEDY}")
    return value
