"""Preparing any data set: its stored form, and one report of all problems."""

import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from smoothjax import data, datasets
from smoothjax.datasets import builders
from tests.datasets.archives import decoded, jpeg, labels, pixels, png, stored

_CLASSES = data.Classes(("a", "b"), ((0, 0, 0), (255, 0, 0)))


@dataclass(frozen=True)
class _Given(builders.Builder):
    """Images of any kind, with their label maps."""

    images: tuple[tuple[str, bytes], ...]
    splits: tuple[str, ...] = ("train",)
    label: np.ndarray | None = None

    name = "given"
    note = "for tests"

    def expected(self):
        return ()

    def plan(self, tree):
        examples = [
            builders.Example(name, builders.File(name, lambda content=content: content), self._mask(name))
            for name, content in self.images
        ]
        return builders.Plan(_CLASSES, dict.fromkeys(self.splits, examples))

    def _mask(self, name):
        label = self.label
        return None if label is None else builders.Mask(f"mask of {name}", lambda: label)


def _prepare(tmp_path, *contents, **options) -> Any:
    builder = _Given(tuple((f"{i:03d}", content) for i, content in enumerate(contents)), **options)
    return datasets.prepare(builder, tmp_path, tmp_path / "out")


def _exif(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


_PIXELS = pixels(7, (6, 8))
_BLOCKS = np.kron(np.array([[0, 255], [255, 0]], np.uint8), np.ones((8, 16), np.uint8))


@pytest.mark.parametrize(
    "content",
    [
        jpeg(_PIXELS),
        jpeg(_PIXELS, progressive=True, quality=90, exif=_exif(1)),
        png(_PIXELS),
        png(_PIXELS, exif=_exif(1)),
    ],
    ids=["jpeg", "progressive", "png", "png with exif"],
)
def test_plain_images_are_stored_as_they_are(tmp_path, content):
    _prepare(tmp_path, content)
    assert stored(tmp_path / "out", "train", 0)["image"] == content
    np.testing.assert_array_equal(data.PreparedSource(tmp_path / "out", "train")[0]["image"], decoded(content))


def _other(kind, image, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (png(_PIXELS[..., 0]), np.repeat(_PIXELS[..., :1], 3, -1)),
        (png(Image.fromarray(_PIXELS).convert("RGBA")), _PIXELS),
        (png(Image.fromarray(_PIXELS).quantize(48)), _PIXELS),
        (_other("BMP", Image.fromarray(_PIXELS)), _PIXELS),
        (_other("TIFF", Image.fromarray(_PIXELS)), _PIXELS),
        (_other("WEBP", Image.fromarray(_PIXELS), lossless=True), _PIXELS),
        (png(_PIXELS, exif=_exif(6)), np.rot90(_PIXELS, -1)),
        (png(_PIXELS, exif=_exif(3)), _PIXELS[::-1, ::-1]),
        (png(_PIXELS, exif=_exif(2)), _PIXELS[:, ::-1]),
        (png(_PIXELS[..., 0].astype(np.uint16) * 256 + 9), np.repeat(_PIXELS[..., :1], 3, -1)),
        (jpeg(_BLOCKS, quality=95), np.stack([_BLOCKS] * 3, -1)),
        (jpeg(Image.fromarray(255 - np.stack([_BLOCKS] * 3 + [_BLOCKS * 0 + 255], -1), "CMYK"), quality=95), None),
    ],
    ids=["L", "RGBA", "P", "BMP", "TIFF", "WebP", "turned", "upside down", "mirrored", "16 bit", "grey JPEG", "CMYK"],
)
def test_other_images_become_the_rgb_that_a_person_sees(tmp_path, content, expected):
    """Stored without loss, as upright PNG."""
    _prepare(tmp_path, content)
    kept = stored(tmp_path / "out", "train", 0)["image"]
    with Image.open(io.BytesIO(kept)) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        assert not image.getexif()
    record = data.PreparedSource(tmp_path / "out", "train")[0]
    expected = np.stack([_BLOCKS] * 3, -1) if expected is None else expected
    np.testing.assert_allclose(record["image"].astype(int), expected, atol=3 if content[:2] == b"\xff\xd8" else 0)
    path = tmp_path / "file"
    path.write_bytes(content)
    np.testing.assert_array_equal(record["image"], data.read_image(path))


def test_masks_are_grey_pngs_of_indices(tmp_path):
    label = labels(0, [0, 1, 255], (6, 8))
    _prepare(tmp_path, png(_PIXELS), label=label)
    with Image.open(io.BytesIO(stored(tmp_path / "out", "train", 0)["label"])) as image:
        assert (image.format, image.mode) == ("PNG", "L")
        np.testing.assert_array_equal(np.asarray(image), label)


