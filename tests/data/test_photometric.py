"""Changes of colour: none at strength 0, the exact cases, and a law for each."""

import numpy as np
import pytest

from smoothjax import data
from smoothjax.data import Strengths, adjust_colors, adjust_tone, blur, compress, random_colors

IMAGE = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
MUTED = np.random.default_rng(1).integers(96, 160, (20, 30, 3)).astype(np.uint8)  # no change cuts it off
LUMA = np.array([0.299, 0.587, 0.114])


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_strength_zero_changes_nothing_and_draws_nothing(channels):
    """A preset without augmentation keeps the examples that it had before augmentation existed."""
    image, rng = np.repeat(IMAGE[..., :1], channels, -1), np.random.default_rng(0)
    np.testing.assert_array_equal(random_colors(image, rng, Strengths()), image)
    assert rng.bit_generator.state == np.random.default_rng(0).bit_generator.state
    np.testing.assert_array_equal(adjust_tone(image), image)
    np.testing.assert_array_equal(blur(image, 0), image)


def test_neutral_factors_are_the_identity():
    np.testing.assert_array_equal(adjust_colors(IMAGE), IMAGE)


@pytest.mark.parametrize("turns", [-2, 1, 3])
def test_a_full_turn_of_hue_is_the_identity(turns):
    np.testing.assert_array_equal(adjust_colors(IMAGE, turn=turns), IMAGE)


def test_turns_of_hue_add_up():
    """Two turns in sequence equal their sum, up to rounding twice; half a turn is not the identity."""
    both = adjust_colors(adjust_colors(MUTED, turn=0.2), turn=0.15).astype(int)
    assert np.abs(both - adjust_colors(MUTED, turn=0.35)).max() <= 2
    assert np.abs(adjust_colors(MUTED, turn=0.5).astype(int) - MUTED).mean() > 10


def test_luma_and_greys_stay_whatever_the_colours_do():
    changed = adjust_colors(MUTED, saturation=0.7, turn=0.3)
    np.testing.assert_allclose(changed @ LUMA, MUTED @ LUMA, atol=1)
    grey = np.repeat(IMAGE[..., :1], 3, -1)
    np.testing.assert_array_equal(adjust_colors(grey, saturation=1.7, turn=0.3), grey)


def test_no_saturation_is_luma():
    np.testing.assert_allclose(adjust_colors(IMAGE, saturation=0)[..., 1], IMAGE @ LUMA, atol=0.51)


def test_brightness_is_a_factor():
    np.testing.assert_allclose(adjust_tone(IMAGE, brightness=0.6), 0.6 * IMAGE, atol=0.5)
    assert (adjust_tone(IMAGE, brightness=0) == 0).all()
    assert adjust_tone(IMAGE, brightness=1.9).max() == 255


def test_contrast_keeps_the_mean_grey():
    """The fixed point is the mean luma: a factor of 0 leaves nothing else."""
    flat = adjust_tone(MUTED, contrast=0)
    assert len(np.unique(flat)) == 1
    np.testing.assert_allclose(flat.ravel()[0], (MUTED @ LUMA).mean(), atol=0.5)
    np.testing.assert_allclose((adjust_tone(MUTED, contrast=1.5) @ LUMA).mean(), (MUTED @ LUMA).mean(), atol=0.3)
    np.testing.assert_allclose(adjust_tone(MUTED, contrast=1.5).std(), 1.5 * MUTED.std(), rtol=0.02)


def test_gamma_keeps_black_and_white_and_has_an_inverse():
    ends = np.array([[[0], [255]]], np.uint8)
    np.testing.assert_array_equal(adjust_tone(ends, gamma=2.2), ends)
    back = adjust_tone(adjust_tone(MUTED, gamma=0.5), gamma=2).astype(int)
    assert np.abs(back - MUTED).max() <= 1


def test_blur_keeps_the_mean_and_spreads_by_its_deviation():
    line = np.zeros((9, 81, 3), np.uint8)  # a point would round away
    line[:, 40] = 255
    spread = blur(line, 3.0)[4, :, 0].astype(float)
    np.testing.assert_allclose(spread.sum(), 255, rtol=0.05)
    deviation = np.sqrt((spread * (np.arange(81) - 40) ** 2).sum() / spread.sum())
    np.testing.assert_allclose(deviation, 3.0, rtol=0.1)
    np.testing.assert_array_equal(blur(np.full((8, 8, 2), 9, np.uint8), 2.0), np.full((8, 8, 2), 9))


def test_worse_jpegs_differ_more():
    errors = [np.abs(compress(MUTED, quality).astype(int) - MUTED).mean() for quality in (95, 60, 10)]
    assert errors == sorted(errors)
    assert compress(MUTED[..., :1], 60).shape == (20, 30, 1)


