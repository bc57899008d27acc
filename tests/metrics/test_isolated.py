"""Isolated pixels: against a loop over pixels, by hand, and invariances."""

import jax
import numpy as np
import pytest

from smoothjax import metrics

AROUND = {
    4: [(-1, 0), (1, 0), (0, -1), (0, 1)],
    8: [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)],
}


def _by_loop(labels, predictions, neighbors, ignore=255):
    isolated = 0
    for n, i, j in np.argwhere(labels != ignore):
        near = [(i + y, j + x) for y, x in AROUND[neighbors]]
        inside = [(y, x) for y, x in near if 0 <= y < labels.shape[1] and 0 <= x < labels.shape[2]]
        classes = [predictions[n, y, x] for y, x in inside if labels[n, y, x] != ignore]
        isolated += bool(classes) and predictions[n, i, j] not in classes
    return [isolated, (labels != ignore).sum()]


def _count(labels, predictions, **options):
    return np.asarray(metrics.isolated_pixels(labels, predictions, **options)).tolist()


@pytest.mark.parametrize("neighbors", [4, 8])
@pytest.mark.parametrize("shape", [(2, 9, 7), (1, 1, 6), (1, 6, 1), (1, 1, 1)])
def test_equals_a_loop_over_pixels(neighbors, shape):
    """Borders, ignored pixels and maps of one row are where shifted comparisons go wrong."""
    rng = np.random.default_rng(0)
    predictions, labels = rng.integers(0, 3, shape), np.where(rng.random(shape) < 0.3, 255, 0)
    found = jax.jit(lambda a, b: metrics.isolated_pixels(a, b, neighbors=neighbors))(labels, predictions)
    assert np.asarray(found).tolist() == _by_loop(labels, predictions, neighbors)


@pytest.mark.parametrize("neighbors", [4, 8])
def test_a_constant_has_none_and_a_grid_has_all(neighbors):
    """A class for each phase of rate 2, the worst that gridding can do, leaves no pixel a neighbour of its class."""
    constant, phases = np.zeros((6, 8), np.uint8), np.tile([[0, 1], [2, 3]], (3, 4))
    assert _count(constant, constant, neighbors=neighbors) == [0, 48]
    assert _count(constant, phases, neighbors=neighbors) == [48, 48]


def test_a_corner_is_a_neighbour_of_eight_only():
    line = np.eye(5, dtype=int)
    assert _count(line, line, neighbors=4) == [5, 25]
    assert _count(line, line, neighbors=8) == [0, 25]


def test_turns_and_flips_change_nothing():
    rng = np.random.default_rng(1)
    labels, predictions = np.where(rng.random((11, 8)) < 0.2, 255, 1), rng.integers(0, 4, (11, 8))
    expected = _count(labels, predictions)
    assert expected[0] > 0
    for move in (np.flipud, np.fliplr, np.transpose, np.rot90):
        assert _count(move(labels), move(predictions)) == expected


def test_an_ignored_pixel_is_nobodys_neighbour():
    """Otherwise an ignored outline would connect, or tear apart, the regions on its sides."""
    predictions = np.array([[1, 1, 0, 0]])
    assert _count(np.zeros((1, 4), int), predictions) == [0, 4]
    assert _count(np.array([[0, 255, 0, 0]]), predictions) == [0, 3]  # a pixel without neighbours disagrees with none
    assert _count(np.array([[0, 7, 0, 7]]), np.array([[1, 2, 0, 0]]), ignore_label=7) == [0, 2]


def test_eight_bit_maps_are_counted_as_wider_ones():
    labels = np.full((3, 3), 255, np.uint8)
    labels[:2] = 0
    assert _count(labels, np.arange(9, dtype=np.int8).reshape(3, 3)) == [6, 6]


def test_what_cannot_be_counted_is_refused():
    maps = np.zeros((2, 3), int)
    with pytest.raises(ValueError, match="neighbors must be one of 4, 8, got 6"):
        metrics.isolated_pixels(maps, maps, neighbors=6)  # pyright: ignore[reportArgumentType]
    with pytest.raises(AssertionError, match=r"labels must be maps \[\*B, H, W\], got shape \(3,\)"):
        metrics.isolated_pixels(maps[0], maps[0])
    with pytest.raises(AssertionError, match="predictions must have the shape of labels"):
        metrics.isolated_pixels(maps, maps.T)
    with pytest.raises(AssertionError, match="must be integers"):
        metrics.isolated_pixels(maps, maps.astype(float))
