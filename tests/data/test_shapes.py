"""The procedural data set: determinism, content, balance."""

import numpy as np
import pytest

from smoothjax.data import SHAPES, ShapesSource
from smoothjax.datasets import check_source


def _same(a, b):
    return np.array_equal(a["image"], b["image"]) and np.array_equal(a["label"], b["label"])


@pytest.mark.parametrize("size", [(97, 97), (32, 32), (40, 121)])
def test_every_size_gives_valid_records(size):
    source = ShapesSource(length=20, size=size)
    check_source(source)
    assert source.size(3) == size


def test_a_function_of_seed_and_index_alone():
    source, again = ShapesSource(length=5, seed=3), ShapesSource(length=50, seed=3)
    backwards = [again[i] for i in reversed(range(5))][::-1]
    assert all(_same(source[i], backwards[i]) for i in range(5))


def test_other_index_seed_or_split_gives_another_picture():
    pictures = [
        ShapesSource(length=3, seed=seed, split=split)[index]
        for seed in (0, 1, 2)
        for split in ("train", "val", "test")
        for index in range(3)
    ]
    assert len({picture["image"].tobytes() for picture in pictures}) == len(pictures)


def test_ends_a_loop():
    source = ShapesSource(length=3, size=(32, 32))
    assert len(list(source)) == 3  # pyright: ignore[reportArgumentType]
    for index in (3, -1):
        with pytest.raises(IndexError, match=f"index {index} is outside the split of 3 examples"):
            source[index]


def test_names_differ():
    source = ShapesSource(length=3, seed=7, split="val")
    assert [source.name(i) for i in range(2)] == ["shapes-val-7-00000", "shapes-val-7-00001"]


def test_all_classes_occur_and_none_is_rare():
    source = ShapesSource(length=150)
    labels = np.concatenate([source[i]["label"].ravel() for i in range(len(source))])
    shares = np.bincount(labels, minlength=256) / labels.size
    assert 0.5 < shares[0] < 0.65
    assert 0.05 < shares[255] < 0.1
    objects = shares[1 : len(SHAPES)]
    assert objects.max() / objects.min() < 2.5
    assert np.isclose(shares[: len(SHAPES)].sum() + shares[255], 1)


def test_three_to_six_objects_and_occlusion():
    source = ShapesSource(length=150)
    kinds = [len(np.setdiff1d(source[i]["label"], [0, 255])) for i in range(len(source))]
    assert max(kinds) == 6
    assert np.mean([kind >= 3 for kind in kinds]) > 0.9  # fewer only where one covers another


def test_regions_never_touch():
    """There is always an ignored pixel between two different classes."""
    source = ShapesSource(length=30)
    for i in range(len(source)):
        label = source[i]["label"].astype(int)
        for a, b in ((label[1:], label[:-1]), (label[:, 1:], label[:, :-1])):
            assert not ((a != b) & (a != 255) & (b != 255)).any()


def test_ignored_lines_are_thin():
    """No 5 x 5 block is entirely ignored, except where lines of several objects meet."""
    source = ShapesSource(length=30)
    ignored = np.stack([source[i]["label"] == 255 for i in range(len(source))])
    blocks = np.lib.stride_tricks.sliding_window_view(ignored, (5, 5), axis=(1, 2)).all(axis=(-1, -2))
    assert blocks.mean() < 1e-4


def test_colour_alone_does_not_tell_the_class():
    """The nearest mean colour is better than chance (1 in 7), and far from right."""
    source = ShapesSource(length=200)
    pixels, classes = [], []
    for i in range(len(source)):
        record = source[i]
        for kind in np.setdiff1d(record["label"], [0, 255]):
            pixels.append(record["image"][record["label"] == kind].mean(axis=0))
            classes.append(kind)
    pixels, classes = np.array(pixels), np.array(classes)
    half = len(classes) // 2
    means = np.stack([pixels[:half][classes[:half] == kind].mean(axis=0) for kind in range(1, 8)])
    guesses = np.linalg.norm(pixels[half:, None] - means, axis=-1).argmin(axis=-1) + 1
    assert 0.25 < (guesses == classes[half:]).mean() < 0.75


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 0}, "length must be 1 .. 2\\^32, got 0"),
        ({"length": 1, "seed": -1}, "seed must be 0 .. 2\\^32 - 1, got -1"),
        ({"length": 1, "seed": 2**32}, "seed must be 0"),
        ({"length": 1, "size": (31, 64)}, "at least 32 x 32 pixels to show the shapes, got 31 x 64"),
        ({"length": 1, "split": "dev"}, "split must be one of train, val, test, got 'dev'"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        ShapesSource(**options)
