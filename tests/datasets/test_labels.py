"""Useless labels stop preparation and training; masks of other values become usable."""

import numpy as np
import pytest

from experiments.common.dense.config import ImagesConfig
from experiments.common.dense.sources import check_images, open_source
from smoothjax import data, datasets
from tests.datasets.archives import pixels, png, unpack

_TWO = b"background: [0, 0, 0]\ndisk: [255, 0, 0]\n"
_CODED = b"background: {values: [0]}\ndisk: {values: [255]}\n"


def _files(values, classes=None, ending="", count=4):
    """Images whose masks hold these values in equal parts, in one folder."""
    mask = np.resize(np.array(values, np.uint8), (4, 12))
    files = {f"images/{i}.png": png(pixels(i, (4, 12))) for i in range(count)}
    files |= {f"labels/{i}{ending}.png": png(mask) for i in range(count)}
    return files | ({"classes.yaml": classes} if classes else {})


def _split_files(values, classes):
    """The same as train and val, to be read directly."""
    files = {f"{split}/{path}": f for split in ("train", "val") for path, f in _files(values).items()}
    return {**files, "classes.yaml": classes}


_BINARY = [
    ([0, 255], _TWO, r"no pixel is of class 'disk' \(found: background 50 %, disk 0 %, 255 ignored 50 %\)"),
    ([1, 255], _TWO, r"no pixel is of class 'background' \(found: disk 50 %, background 0 %, 255 ignored 50 %\)"),
    ([255], _TWO, r"no pixel is labelled \(found: background 0 %, disk 0 %, 255 ignored 100 %\)"),
    ([0, 1, 255], _TWO + b"void: [9, 9, 9]\n", "no pixel is of class 'void'"),
    ([0, 255], b"background: [0, 0, 0]\n", "there is only one class"),
]


def test_labels_are_read_once(tmp_path, monkeypatch):
    """The check, class weights and balanced crops each read all masks of a split."""
    unpack(tmp_path, _split_files([0, 1], _TWO))
    config = ImagesConfig(name="folder", root=tmp_path)
    train, val = open_source(config, "train"), open_source(config, "val")
    read, of = [], data.FolderSource.__getitem__
    monkeypatch.setattr(
        data.FolderSource, "__getitem__", lambda source, index: (read.append(index), of(source, index))[1]
    )
    check_images(config, train, val, progress=False)
    assert len(read) == 8
    counts = datasets.count_labels(train)
    assert counts is datasets.count_labels(train)
    assert len(read) == 8
    assert counts.pixels.tolist() == datasets.count_labels(open_source(config, "train")).pixels.tolist()
    assert len(read) == 12  # another source: its files may have changed
    with pytest.raises(data.InvalidDataError, match=r"expected an image uint8 \[H, W, 1\]"):
        datasets.count_labels(train, channels=1)  # was checked for three
    (tmp_path / "train/labels/0.png").write_bytes(png(np.zeros((4, 12), np.uint8)))
    assert datasets.count_labels(train).pixels[1] < counts.pixels[1]


@pytest.mark.parametrize(("values", "classes", "message"), _BINARY)
def test_training_stops(tmp_path, values, classes, message):
    """All of these once trained to a mean IoU of 100 %."""
    root = unpack(tmp_path, _split_files(values, classes))
    config = ImagesConfig(root=root)
    sources = [open_source(config, split) for split in ("train", "val")]
    with pytest.raises(data.InvalidDataError, match=rf"split train: {message}.*state how the masks name the classes"):
        check_images(config, sources[0], sources[1], progress=False)


@pytest.mark.parametrize(("values", "classes", "message"), [*_BINARY, ([0, 255], None, "there is only one class"),
    ([1, 255], None, "no pixel is of class 'class 0'"), ([0, 128, 255], None, "of the 127 classes 'class 1', "),
    ([255], None, "no pixel is labelled")])  # fmt: skip
