"""Miniature data sets: files from real encoders, packed like those of the authors."""

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from smoothjax import data, datasets

Files = Mapping[str, bytes]
Labels = Mapping[str, np.ndarray | None]


def pixels(seed: int, size: tuple[int, int] = (12, 16)) -> np.ndarray:
    """An image, uint8 `[H, W, 3]`."""
    return np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.uint8)


def labels(seed: int, values: Any, size: tuple[int, int] = (12, 16)) -> np.ndarray:
    """A label map that contains all of the values, uint8 `[H, W]`."""
    rng = np.random.default_rng(seed)
    label = rng.choice(values, size).astype(np.uint8)
    label.ravel()[rng.permutation(label.size)[: len(values)]] = values
    return label


def jpeg(image: np.ndarray | Image.Image, **options: Any) -> bytes:
    """An image as JPEG."""
    return _saved(image, "JPEG", **options)


def png(image: np.ndarray | Image.Image, palette: bool = False, **options: Any) -> bytes:
    """An image as PNG; optionally a label map with the palette of PASCAL VOC."""
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    if palette:
        picture = picture.copy()
        picture.putpalette([value for color in data.default_colors(256) for value in color])
        assert picture.mode == "P"
    return _saved(picture, "PNG", **options)


def _saved(image: np.ndarray | Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(out, kind, **options)
    return out.getvalue()


def decoded(content: bytes) -> np.ndarray:
    """The pixels of an image."""
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image)


def unpack(root: Path, files: Files) -> Path:
    """Writes files into a folder."""
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


def zipped(path: Path, files: Files) -> Path:
    """Writes files into a zip archive."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tarred(path: Path, files: Files, compression: str = "") -> Path:
    """Writes files into a tar archive; compression is "", "gz", "bz2" or "xz"."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mode: Any = f"w:{compression}"
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def below(files: Files, folder: str) -> dict[str, bytes]:
    """The files below a folder."""
    return {path: content for path, content in files.items() if path.startswith(folder)}


def assert_holds(folder: Path, split: str, images: Files, expected: Labels) -> None:
    """Asserts that a prepared split holds these encoded images and these label maps, in this order."""
    source = data.PreparedSource(folder, split)
    assert [source.name(index) for index in range(len(source))] == list(expected)
    for index, (name, label) in enumerate(expected.items()):
        record = source[index]
        np.testing.assert_array_equal(record["image"], decoded(images[name]), name)
        np.testing.assert_array_equal(
            record["label"], np.full(record["image"].shape[:2], 255) if label is None else label, name
        )
        assert record["label"].dtype == np.uint8
        assert source.size(index) == record["image"].shape[:2]
        assert stored(folder, split, index)["image"] == images[name]


def assert_refused(data_set: str, source: Path, out: Path, *parts: str, **options: Any) -> tuple[str, ...]:
    """Asserts that preparation stops with a report containing each of these parts; returns its problems."""
    with pytest.raises(data.InvalidDataError) as caught:
        datasets.prepare(data_set, source, out, **options)
    assert not [part for part in parts if part not in str(caught.value)], str(caught.value)
    return caught.value.problems


def stored(folder: Path, split: str, index: int) -> dict[str, Any]:
    """A record as TFDS reads it, without decoding."""
    import tensorflow_datasets as tfds

    builder: Any = tfds.builder_from_directory(folder)
    skip = tfds.decode.SkipDecoding()
    features = {"image", "label"} & set(builder.info.features)
    return builder.as_data_source(split, decoders=dict.fromkeys(features, skip))[index]
