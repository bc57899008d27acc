"""The confusion matrix against a loop over pixels, and its laws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from smoothjax import metrics


def _by_loop(labels, predictions, num_classes, ignore_label=255):
    counts = np.zeros((num_classes, num_classes), np.int64)
    for label, prediction in zip(labels.ravel().tolist(), predictions.ravel().tolist(), strict=True):
        if label != ignore_label and 0 <= label < num_classes and 0 <= prediction < num_classes:
            counts[label, prediction] += 1
    return counts


@st.composite
def _pixels(draw):
    shape = draw(st.sampled_from([(7,), (2, 3, 4), (0, 3)]))
    values = st.one_of(st.integers(0, 4), st.sampled_from([-1, 5, 254, 255, 256, 2**31 - 1]))
    return draw(hnp.arrays(np.int32, shape, elements=values)), draw(hnp.arrays(np.int32, shape, elements=values))


@settings(deadline=None, max_examples=60)
@given(_pixels(), st.sampled_from([1, 5]), st.sampled_from([255, 2]))
def test_equals_a_loop_over_pixels(pixels, num_classes, ignore_label):
    labels, predictions = pixels
    counts = metrics.confusion_matrix(labels, predictions, num_classes=num_classes, ignore_label=ignore_label)
    assert counts.dtype == jnp.int32
    np.testing.assert_array_equal(counts, _by_loop(labels, predictions, num_classes, ignore_label))


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32])
def test_narrow_types_do_not_wrap(dtype):
    """16 x 16 classes do not fit eight bits: the cell is computed in 32."""
    labels, predictions = np.array([15, 15, 3], dtype), np.array([15, 0, 100], dtype)
    counts = metrics.confusion_matrix(labels, predictions, num_classes=16)
    np.testing.assert_array_equal(counts, _by_loop(labels, predictions, 16))
    assert int(counts.sum()) == 2


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_narrow_types_hold_fewer_values_than_there_may_be_classes(dtype):
    """In eight bits 256 classes would be none."""
    labels, predictions = np.array([0, 7, 120], dtype), np.array([0, 8, 120], dtype)
    for classes in (200, 256, 300):
        counts = metrics.confusion_matrix(labels, predictions, num_classes=classes)
        np.testing.assert_array_equal(counts, _by_loop(labels, predictions, classes))
        near = metrics.boundary_confusion_matrix(labels[None], predictions[None], num_classes=classes, distance=1)
        np.testing.assert_array_equal(near[:-1, :-1], counts)
    ignored = metrics.confusion_matrix(labels, predictions, num_classes=300, ignore_label=300)
    assert int(ignored.sum()) == 3


def test_same_under_jit_and_vmap():
    rng = np.random.default_rng(0)
    labels, predictions = rng.integers(0, 4, (2, 3, 6, 6))
    labels[0, 0, :2] = 255
    expected = _by_loop(labels, predictions, 4)

    def count(a, b):
        return metrics.confusion_matrix(a, b, num_classes=4)

    np.testing.assert_array_equal(jax.jit(count)(labels, predictions), expected)
    np.testing.assert_array_equal(jax.vmap(count)(labels, predictions).sum(axis=0), expected)


def test_order_of_pixels_does_not_count():
    rng = np.random.default_rng(1)
    labels, predictions = rng.integers(0, 4, (2, 50))
    order = rng.permutation(50)
    np.testing.assert_array_equal(
        metrics.confusion_matrix(labels, predictions, num_classes=4),
        metrics.confusion_matrix(labels[order], predictions[order], num_classes=4),
    )


def test_parts_add_up():
    rng = np.random.default_rng(2)
    labels, predictions = rng.integers(0, 4, (2, 50))
    parts = [metrics.confusion_matrix(labels[s], predictions[s], num_classes=4) for s in (np.s_[:20], np.s_[20:])]
    np.testing.assert_array_equal(sum(parts), metrics.confusion_matrix(labels, predictions, num_classes=4))


def test_exchange_transposes():
    rng = np.random.default_rng(3)
    labels, predictions = rng.integers(0, 4, (2, 50))
    np.testing.assert_array_equal(
        metrics.confusion_matrix(labels, predictions, num_classes=4),
        metrics.confusion_matrix(predictions, labels, num_classes=4).T,
    )


def test_all_ignored_is_all_zero():
    counts = metrics.confusion_matrix(np.full((4, 4), 255, np.uint8), np.zeros((4, 4), np.uint8), num_classes=3)
    assert not np.asarray(counts).any()


def test_refuses_no_classes():
    with pytest.raises(ValueError, match="num_classes must be at least 1, got 0"):
        metrics.confusion_matrix(np.zeros(3, int), np.zeros(3, int), num_classes=0)


def test_refuses_unequal_shapes():
    with pytest.raises(AssertionError, match="shape"):
        metrics.confusion_matrix(np.zeros((2, 3), int), np.zeros((3, 2), int), num_classes=2)


def test_refuses_logits():
    with pytest.raises(AssertionError, match="must be integers"):
        metrics.confusion_matrix(np.zeros(3, int), np.zeros(3, np.float32), num_classes=2)
