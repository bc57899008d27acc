from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smoothjax.training import cross_entropy as _cross_entropy

cross_entropy = jax.jit(_cross_entropy, static_argnames=("ignore_label", "label_smoothing"))


def _draw(seed: int, *shape: int, classes: int = 5, ignored: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, shape)
    labels[rng.random(shape) < ignored] = 255
    return rng.normal(size=(*shape, classes)).astype(np.float32) * 3, labels


def _reference(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray, smoothing: float) -> tuple[float, float]:
    """The loss pixel by pixel, in float64."""
    classes, total, count = logits.shape[-1], 0.0, 0.0
    for row, label in zip(logits.reshape(-1, classes).astype(np.float64), labels.reshape(-1), strict=True):
        if label != 255:
            log_probabilities = row - row.max() - np.log(np.exp(row - row.max()).sum())
            target = np.full(classes, smoothing / classes)
            target[label] += 1 - smoothing
            total -= weights[label] * (target * log_probabilities).sum()
            count += weights[label]
    return float(total), float(count)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31), st.sampled_from([1, 3]), st.sampled_from([0.0, 0.3]), st.booleans())
def test_is_the_sum_over_the_valid_pixels(seed: int, rows: int, smoothing: float, weighted: bool) -> None:
    logits, labels = _draw(seed, rows, 3, 2)
    weights = np.random.default_rng(seed).random(5).astype(np.float32) if weighted else np.ones(5, np.float32)
    given_weights = jnp.asarray(weights) if weighted else None
    result = cross_entropy(
        jnp.asarray(logits), jnp.asarray(labels), class_weights=given_weights, label_smoothing=smoothing
    )
    np.testing.assert_allclose(result, _reference(logits, labels, weights, smoothing), rtol=1e-5, atol=1e-5)


def test_a_batch_is_the_sum_of_its_parts() -> None:
    logits, labels = _draw(0, 6, 4)
    labels[:2] = 255  # parts with unequal numbers of valid pixels: means would not add
    whole = np.array(cross_entropy(jnp.asarray(logits), jnp.asarray(labels)))
    parts = [cross_entropy(jnp.asarray(x), jnp.asarray(y)) for x, y in zip(logits, labels, strict=True)]
    np.testing.assert_allclose(whole, np.sum(np.array(parts), 0), rtol=1e-6)


def test_ignored_pixels_have_no_gradient_and_valid_ones_do() -> None:
    logits, labels = _draw(1, 4, 4)
    gradient = jax.grad(lambda x: cross_entropy(x, jnp.asarray(labels))[0])(jnp.asarray(logits))
    assert np.all(np.asarray(gradient)[labels == 255] == 0)
    assert np.all(np.abs(np.asarray(gradient)[labels != 255]).sum(-1) > 0)


def test_all_ignored_is_zero_without_nan() -> None:
    logits, labels = _draw(2, 4, 4, ignored=1.1)
    loss_sum, count = cross_entropy(jnp.asarray(logits), jnp.asarray(labels))
    gradient = jax.grad(lambda x: cross_entropy(x, jnp.asarray(labels))[0])(jnp.asarray(logits))
    assert (float(loss_sum), float(count)) == (0.0, 0.0)
    assert np.all(np.asarray(gradient) == 0)


@pytest.mark.parametrize("bad", [5, 254, -1])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_label_that_is_no_class_is_nan(bad: int, smoothing: float) -> None:
    logits, labels = _draw(3, 4, 4)
    labels[0, 0] = bad
    assert np.isnan(cross_entropy(jnp.asarray(logits), jnp.asarray(labels), label_smoothing=smoothing)[0])


def test_another_ignore_label() -> None:
    logits, labels = _draw(4, 4, 4)
    other = np.where(labels == 255, -1, labels)
    np.testing.assert_array_equal(
        cross_entropy(jnp.asarray(logits), jnp.asarray(other), ignore_label=-1),
        cross_entropy(jnp.asarray(logits), jnp.asarray(labels)),
    )


@pytest.mark.parametrize("dtype", [jnp.uint8, jnp.int8])
def test_narrow_labels_are_compared_in_32_bits(dtype: Any) -> None:
    """Eight bits cannot hold the 300 classes, nor int8 the ignored label 255."""
    logits = jnp.asarray(np.random.default_rng(5).normal(size=(3, 300)).astype(np.float32))
    labels = jnp.array([0, 5, 120])
    result = cross_entropy(logits, labels.astype(dtype))
    np.testing.assert_array_equal(result, cross_entropy(logits, labels))
    assert float(result[1]) == 3
    assert np.isnan(cross_entropy(logits, jnp.array([0, 5, -1], jnp.int8))[0])


def test_class_weights_may_be_a_list() -> None:
    logits, labels = (jnp.asarray(array) for array in _draw(6, 3, 4))
    weights = [0.5, 1.0, 2.0, 0.0, 1.0]
    np.testing.assert_array_equal(
        _cross_entropy(logits, labels, class_weights=weights),
        _cross_entropy(logits, labels, class_weights=jnp.array(weights)),
    )


def test_bfloat16_logits_are_summed_in_float32() -> None:
    # 4096 equal terms: a bfloat16 sum would stop growing at 256 of them.
    loss_sum, count = cross_entropy(jnp.zeros((64, 64, 2), jnp.bfloat16), jnp.zeros((64, 64), jnp.int32))
    assert loss_sum.dtype == count.dtype == jnp.float32
    np.testing.assert_allclose(loss_sum / count, np.log(2), rtol=1e-6)


def test_float64_stays(x64: None) -> None:
    assert cross_entropy(jnp.zeros((2, 3), jnp.float64), jnp.zeros(2, jnp.int32))[0].dtype == jnp.float64


def test_bad_arguments() -> None:
    logits, labels = jnp.zeros((2, 3, 4)), jnp.zeros((2, 3), jnp.int32)
    with pytest.raises(
        ValueError, match=r"one weight a class, shape \(4,\), got \(3,\); give the weights in the order"
    ):
        cross_entropy(logits, labels, class_weights=jnp.ones(3))
    with pytest.raises(ValueError, match=r"label_smoothing must be in \[0, 1\), got 1; 0 turns it off"):
        cross_entropy(logits, labels, label_smoothing=1)
    with pytest.raises(AssertionError, match="float"):
        cross_entropy(labels[..., None], labels)
    with pytest.raises(AssertionError, match="shape"):
        cross_entropy(logits, labels[:1])
    # Not [2]: it would be broadcast over the axis of one pixel.
    with pytest.raises(AssertionError, match="shape"):
        cross_entropy(logits[:, :1], labels[:, 0])
