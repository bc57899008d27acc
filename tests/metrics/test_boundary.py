"""Boundary quality: against a loop over pixels and masks, by hand, and its invariances."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smoothjax import metrics

K = 3


def _eroded(mask, valid, distance, border):
    """The pixels of a mask with no valid pixel of another mask, or with `border` nothing else, within the distance."""
    height, width = mask.shape
    kept = np.zeros_like(mask)
    for i, j in np.argwhere(mask):
        low, high = np.array([i, j]) - distance, np.array([i, j]) + distance + 1
        window = np.s_[max(0, low[0]) : high[0], max(0, low[1]) : high[1]]
        inside = (low >= 0).all() and (high <= [height, width]).all()
        kept[i, j] = (mask[window].all() and inside) if border else (mask | ~valid)[window].all()
    return kept


def _by_loop(labels, predictions, distance, ignore=255):
    """Boundary IoU of each class, and the confusion matrix of the trimap, of one image."""
    valid = labels != ignore
    ious, near = [], np.zeros(labels.shape, bool)
    for c in range(K):
        truth, predicted = ((array == c) & valid for array in (labels, predictions))
        bands = [mask & ~_eroded(mask, valid, distance, border=True) for mask in (truth, predicted)]
        union = (bands[0] | bands[1]).sum()
        ious.append((bands[0] & bands[1]).sum() / union if union else np.nan)
        near |= truth & ~_eroded(truth, valid, distance, border=False)
    counts = np.zeros((K, K), int)
    np.add.at(counts, (labels[near], predictions[near]), 1)
    return ious, counts


def _blobs(seed, shape):
    """Classes in patches of some pixels, as segmentations are."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, K, [-(-size // 5) for size in shape])
    return np.kron(coarse, np.ones((5, 5), int))[: shape[0], : shape[1]]


def _pair(seed, shape=(17, 23)):
    labels, predictions = _blobs(seed, shape), np.roll(_blobs(seed, shape), 1, 0)
    noise = np.random.default_rng(seed).random(shape)
    predictions = np.where(noise < 0.02, (predictions + 1) % K, predictions)
    return np.where(_blobs(seed + 100, shape) * (noise < 0.7) == 1, 255, labels), predictions


@pytest.mark.parametrize("distance", [1, 2, 3, 4, 7, 40])
def test_equals_a_loop_over_pixels(distance):
    boundary, trimap = (
        jax.jit(lambda a, b, count=count: count(a, b, num_classes=K, distance=distance))
        for count in (metrics.boundary_confusion_matrix, metrics.trimap_confusion_matrix)
    )
    for seed in range(4):
        labels, predictions = _pair(seed)
        ious, counts = _by_loop(labels, predictions, distance)
        np.testing.assert_allclose(metrics.boundary_iou_per_class(boundary(labels, predictions)), ious, rtol=1e-12)
        np.testing.assert_array_equal(trimap(labels, predictions), counts)


def test_by_hand():
    """A 2x2 square in 6x6, predicted one column to the right, one pixel from the contours."""
    labels, predictions = np.zeros((2, 6, 6), int)
    labels[2:4, 2:4] = 1
    predictions[2:4, 3:5] = 1
    counts = metrics.boundary_confusion_matrix(labels, predictions, num_classes=2, distance=1)
    # Both squares are all contour and share 2 of 6 pixels. All of the true class 0 is near a square or the border of
    # the image; of the predicted one, four pixels of the second column are not.
    np.testing.assert_array_equal(counts, [[26, 2, 4], [2, 2, 0], [0, 0, 0]])
    np.testing.assert_allclose(metrics.boundary_iou_per_class(counts), [26 / 34, 2 / 6])
    assert metrics.mean_boundary_iou(counts) == pytest.approx((26 / 34 + 2 / 6) / 2)
    # The trimap is the 4x4 around the true square.
    trimap = metrics.trimap_confusion_matrix(labels, predictions, num_classes=2, distance=1)
    np.testing.assert_array_equal(trimap, [[10, 2], [2, 2]])


def test_a_perfect_prediction_is_one_and_a_shift_hurts_the_boundary_most():
    labels = np.zeros((2, 64, 80), int)
    labels[0, 10:50, 15:60] = 1
    labels[1, 20:60, 5:40] = 2
    both = metrics.boundary_confusion_matrix, metrics.trimap_confusion_matrix
    for count in both:
        counts = count(labels, labels, num_classes=K)
        assert metrics.mean_iou(np.asarray(counts)[:K, :K]) == 1.0
    assert metrics.mean_boundary_iou(both[0](labels, labels, num_classes=K)) == 1.0
    whole, near, band = [], [], []
    for shift in (1, 2, 4):
        shifted = np.roll(labels, shift, 2)
        whole.append(metrics.mean_iou(metrics.confusion_matrix(labels, shifted, num_classes=K)))
        near.append(metrics.mean_boundary_iou(both[0](labels, shifted, num_classes=K)))
        band.append(metrics.mean_iou(both[1](labels, shifted, num_classes=K)))
    assert near == sorted(near, reverse=True)
    assert all(b < w - 0.05 and t < w - 0.05 for b, t, w in zip(near, band, whole, strict=True))


