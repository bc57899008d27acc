"""Rotation moves image and label together; balanced crops contain the drawn class."""

import numpy as np
import pytest

from smoothjax import data, datasets
from smoothjax.data import Augmentation, Strengths, balanced_crop, random_rotate, rotate, train_iterator

STRONG = Strengths(0.4, 0.4, 0.4, 0.1, 0.4, blur=1.0, jpeg=60, rotate=20.0, balanced=0.5)


def _ramps(height, width):
    """An image and a label that encode the column: after a rotation they must still agree."""
    columns = np.broadcast_to(np.arange(width, dtype=np.uint8), (height, width))
    return {"image": np.stack([columns] * 3, -1), "label": columns}


def test_no_angle_is_the_identity():
    record = _ramps(11, 14)
    for turned in (rotate(record, 0), random_rotate(record, np.random.default_rng(0), 0)):
        for key in ("image", "label"):
            np.testing.assert_array_equal(turned[key], record[key])


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_quarter_turns_are_exact_and_counter_clockwise(quarters):
    """Pixels land on pixels, at even and at odd lengths: the centre is not half a pixel off."""
    for side in (8, 9):
        label = np.random.default_rng(side).integers(0, 9, (side, side)).astype(np.uint8)
        turned = rotate({"image": np.stack([label] * 3, -1), "label": label}, 90 * quarters)
        np.testing.assert_array_equal(turned["label"], np.rot90(label, quarters))
        np.testing.assert_array_equal(turned["image"][..., 1], np.rot90(label, quarters))


@pytest.mark.parametrize("degrees", [-31.0, 7.5, 118.0])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_image_and_label_move_together(degrees, channels):
    """On a ramp, interpolation shows the place of a pixel's centre, and the label the pixel around it."""
    record = _ramps(60, 81)
    turned = rotate(
        {**record, "image": np.repeat(record["image"][..., :1], channels, -1)}, degrees, fill=[0] * channels
    )
    inside = turned["label"] != 255
    assert 0.5 < inside.mean() < 1
    gap = turned["image"].astype(int) - turned["label"][..., None]
    assert np.abs(gap[inside]).max() <= 1


def test_what_comes_from_outside_is_ignored_and_has_the_fill():
    record = {"image": np.full((40, 40, 3), 200, np.uint8), "label": np.full((40, 40), 3, np.uint8)}
    turned = rotate(record, 45, fill=(10.4, 20.6, 30))
    outside = turned["label"] == 255
    assert outside[0, 0]
    assert 0.1 < outside.mean() < 0.25  # four corners of a square: 1 - 2 (sqrt(2) - 1) = 0.17
    assert set(np.unique(turned["label"])) == {3, 255}
    assert (turned["image"][outside] == (10, 21, 30)).all()
    assert (turned["image"][~outside] == 200).all()


def test_a_balanced_crop_shows_the_class_that_was_drawn():
    label = np.zeros((50, 70), np.uint8)
    label[31, 5] = 4
    record = {"image": np.zeros((50, 70, 3), np.uint8), "label": label}
    tops = set()
    for seed in range(50):
        crop = balanced_crop(record, np.random.default_rng(seed), (16, 90), (0, 0, 0, 0, 1))
        assert crop["label"].shape == (16, 70)
        assert (crop["label"] == 4).sum() == 1
        tops.add(int(np.argwhere(crop["label"] == 4)[0, 0]))
    assert len(tops) > 10  # every window around the pixel, not only the one whose centre it is


def test_classes_are_drawn_by_their_weights_and_ignored_pixels_never():
    """The number of pixels of a class has no influence; 255 and classes of weight 0 are never drawn."""
    label = np.full((40, 40), 255, np.uint8)
    label[:20], label[30:32, :5], label[35, 35] = 0, 1, 2
    record = {"image": np.zeros((40, 40, 3), np.uint8), "label": label}
    drawn = [int(balanced_crop(record, np.random.default_rng(i), (1, 1), (1, 3, 0))["label"][0, 0]) for i in range(400)]
    assert set(drawn) == {0, 1}
    assert drawn.count(1) / len(drawn) == pytest.approx(0.75, abs=0.06)
    equal = [int(balanced_crop(record, np.random.default_rng(i), (1, 1))["label"][0, 0]) for i in range(300)]
    assert {label: round(3 * equal.count(label) / 300) for label in set(equal)} == {0: 1, 1: 1, 2: 1}