def test_preparation_stops(tmp_path, values, classes, message):
    root = unpack(tmp_path / "in", _files(values, classes))
    with pytest.raises(data.InvalidDataError, match=rf"split train: .*{message}"):
        datasets.prepare("folder", root, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_binary_masks_with_values_are_prepared_and_read(tmp_path):
    datasets.prepare("folder", unpack(tmp_path / "in", _files([0, 255, 255], _CODED)), tmp_path / "out")
    root = unpack(tmp_path / "direct", _split_files([0, 255, 255], _CODED))
    for source in (data.PreparedSource(tmp_path / "out", "train"), data.FolderSource(root, "train")):
        assert source.classes.names == ("background", "disk")
        assert source[0]["label"][0, :3].tolist() == [0, 1, 1]
    config = ImagesConfig(root=root)
    check_images(config, open_source(config, "train"), open_source(config, "val"), progress=False)


def test_coloured_masks_are_prepared(tmp_path):
    mask = np.zeros((4, 12, 3), np.uint8)
    mask[1:3] = (255, 0, 0)
    files = _files([0], _TWO) | {f"labels/{i}.png": png(mask) for i in range(4)}
    datasets.prepare("folder", unpack(tmp_path / "in", files), tmp_path / "out")
    label = data.PreparedSource(tmp_path / "out", "train")[0]["label"]
    assert label[:, 0].tolist() == [0, 1, 1, 0]


def test_empty_classes_can_be_accepted(tmp_path):
    """A list of classes may be longer than the classes in a small data set."""
    root = unpack(tmp_path / "in", _files([0], _TWO))
    datasets.prepare("folder", root, tmp_path / "out", allow_empty_classes=True)
    train, val = (data.PreparedSource(tmp_path / "out", split) for split in ("train", "val"))
    check_images(ImagesConfig(allow_empty_classes=True), train, val, progress=False)
    check_images(ImagesConfig(name="camvid"), train, val, progress=False)
    with pytest.raises(data.InvalidDataError, match="no pixel is of class 'disk'"):
        check_images(ImagesConfig(check=False), train, val, progress=False)


def test_a_val_split_without_a_labelled_pixel(tmp_path):
    """Its scores would be NaN."""
    files = _split_files([0, 1], _TWO) | {f"val/labels/{i}.png": png(np.full((4, 12), 255, np.uint8)) for i in range(4)}
    config = ImagesConfig(root=unpack(tmp_path / "in", files))
    with pytest.raises(data.InvalidDataError, match="split val: no pixel is labelled"):
        check_images(config, open_source(config, "train"), open_source(config, "val"), progress=False)
    with pytest.raises(data.InvalidDataError, match="split val: no pixel is labelled"):
        datasets.prepare("folder", tmp_path / "in", tmp_path / "out")


def test_masks_with_an_ending_of_their_own(tmp_path):
    root = unpack(tmp_path / "in", _files([0, 1], _TWO, "_mask"))
    datasets.prepare("folder", root, tmp_path / "out", mask_suffix="_mask")
    source = data.PreparedSource(tmp_path / "out", "train")
    assert set(source.name(0)) <= set("0123")
    with pytest.raises(data.InvalidDataError, match=r"0\.png: no mask of this name"):
        datasets.prepare("folder", root, tmp_path / "other")
    with pytest.raises(ValueError, match="is prepared: mask_suffix is an option of its preparation"):
        data.open_split(tmp_path / "out", "train", mask_suffix="_mask")


def test_the_mask_suffix_of_a_run(tmp_path):
    files = {f"{split}/{path}": f for split in ("train", "val") for path, f in _files([0, 1], ending="_mask").items()}
    config = ImagesConfig(root=unpack(tmp_path, files | {"classes.yaml": _TWO}), mask_suffix="_mask")
    assert open_source(config, "val").name(0) == "0"


def test_the_white_point_of_sixteen_bits(tmp_path):
    files = _files([0, 1], _TWO) | {f"images/{i}.png": png(np.full((4, 12), 4095, np.uint16)) for i in range(4)}
    root = unpack(tmp_path / "in", files)
    with pytest.raises(data.InvalidDataError, match=r"largest of its 16-bit numbers is 4095 of 65535"):
        datasets.prepare("folder", root, tmp_path / "out")
    datasets.prepare("folder", root, tmp_path / "out", white=4095)
    assert data.PreparedSource(tmp_path / "out", "train")[0]["image"].min() == 255
    with pytest.raises(ValueError, match=r"--data\.white must be 1 \.\. 65535"):
        ImagesConfig(white=0).validate()


def test_other_kinds_of_images_are_named(tmp_path):
    root = unpack(tmp_path / "in", _files([0, 1], _TWO) | {"images/9.heic": b""})
    with pytest.raises(data.InvalidDataError, match=r"9\.heic: images of this kind are not read"):
        datasets.prepare("folder", root, tmp_path / "out")


def test_accents_of_either_kind(tmp_path):
    files = _files([0, 1], _TWO) | {"images/caf\u00e9.png": png(pixels(9, (4, 12)))}
    files |= {"labels/cafe\u0301.png": png(np.ones((4, 12), np.uint8))}
    datasets.prepare("folder", unpack(tmp_path / "in", files), tmp_path / "out", val_fraction=0)
    assert len(data.PreparedSource(tmp_path / "out", "train")) == 5


def test_many_problems_with_names_that_are_no_text(tmp_path, capsys):
    """More than fifty go into a file, whose encoding must hold whatever a file system holds."""
    from smoothjax.datasets.__main__ import main

    root = unpack(tmp_path / "in", _files([0, 1], _TWO))
    for i in range(60):
        (root / "images" / f"\udcff{i}.png").write_bytes(b"")
    assert main(["prepare", "folder", "--source", str(root), "--out", str(tmp_path / "out")]) == 1
    assert "images/\\udcff" in capsys.readouterr().err
    assert len((tmp_path / "out.problems.txt").read_text().splitlines()) == 60
