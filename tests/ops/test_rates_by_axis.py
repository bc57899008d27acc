"""Rates that differ by axis, in every operation that takes a rate: definitions, and equality of both views."""

import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smoothjax import ops
from tests.support import assert_close, random

RATES = [(1, 3), (3, 2), (2, 2)]
each_rate = pytest.mark.parametrize("rate", RATES)
each_padding = pytest.mark.parametrize("padding", ["SAME", "VALID", ((1, 4), (3, 0))])


def _by_taps(x: jax.Array, kernel: jax.Array, rate: tuple[int, ...], padding: Any) -> np.ndarray:
    """Eq. 1, one tap at a time."""
    total = [(taps - 1) * r for taps, r in zip(kernel.shape, rate, strict=False)]
    pairs: Any = {"SAME": [(t // 2, t - t // 2) for t in total], "VALID": [(0, 0)] * 2}.get(str(padding), padding)
    padded = np.pad(np.asarray(x), [(0, 0), *pairs, (0, 0)])
    height, width = (size - t for size, t in zip(padded.shape[1:-1], total, strict=True))
    taps = itertools.product(*map(range, kernel.shape[:2]))
    windows = ((i, j, padded[:, i * rate[0] :, j * rate[1] :][:, :height, :width]) for i, j in taps)
    return np.sum([window @ np.asarray(kernel[i, j]) for i, j, window in windows], 0)


@each_rate
@each_padding
def test_convolutions_read_at_the_rate_of_each_axis(rate, padding):
    x, kernel = random(0, 2, 11, 9, 3), random(1, 3, 2, 3, 4)
    expected = _by_taps(x, kernel, rate, padding)
    assert_close(ops.dilated_conv(x, kernel, rate=rate, padding=padding), expected)
    assert_close(ops.dilated_conv(x, kernel, rate=rate, padding=padding, method="decomposed"), expected)
    for smoothed, identity in [
        (ops.ss_dilated_conv, ops.identity_smoother(rate, 2)),
        (ops.group_interaction_dilated_conv, ops.identity_group_interaction(rate, 2)),
    ]:
        assert_close(smoothed(x, kernel, identity, rate=rate, padding=padding), expected)
    own = random(2, 3, 2)
    one_filter = own[..., None, None] * jnp.eye(3)[None, None]
    assert_close(ops.ss_conv(x, own, rate=rate, padding=padding), _by_taps(x, one_filter, rate, padding))
    of_each = jnp.broadcast_to(own[..., None], (3, 2, 3))
    assert_close(ops.depthwise_conv(x, of_each, rate=rate, padding=padding), _by_taps(x, one_filter, rate, padding))


@each_rate
def test_groups_are_the_phases_of_each_axis(rate):
    x = random(0, 2, 7, 5, 3)
    groups = ops.periodic_subsample(x, rate=rate)
    assert groups.shape[0] == math.prod(rate)
    for group, (i, j) in zip(groups, itertools.product(*map(range, rate)), strict=True):
        phase = x[:, i :: rate[0], j :: rate[1]]
        np.testing.assert_array_equal(group[:, : phase.shape[1], : phase.shape[2]], phase)
    np.testing.assert_array_equal(ops.reinterlace(groups, rate=rate, spatial_shape=(7, 5)), x)


@each_rate
@pytest.mark.parametrize("channels", [2, 5])
def test_group_interaction_in_its_views_and_both_orders(rate, channels):
    """On blocks and on groups; the convolution may come first or last."""
    x, weight = random(0, 2, 8, 9, 3), random(1, math.prod(rate), math.prod(rate))
    mixed = ops.group_interaction(ops.periodic_subsample(x, rate=rate), weight)
    assert_close(ops.ss_block_fc(x, weight, rate=rate), ops.reinterlace(mixed, rate=rate, spatial_shape=x.shape[1:-1]))
    # Sizes that the rates divide need no zeros at the end.
    x = x[:, : rate[0] * 2, : rate[1] * 3]
    kernel = random(2, 3, 3, 3, channels)
    expected = ops.ss_block_fc(ops.dilated_conv(x, kernel, rate=rate), weight, rate=rate)
    assert_close(ops.group_interaction_dilated_conv(x, kernel, weight, rate=rate), expected)


def test_the_smoother_and_its_gradient():
    x, kernel, smoother = random(0, 1, 7, 8, 2), random(1, 3, 3, 2, 2), random(2, 3, 5)
    out = ops.ss_dilated_conv(x, kernel, smoother, rate=(2, 3))
    assert_close(out, ops.dilated_conv(ops.ss_conv(x, smoother), kernel, rate=(2, 3)))
    gradient = jax.grad(lambda s: jnp.sum(ops.ss_dilated_conv(x, kernel, s, rate=(2, 3)) ** 2))(smoother)
    assert float(jnp.abs(gradient).min()) > 0
    with pytest.raises(ValueError, match=r"smoother must be .*, here \[3, 5\], got shape \(3, 3\)"):
        ops.ss_dilated_conv(x, kernel, jnp.ones((3, 3)), rate=(2, 3))