def test_channels():
    """Only RGB images have colours to vary; other numbers of channels are refused before training."""
    grey = IMAGE[..., :1]
    np.testing.assert_array_equal(adjust_colors(grey, saturation=0, turn=0.4), grey)
    with pytest.raises(ValueError, match="image must have 3 channels to have colours, or 1, got 4: leave colours out"):
        adjust_colors(np.zeros((2, 2, 4), np.uint8))
    with pytest.raises(ValueError, match="image must have 3 channels or 1 to be a JPEG, got 4: leave jpeg out"):
        compress(np.zeros((2, 2, 4), np.uint8), 90)
    with pytest.raises(
        ValueError, match="images of 5 channels have no colours and cannot be JPEGs: leave out hue and jpeg; bright"
    ):
        Strengths(hue=0.1, jpeg=50).check_channels(5)
    with pytest.raises(ValueError, match=r"leave out --data\.augment\.saturation; brightness"):
        Strengths(saturation=0.1).check_channels(2, "--data.augment.")
    Strengths(brightness=0.5, contrast=0.5, gamma=0.5, blur=1, rotate=9).check_channels(5)
    Strengths(hue=0.1, jpeg=50).check_channels(1)


def test_draws_stay_within_their_strength():
    """Over many draws, factors for white and mid-grey reach both ends of their range and stay inside."""
    grey = np.full((1, 1, 3), 100, np.uint8)
    found = [int(random_colors(grey, np.random.default_rng(i), Strengths(brightness=0.4)).max()) for i in range(200)]
    assert 60 <= min(found) < 65
    assert 135 < max(found) <= 140


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"brightness": -0.1}, "brightness must be from 0 to 1, got -0.1: 0 turns it off"),
        ({"hue": 0.7}, "hue must be from 0 to 0.5, got 0.7"),
        ({"jpeg": 0}, "jpeg must be a quality from 1 to 95, got 0: leave it out to turn it off"),
        ({"rotate": float("nan")}, "rotate must be from 0 to 180, got nan"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        data.Augmentation((8, 8), strengths=Strengths(**options))
    with pytest.raises(ValueError, match=f"^--data.augment.{message}"):
        Strengths(**options).check("--data.augment.")


@pytest.mark.parametrize("dtype", [np.float32, np.int8, np.uint16])
@pytest.mark.parametrize(
    "function",
    [
        lambda image: adjust_tone(image, brightness=0.5),
        lambda image: adjust_colors(image, saturation=0.5),
        lambda image: blur(image, 1.0),
        lambda image: compress(image, 90),
        lambda image: data.overlay(image, np.zeros(image.shape[:2], np.uint8), data.SHAPES),
    ],
)
def test_other_types_than_bytes_are_refused(function, dtype):
    """A float of 0.6 became 1 of 255, and -3 became 255: numbers of another scale, with no word."""
    with pytest.raises(ValueError, match=f"^image must be uint8 to be (varied|painted), got {np.dtype(dtype)};"):
        function(MUTED.astype(dtype))


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (adjust_tone, {"gamma": -1.0}, "gamma must be positive, got -1.0"),
        (adjust_tone, {"gamma": 0.0}, "gamma must be positive, got 0.0"),
        (adjust_tone, {"gamma": float("nan")}, "gamma must be a finite number, got nan"),
        (adjust_tone, {"brightness": float("nan")}, "brightness must be a finite number, got nan"),
        (adjust_tone, {"contrast": float("inf")}, "contrast must be a finite number, got inf"),
        (adjust_colors, {"saturation": float("nan")}, "saturation must be a finite number, got nan"),
        (adjust_colors, {"turn": float("inf")}, "turn must be a finite number, got inf"),
        (blur, {"std": float("nan")}, "std must be a finite number, got nan"),
        (blur, {"std": -1.0}, "std must not be negative, got -1.0"),
        (compress, {"quality": 0}, r"quality must be an int 1 \.\. 95, got 0"),
    ],
)
def test_changes_that_make_no_colours_are_refused(function, options, message):
    """Powers of -1 and NaN gave arbitrary bytes."""
    with pytest.raises(ValueError, match=f"^{message}"):
        function(IMAGE, **options)


def test_images_without_channels_are_refused():
    for function in (adjust_tone, adjust_colors, lambda image: blur(image, 1.0), lambda image: compress(image, 90)):
        with pytest.raises(ValueError, match=r"image must be \[H, W, C\], got shape \(20, 30\)"):
            function(IMAGE[..., 0])
