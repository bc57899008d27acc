"""The calibration error: against its definition, and its laws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smoothjax import metrics
from smoothjax.metrics import Calibration, calibration_counts, expected_calibration_error


def _batch(seed, pixels=500, classes=4):
    rng = np.random.default_rng(seed)
    return rng.integers(0, classes, (2, pixels)), 2 * rng.standard_normal((2, pixels, classes)).astype(np.float32)


def _added(parts):
    return Calibration(*(np.sum([np.asarray(part[i], np.float64) for part in parts], 0) for i in range(3)))


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_equals_its_definition(bins):
    labels, logits = _batch(0)
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    sure, right = probabilities.max(-1).ravel(), (probabilities.argmax(-1) == labels).ravel()
    expected = 0
    for m in range(bins):
        inside = (sure > m / bins) & (sure <= (m + 1) / bins)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - sure[inside].mean())
    found = expected_calibration_error(calibration_counts(labels, logits, bins=bins))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_of_independent_classes_it_is_that_of_their_sigmoids():
    labels, logits = _batch(0)
    found = expected_calibration_error(calibration_counts(labels, logits, bins=1, independent=True))
    sure = 1 / (1 + np.exp(-logits.max(-1)))
    np.testing.assert_allclose(found, abs((logits.argmax(-1) == labels).mean() - sure.mean()), rtol=1e-5)


def test_batches_add_up():
    """Counts of batches sum to those of the whole: the error of a split is not a mean of errors."""
    labels, logits = _batch(1)
    whole = calibration_counts(labels, logits)
    parts = _added([calibration_counts(labels[i : i + 1], logits[i : i + 1]) for i in range(2)])
    np.testing.assert_array_equal(parts.pixels, whole.pixels)
    np.testing.assert_allclose(expected_calibration_error(parts), expected_calibration_error(whole), rtol=1e-5)


def test_probabilities_that_mean_what_they_say_have_no_error():
    """Labels drawn from the probabilities have none; a network twice as confident is found out."""
    rng = np.random.default_rng(2)
    logits = rng.standard_normal((40_000, 3)).astype(np.float32)
    probabilities = np.asarray(jax.nn.softmax(logits))
    labels = (rng.random((40_000, 1)) > probabilities.cumsum(-1)[:, :-1]).sum(-1)
    assert expected_calibration_error(calibration_counts(labels, logits)) < 0.01
    assert expected_calibration_error(calibration_counts(labels, 3 * logits)) > 0.1


def test_ignored_pixels_count_for_nothing():
    labels, logits = _batch(3)
    marked = np.where(np.arange(500) % 3 == 0, 255, labels).astype(np.uint8)
    kept = np.arange(500) % 3 != 0
    found = jax.jit(calibration_counts)(marked, logits)
    for one, other in zip(found, calibration_counts(labels[:, kept], logits[:, kept]), strict=True):
        np.testing.assert_allclose(np.asarray(one), np.asarray(other), atol=1e-4)
    assert np.isnan(expected_calibration_error(calibration_counts(np.full((2, 500), 255), logits)))


def test_a_certain_network_lies_in_the_last_bin():
    """A probability of exactly 1, which rounding up must not put beyond the bins."""
    counts = calibration_counts(np.array([0, 0]), jnp.array([[1e4, 0.0], [1e4, 0.0]]), bins=5)
    np.testing.assert_array_equal(counts.pixels, [0, 0, 0, 0, 2])
    assert expected_calibration_error(counts) == pytest.approx(0, abs=1e-6)


def test_refuses():
    with pytest.raises(ValueError, match="bins must be an int >= 1, got 0"):
        calibration_counts(np.zeros(3, int), jnp.zeros((3, 2)), bins=0)
    with pytest.raises(AssertionError, match=r"logits must be \[..., K\] with labels \[...\], got shapes \(4, 2\) and"):
        calibration_counts(np.zeros(3, int), jnp.zeros((4, 2)))
    with pytest.raises(AssertionError, match="labels must be integers and logits floating point, got float32"):
        calibration_counts(jnp.zeros(3), jnp.zeros((3, 2)))
    with pytest.raises(ValueError, match=r"three arrays \[bins\], got shapes \(2,\), \(2,\) and \(3,\)"):
        metrics.expected_calibration_error(Calibration([1, 2], [0, 1], [0.0, 0.0, 0.0]))
