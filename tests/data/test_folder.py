"""A user's folder: the files that are read, and the message for each mistake."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from smoothjax import data, progress
from smoothjax.data import Classes, FolderSource, InvalidDataError
from smoothjax.datasets import check_source

_CLASSES = Classes(("a", "b", "c"), ((0, 0, 0), (1, 1, 1), (2, 2, 2)))


def _save(root: Path, name: str, image: Image.Image | None = None, mask: Image.Image | np.ndarray | None = None):
    """Saves one example of split `train`, 6 x 8 pixels by default."""
    for kind in ("images", "labels"):
        (root / "train" / kind).mkdir(parents=True, exist_ok=True)
    mask = np.zeros((6, 8), np.uint8) if mask is None else mask
    (image or Image.new("RGB", (8, 6), (10, 20, 30))).save(root / "train" / "images" / name)
    mask = mask if isinstance(mask, Image.Image) else Image.fromarray(mask)
    mask.save(root / "train" / "labels" / f"{Path(name).stem}.png")


def test_reads_pairs_by_name(tmp_path):
    label = np.array([[0, 1, 2, 255]] * 3, np.uint8)
    for name in ("b.png", "a.bmp", "c.PNG"):
        _save(tmp_path, name, Image.new("RGB", (4, 3), (10, 20, 30)), label)
    for stray in ("images/.DS_Store", "images/._a.png", "images/notes.txt", "labels/Thumbs.db"):
        (tmp_path / "train" / stray).write_text("stray")
    source = FolderSource(tmp_path, "train", _CLASSES)
    assert [source.name(i) for i in range(len(source))] == ["a", "b", "c"]
    assert source.size(0) == (3, 4)
    np.testing.assert_array_equal(source[1]["label"], label)
    np.testing.assert_array_equal(source[1]["image"], np.full((3, 4, 3), (10, 20, 30)))
    check_source(source)
    with pytest.raises(IndexError, match="index 3 is outside the split of 3"):
        source[3]


def test_palette_masks_are_indices_not_colours(tmp_path):
    label = np.arange(6, dtype=np.uint8).reshape(2, 3) % 3
    mask = Image.fromarray(label)
    mask.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200] + [0] * 759)
    assert mask.mode == "P"
    _save(tmp_path, "a.png", Image.new("RGB", (3, 2)), mask)
    np.testing.assert_array_equal(FolderSource(tmp_path, "train", _CLASSES)[0]["label"], label)


_GREY16 = Image.fromarray(np.full((6, 8), 140 * 256 + 7, np.uint16))


@pytest.mark.parametrize(
    ("name", "image", "expected"),
    [
        ("a.png", Image.new("L", (8, 6), 40), (40, 40, 40)),
        ("a.png", Image.new("RGBA", (8, 6), (10, 20, 30, 7)), (10, 20, 30)),
        ("a.png", Image.new("LA", (8, 6), (40, 7)), (40, 40, 40)),
        ("a.png", Image.new("1", (8, 6), 1), (255, 255, 255)),
        ("a.png", _GREY16, (140, 140, 140)),
        ("a.tif", Image.new("CMYK", (8, 6), (0, 255, 255, 0)), (255, 0, 0)),
        ("a.png", Image.new("RGB", (8, 6), (10, 20, 30)).quantize(4), (10, 20, 30)),
        ("a.webp", Image.new("RGB", (8, 6), (128, 128, 128)), (128, 128, 128)),
    ],
    ids=["L", "RGBA", "LA", "1", "I;16", "CMYK", "P", "webp"],
)
def test_images_of_any_mode_become_rgb(tmp_path, name, image, expected):
    _save(tmp_path, name, image)
    read = FolderSource(tmp_path, "train", _CLASSES)[0]["image"]
    assert read.dtype == np.uint8
    np.testing.assert_allclose(read.astype(int), np.broadcast_to(expected, (6, 8, 3)), atol=2)


def test_palette_image_with_transparency_reads_without_a_warning(tmp_path):
    image = Image.new("P", (8, 6), 0)
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.save(tmp_path / "a.png", transparency=bytes([0, 128]))
    np.testing.assert_array_equal(data.read_image(tmp_path / "a.png"), np.full((6, 8, 3), (10, 20, 30)))


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
def test_a_photograph_on_its_side_is_turned_upright(tmp_path, suffix):
    """EXIF orientation 6: the file's rows are the picture's columns; the mask fits the upright picture."""
    pixels = np.zeros((32, 48, 3), np.uint8)
    pixels[:16] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "train" / "images").mkdir(parents=True)
    (tmp_path / "train" / "labels").mkdir()
    Image.fromarray(pixels).save(tmp_path / "train" / "images" / f"a.{suffix}", exif=exif)
    Image.fromarray(np.zeros((48, 32), np.uint8)).save(tmp_path / "train" / "labels" / "a.png")
    source = FolderSource(tmp_path, "train", _CLASSES)
    image = source[0]["image"]
    assert image.shape == (48, 32, 3)
    assert image[:, 17:].min() > 200
    assert image[:, :15].max() < 50
    assert source.size(0) == (48, 32)


def test_classes_come_from_the_argument_then_from_the_file(tmp_path):
    _save(tmp_path, "a.png")
    with pytest.raises(
        FileNotFoundError, match=r"(?s)into .*classes\.yaml, for example\nroad: \[128, 64, 128\]\ncar: "
    ):
        FolderSource(tmp_path, "train")
    (tmp_path / "classes.json").write_text('["x", "y"]')
    assert FolderSource(tmp_path, "train").classes.names == ("x", "y")
    (tmp_path / "classes.yaml").write_text("[z]")
    assert FolderSource(tmp_path, "train").classes.names == ("z",)
    assert FolderSource(tmp_path, "train", _CLASSES).classes is _CLASSES


def test_missing_folder_shows_the_tree(tmp_path):
    _save(tmp_path, "a.png")
    (tmp_path / "val" / "images").mkdir(parents=True)
    with pytest.raises(FileNotFoundError) as caught:
        FolderSource(tmp_path, "val", _CLASSES)
    message = str(caught.value)
    assert f"split 'val' of {tmp_path} is incomplete" in message
    lines = [line.split() for line in message.splitlines()]
    assert [line[-1] for line in lines[1:5]] == ["found", "found", "found", "MISSING"]
    assert message.endswith("other splits there: train")
    with pytest.raises(FileNotFoundError, match=r"is incomplete: the folder .*nowhere is not there; check the path"):
        FolderSource(tmp_path / "nowhere", "val", _CLASSES)


def test_a_folder_of_another_layout_is_told_apart(tmp_path):
    """The tree that was expected does not tell what is there: one of its splits, or a layout to be looked at."""
    _save(tmp_path / "mine", "a.png")
    with pytest.raises(FileNotFoundError, match=r"the folder above it, .*mine, holds train/images: name that one"):
        FolderSource(tmp_path / "mine/train", "train", _CLASSES)
    (tmp_path / "flat/photos").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"smoothjax.data info .*flat says what is in the folder"):
        FolderSource(tmp_path / "flat", "train", _CLASSES)


def test_a_thousand_masks_of_another_kind_are_one_screen(tmp_path):
    """A line for each of them would push the first one off the screen."""
    for kind in ("images", "labels"):
        (tmp_path / "train" / kind).mkdir(parents=True)
    for index in range(1000):
        (tmp_path / f"train/images/{index}.png").touch()
        (tmp_path / f"train/labels/{index}.jpg").touch()
    with pytest.raises(ValueError, match=r"only png; convert or remove it\n\.\.\. and 981 more\n") as caught:
        FolderSource(tmp_path, "train", _CLASSES)
    assert len(str(caught.value).splitlines()) == 21
    assert "1000 files (" in str(caught.value).splitlines()[-1]


def test_folders_of_splits_inside_are_to_be_prepared(tmp_path):
    for kind in ("images", "labels"):
        (tmp_path / kind / "train").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"there is images/train: .* prepare folder --source "):
        FolderSource(tmp_path, "train", data.CAMVID)


def test_files_without_a_partner_are_named(tmp_path):
    for i in range(12):
        _save(tmp_path, f"x{i:02d}.png")
        (tmp_path / "train" / "labels" / f"x{i:02d}.png").unlink()
    _save(tmp_path, "good.png")
    _save(tmp_path, "lonely.png")
    (tmp_path / "train" / "images" / "lonely.png").unlink()
    with pytest.raises(ValueError, match=r"12 files .*x00, x01, .*x09, \.\.\.\) in images/ without a mask") as caught:
        FolderSource(tmp_path, "train", _CLASSES)
    assert "x10" not in str(caught.value)
    assert "1 file (lonely) in labels/ without an image" in str(caught.value)


@pytest.mark.parametrize("names", [["a"], ["a", "a1"], ["b", "b_x"]])
def test_an_ending_that_all_masks_have_is_proposed(tmp_path, names):
    for name in names:
        _save(tmp_path, f"{name}.png")
        (tmp_path / "train/labels" / f"{name}.png").rename(tmp_path / "train/labels" / f"{name}_x_mask.png")
    with pytest.raises(ValueError, match=r"the names of all masks end in _x_mask; take --data.mask-suffix _x_mask, "):
        FolderSource(tmp_path, "train", _CLASSES)


def test_jpeg_masks_are_not_taken(tmp_path):
    _save(tmp_path, "a.png")
    (tmp_path / "train" / "labels" / "a.png").rename(tmp_path / "train" / "labels" / "a.jpg")
    with pytest.raises(ValueError, match=r"1 file \(a\) in images/ without a mask; .*only PNG keeps the indices"):
        FolderSource(tmp_path, "train", _CLASSES)


def test_empty_split(tmp_path):
    for kind in ("images", "labels"):
        (tmp_path / "train" / kind).mkdir(parents=True)
    with pytest.raises(ValueError, match=r"the split is empty; put images \(jpg, jpeg, png"):
        FolderSource(tmp_path, "train", _CLASSES)


def test_two_images_of_one_name(tmp_path):
    _save(tmp_path, "a.png")
    _save(tmp_path, "a.bmp")
    with pytest.raises(ValueError, match=r"a\.bmp and a\.png share a name"):
        FolderSource(tmp_path, "train", _CLASSES)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (
            np.full((6, 8), 3, np.uint8),
            r"a\.png: label 3 in 48 pixels is outside the 3 classes 0 .. 2; give more classes",
        ),
        (np.zeros((8, 6), np.uint8), "the mask is 8 x 6 pixels high and wide, its image 6 x 8"),
        (
            Image.new("RGB", (8, 6), (9, 8, 7)),
            r"a mask of mode RGB, with colours that belong to no class: \(9, 8, 7\) in 48 pixels; give the classes",
        ),
        (Image.new("LA", (8, 6)), "this one has mode LA"),
        (Image.fromarray(np.zeros((6, 8), np.uint16)), "must have 8 bits a pixel, this one has 16 or more"),
    ],
)
def test_a_bad_mask_raises_when_read(tmp_path, mask, message):
    _save(tmp_path, "a.png", mask=mask)
    source = FolderSource(tmp_path, "train", _CLASSES)
    with pytest.raises(InvalidDataError, match=message):
        source[0]
    with pytest.raises(InvalidDataError, match="1 of 1 examples cannot be used:\n.*" + message):
        check_source(source)


def test_check_reports_everything_at_once(tmp_path, capsys, monkeypatch):
    _save(tmp_path, "good.png")
    _save(tmp_path, "both.png", mask=np.full((5, 8), 77, np.uint8))
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 50, 3)).astype(np.uint8))
    _save(tmp_path, "cut.png", noise, mask=np.zeros((50, 50), np.uint8))
    path = tmp_path / "train" / "images" / "cut.png"
    path.write_bytes(path.read_bytes()[:2000])
    _save(tmp_path, "text.png")
    (tmp_path / "train" / "images" / "text.png").write_text("no image")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)  # the bar is for terminals
    monkeypatch.setattr(progress, "_DELAY", 0)  # and for long tasks
    with pytest.raises(InvalidDataError) as caught:
        check_source(FolderSource(tmp_path, "train", _CLASSES), progress=True)
    message = str(caught.value)
    assert message.startswith("3 of 4 examples cannot be used:")
    assert len(caught.value.problems) == 4  # both.png has two
    for part in ("both.png: the mask is 5 x 8", "both.png: label 77 in 40", "cut.png: cannot", "text.png: cannot"):
        assert part in message
    assert "good.png" not in message
    assert "check" in capsys.readouterr().err


def test_check_is_capped(tmp_path):
    for i in range(23):
        _save(tmp_path, f"{i:02d}.png", mask=np.full((6, 8), 9, np.uint8))
    with pytest.raises(InvalidDataError, match=r"(?s)^23 of 23 .*19.png.*\nand 3 more$") as caught:
        check_source(FolderSource(tmp_path, "train", _CLASSES))
    assert len(str(caught.value).splitlines()) == 22
    assert len(caught.value.problems) == 23


class _Broken:
    """A user's own source, with one mistake at a time."""

    classes = _CLASSES

    def __len__(self):
        return 3

    def __getitem__(self, index):
        if index == 0:
            raise KeyError("nothing here")
        dtype = np.uint8 if index == 1 else np.float32
        return {"image": np.zeros((2, 2, 3), dtype), "label": np.zeros((2, 2), np.uint8)}

    def name(self, index):
        return f"example-{index}"

    def size(self, index):
        return (2, 3)


