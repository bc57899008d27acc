"""A user's own folder: pairs, given and inferred classes, splits from a file and at random."""

import numpy as np
import pytest
from PIL import Image

from smoothjax import data, datasets
from smoothjax.datasets.builders import Folder
from tests.datasets.archives import assert_holds, assert_refused, labels, pixels, png, unpack, zipped
from tests.datasets.builders.streets import CLASSES as _CLASSES
from tests.datasets.builders.streets import IMAGES as _IMAGES
from tests.datasets.builders.streets import LABELS as _LABELS
from tests.datasets.builders.streets import NAMES as _NAMES
from tests.datasets.builders.streets import files as _files
from tests.datasets.builders.streets import names as _names


def test_a_share_by_chance_is_the_same_for_ever(tmp_path):
    root = unpack(tmp_path / "in", {**_files(), "classes.yaml": _CLASSES})
    datasets.prepare("folder", root, tmp_path / "out", val_fraction=0.2, test_fraction=0.1)
    assert data.prepared_splits(tmp_path / "out") == ("train", "val", "test")
    held = {split: _names(tmp_path / "out", split) for split in ("train", "val", "test")}
    assert [len(names) for names in held.values()] == [14, 4, 2]
    assert sorted(name for names in held.values() for name in names) == _NAMES
    for split, names in held.items():
        assert_holds(tmp_path / "out", split, _IMAGES, {name: _LABELS[name] for name in sorted(names)})
    assert held["val"] == ["street 04", "street 06", "street 08", "street 15"]
    datasets.prepare("folder", root, tmp_path / "other", val_fraction=0.2, test_fraction=0.1, seed=1)
    assert _names(tmp_path / "other", "val") != held["val"]
    # One image less changes the choice of few others.
    (root / "images/street 05.jpg").unlink()
    (root / "labels/street 05.png").unlink()
    datasets.prepare("folder", root, tmp_path / "less", val_fraction=0.2, test_fraction=0.1)
    assert len({*_names(tmp_path / "less", "val")} - {*held["val"]}) <= 1


def test_classes_of_the_file(tmp_path):
    root = unpack(tmp_path / "in", {**_files(), "classes.yaml": _CLASSES})
    datasets.prepare("folder", root, tmp_path / "out")
    source = data.PreparedSource(tmp_path / "out", "train")
    assert source.classes == data.Classes(("road", "car", "sky"), ((1, 2, 3), (4, 5, 6), (7, 8, 9)))
    (tmp_path / "others.json").write_text('["a", "b", "c", "d"]')
    datasets.prepare(Folder(classes=tmp_path / "others.json", allow_empty_classes=True), root, tmp_path / "given")
    assert data.PreparedSource(tmp_path / "given", "train").classes.names == ("a", "b", "c", "d")


def test_an_archive(tmp_path):
    archive = zipped(tmp_path / "mine.zip", {**_files(), "classes.yaml": _CLASSES})
    datasets.prepare("folder", archive, tmp_path / "out", val_fraction=0)
    assert_holds(tmp_path / "out", "train", _IMAGES, _LABELS)
    assert data.PreparedSource(tmp_path / "out", "train").classes.names == ("road", "car", "sky")
    archive = zipped(tmp_path / "mine.zip", {**_files(), "classes.yaml": b"7"})
    with pytest.raises(ValueError, match=r"mine\.zip:classes\.yaml: expected a mapping or a list of classes, got int"):
        datasets.prepare("folder", archive, tmp_path / "other")


@pytest.mark.parametrize("palette", [True, False])
def test_classes_found_in_the_masks(tmp_path, palette, capsys):
    datasets.prepare("folder", unpack(tmp_path / "in", _files(palette=palette)), tmp_path / "out")
    classes = data.PreparedSource(tmp_path / "out", "train").classes
    assert classes == data.Classes(("class 0", "class 1", "class 2"), data.default_colors(3))
    assert "the masks hold labels up to 2, so there are 3 classes" in capsys.readouterr().err


def test_colours_of_the_palette(tmp_path):
    mask = Image.fromarray(np.array([[0, 2, 1]], np.uint8))
    mask.putpalette([10, 0, 0, 0, 20, 0, 0, 0, 30])
    files = {"images/a.png": png(pixels(0, (1, 3))), "labels/a.png": png(mask)}
    datasets.prepare("folder", unpack(tmp_path / "in", files), tmp_path / "out", val_fraction=0)
    assert data.PreparedSource(tmp_path / "out", "train").classes.colors == ((10, 0, 0), (0, 20, 0), (0, 0, 30))


@pytest.mark.parametrize("kind", ["file", "table", "folder"])
def test_splits_of_a_file(tmp_path, kind, capsys):
    splits = {"train": _NAMES[5:9], "val": _NAMES[:2]}
    if kind == "folder":
        texts = {f"{split}.txt": "\n".join(names) for split, names in splits.items()}
    else:
        form = "{}\t{}\n" if kind == "file" else "{}.jpg, {}\n"
        texts = {"": "".join(form.format(name, split) for split, names in splits.items() for name in names)}
    path = tmp_path / "splits"
    unpack(tmp_path, {f"splits/{name}" if name else "splits": text.encode() for name, text in texts.items()})
    datasets.prepare("folder", unpack(tmp_path / "in", _files()), tmp_path / "out", splits=path)
    for split, names in splits.items():
        assert_holds(tmp_path / "out", split, _IMAGES, {name: _LABELS[name] for name in names})
    assert f"14 images are in no split of {path}: street 02, street 03" in capsys.readouterr().err


