"""Hybrid dilation rates."""

import math

import pytest

from smoothjax import ops


def test_the_papers_rates():
    assert ops.multigrid_rates(2, 23) == (1, 2, 3) * 7 + (2, 2)
    assert ops.multigrid_rates(4, 3) == (3, 4, 5)
    assert ops.multigrid_rates(2, 4) == (1, 2, 3, 2)
    assert ops.multigrid_rates(2, 0) == ()


@pytest.mark.parametrize("rate", range(2, 9))
def test_a_group_has_no_common_factor_and_keeps_its_mean(rate):
    group = ops.multigrid_rates(rate, 3)
    assert math.gcd(*group) == 1
    assert sum(group) == 3 * rate


@pytest.mark.parametrize(
    ("rate", "depth", "message"),
    [
        (1, 3, "rate must be an int >= 2, got 1"),
        (2, -1, "depth must be an int >= 0, got -1"),
        (2.0, 3, "rate must be an int >= 2, got 2.0 of type float"),
        (2, 2.5, "depth must be an int >= 0, got 2.5 of type float"),
    ],
)
def test_refuses(rate, depth, message):
    with pytest.raises(ValueError, match=message):
        ops.multigrid_rates(rate, depth)