def test_weights_may_be_the_array_that_a_rule_returns():
    """An array has no truth value: a test for emptiness raised."""
    label = np.zeros((9, 9), np.uint8)
    label[4, 4] = 1
    record = {"image": np.zeros((9, 9, 3), np.uint8), "label": label}
    weights = datasets.median_frequency_weights(data.LabelCounts.of(label, 2)) * [0, 1]
    assert (balanced_crop(record, np.random.default_rng(0), (2, 2), weights)["label"] == 1).any()
    vary = Augmentation((2, 2), (1, 1), strengths=Strengths(balanced=1.0), crop_weights=weights)
    assert (vary(record, np.random.default_rng(0))["label"] == 1).any()
    assert vary == Augmentation((2, 2), (1, 1), strengths=Strengths(balanced=1.0), crop_weights=tuple(weights))


def test_without_a_class_to_draw_it_is_a_random_crop():
    record = {"image": np.zeros((9, 9, 3), np.uint8), "label": np.full((9, 9), 255, np.uint8)}
    crop, expected = (
        function(record, np.random.default_rng(0), (4, 4)) for function in (balanced_crop, data.random_crop)
    )
    np.testing.assert_array_equal(crop["image"], expected["image"])
    assert balanced_crop(record, np.random.default_rng(0), (4, 4), (0, 0))["label"].shape == (4, 4)


def test_everything_is_a_function_of_the_seed_alone():
    """Independent of threads and processes; a stream with all augmentations resumes exactly."""
    source = data.ShapesSource(length=5, size=(48, 56))
    options = {"augmentation": Augmentation((33, 41), strengths=STRONG), "seed": 3}
    whole = train_iterator(source, batch_size=4, **options)
    batches = [next(whole) for _ in range(2)]
    state = whole.get_state()
    batches += [next(whole) for _ in range(2)]
    halves = [
        train_iterator(source, batch_size=4, process_index=i, process_count=2, threads=0, **options) for i in (0, 1)
    ]
    for batch in batches:
        for index, half in enumerate(halves):
            part = next(half)
            for key in ("image", "label"):
                np.testing.assert_array_equal(part[key], batch[key][index::2])
    whole.set_state(state)
    for batch in batches[2:]:
        np.testing.assert_array_equal(next(whole)["image"], batch["image"])


def test_padding_stays_exactly_the_mean_whatever_is_varied():
    source = data.ShapesSource(length=1, size=(32, 32))
    vary = Augmentation((64, 64), (1, 1), strengths=STRONG)
    found = vary(source[0], np.random.default_rng(0))
    padded = np.ones((64, 64), bool)
    padded[:32, :32] = False
    assert not found["image"][padded].any()
    assert (found["label"][padded] == 255).all()


def test_strength_zero_draws_as_before():
    source = data.ShapesSource(length=1, size=(48, 56))
    plain, zero = (
        Augmentation((33, 41), **options)(source[0], np.random.default_rng(1))
        for options in ({}, {"strengths": Strengths(), "crop_weights": (1.0, 2.0)})
    )
    np.testing.assert_array_equal(plain["image"], zero["image"])


def test_refuses_negative_weights_and_colours_of_other_channels():
    with pytest.raises(ValueError, match=r"crop_weights must not be negative, got \(1.0, -1.0\): 0 leaves a class out"):
        Augmentation((8, 8), crop_weights=(1.0, -1.0))


