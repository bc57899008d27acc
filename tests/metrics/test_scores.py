"""The measures of a confusion matrix: against their definitions on pixels, and in edge cases."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smoothjax import metrics

_SCORES = [metrics.mean_iou, metrics.mean_dice, metrics.pixel_accuracy, metrics.mean_class_accuracy]


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**31), st.integers(1, 5), st.integers(1, 30))
def test_equal_their_definitions_on_sets_of_pixels(seed, num_classes, pixels):
    labels, predictions = np.random.default_rng(seed).integers(0, num_classes, (2, pixels))
    confusion = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(confusion, (labels, predictions), 1)

    ious, recalls, f_scores = [], [], []
    for c in range(num_classes):
        union = (labels == c) | (predictions == c)
        ious.append(((labels == c) & (predictions == c)).sum() / union.sum() if union.any() else np.nan)
        if (labels == c).any():
            recalls.append((predictions[labels == c] == c).mean())
        both = ((labels == c) & (predictions == c)).sum()
        f_scores.append(2 * both / ((labels == c).sum() + (predictions == c).sum()) if union.any() else np.nan)

    np.testing.assert_allclose(metrics.iou_per_class(confusion), ious, rtol=1e-12)
    np.testing.assert_allclose(metrics.mean_iou(confusion), np.nanmean(ious), rtol=1e-12)
    np.testing.assert_allclose(metrics.dice_per_class(confusion), f_scores, rtol=1e-12)
    np.testing.assert_allclose(metrics.mean_dice(confusion), np.nanmean(f_scores), rtol=1e-12)
    np.testing.assert_allclose(metrics.pixel_accuracy(confusion), (labels == predictions).mean(), rtol=1e-12)
    np.testing.assert_allclose(metrics.mean_class_accuracy(confusion), np.mean(recalls), rtol=1e-12)


@pytest.mark.parametrize("score", _SCORES)
def test_perfect_prediction_is_one(score):
    labels = np.array([0, 0, 2, 255])
    confusion = metrics.confusion_matrix(labels, np.array([0, 0, 2, 1]), num_classes=4)
    assert score(confusion) == 1.0


@pytest.mark.parametrize("score", _SCORES)
def test_relabelling_changes_nothing(score):
    confusion = np.random.default_rng(0).integers(0, 9, (5, 5))
    order = np.array([3, 0, 4, 1, 2])
    np.testing.assert_allclose(score(confusion[np.ix_(order, order)]), score(confusion), rtol=1e-12)


@pytest.mark.parametrize("score", _SCORES)
def test_empty_matrix_is_nan_without_a_warning(score):
    assert np.isnan(score(np.zeros((3, 3), np.int64)))
    assert isinstance(score(np.zeros((3, 3), np.int64)), np.float64)


def test_a_class_only_predicted_counts_for_iou_but_not_for_recall():
    confusion = [[2, 2], [0, 0]]
    np.testing.assert_array_equal(metrics.iou_per_class(confusion), [0.5, 0.0])
    assert metrics.mean_iou(confusion) == 0.25
    assert metrics.mean_class_accuracy(confusion) == 0.5


def test_always_answering_the_majority():
    """The floor that every report compares with: one class gets its frequency, the others nothing."""
    confusion = [[30, 0, 0], [40, 0, 0], [30, 0, 0]]
    assert metrics.pixel_accuracy(confusion) == pytest.approx(0.3)
    assert metrics.mean_iou(confusion) == pytest.approx(0.1)
    assert metrics.mean_class_accuracy(confusion) == pytest.approx(1 / 3)


def test_counts_beyond_32_bits_are_exact():
    big = 3 * 2**40
    assert metrics.pixel_accuracy(np.array([[big, big], [0, 2 * big]], np.int64)) == 0.75


def test_dice_follows_from_iou():
    """Dice is 2 IoU / (1 + IoU), so both rank predictions of one class alike."""
    confusion = np.random.default_rng(0).integers(0, 9, (5, 5))
    iou = metrics.iou_per_class(confusion)
    np.testing.assert_allclose(metrics.dice_per_class(confusion), 2 * iou / (1 + iou), rtol=1e-12)


@pytest.mark.parametrize("score", [*_SCORES, metrics.iou_per_class, metrics.dice_per_class])
def test_refuses_what_is_no_confusion_matrix(score):
    with pytest.raises(ValueError, match=r"square matrix \[K, K\], got shape \(2, 3\)"):
        score(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="negative value -4"):
        score([[1, -4], [0, 2]])
    for count in (np.nan, np.inf):  # which would count as a class that does not occur
        with pytest.raises(ValueError, match="must hold counts, got NaN or infinity"):
            score([[count, 0], [0, 1]])


@pytest.mark.parametrize("score", [metrics.boundary_iou_per_class, metrics.mean_boundary_iou])
def test_the_boundary_scores_name_their_own_argument(score):
    what = r"counts must be a square matrix \[K \+ 1, K \+ 1\], got shape \(2, 3\)"
    with pytest.raises(ValueError, match=rf"^{what}; pass the sum of the matrices that boundary_confusion_matrix ret"):
        score(np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"^counts must hold counts, got the negative value -4"):
        score([[1, -4], [0, 2]])
