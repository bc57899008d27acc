"""Preprocessing of images as for the published networks."""

import numpy as np
import pytest

from smoothjax import weights


def test_bgr():
    image = np.array([[[255, 0, 100]]], np.uint8)
    expected = np.array([[[100 - 104.00698793, -116.66876762, 255 - 122.67891434]]], np.float32)
    prepared = weights.CAFFE_PREPROCESSING(image)
    assert prepared.dtype == np.float32
    np.testing.assert_allclose(prepared, expected, rtol=1e-6)


def test_torchvision_is_of_images_in_zero_to_one():
    image = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3), np.uint8)
    expected = (image / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(weights.TORCHVISION_PREPROCESSING(image), expected, atol=1e-5)


def test_every_source_has_its_own():
    found = {name: source.preprocessing for name, source in weights.SOURCES.items()}
    assert found == {
        "deeplab": weights.CAFFE_PREPROCESSING,
        "slim": weights.SLIM_PREPROCESSING,
        "slim-as-authors": weights.CAFFE_PREPROCESSING,
        "torchvision": weights.TORCHVISION_PREPROCESSING,
        **{f"efficientnet_lite{variant}": weights.EFFICIENTNET_LITE_PREPROCESSING for variant in range(5)},
    }
    np.testing.assert_allclose(found["slim"](np.zeros((1, 3)))[0], [-123.68, -116.78, -103.94], rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mean": (1.0, 2.0)}, r"mean and std must have a number for each channel, three for RGB, got \(1.0, 2.0\)"),
        ({"std": (1.0, 0.0, 1.0)}, r"std must be positive, got \(1.0, 0.0, 1.0\)"),
        ({"std": (1.0, float("nan"), 1.0)}, r"std must hold finite numbers, got \(1.0, nan, 1.0\)"),
        ({"mean": "abc"}, "mean must hold finite numbers, got 'abc'"),
        ({"channel_order": "GBR"}, "channel_order must be 'RGB' or 'BGR', got 'GBR'"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        weights.Preprocessing(**({"mean": (0.0, 0.0, 0.0)} | options))


def test_numbers_of_an_array_are_plain_numbers():
    """They are stored as JSON."""
    found = weights.Preprocessing(mean=np.array([1, 2, 3], np.float32), std=(np.float64(1), 2, 3))  # pyright: ignore
    assert found == weights.Preprocessing((1.0, 2.0, 3.0), (1.0, 2.0, 3.0))
    assert all(type(number) is float for number in (*found.mean, *found.std))


def test_refuses_images_without_three_channels():
    with pytest.raises(ValueError, match=r"image must be RGB, \[..., 3\], got shape \(4, 4\)"):
        weights.SLIM_PREPROCESSING(np.zeros((4, 4)))
