"""The grid of the logits: down- and up-sampling return to the same pixel."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smoothjax import models
from tests.support import assert_close, random


@settings(max_examples=10, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40), stride=st.sampled_from([2, 8]), data=st.data())
def test_a_spike_comes_back_at_its_pixel(height, width, stride, data):
    row = stride * data.draw(st.integers(0, (height - 1) // stride))
    column = stride * data.draw(st.integers(0, (width - 1) // stride))
    labels = np.zeros((1, height, width), np.int32)
    labels[0, row, column] = 1

    @jax.jit
    def down_and_up(labels):
        down = models.downsample_labels(labels, stride=stride)
        return models.upsample_logits(down[..., None].astype(jnp.float32), (height, width), stride=stride)[0, :, :, 0]

    up = down_and_up(labels)
    assert float(up[row, column]) == 1.0
    assert float(up.max()) == 1.0
    assert np.count_nonzero(np.asarray(up) == 1.0) == 1 or row + stride >= height or column + stride >= width


def test_linear_ramps_are_exact_and_the_border_is_kept():
    ramp = jnp.broadcast_to(jnp.arange(5.0)[None, :, None, None], (1, 5, 3, 2))
    up = models.upsample_logits(ramp, (38, 17))
    expected = np.minimum(np.arange(38) / 8, 4.0)
    assert_close(up[0, :, 0, 0], expected)
    assert_close(up[0, :, 16, 1], expected)


def test_the_authors_resize():
    """TensorFlow 1's `resize_nearest_neighbor` and `resize_bilinear`, neither of which knows of corners or centres.

    A crop of 321 pixels becomes 41 cells; cell 40 takes pixel 313, where ours takes the 320 that it lies on.
    """
    labels = np.arange(321 * 65).reshape(1, 321, 65)
    down = models.downsample_labels(jnp.asarray(labels), align="authors")
    rows, columns = [i * 321 // 41 for i in range(41)], [i * 65 // 9 for i in range(9)]
    np.testing.assert_array_equal(down[0], labels[0][np.ix_(rows, columns)])
    assert (rows[40], columns[8]) == (313, 57)

    cells = np.linspace(0, 1, 9) ** 2
    up = models.upsample_logits(jnp.asarray(cells, jnp.float32).reshape(1, 1, 9, 1), (1, 65), align="authors")
    assert_close(up.ravel(), np.interp(np.arange(65) * 9 / 65, np.arange(9), cells), 1e-5)
    ours = models.upsample_logits(jnp.asarray(cells, jnp.float32).reshape(1, 1, 9, 1), (1, 65))
    assert float(jnp.abs(up - ours).max()) > 0.1


def test_alignments_agree_where_the_stride_divides_the_size():
    labels, logits = jnp.arange(2 * 16 * 24).reshape(2, 16, 24), random(0, 2, 2, 3, 4)
    for align in ("cells", "authors"):
        np.testing.assert_array_equal(models.downsample_labels(labels, align=align), labels[:, ::8, ::8])
        assert_close(models.upsample_logits(logits, (16, 24), align=align), models.upsample_logits(logits, (16, 24)))
    with pytest.raises(ValueError, match="align must be one of cells, authors, got 'corners'"):
        models.downsample_labels(labels, align="corners")  # pyright: ignore[reportArgumentType]


def test_round_trip():
    logits = random(0, 2, 6, 8, 3)
    up = models.upsample_logits(logits, (41, 60))
    assert_close(up[:, ::8, ::8], logits)


def test_sizes_and_strides_of_numpy():
    logits, labels = random(0, 2, 2, 3, 3), jnp.arange(320).reshape(1, 16, 20)
    expected = models.upsample_logits(logits, (16, 20))
    shapes: Any = ((np.int64(16), 20), np.array([16, 20]))
    strides: Any = (np.int64(8), np.int32(4))
    for shape in shapes:
        np.testing.assert_array_equal(models.upsample_logits(logits, shape, stride=strides[0]), expected)
    np.testing.assert_array_equal(models.downsample_labels(labels, stride=strides[1]), labels[:, ::4, ::4])
    wrong: Any = ((np.int64(99), 16), np.array([99, 16]))
    for shape in wrong:
        with pytest.raises(ValueError, match=r"ceil\(\(99, 16\) / 8\) = \(13, 2\), got shape \(2, 2, 3, 3\)"):
            models.upsample_logits(logits, shape)
    with pytest.raises(ValueError, match=r"spatial_shape must be the ints \(H, W\), got \(16\.5, 20\)"):
        models.upsample_logits(logits, (16.5, 20))  # pyright: ignore[reportArgumentType]


def test_refuses_another_size():
    with pytest.raises(ValueError, match=r"logits must be \[N, h, w, classes\] with \(h, w\) = ceil\(\(64, 64\) / 8\)"):
        models.upsample_logits(jnp.zeros((1, 9, 8, 2)), (64, 64))
    with pytest.raises(ValueError, match="logits must be floating point"):
        models.upsample_logits(jnp.zeros((1, 2, 2, 2), jnp.int32), (16, 16))
    with pytest.raises(ValueError, match="stride must be an int >= 1, got 0"):
        models.upsample_logits(jnp.zeros((1, 2, 2, 2)), (16, 16), stride=0)
    with pytest.raises(ValueError, match="stride must be an int >= 1, got -1"):
        models.downsample_labels(jnp.zeros((1, 8, 8), jnp.int32), stride=-1)
    with pytest.raises(ValueError, match=r"labels must be \[N, H, W\], got shape \(8, 8\)"):
        models.downsample_labels(jnp.zeros((8, 8), jnp.int32))
