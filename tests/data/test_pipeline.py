"""The training stream: the same examples for any number of processes, a new order each epoch, exact resumption."""

import json
from itertools import islice
from typing import Any

import numpy as np
import pytest
from PIL import Image

from smoothjax.data import (
    SHAPES,
    Augmentation,
    FolderSource,
    InvalidDataError,
    ResizedSource,
    ShapesSource,
    train_iterator,
)

_VARIED = Augmentation(crop_size=(33, 41))
_PLAIN = Augmentation(crop_size=(2, 2), scale_range=(1, 1), mirror=False, mean=(0, 0, 0), std=(1, 1, 1))


class _Numbered:
    """Example i is a 2 x 2 image of value i."""

    classes = SHAPES

    def __init__(self, length):
        self._length = length

    def __len__(self):
        return self._length

    def __getitem__(self, index):
        return {"image": np.full((2, 2, 3), index, np.uint8), "label": np.zeros((2, 2), np.uint8)}

    def name(self, index):
        return str(index)

    def size(self, index):
        return (2, 2)


def _batches(source, count, **options):
    options = {"augmentation": _VARIED, "batch_size": 4, "seed": 0, **options}
    return list(islice(train_iterator(source, **options), count))


def _assert_same(first, second):
    for a, b in zip(first, second, strict=True):
        for key in ("image", "label"):
            np.testing.assert_array_equal(a[key], b[key])


@pytest.fixture
def shapes():
    return ShapesSource(length=7, size=(40, 48))


def test_shapes_and_types(shapes):
    (batch,) = _batches(shapes, 1)
    assert set(batch) == {"image", "label"}
    assert (batch["image"].shape, batch["image"].dtype) == ((4, 33, 41, 3), np.float32)
    assert (batch["label"].shape, batch["label"].dtype) == ((4, 33, 41), np.int32)


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_share_each_batch_of_the_job(shapes, processes):
    whole = _batches(shapes, 6)
    parts = [_batches(shapes, 6, process_index=i, process_count=processes) for i in range(processes)]
    for step, batch in enumerate(whole):
        for i in range(processes):
            for key in ("image", "label"):
                np.testing.assert_array_equal(parts[i][step][key], batch[key][i::processes])


def test_a_function_of_the_seed_alone(shapes):
    _assert_same(_batches(shapes, 5), _batches(shapes, 5))
    for threads in (0, 1, 4):
        _assert_same(_batches(shapes, 5), _batches(shapes, 5, threads=threads))
    other = _batches(shapes, 5, seed=1)
    assert not np.array_equal(other[0]["image"], _batches(shapes, 1)[0]["image"])


def test_epochs_hold_each_example_once_in_different_orders():
    batches = _batches(_Numbered(12), 15, augmentation=_PLAIN)
    order = np.concatenate([batch["image"][:, 0, 0, 0] for batch in batches]).reshape(5, 12)
    np.testing.assert_array_equal(np.sort(order), np.tile(np.arange(12), (5, 1)))
    assert len({tuple(epoch) for epoch in order.tolist()}) == 5


def test_an_epoch_that_does_not_divide_continues_into_the_next():
    batches = _batches(_Numbered(6), 3, augmentation=_PLAIN)
    order = np.concatenate([batch["image"][:, 0, 0, 0] for batch in batches]).reshape(2, 6)
    np.testing.assert_array_equal(np.sort(order), np.tile(np.arange(6), (2, 1)))


def test_augmentation_differs_between_epochs_and_within_a_batch():
    """With a single example all differences come from augmentation."""
    batches = _batches(ShapesSource(length=1, size=(40, 48)), 3)
    images = np.concatenate([batch["image"] for batch in batches])
    assert len({image.tobytes() for image in images}) == len(images)


def test_any_function_augments():
    """Any function of an example and a generator to named arrays, as reproducible as `Augmentation`."""

    def noisy(record, rng):
        return {"value": record["image"][0, 0, :1], "noise": rng.standard_normal(3, np.float32)}

    one, two = (_batches(_Numbered(6), 4, augmentation=noisy, threads=threads) for threads in (0, 2))
    assert set(one[0]) == {"value", "noise"}
    assert (one[0]["noise"].shape, one[0]["noise"].dtype) == ((4, 3), np.float32)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a["value"], b["value"])
        np.testing.assert_array_equal(a["noise"], b["noise"])
    assert len({row.tobytes() for batch in one for row in batch["noise"]}) == 16


@pytest.mark.parametrize("taken", [0, 1, 5])
def test_state_resumes_exactly_in_mid_epoch(shapes, taken):
    options = {"augmentation": _VARIED, "batch_size": 4, "seed": 3}
    uninterrupted = train_iterator(shapes, **options)
    for _ in range(taken):
        next(uninterrupted)
    state = json.loads(json.dumps(uninterrupted.get_state()))
    expected = list(islice(uninterrupted, 6))

    fresh = train_iterator(shapes, **options)
    fresh.set_state(state)
    _assert_same(expected, list(islice(fresh, 6)))

    used = train_iterator(shapes, **options)
    for _ in range(3):
        next(used)
    used.set_state(state)
    _assert_same(expected, list(islice(used, 6)))


def test_bad_data_stops_with_the_name_of_the_file(tmp_path):
    for kind, value in (("images", 0), ("labels", 99)):
        (tmp_path / "train" / kind).mkdir(parents=True)
        Image.new("L", (8, 8), value).save(tmp_path / "train" / kind / "street.png")
    batches = train_iterator(
        FolderSource(tmp_path, "train", SHAPES), augmentation=_VARIED, batch_size=1, seed=0, threads=2
    )
    with pytest.raises(InvalidDataError, match=r"labels/street\.png: label 99 in 64 pixels"):
        next(batches)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 6, "process_count": 4}, "positive multiple of the 4 processes, got 6"),
        ({"batch_size": 0}, "positive multiple of the 1 processes, got 0"),
        ({"process_index": 2, "process_count": 2}, "got 2 of 2 processes"),
        ({"seed": -1}, "seed must be 0"),
        ({"threads": -1}, "threads must not be negative, got -1"),
    ],
)
def test_refuses(shapes, options, message):
    with pytest.raises(ValueError, match=message):
        train_iterator(shapes, **{"augmentation": _VARIED, "batch_size": 4, "seed": 0, **options})


def test_refuses_an_empty_split():
    with pytest.raises(ValueError, match="has no examples; a training split needs at least one"):
        train_iterator(_Numbered(0), augmentation=_PLAIN, batch_size=1, seed=0)


@pytest.mark.parametrize("size", [(33.5, 33), (33, 0), (33,), 33, "ab"])
def test_a_crop_is_whole_pixels(size):
    for name, make in (
        ("crop_size", lambda: Augmentation(crop_size=size)),
        ("size", lambda: ResizedSource(_Numbered(1), size)),
    ):
        with pytest.raises(ValueError, match=f"{name} must be a positive height and width in pixels, got .*two ints"):
            make()


def test_a_crop_of_numpy_or_of_a_list():
    sizes: Any = ([5, 6], np.array([5, 6]), (np.int64(5), 6))
    for size in sizes:
        assert Augmentation(crop_size=size) == Augmentation(crop_size=(5, 6))
