"""Cityscapes: every id, both kinds of masks, fine and coarse, folders and archives."""

import numpy as np
import pytest

from smoothjax import data, datasets
from smoothjax.datasets.builders import Cityscapes
from tests.datasets.archives import assert_holds, assert_refused, below, labels, pixels, png, unpack, zipped

# The authors' table: every id that counts, with its name. The plates, -1, are 255 in a file of bytes.
_NAMES = {
    **{7: "road", 8: "sidewalk", 11: "building", 12: "wall", 13: "fence", 17: "pole", 19: "traffic light"},
    **{20: "traffic sign", 21: "vegetation", 22: "terrain", 23: "sky", 24: "person", 25: "rider", 26: "car"},
    **{27: "truck", 28: "bus", 31: "train", 32: "motorcycle", 33: "bicycle"},
}
_ALL = [*range(34), 255]
_SPLITS = {
    "train": ("aachen_000000_000019", "zurich_000001_000019"),
    "val": ("lindau_000000_000019",),
    "test": ("berlin_000000_000019",),
    "train_extra": ("erlangen_000000_000000",),
}
_NAMED = [(split, name) for split, names in _SPLITS.items() for name in names]
_PHOTOGRAPHS = {name: png(pixels(i)) for i, (_, name) in enumerate(_NAMED)}
_FINE = {name: labels(i, _ALL) for i, (_, name) in enumerate(_NAMED)}
_COARSE = {name: labels(50 + i, _ALL) for i, (_, name) in enumerate(_NAMED)}


def _train_ids(label):
    new = np.full(256, 255, np.uint8)
    for old, name in _NAMES.items():
        new[old] = data.CITYSCAPES.names.index(name)
    return new[label]


def _masks(kind, split, found, suffix="labelIds", convert=lambda label: label):
    return {
        f"{kind}/{split}/{name.split('_')[0]}/{name}_{kind}_{suffix}.png": png(convert(found[name]))
        for name in _SPLITS[split]
    }


_FILES = {
    **{
        f"leftImg8bit/{split}/{name.split('_')[0]}/{name}_leftImg8bit.png": _PHOTOGRAPHS[name] for split, name in _NAMED
    },
    **_masks("gtFine", "train", _FINE),
    **_masks("gtFine", "val", _FINE),
    **_masks("gtCoarse", "train", _COARSE),
    **_masks("gtCoarse", "train_extra", _COARSE),
    "README": b"text",
    "gtFine/train/aachen/aachen_000000_000019_gtFine_polygons.json": b"{}",
    "gtFine/train/aachen/aachen_000000_000019_gtFine_color.png": b"not read",
    "gtFine/train/aachen/aachen_000000_000019_gtFine_instanceIds.png": b"not read",
}


def _expected(split, found):
    return {name: _train_ids(found[name]) for name in _SPLITS[split]}


def test_the_published_numbers_of_classes():
    assert len(_NAMES) == len(data.CITYSCAPES) == 19


def test_fine(tmp_path, capsys):
    datasets.prepare("cityscapes", unpack(tmp_path / "in", _FILES), tmp_path / "out")
    assert data.prepared_splits(tmp_path / "out") == ("train", "val", "test")
    for split in ("train", "val"):
        assert_holds(tmp_path / "out", split, _PHOTOGRAPHS, _expected(split, _FINE))
    assert_holds(tmp_path / "out", "test", _PHOTOGRAPHS, dict.fromkeys(_SPLITS["test"]))
    assert "split test has 1 examples, the published one 1,525" in capsys.readouterr().err


def test_coarse_from_archives(tmp_path):
    root = tmp_path / "in"
    extra = below(_FILES, "leftImg8bit/train_extra")
    fine = {path: content for path, content in below(_FILES, "leftImg8bit").items() if path not in extra}
    zipped(root / "leftImg8bit_trainvaltest.zip", fine)
    zipped(root / "leftImg8bit_trainextra.zip", extra)
    zipped(root / "gtFine_trainvaltest.zip", below(_FILES, "gtFine"))
    zipped(root / "gtCoarse.zip", below(_FILES, "gtCoarse"))
    datasets.prepare(Cityscapes(coarse=True), root, tmp_path / "out")
    assert data.prepared_splits(tmp_path / "out") == ("train", "val", "test", "train_coarse", "train_extra")
    assert_holds(tmp_path / "out", "train", _PHOTOGRAPHS, _expected("train", _FINE))
    assert_holds(tmp_path / "out", "train_coarse", _PHOTOGRAPHS, _expected("train", _COARSE))
    assert_holds(tmp_path / "out", "train_extra", _PHOTOGRAPHS, _expected("train_extra", _COARSE))


def test_train_ids(tmp_path):
    """Written by the authors' script; the published ids take precedence if both exist."""
    files = {**below(_FILES, "leftImg8bit"), **_masks("gtFine", "val", _FINE)}
    files |= _masks("gtFine", "train", _FINE, "labelTrainIds", _train_ids)
    files |= _masks("gtFine", "val", _COARSE, "labelTrainIds", _train_ids)
    datasets.prepare("cityscapes", unpack(tmp_path / "in", files), tmp_path / "out")
    for split in ("train", "val"):
        assert_holds(tmp_path / "out", split, _PHOTOGRAPHS, _expected(split, _FINE))


def test_published_masks_of_test(tmp_path):
    """They exist, and label only pixels that do not count."""
    blind = {name: np.full((12, 16), 3, np.uint8) for name in _SPLITS["test"]}
    files = {**_FILES, **_masks("gtFine", "test", blind)}
    datasets.prepare("cityscapes", unpack(tmp_path / "in", files), tmp_path / "out")
    assert_holds(tmp_path / "out", "test", _PHOTOGRAPHS, dict.fromkeys(_SPLITS["test"]))


def test_what_is_wrong(tmp_path):
    root = unpack(tmp_path / "in", _FILES)
    next(root.glob("gtFine/train/aachen/*labelIds.png")).unlink()
    next(root.glob("leftImg8bit/val/lindau/*")).unlink()
    next(root.glob("gtFine/train/zurich/*labelIds.png")).write_bytes(png(labels(0, [7, 34, 200])))
    assert_refused(
        "cityscapes",
        root,
        tmp_path / "out",
        "aachen_000000_000019_leftImg8bit.png: no mask",
        "lindau_000000_000019_gtFine_labelIds.png: no image",
        "zurich_000001_000019_gtFine_labelIds.png: label 34, 200 is not one of the labels",
        "(0-33, 255)",
        "split val is empty",
    )


def test_another_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gtFine/\{train,val\}/CITY\S+ +MISSING\n"):
        datasets.prepare("cityscapes", unpack(tmp_path / "in", below(_FILES, "leftImg8bit")), tmp_path / "out")