def test_with_a_distance_beyond_the_image_it_is_the_iou():
    labels, predictions = _pair(3)
    counts = metrics.boundary_confusion_matrix(labels, predictions, num_classes=K, distance=100)
    expected = metrics.confusion_matrix(labels, predictions, num_classes=K)
    np.testing.assert_array_equal(metrics.boundary_iou_per_class(counts), metrics.iou_per_class(expected))


@pytest.mark.parametrize("count", [metrics.boundary_confusion_matrix, metrics.trimap_confusion_matrix])
def test_what_is_ignored_changes_nothing(count):
    labels, predictions = _pair(5)
    other = np.where(labels == 255, (predictions + 1) % K, predictions)
    for distance in (1, 3):
        options = {"num_classes": K, "distance": distance}
        np.testing.assert_array_equal(count(labels, predictions, **options), count(labels, other, **options))
        foreign = np.where(labels == 255, -1, labels)
        np.testing.assert_array_equal(count(labels, predictions, **options), count(foreign, predictions, **options))
    assert not np.asarray(count(np.full((4, 4), 255), np.zeros((4, 4), int), num_classes=K)).any()


def test_a_class_that_is_missed_counts_whatever_surrounds_it():
    """Neither masks nor contours vanish behind ignored pixels, even if the other class lies beyond the distance."""
    labels = np.zeros((15, 15), int)
    labels[3:12, 3:12], labels[6:9, 6:9] = 255, 1
    found = labels % 255
    # Class 0 has its ring of two pixels at the border of the image, and the rest beside the ignored square.
    others = 15**2 - 9**2
    for predictions, expected in ((found, [1, 1]), (np.zeros_like(found), [others / (others + 9), 0])):
        counts = metrics.boundary_confusion_matrix(labels, predictions, num_classes=2, distance=2)
        assert np.asarray(counts).sum() == others + 9
        np.testing.assert_allclose(metrics.boundary_iou_per_class(counts), expected, rtol=1e-12)


def test_contours_are_between_classes_across_ignored_lines():
    """In a trimap a line of ignored pixels, as in VOC, is not a boundary; the classes on both sides make one."""
    labels = np.zeros((9, 13), int)
    labels[:, 5:8], labels[:, 8:] = 255, 1
    for distance, columns in ((3, 0), (4, 2), (5, 4)):
        counts = metrics.trimap_confusion_matrix(labels, labels % 255, num_classes=2, distance=distance)
        np.testing.assert_array_equal(counts, np.eye(2) * 9 * columns / 2)


@pytest.mark.parametrize("count", [metrics.boundary_confusion_matrix, metrics.trimap_confusion_matrix])
@pytest.mark.parametrize("distance", [0.07, 2])
def test_padding_of_a_batch_changes_nothing(count, distance):
    sizes = np.array([(17, 23), (0, 0), (31, 40)])
    labels, predictions = np.full((3, 45, 48), 255), np.zeros((3, 45, 48), int)
    expected: np.ndarray = np.zeros((), int)
    for i, (height, width) in enumerate(sizes):
        if height:
            one, two = _pair(i, (height, width))
            labels[i, :height, :width], predictions[i, :height, :width] = one, two
            expected = expected + np.asarray(count(one, two, num_classes=K, distance=distance))
    counted = jax.jit(lambda *batch: count(*batch[:2], num_classes=K, distance=distance, sizes=batch[2]))
    np.testing.assert_array_equal(counted(labels, predictions, sizes), expected)
    # Padding that is labelled as a class counts without the sizes, and with them does not.
    rows, columns = np.arange(45)[:, None], np.arange(48)
    padding = np.stack([(rows >= height) | (columns >= width) for height, width in sizes])
    filled = np.where(padding, 1, labels)
    np.testing.assert_array_equal(counted(filled, predictions, sizes), expected)
    assert (np.asarray(count(filled, predictions, num_classes=K, distance=distance)) != expected).any()


def test_a_fraction_is_of_the_diagonal():
    labels, predictions = _pair(1, (30, 40))
    for fraction, pixels in ((0.001, 1), (0.1, 5)):
        by_fraction, by_pixels = (
            metrics.boundary_confusion_matrix(labels, predictions, num_classes=K, distance=distance)
            for distance in (fraction, pixels)
        )
        np.testing.assert_array_equal(by_fraction, by_pixels)


def test_same_under_vmap():
    labels, predictions = (np.stack(arrays) for arrays in zip(_pair(0), _pair(1), strict=True))
    for count in (metrics.boundary_confusion_matrix, metrics.trimap_confusion_matrix):
        one = jax.vmap(lambda a, b, count=count: count(a, b, num_classes=K))(labels, predictions)
        np.testing.assert_array_equal(one.sum(0), count(labels, predictions, num_classes=K))


@pytest.mark.parametrize("distance", [0, -1, True, 0.0, 1.0, float("nan")])
def test_refuses_a_distance(distance):
    maps = jnp.zeros((4, 4), int)
    with pytest.raises(ValueError, match=r"distance must be a float in \(0, 1\)"):
        metrics.boundary_confusion_matrix(maps, maps, num_classes=2, distance=distance)


def test_refuses_what_is_no_map():
    with pytest.raises(AssertionError, match="labels must be maps"):
        metrics.trimap_confusion_matrix(np.zeros(4, int), np.zeros(4, int), num_classes=2)
    with pytest.raises(ValueError, match="num_classes must be at least 1, got 0"):
        metrics.boundary_confusion_matrix(np.zeros((4, 4), int), np.zeros((4, 4), int), num_classes=0)
