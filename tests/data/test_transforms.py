"""Transforms keep image and label together; padding is exactly the mean."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smoothjax import data
from smoothjax.data import Augmentation

_MEAN, _STD = (100.0, 110.0, 120.0), (50.0, 55.0, 60.0)
_sizes = st.tuples(st.integers(1, 24), st.integers(1, 24))


def _coded(height, width):
    """An image that encodes its label: red is the row, green the column, blue their sum, which is the label."""
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    return {"image": np.stack([rows, columns, rows + columns], -1), "label": rows + columns}


@settings(deadline=None, max_examples=60)
@given(_sizes, _sizes, st.integers(0, 2**32 - 1))
def test_mirror_crop_and_padding_keep_pixels_together(size, crop, seed):
    rng = np.random.default_rng(seed)
    record = data.random_crop(data.random_mirror(_coded(*size), rng), rng, crop)
    assert record["label"].shape == (min(size[0], crop[0]), min(size[1], crop[1]))
    padded = data.pad_to(record, crop)
    assert padded["label"].shape == crop
    valid = padded["label"] != 255
    np.testing.assert_array_equal(padded["image"][valid][:, 2], padded["label"][valid])
    assert not padded["image"][~valid].any()
    assert valid.sum() == record["label"].size
    assert valid[: record["label"].shape[0], : record["label"].shape[1]].all()


@settings(deadline=None, max_examples=60)
@given(st.tuples(st.integers(20, 80), st.integers(20, 80)), st.tuples(st.integers(10, 120), st.integers(10, 120)))
def test_resampling_does_not_shift_image_and_label(size, new_size):
    """On a ramp, linear interpolation shows the exact place of a pixel's centre, the label the pixel around it."""
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.uint8)
    for axis, ramp in enumerate((rows, columns)):
        record = data.resize({"image": np.stack([3 * ramp] * 3, -1), "label": ramp}, new_size)
        assert record["label"].shape == new_size
        assert record["image"].shape == (*new_size, 3)
        gap = record["image"][..., 0] / 3 - record["label"]
        margin = int(np.ceil(max(1, new_size[axis] / size[axis])))  # interpolation ends at the border's centres
        inner = np.moveaxis(gap, axis, 0)[margin : new_size[axis] - margin]
        assert np.abs(inner).max(initial=0) <= 0.5 + 0.25


def test_resampling_takes_no_new_labels():
    record = {"image": np.zeros((9, 9, 3), np.uint8), "label": np.full((9, 9), 255, np.uint8)}
    record["label"][3:6, 3:6] = 2
    assert set(np.unique(data.resize(record, (31, 17))["label"])) == {2, 255}


@settings(deadline=None, max_examples=40)
@given(_sizes, st.floats(0.01, 3), st.integers(0, 2**32 - 1))
def test_scale_rounds_to_whole_pixels(size, factor, seed):
    record = data.random_scale(_coded(*size), np.random.default_rng(seed), low=factor, high=factor)
    assert record["label"].shape == tuple(max(1, round(length * factor)) for length in size)


def test_scale_covers_its_range():
    rng = np.random.default_rng(0)
    heights = [data.random_scale(_coded(100, 4), rng)["label"].shape[0] for _ in range(300)]
    assert 50 <= min(heights) <= 52
    assert 148 <= max(heights) <= 150
    assert 95 < np.mean(heights) < 105


def test_mirror_is_its_own_inverse_and_happens_half_the_time():
    record = _coded(3, 4)
    rng = np.random.default_rng(0)
    mirrored = [data.random_mirror(record, rng)["label"][0, 0] != 0 for _ in range(400)]
    assert 0.4 < np.mean(mirrored) < 0.6
    seed = next(seed for seed in range(10) if np.random.default_rng(seed).random() < 0.5)
    once = data.random_mirror(record, np.random.default_rng(seed))
    twice = data.random_mirror(once, np.random.default_rng(seed))
    np.testing.assert_array_equal(once["image"], record["image"][:, ::-1])
    np.testing.assert_array_equal(twice["image"], record["image"])


def test_crop_reaches_every_position():
    rng = np.random.default_rng(0)
    corners = {tuple(data.random_crop(_coded(4, 5), rng, (3, 3))["image"][0, 0, :2].tolist()) for _ in range(200)}
    assert corners == {(top, left) for top in range(2) for left in range(3)}


