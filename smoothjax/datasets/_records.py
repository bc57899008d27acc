"""Records of a prepared data set: written and read by TFDS, without TensorFlow."""

from pathlib import Path
from typing import Any

import numpy as np

from ._encode import Encoded

_BATCH = 32
_PER_SHARD = 1000


class RecordWriter:
    """Writes records in order, with the metadata that TFDS needs to read them.

    TFDS's own `GeneratorBasedBuilder` is not suitable: it collects a split to shuffle it, and above 1 GB needs
    TensorFlow for that.

    Args:
      name: name of the data set.
      description: description of the data set.
      folder: the folder to write to.
      splits: names of the splits.
      num_attributes: number of attributes of each example.
      has_labels: whether label maps are stored.
    """

    def __init__(
        self, name: str, description: str, folder: Path, splits: list[str], num_attributes: int, has_labels: bool
    ):
        import tensorflow_datasets as tfds
        from tensorflow_datasets.core.dataset_info import DatasetIdentity

        features: dict[str, Any] = {"image": tfds.features.Image()}
        if has_labels:
            features["label"] = tfds.features.Image(shape=(None, None, 1))
        if num_attributes:
            features["attributes"] = tfds.features.Tensor(shape=(num_attributes,), dtype=np.uint8)
        self.metadata: dict[str, Any] = {}
        """The metadata to store beside the records, read when the writer is closed."""
        self._stored = tfds.core.MetadataDict()
        info = tfds.core.DatasetInfo(
            builder=DatasetIdentity(name, tfds.core.Version("1.0.0"), str(folder), "smoothjax.data"),
            description=description,
            features=tfds.features.FeaturesDict(features),
            disable_shuffling=True,
            metadata=self._stored,
        )
        self._features = set(features)
        self._writer = tfds.core.SequentialWriter(info, _PER_SHARD, file_format="array_record")
        self._writer.initialize_splits(splits)
        self._waiting: list[dict[str, Any]] = []
        self._split = ""

    def add(self, split: str, example: Encoded) -> None:
        """Adds an example to a split."""
        if split != self._split:
            self._flush()
            self._split = split
        record = {"image": example.image, "label": example.label, "attributes": example.attributes}
        self._waiting.append({key: value for key, value in record.items() if key in self._features})
        # TFDS rewrites its description of the data set after each batch.
        if len(self._waiting) == _BATCH:
            self._flush()

    def close(self) -> None:
        """Completes the files."""
        self._flush()
        self._stored.update(self.metadata)
        self._writer.close_all()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.add_examples({self._split: self._waiting})
            self._waiting = []
