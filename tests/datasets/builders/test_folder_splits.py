"""A user's own folder whose splits are folders, outside and inside those of images and masks."""

import pytest

from smoothjax import data, datasets
from tests.datasets.archives import assert_holds, unpack, zipped
from tests.datasets.builders.streets import CLASSES as _CLASSES
from tests.datasets.builders.streets import IMAGES as _IMAGES
from tests.datasets.builders.streets import LABELS as _LABELS
from tests.datasets.builders.streets import NAMES as _NAMES
from tests.datasets.builders.streets import files as _files
from tests.datasets.builders.streets import names as _names


def test_folders_of_splits(tmp_path):
    files = {"classes.yml": _CLASSES}
    for split, names in (("train", _NAMES[:3]), ("extra", _NAMES[3:5])):
        files |= _files(f"{split}/photos", f"{split}/masks", names=names)
    root = unpack(tmp_path / "in", {**files, "notes/readme.txt": b"none of them"})
    datasets.prepare("folder", root, tmp_path / "out", images="photos", masks="masks")
    assert data.prepared_splits(tmp_path / "out") == ("extra", "train")
    assert_holds(tmp_path / "out", "extra", _IMAGES, {name: _LABELS[name] for name in _NAMES[3:5]})


def test_folders_of_splits_in_one_folder(tmp_path):
    files = {"classes.yaml": _CLASSES, **_files("x/train/images", "x/train/labels")}
    datasets.prepare("folder", unpack(tmp_path / "in", files), tmp_path / "out")
    assert_holds(tmp_path / "out", "train", _IMAGES, _LABELS)
    assert data.PreparedSource(tmp_path / "out", "train").classes.names == ("road", "car", "sky")
    # Only that of a split is left: it stays one.
    datasets.prepare("folder", tmp_path / "in/x", tmp_path / "other")
    assert data.prepared_splits(tmp_path / "other") == ("train",)


def _inner(masks="labels", **splits):
    """The layout of YOLO: folders of splits inside those of images and masks."""
    files = {"classes.yaml": _CLASSES}
    for split, names in splits.items():
        files |= _files(f"images/{split}", f"{masks}/{split}", names=names)
    return files


@pytest.mark.parametrize("masks", ["labels", "masks"])
@pytest.mark.parametrize("archive", [True, False])
def test_folders_of_splits_inside(tmp_path, masks, archive, capsys):
    """They are the splits, not a part of the names, and nothing is split at random."""
    splits = {"train": _NAMES[:3], "val": _NAMES[3:5], "extra": _NAMES[5:6]}
    files = {f"dataset/{path}": content for path, content in _inner(masks, **splits).items()}
    root = zipped(tmp_path / "in.zip", files) if archive else unpack(tmp_path / "in", files)
    datasets.prepare("folder", root, tmp_path / "out", masks=masks)
    assert data.prepared_splits(tmp_path / "out") == ("extra", "train", "val")
    for split, names in splits.items():
        assert_holds(tmp_path / "out", split, _IMAGES, {name: _LABELS[name] for name in names})
    assert data.PreparedSource(tmp_path / "out", "train").classes.names == ("road", "car", "sky")
    assert not capsys.readouterr().err


def test_folders_inside_that_are_no_splits(tmp_path):
    """Cities, or classes, one of which is called train."""
    files = _inner(car=_NAMES[:2], train=_NAMES[2:4])
    datasets.prepare("folder", unpack(tmp_path / "in", files), tmp_path / "out", val_fraction=0)
    assert _names(tmp_path / "out", "train") == [
        *(f"car/{name}" for name in _NAMES[:2]),
        *(f"train/{name}" for name in _NAMES[2:4]),
    ]


def test_a_file_of_splits_goes_before_folders_inside(tmp_path):
    root = unpack(tmp_path / "in", _inner(train=_NAMES[:2], val=_NAMES[2:3]))
    (tmp_path / "splits.txt").write_text("val/street 02 train\ntrain/street 00 test\n")
    datasets.prepare("folder", root, tmp_path / "out", splits=tmp_path / "splits.txt")
    assert _names(tmp_path / "out", "train") == ["val/street 02"]