def test_padding_is_exactly_the_mean():
    """With a mean that is not an integer, padding before `normalize` would leave a trace."""
    record = data.normalize(_coded(2, 3), mean=data.IMAGENET_MEAN, std=data.IMAGENET_STD)
    padded = data.pad_to(record, (4, 4))
    assert (padded["image"][2:] == 0).all()
    assert (padded["image"][:, 3:] == 0).all()
    np.testing.assert_array_equal(padded["image"][:2, :3], record["image"])
    with pytest.raises(ValueError, match=r"uint8 cannot be padded with exactly .*normalize first, pad with 0"):
        data.pad_to(_coded(2, 3), (4, 4), value=data.IMAGENET_MEAN)


def test_normalize():
    record = data.normalize(_coded(5, 6), mean=_MEAN, std=_STD)
    assert (record["image"].dtype, record["label"].dtype) == (np.float32, np.int32)
    np.testing.assert_allclose(record["image"] * _STD + _MEAN, _coded(5, 6)["image"], atol=1e-4)


@settings(deadline=None, max_examples=40)
@given(_sizes, _sizes, st.integers(0, 2**32 - 1))
def test_augmentation_equals_the_paper_order(size, crop, seed):
    """Scale, mirror, subtract the mean, pad, crop: `Augmentation` computes the same with less work."""
    record = {"image": np.random.default_rng(1).integers(0, 256, (*size, 3)).astype(np.uint8)}
    record["label"] = _coded(*size)["label"]
    options = Augmentation(crop_size=crop, mean=_MEAN, std=_STD)
    fast = options(record, np.random.default_rng(seed))

    rng = np.random.default_rng(seed)
    slow = data.random_mirror(data.random_scale(record, rng, low=0.5, high=1.5), rng)
    slow = data.pad_to(data.normalize(slow, mean=_MEAN, std=_STD), crop)
    slow = data.random_crop(slow, rng, crop)

    assert fast["image"].shape == (*crop, 3)
    for key in ("image", "label"):
        np.testing.assert_array_equal(fast[key], slow[key])
        assert fast[key].dtype == slow[key].dtype


def test_augmentation_without_chance_is_the_identity():
    record = _coded(7, 9)
    options = Augmentation(crop_size=(7, 9), scale_range=(1, 1), mirror=False, mean=(0, 0, 0), std=(1, 1, 1))
    result = options(record, np.random.default_rng(0))
    np.testing.assert_array_equal(result["image"], record["image"])
    np.testing.assert_array_equal(result["label"], record["label"])


def test_inputs_are_left_alone():
    record = _coded(7, 9)
    for array in record.values():
        array.flags.writeable = False
    for seed in range(10):
        Augmentation(crop_size=(8, 8))(record, np.random.default_rng(seed))


def test_refuses():
    record, rng = _coded(4, 4), np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"must have 0 < low <= high, got low=2, high=1"):
        data.random_scale(record, rng, low=2, high=1)
    with pytest.raises(ValueError, match=r"size must be a positive height and width in pixels, got \(0, 3\)"):
        data.random_crop(record, rng, (0, 3))
    with pytest.raises(ValueError, match=r"size must be a positive height and width"):
        data.resize(record, (3, -1))
    with pytest.raises(ValueError, match="must be uint8 to be resampled, got float32 and int32; normalize afterwards"):
        data.resize(data.normalize(record), (2, 2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop_size": (5, 5), "scale_range": (0.5, float("inf"))}, r"largest scale must be at most 16, got inf"),
        ({"crop_size": (5, 5), "scale_range": (0.5, float("nan"))}, r"scale_range must be \(low, high\)"),
        ({"crop_size": (10**6, 10**6)}, r"crop_size must have at most 178,956,970 pixels, got 1000000 x 1000000"),
        ({"crop_size": (0, 5)}, r"crop_size must be a positive height and width in pixels, got \(0, 5\)"),
        ({"crop_size": (5, 5), "scale_range": (1.5, 0.5)}, r"0 < low <= high, got \(1\.5, 0\.5\)"),
        ({"crop_size": (5, 5), "scale_range": (0, 0.5)}, r"0 < low <= high, got \(0, 0\.5\)"),
        ({"crop_size": (5, 5), "std": (1, 0, 1)}, r"std positive, got mean=.*std=\(1, 0, 1\)"),
        ({"crop_size": (5, 5), "mean": (1, 1)}, "mean and std must have a number for each channel"),
    ],
)
def test_augmentation_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        Augmentation(**options)