def test_images_of_five_channels():
    """All geometric changes: pixels from outside have the mean of each channel, up to rounding."""
    mean = (10.4, 20.0, 30.0, 40.0, 50.0)
    strengths = Strengths(brightness=0.2, contrast=0.2, gamma=0.2, blur=1.0, rotate=45.0)
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 5)).astype(np.uint8)
    record = {"image": image, "label": np.zeros((40, 50), np.uint8)}
    found = Augmentation((48, 48), (1, 1), mean=mean, std=(1.0,) * 5, strengths=strengths)(record, _rng())
    assert found["image"].shape == (48, 48, 5)
    turned = Augmentation((40, 50), (1, 1), mean=mean, std=(1.0,) * 5, strengths=Strengths(rotate=45.0))(record, _rng())
    outside = turned["label"] == 255
    assert outside.any()
    np.testing.assert_allclose(turned["image"][outside], 0, atol=0.5)


def _rng():
    return np.random.default_rng(3)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_the_default_fill_is_black_in_any_number_of_channels(channels):
    """Its three zeros ended in StopIteration for four channels."""
    record = {"image": np.full((20, 20, channels), 200, np.uint8), "label": np.zeros((20, 20), np.uint8)}
    turned = rotate(record, 45)
    assert turned["image"].shape == (20, 20, channels)
    assert not turned["image"][turned["label"] == 255].any()
    assert random_rotate(record, _rng(), 45)["image"].shape == (20, 20, channels)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"fill": (1, 2, 3, 4)},
            r"fill must be one number, or one for each of the 3 channels of the image, got \(1, 2",
        ),
        ({"fill": (1, 2)}, "fill must be one number, or one for each of the 3 channels"),
        ({"fill": 256}, r"fill must be 0 \.\. 255 in every channel, got 256"),
        ({"fill": (0, 0, float("nan"))}, r"fill must be 0 \.\. 255 in every channel, got \(0, 0, nan\)"),
        ({"degrees": float("nan")}, "degrees must be a finite number, got nan"),
        ({"degrees": float("inf")}, "degrees must be a finite number, got inf"),
        ({"ignore": -1}, r"ignore must be a label 0 \.\. 255, got -1; take 255"),
        ({"ignore": 300}, r"ignore must be a label 0 \.\. 255, got 300"),
    ],
)
def test_rotation_refuses(options, message):
    """A long fill was cut off, NaN gave a label without a class, and labels outside 0 .. 255 became others."""
    with pytest.raises(ValueError, match=message):
        rotate(_ramps(8, 9), **{"degrees": 10, **options})
    if "degrees" in options:
        with pytest.raises(ValueError, match=message):
            random_rotate(_ramps(8, 9), _rng(), **options)


def test_rotation_takes_bytes():
    with pytest.raises(ValueError, match="image and label must be uint8 to be turned, got uint8 and int64; normalize"):
        rotate({**_ramps(8, 9), "label": np.zeros((8, 9), np.int64)}, 10)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ((1.0, float("nan")), r"weights must be finite, got \(1\.0, nan\): 0 leaves a class out"),
        ((1.0, float("inf")), "weights must be finite"),
        ((1.0, -1.0), r"weights must not be negative, got \(1\.0, -1\.0\)"),
        (np.ones(256), "weights must be one number for each class, at most 255, got shape"),
        (np.ones((2, 2)), r"weights must be one number for each class, .* got shape \(2, 2\); leave out"),
    ],
)
def test_weights_that_are_no_chances_are_refused(weights, message):
    """NaN is not below 0, so it passed, and failed in training with a text of NumPy."""
    with pytest.raises(ValueError, match=f"^{message}"):
        balanced_crop(_ramps(8, 9), _rng(), (4, 4), weights)
    with pytest.raises(ValueError, match=f"^crop_{message}"):
        Augmentation((8, 8), crop_weights=weights)


@pytest.mark.parametrize("value", [-1, 300])
def test_balanced_crops_refuse_labels_that_are_no_classes(value):
    record = {"image": np.zeros((8, 9, 3), np.uint8), "label": np.full((8, 9), value)}
    with pytest.raises(ValueError, match=rf"label must be 0 \.\. 255, got int64 from {value} to {value}; store"):
        balanced_crop(record, _rng(), (4, 4))
    record["label"] = np.full((8, 9), 3)
    assert (balanced_crop(record, _rng(), (4, 4))["label"] == 3).all()
