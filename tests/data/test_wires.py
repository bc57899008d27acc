"""Drawn wires: reproducible, with known classes, and as noisy as requested."""

from typing import Any

import numpy as np
import pytest

from smoothjax.data import WIRES, WiresSource


def test_a_picture_is_a_function_of_seed_split_and_index():
    source = WiresSource(length=3)
    for name in ("image", "label"):
        np.testing.assert_array_equal(source[1][name], WiresSource(length=9)[1][name])
    others = [source[2], WiresSource(length=3, seed=1)[1], WiresSource(length=3, split="val")[1]]
    assert all((other["label"] != source[1]["label"]).any() for other in others)


def test_noise_changes_no_label_and_hides_single_pixels():
    """Without noise a colour determines the class; with noise classes overlap, and their means do not move."""
    clean, noisy = (WiresSource(length=40, noise=noise) for noise in (0.0, 0.6))
    images, labels, hidden = [], [], []
    for index in range(40):
        np.testing.assert_array_equal(clean[index]["label"], noisy[index]["label"])
        images.append(clean[index]["image"])
        hidden.append(noisy[index]["image"])
        labels.append(clean[index]["label"])
    label, image, blurred = np.stack(labels), np.stack(images).astype(float), np.stack(hidden).astype(float)
    shares = [(label == kind).mean() for kind in range(len(WIRES))]
    assert min(shares) > 0.05
    assert shares[0] > 0.5
    means = np.array([blurred[label == kind].mean(0) for kind in range(3)])
    for kind in range(3):
        assert len(np.unique(image[label == kind], axis=0)) == 1
        spread = blurred[label == kind].std(0)
        assert (spread > 25).all()
    assert np.abs(means[1] - means[0]).max() < 2 * 40


def test_bad_arguments_are_refused():
    cases: list[tuple[dict[str, Any], str]] = [
        ({"length": 0}, "length must be"),
        ({"size": (16, 48)}, "size must be at least 32 x 32"),
        ({"noise": -1.0}, "noise must be 0 .. 10, got -1"),
        ({"split": "dev"}, "split must be one of train, val, test, got 'dev'"),
        ({"seed": -1}, "seed must be"),
    ]
    for options, message in cases:
        given: dict[str, Any] = {"length": 1} | options
        with pytest.raises(ValueError, match=message):
            WiresSource(**given)