class _Raising(_Broken):
    """A user's own source that raises any other error."""

    def __getitem__(self, index):
        record = {"image": np.zeros((2, 3, 3), np.uint8), "label": np.zeros((2, 3), np.uint8)}
        return {"image": record["image"]} if index == 0 else record

    def name(self, index):
        if index == 2:
            raise LookupError("no name")
        return f"example-{index}"

    def size(self, index):
        raise OSError("no header")


@pytest.mark.parametrize(
    ("source", "problems"),
    [
        (
            _Broken(),
            (
                "example-0: KeyError: 'nothing here'",
                "example-1: size() says (2, 3), the label is (2, 2)",
                "example-2: expected an image uint8 [H, W, 3] and a label uint8 [H, W], got float32 (2, 2, 3) and "
                "uint8 (2, 2)",
            ),
        ),
        (
            _Raising(),
            (
                "example-0: the record has no 'label', it holds 'image'",
                "example-1: OSError: no header",
                "example 2: LookupError: no name",
            ),
        ),
    ],
)
def test_check_covers_any_source(source, problems):
    """Every failure names the example."""
    with pytest.raises(InvalidDataError) as caught:
        check_source(source)
    assert caught.value.problems == problems


def test_reading_refuses(tmp_path):
    for read in (data.read_image, data.read_mask):
        with pytest.raises(FileNotFoundError, match=r"none\.png: no such file"):
            read(tmp_path / "none.png")
    Image.fromarray(np.zeros((2, 2), np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(ValueError, match=r"a\.tif: pixels are floating-point numbers"):
        data.read_image(tmp_path / "a.tif")