def test_what_is_wrong_with_folders_inside(tmp_path, capsys):
    files = _inner(train=_NAMES[:2], val=_NAMES[2:4])
    files |= {"images/test/a.jpg": b"", "labels/loose.png": b"", "labels/odd.png": b"", "val/images/a.png": b""}
    root = unpack(tmp_path / "in", files)
    (root / "labels/val/street 02.png").unlink()
    (root / "images/val/street 03.jpg").write_bytes(b"text")
    with pytest.raises(data.InvalidDataError) as caught:
        datasets.prepare("folder", root, tmp_path / "out")
    assert [problem.partition(" (")[0] for problem in sorted(caught.value.problems)] == [
        f"{root}/images/test: there is no labels/test; add it, or move the folder elsewhere",
        f"{root}/images/val/street 02.jpg: no mask of this name in {root}/labels/val",
        f"{root}/images/val/street 03.jpg: cannot be read as an image",
        f"{root}/labels: loose.png and 1 more lie beside the folders of the splits",
        f"{root}/val: not used, it lies beside {root}/images; keep either the folders of the splits or the one that is "
        "to be divided, and move the other elsewhere",
    ]
    (tmp_path / "empty/images/train").mkdir(parents=True)
    unpack(tmp_path / "empty", _files("images/val", "labels/val", names=_NAMES[:1]))
    (tmp_path / "empty/labels/train").mkdir()
    with pytest.raises(data.InvalidDataError, match="split train is empty"):
        datasets.prepare("folder", tmp_path / "empty", tmp_path / "out")
    (tmp_path / "empty/images/train").rmdir()
    (tmp_path / "empty/labels/train").rmdir()
    datasets.prepare("folder", tmp_path / "empty", tmp_path / "out")
    assert "no split train: the splits are named like the folders, val\n" in capsys.readouterr().err


def test_folders_that_match_nothing(tmp_path):
    files = {"notes/readme.txt": b"none of them", "images/a.png": b"", "test/pictures/a.png": b""}
    for split in ("train", "val-2020", "my split"):
        files |= _files(f"{split}/images", f"{split}/labels", names=_NAMES[:1])
    root = unpack(tmp_path / "in", {**files, "val/labels/a.png": b"", "extra/images/a.png": b""})
    with pytest.raises(data.InvalidDataError) as caught:
        datasets.prepare("folder", root, tmp_path / "out")
    assert sorted(caught.value.problems) == [
        f"{root}/extra: holds images/ without labels/; add it, or move the folder elsewhere",
        f"{root}/images: not used, it lies beside the folders of the splits; move it elsewhere",
        f"{root}/my split: the name of a split is letters, digits and _; rename it, such as my_split",
        f"{root}/test: holds neither images/ nor labels/; put the images and masks into these, or move the folder "
        "elsewhere",
        f"{root}/val-2020: the name of a split is letters, digits and _; rename it, such as val_2020",
        f"{root}/val: holds labels/ without images/; add it, or move the folder elsewhere",
    ]
    (root / "images").rename(tmp_path / "elsewhere")
    (root / "train").rename(root / "train-2020")
    with pytest.raises(FileNotFoundError, match=r"train-2020: the name of a split is .*, such as train_2020"):
        datasets.prepare("folder", root, tmp_path / "out")


def test_splits_beside_images(tmp_path):
    root = unpack(tmp_path / "in", {**_files(), **_files("train/images", "train/labels"), "test/code.py": b""})
    with pytest.raises(data.InvalidDataError) as caught:
        datasets.prepare("folder", root, tmp_path / "out")
    assert [problem.partition(";")[0] for problem in caught.value.problems] == [
        f"{root}/train: not used, it lies beside {root}/images"
    ]


def test_no_split_to_train_with(tmp_path, capsys):
    files = {**_files("a/images", "a/labels"), **_files("b/images", "b/labels")}
    datasets.prepare("folder", unpack(tmp_path / "in", files), tmp_path / "out")
    assert "no split train: the splits are named like the folders, a, b\n" in capsys.readouterr().err