def test_tfds_writes_and_reads_it_without_tensorflow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    label = labels(0, [0, 1, 255], (6, 8))
    builder = _prepare(tmp_path, png(_PIXELS), jpeg(_PIXELS), label=label, splits=("train", "val"))
    assert builder.info.name == "given"
    assert {name: split.num_examples for name, split in builder.info.splits.items()} == {"train": 2, "val": 2}
    source = builder.as_data_source("val")
    np.testing.assert_array_equal(source[0]["image"], _PIXELS)
    np.testing.assert_array_equal(source[1]["label"][..., 0], label)
    assert len(builder.as_data_source("train[:50%]")) == 1


def test_order_and_shards(tmp_path, monkeypatch):
    """More examples than are encoded, written or stored in a file together."""
    monkeypatch.setattr("smoothjax.datasets._records._PER_SHARD", 40)
    monkeypatch.setattr("smoothjax.datasets._records._BATCH", 7)
    images = [png(np.full((2, 2, 3), i, np.uint8)) for i in range(90)]
    _prepare(tmp_path, *images, splits=("train", "val"))
    assert len(list((tmp_path / "out").glob("*.array_record*"))) == 6
    for split in ("train", "val"):
        source = data.PreparedSource(tmp_path / "out", split)
        assert [int(source[i]["image"][0, 0, 0]) for i in range(90)] == list(range(90))


def test_all_problems_in_one_report(tmp_path):
    """The message lists some problems, and a file beside the data set all."""
    with pytest.raises(data.InvalidDataError) as caught:
        _prepare(tmp_path, *[b"text"] * 60, png(_PIXELS), splits=("train", "all"), label=labels(0, [0, 2], (8, 6)))
    problems = caught.value.problems
    # Each file is named once, however many splits hold it.
    assert len(problems) == 1 + 60 + 61 + 1
    message = str(caught.value).splitlines()
    assert message[0] == f"given cannot be prepared from {tmp_path}, 123 problems:"
    assert message[1] == "split 'all' must have a name of letters, digits and _, other than all"
    assert message[2].startswith("000: cannot be read as an image (not in a format that Pillow supports)")
    assert message[3].startswith("mask of 000: label 2 in")
    assert message[-1] == f"and 73 more; {tmp_path / 'out.problems.txt'} lists all"
    assert (tmp_path / "out.problems.txt").read_text().splitlines() == list(problems)
    assert "mask of 060: the mask is 8 x 6 pixels high and wide, its image, upright, 6 x 8" in problems[-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.problems.txt"]
    _prepare(tmp_path, png(_PIXELS))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_a_builder_that_fails_is_named(tmp_path):
    class Broken(_Given):
        def _mask(self, name):
            return builders.Mask(f"mask of {name}", lambda: {}["nothing"])

    with pytest.raises(data.InvalidDataError, match="mask of a: KeyError: 'nothing'"):
        datasets.prepare(Broken((("a", png(_PIXELS)),)), tmp_path, tmp_path / "out")


def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    """The writer fails again when it is closed, which would hide the reason."""

    def full(*_):
        raise RuntimeError("write failed: No space left on device; writing out.array_record")

    def close(_):
        raise ValueError("the split is not complete")

    monkeypatch.setattr("smoothjax.datasets._records.RecordWriter.add", full)
    monkeypatch.setattr("smoothjax.datasets._records.RecordWriter.close", close)
    with pytest.raises(OSError, match=rf"the disk is full, nothing is left behind; .*: '{tmp_path}/out'"):
        _prepare(tmp_path, png(_PIXELS))
    assert not list(tmp_path.iterdir())


def test_nothing_to_prepare(tmp_path):
    with pytest.raises(data.InvalidDataError, match="split train is empty"):
        datasets.prepare(_Given(()), tmp_path, tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="not what given is prepared from"):
        datasets.prepare(_Given((("a", b""),), splits=()), tmp_path, tmp_path / "data/out")
    assert not list(tmp_path.iterdir())


def test_unknown_names_and_options(tmp_path):
    with pytest.raises(ValueError, match="unknown data set 'cityscape': did you mean 'cityscapes'"):
        datasets.prepare("cityscape", tmp_path)
    with pytest.raises(ValueError, match=r"unknown data set 'xyz': choose one of voc2012, cityscapes"):
        datasets.prepare("xyz", tmp_path)
    with pytest.raises(ValueError, match="unknown option 'mask' of folder: did you mean 'masks'"):
        datasets.prepare("folder", tmp_path, mask="masks")
    with pytest.raises(ValueError, match="unknown option 'seed' of camvid: it has none"):
        datasets.prepare("camvid", tmp_path, seed=1)
    with pytest.raises(ValueError, match="options masks go into the builder"):
        datasets.prepare(builders.Folder(), tmp_path, masks="masks")


def test_archives_that_are_none(tmp_path):
    for name in ("CamVid.zip", "other.zip"):
        (tmp_path / name).write_bytes(b"an error page")
    with pytest.raises(ValueError, match=r"CamVid\.zip: cannot be opened as an archive, zip or tar .*; download it"):
        datasets.prepare("camvid", tmp_path, tmp_path / "out")
    assert Path(tmp_path / "other.zip").exists()
