"""Class names and colours: presets, files, and the mistakes that a file can contain."""

import json
from typing import Any

import numpy as np
import pytest

from smoothjax import data
from smoothjax.data import Classes


@pytest.mark.parametrize(
    ("classes", "count", "first", "last"),
    [
        (data.CAMVID, 11, "sky", "bicyclist"),
        (data.VOC2012, 21, "background", "tvmonitor"),
        (data.CITYSCAPES, 19, "road", "bicycle"),
        (data.SHAPES, 8, "background", "wire"),
    ],
)
def test_presets(classes, count, first, last):
    assert len(classes) == count
    assert (classes.names[0], classes.names[-1]) == (first, last)
    assert len(set(classes.colors)) == count


def test_voc_colours_are_the_published_ones():
    assert data.VOC2012.colors[1] == (128, 0, 0)
    assert data.VOC2012.colors[15] == (192, 128, 128)
    assert data.VOC2012.colors[20] == (0, 64, 128)
    assert data.default_colors(256)[255] == (224, 224, 192)


def test_default_colors_differ():
    assert len(set(data.default_colors(256))) == 256
    assert data.default_colors(0) == ()
    for count in (-1, 257):
        with pytest.raises(ValueError, match=f"0 to 256 classes, got count={count}"):
            data.default_colors(count)


_EXPECTED = Classes(("road", "car"), ((1, 2, 3), (4, 5, 6)))


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.yaml", "road: [1, 2, 3]\ncar: [4, 5, 6]\n", _EXPECTED),
        ("a.yml", "- {name: road, color: [1, 2, 3]}\n- {name: car, color: [4, 5, 6]}\n", _EXPECTED),
        ("a.yaml", "- road\n- car\n", Classes(("road", "car"), data.default_colors(2))),
        ("a.json", '{"road": [1, 2, 3], "car": [4, 5, 6]}', _EXPECTED),
        ("a.JSON", json.dumps([{"name": "road", "color": [1, 2, 3]}, {"name": "car", "color": [4, 5, 6]}]), _EXPECTED),
        ("a.json", "\ufeff" + '["road", "car"]', Classes(("road", "car"), data.default_colors(2))),
    ],
)
def test_load_classes(tmp_path, name, text, expected):
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert data.load_classes(tmp_path / name) == expected


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yaml", "road: [1, 2, 3]\nroad: [4, 5, 6]\n", "'road' appears twice"),
        ("a.json", '{"road": [1, 2, 3], "road": [4, 5, 6]}', "'road' appears twice"),
        ("a.yaml", "- road\n- car\n- road\n", "class 'road' appears twice, at 0 and 2"),
        ("a.yaml", "- yes\n- no\n", "name of class 0 must be text, got True; put it in quotation marks"),
        ("a.yaml", "road: [1, 2]\n", r"colour of class 'road' must be three integers 0 .. 255, got \(1, 2\)"),
        ("a.yaml", "road: [1, 2, 256]\n", "must be three integers"),
        ("a.yaml", "road: [1, 2, 0.5]\n", "must be three integers"),
        ("a.yaml", "road: '#ff0000'\n", "must be three integers 0 .. 255, got '#ff0000'"),
        ("a.yaml", "- {name: road, colour: [1, 2, 3]}\n", r"entry 0 must have the keys name and color, got \['colour'"),
        ("a.yaml", "road", "expected a mapping or a list of classes, got str"),
        ("a.yaml", "", "expected a mapping or a list of classes, got NoneType"),
        ("a.yaml", "[]", "1 to 255 classes, got 0"),
        ("a.yaml", str(list("ab" * 128)), "1 to 255 classes, got 256"),
        (
            "a.yaml",
            "road: [1, 2, 3]\ncar\n",
            r"(?s)a\.yaml, line \d: cannot be read as YAML .*could not.*road: \[128, 64",
        ),
        ("a.yaml", "{road: [1,", r"a\.yaml, line 1: cannot be read as YAML"),
        ("a.json", "{", r"a\.json, line 1: cannot be read as JSON \(Expecting property name"),
        ("a.txt", "road", r"read from \.yaml, \.yml or \.json, not from \.txt"),
    ],
)
def test_refuses_a_file(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        data.load_classes(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_missing_file_shows_how_to_write_one(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"(?s)none\.yaml: no such file.*road: \[128, 64, 128\]"):
        data.load_classes(tmp_path / "none.yaml")


def test_names_and_colours_pair_up():
    with pytest.raises(ValueError, match="2 class names and 1 colours"):
        Classes(("a", "b"), ((0, 0, 0),))


def test_colorize_inverts():
    """Colours identify labels: a coloured map of any preset can be read back."""
    label = np.random.default_rng(0).integers(0, 11, (20, 30)).astype(np.uint8)
    picture = data.colorize(label, data.CAMVID)
    assert picture.dtype == np.uint8
    back = (picture[:, :, None, :] == np.array(data.CAMVID.colors)).all(-1).argmax(-1)
    np.testing.assert_array_equal(back, label)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_colorize_ignored_pixels(dtype):
    picture = data.colorize(np.array([[255, 0]], dtype), data.CAMVID, ignore_color=(1, 2, 3))
    assert picture.tolist() == [[[1, 2, 3], [128, 128, 128]]]


def test_colorize_refuses():
    with pytest.raises(ValueError, match=r"label holds \[-1, 11, 300\], outside the 11 classes 0 .. 10"):
        data.colorize(np.array([[-1, 11, 300, 255]]), data.CAMVID)
    with pytest.raises(ValueError, match=r"integers \[H, W\], got float32 of shape \(1, 2\)"):
        data.colorize(np.zeros((1, 2), np.float32), data.CAMVID)


def test_overlay_is_between_image_and_colours():
    image = np.random.default_rng(0).integers(0, 256, (4, 5, 3)).astype(np.uint8)
    label = np.full((4, 5), 3, np.uint8)
    label[0] = 255
    np.testing.assert_array_equal(data.overlay(image, label, data.CAMVID, alpha=0), image)
    np.testing.assert_array_equal(
        data.overlay(image, label, data.CAMVID, alpha=1)[1:], data.colorize(label, data.CAMVID)[1:]
    )
    np.testing.assert_array_equal(data.overlay(image, label, data.CAMVID, alpha=1)[0], image[0])


def test_overlay_refuses():
    image, label = np.zeros((4, 5, 3), np.uint8), np.zeros((4, 5), np.uint8)
    with pytest.raises(ValueError, match=r"image of shape \(4, 5, 3\) does not fit a label of shape \(5, 4\)"):
        data.overlay(image, label.T, data.CAMVID)
    with pytest.raises(ValueError, match=r"alpha must be in 0 .. 1, got 1\.5"):
        data.overlay(image, label, data.CAMVID, alpha=1.5)


def test_lists_become_tuples():
    names: Any = ["road", "car"]
    classes = Classes(names, [[1, 2, 3], (4, 5, 6)])  # pyright: ignore[reportArgumentType]
    assert classes == _EXPECTED
    assert hash(classes) == hash(_EXPECTED)
    with pytest.raises(ValueError, match=r"names must be a tuple of names, got the text 'ab'; write \('ab',\)"):
        Classes("ab", ((0, 0, 0), (1, 1, 1)))  # pyright: ignore[reportArgumentType]
