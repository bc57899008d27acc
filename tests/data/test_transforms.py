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


_LABEL = np.zeros((4, 6), np.uint8)
_IMAGE = np.zeros((4, 6, 3), np.uint8)


@pytest.mark.parametrize("shape", [(1, 1, 3), (4, 1, 3), (6, 4, 3), (4, 6)])
@pytest.mark.parametrize(
    "transform",
    [
        data.normalize,
        lambda record: data.pad_to(record, (8, 8)),
        lambda record: data.pad_to(record, (4, 6)),
        lambda record: data.random_crop(record, np.random.default_rng(0), (2, 2)),
        lambda record: data.random_mirror(record, np.random.default_rng(0)),
        lambda record: data.rotate(record, 10),
        lambda record: data.balanced_crop(record, np.random.default_rng(0), (2, 2)),
    ],
)
def test_an_image_of_another_size_than_its_label_is_refused(transform, shape):
    """One pixel was spread over the whole image; crops showed another place than their label."""
    with pytest.raises(ValueError, match=r"image of shape .* does not fit a label of shape \(4, 6\); resize one"):
        transform({"image": np.zeros(shape, np.uint8), "label": _LABEL})


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (np.full((4, 6), np.nan), "label must be whole numbers, got float64; store labels as uint8"),
        (np.full((4, 6), 0.5, np.float32), "label must be whole numbers, got float32"),
        (np.full((4, 6), 2**32 - 1, np.uint32), "label must be .*, got uint32 from 4294967295 to 4294967295; store"),
        (np.full((4, 6), -(2**40)), "label must be .*, got int64 from -1099511627776"),
    ],
)
def test_labels_that_int32_does_not_hold_are_refused(label, message):
    """NaN became -2147483648, 2^32 - 1 became -1, and 0.5 the class 0."""
    with pytest.raises(ValueError, match=message):
        data.normalize({"image": _IMAGE, "label": label})


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int8, np.uint16, np.uint32, np.int64, np.uint64])
def test_labels_of_any_whole_type_keep_their_numbers(dtype):
    label = np.arange(24).reshape(4, 6).astype(dtype)
    np.testing.assert_array_equal(data.normalize({"image": _IMAGE, "label": label})["label"], label.astype(int))


@pytest.mark.parametrize("std", [(0, 1, 1), (-1, 1, 1), (float("nan"), 1, 1), (float("inf"), 1, 1)])
def test_deviations_that_make_no_numbers_are_refused(std):
    """Division by 0 gave -inf, which a loss shows as NaN much later."""
    with pytest.raises(ValueError, match=r"all finite, std positive, got .*; measure them with"):
        data.normalize({"image": _IMAGE, "label": _LABEL}, std=std)
    with pytest.raises(ValueError, match="all finite, std positive, got"):
        Augmentation((5, 5), std=std)
    with pytest.raises(ValueError, match="all finite, std positive, got"):
        Augmentation((5, 5), mean=(float("nan"), 1, 1))


@pytest.mark.parametrize(
    ("record", "options", "message"),
    [
        (
            {"image": _IMAGE.astype(np.float16)},
            {"value": 1e6},
            "image of float16 cannot be padded with exactly 1000000",
        ),
        ({"image": _IMAGE}, {"value": 256}, "image of uint8 cannot be padded with exactly 256"),
        ({"image": _IMAGE.astype(np.int8)}, {"value": 200}, "image of int8 cannot be padded with exactly 200"),
        ({"image": _IMAGE}, {"value": float("nan")}, "image of uint8 cannot be padded with exactly nan"),
        (
            {"image": _IMAGE},
            {"value": (1, 2)},
            r"value must be one number, or one for each of the 3 .*\(1, 2\)",
        ),
        ({"label": _LABEL > 0}, {}, "label of bool cannot be padded with exactly 255; store labels as uint8"),
        ({"label": _LABEL.astype(np.int8)}, {}, "label of int8 cannot be padded with exactly 255"),
        ({}, {"ignore": -1}, "label of uint8 cannot be padded with exactly -1"),
    ],
)
def test_padding_that_the_type_does_not_hold_is_refused(record, options, message):
    """Padding wrapped, or became infinite; a label of booleans was padded with class 1."""
    with pytest.raises(ValueError, match=message):
        data.pad_to({"image": _IMAGE, "label": _LABEL, **record}, (8, 8), **options)


def test_padding_takes_a_number_for_each_channel():
    padded = data.pad_to({"image": _IMAGE, "label": _LABEL}, (8, 8), value=(1, 2, 3))
    assert padded["image"][7, 7].tolist() == [1, 2, 3]
