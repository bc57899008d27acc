"""Masks that do not hold class indices: other values, colours, and refused masks."""

import numpy as np
import pytest
from PIL import Image

from smoothjax import data
from tests.datasets.archives import png, unpack

_DISK = "background: [0, 0, 0]\ndisk: {values: [255], color: [255, 0, 0]}\n"


def _folder(root, classes, mask, split="train"):
    """A folder with one image and its mask, read directly."""
    image = np.zeros((*np.asarray(mask).shape[:2], 3), np.uint8)
    files = {f"{split}/images/a.png": png(image), f"{split}/labels/a.png": png(mask), "classes.yaml": classes.encode()}
    return data.FolderSource(unpack(root, files), split)


@pytest.mark.parametrize(
    ("classes", "mask", "expected"),
    [
        (_DISK, [[0, 255]], [[0, 1]]),
        ("background: {values: [0]}\ndisk: {values: 255}\n", [[255, 0]], [[1, 0]]),
        ("background: {values: [1]}\ndisk: {values: [255]}\n", [[1, 255]], [[0, 1]]),
        ("a: {values: [0, 1]}\nb: {values: [255]}\n", [[0, 1, 255]], [[0, 0, 1]]),
        ("a: {values: [0]}\nb: {values: [255]}\nignored: {values: [128]}\n", [[0, 128, 255]], [[0, 255, 1]]),
        ("- {name: a, values: [7]}\n- {name: b, values: [9]}\n", [[9, 7, 255]], [[1, 0, 255]]),
        ("a: [1, 2, 3]\nb: [4, 5, 6]\n", [[1, 0, 255]], [[1, 0, 255]]),
    ],
)
def test_values_of_the_classes(tmp_path, classes, mask, expected):
    """Otherwise masks of 0 and 255 would hold one class and ignored pixels."""
    source = _folder(tmp_path, classes, np.array(mask, np.uint8))
    assert source[0]["label"].tolist() == expected
    assert source[0]["label"].dtype == np.uint8
    assert source.classes.masks is None


def test_a_value_of_no_class_is_counted(tmp_path):
    source = _folder(tmp_path, "a: {values: [0]}\nb: {values: [255]}\n", np.array([[0, 255, 7, 7, 9]], np.uint8))
    with pytest.raises(
        data.InvalidDataError, match=r"a\.png: values that stand for no class: 7 in 2 pixels, 9 in 1 pi"
    ):
        source[0]


_COLORED = "sky: [0, 0, 255]\nroad: [128, 64, 128]\nignored: {color: [0, 0, 0]}\n"


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_coloured_masks_are_read_by_the_colours_of_the_classes(tmp_path, mode):
    pixels = np.array([[[128, 64, 128], [0, 0, 255], [0, 0, 0]]], np.uint8)
    source = _folder(tmp_path, _COLORED, Image.fromarray(pixels).convert(mode))
    assert source[0]["label"].tolist() == [[1, 0, 255]]


def test_unknown_colours_are_listed_with_their_counts(tmp_path):
    pixels = np.array([[[128, 64, 128], [1, 2, 3], [1, 2, 3], [255, 255, 255]]], np.uint8)
    with pytest.raises(
        data.InvalidDataError, match=r"no class: \(1, 2, 3\) in 2 pixels, \(255, 255, 255\) in 1 pixels"
    ):
        _folder(tmp_path, _COLORED, pixels)[0]


def test_two_classes_of_one_colour_are_not_separable_by_it(tmp_path):
    with pytest.raises(data.InvalidDataError, match=r"colour \(1, 2, 3\) stands for two classes"):
        _folder(tmp_path, "a: [1, 2, 3]\nb: [1, 2, 3]\n", np.zeros((1, 1, 3), np.uint8))[0]


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("a: {values: [0]}\nb: {values: [0]}\n", "value 0 of masks stands for two classes"),
        ("a: [0, 0, 0]\nb: {values: [0]}\n", "value 0 of masks stands for two classes"),
        ("a: {values: [256]}\n", "the values of 'a' must be integers 0 .. 255, got"),
        ("a: {values: []}\n", "the values of 'a' must be integers"),
        ("a: {value: [1]}\n", "class 'a' may have color and values, got"),
        ("a: {values: [1]}\nignored: {colour: [1, 2, 3]}\n", "ignored may have color and values"),
        ("a: {values: [1]}\nignored: {color: [1, 2]}\n", "the colour of class 'ignored' must be three integers"),
    ],
)
def test_classes_that_make_no_sense(tmp_path, classes, message):
    (tmp_path / "classes.yaml").write_text(classes)
    with pytest.raises(ValueError, match=message):
        data.load_classes(tmp_path / "classes.yaml")


def test_a_class_may_be_called_ignored(tmp_path):
    """Only an entry with values or color is no class."""
    (tmp_path / "classes.yaml").write_text("ignored: [1, 2, 3]\nother: [4, 5, 6]\n")
    assert data.load_classes(tmp_path / "classes.yaml").names == ("ignored", "other")


def test_a_bomb_of_aliases(shared_data):
    with pytest.raises(ValueError, match=r"classes_aliases\.yaml: stands for [\d,]+ values"):
        data.load_classes(shared_data("cases/classes_aliases.yaml"))


@pytest.mark.parametrize("kind", ["alpha", "colour"])
def test_colours_that_are_not_opaque_are_refused(tmp_path, kind):
    """Alpha was dropped: a transparent pixel took the class of the colour that lies, unseen, below it."""
    pixels = np.array([[[128, 64, 128], [0, 0, 255], [0, 0, 0]]], np.uint8)
    alpha = np.array([[[255], [254], [0]]], np.uint8)
    if kind == "alpha":
        Image.fromarray(np.concatenate([pixels, alpha], -1)).save(tmp_path / "a.png")
    else:
        Image.fromarray(pixels).save(tmp_path / "a.png", transparency=(0, 0, 0))
    classes = data.Classes(("sky", "road", "car"), ((0, 0, 255), (128, 64, 128), (0, 0, 0)))
    count = 2 if kind == "alpha" else 1
    with pytest.raises(ValueError, match=rf"a\.png: a coloured mask with {count} of 3 pixels that are not opaque.*RGB"):
        data.read_label(tmp_path / "a.png", classes)