def test_folders_inside_are_part_of_the_names(tmp_path):
    files = {f"images/{city}/1.png": png(pixels(i)) for i, city in enumerate("ab")}
    files |= {f"labels/{city}/1.png": png(_LABELS[_NAMES[0]]) for city in "ab"}
    datasets.prepare("folder", unpack(tmp_path / "in", files), tmp_path / "out", val_fraction=0)
    assert _names(tmp_path / "out", "train") == ["a/1", "b/1"]


def test_what_is_wrong(tmp_path):
    root = unpack(tmp_path / "in", {**_files(), "classes.yaml": _CLASSES, "splits.txt": b"street 19 train\nnone val\n"})
    (root / "labels/street 00.png").rename(root / "labels/street 00.jpg")
    (root / "images/street 01.jpg").unlink()
    (root / "labels/street 19.png").write_bytes(png(labels(0, [0, 3], (5, 4))))
    with (root / "splits.txt").open("a") as file:
        file.write("street 19 val\nstreet 02 train\nstreet 03 train\nstreet 04 train")
    (root / "labels/street 02.png").write_bytes(png(pixels(0)))
    (root / "images/street 03.jpg").write_bytes(b"text")
    (root / "labels/street 04.png").write_bytes(b"text")
    problems = assert_refused(
        "folder",
        root,
        tmp_path / "out",
        "street 00.jpg: no mask of this name in",
        "street 01.png: no image of this name",
        "none of split val has no image and mask",
        "street 19 stands in it 2 times",
        "street 19.png: label 3 in 13 pixels is outside the 3 classes",
        "street 19.png: the mask is 5 x 4 pixels high and wide, its image, upright, 12 x 16",
        "street 02.png: a mask of mode RGB, with colours that belong to no class: (",
        "street 03.jpg: cannot be read as an image",
        "street 04.png: cannot be read as an image",
        splits=root / "splits.txt",
    )
    assert len(problems) == 9


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("street", ValueError, "line 1 must be NAME SPLIT, such as street_001 train"),
        ("\xff", ValueError, "no text file"),
        (None, FileNotFoundError, "write lines NAME SPLIT"),
    ],
)
def test_a_bad_file_of_splits(tmp_path, text, error, message):
    root = unpack(tmp_path / "in", _files())
    if text is not None:
        (tmp_path / "splits.txt").write_bytes(text.encode("latin-1"))
    with pytest.raises(error, match=message):
        datasets.prepare("folder", root, tmp_path / "out", splits=tmp_path / "splits.txt")


def test_shares_that_leave_nothing(tmp_path):
    root = unpack(tmp_path / "in", _files())
    with pytest.raises(ValueError, match=r"leave something to train, got val 0\.5, test 0\.5"):
        datasets.prepare("folder", root, tmp_path / "out", val_fraction=0.5, test_fraction=0.5)


def test_another_folder(tmp_path):
    root = unpack(tmp_path / "in", _files(masks="masks"))
    with pytest.raises(FileNotFoundError, match=r"images/NAME\.jpg +found\n +labels/NAME\.png +MISSING\n"):
        datasets.prepare("folder", root, tmp_path / "out")
    with pytest.raises(FileNotFoundError, match=r"nowhere: no such folder or archive"):
        datasets.prepare("folder", tmp_path / "nowhere", tmp_path / "out")


def test_empty_folders(tmp_path):
    for name in ("images", "labels"):
        (tmp_path / "in" / name).mkdir(parents=True)
    with pytest.raises(data.InvalidDataError, match="split train is empty"):
        datasets.prepare("folder", tmp_path / "in", tmp_path / "out")


def test_too_few_images_to_divide(tmp_path, capsys):
    root = unpack(tmp_path / "in", _files(names=_NAMES[:2]))
    datasets.prepare("folder", root, tmp_path / "out", val_fraction=0.5, test_fraction=0.4)
    assert {split: len(_names(tmp_path / "out", split)) for split in ("train", "val")} == {"train": 1, "val": 1}
    assert "too few images to divide: without split test\n" in capsys.readouterr().err
    datasets.prepare("folder", unpack(tmp_path / "one", _files(names=_NAMES[:1])), tmp_path / "of one")
    assert data.prepared_splits(tmp_path / "of one") == ("train",)


def test_paths_as_text(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    files = {f"in/{path}": content for path, content in _files().items()}
    unpack(tmp_path, {**files, "splits.txt": b"street 01 train\n", "names.json": b'["a", "b", "c"]'})
    datasets.prepare("folder", "~/in", "~/out", splits="~/splits.txt", classes="~/names.json")
    assert _names(tmp_path / "out", "train") == ["street 01"]
    assert data.PreparedSource(tmp_path / "out", "train").classes.names == ("a", "b", "c")


@pytest.mark.parametrize("archive", [True, False])
def test_everything_in_one_folder(tmp_path, archive):
    """Most programs pack a folder this way: it is the data set, not a split."""
    files = {f"download/photos/{path}": content for path, content in _files().items()}
    files["download/photos/classes.yaml"] = _CLASSES
    root = zipped(tmp_path / "in.zip", files) if archive else unpack(tmp_path / "in", files)
    datasets.prepare("folder", root, tmp_path / "out")
    assert data.prepared_splits(tmp_path / "out") == ("train", "val")
    assert data.PreparedSource(tmp_path / "out", "train").classes.names == ("road", "car", "sky")
