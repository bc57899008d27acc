"""Receptive sets and the inputs that neighbours share: definition, disease and cures."""

from functools import reduce

import jax.numpy as jnp
import numpy as np
import pytest

from smoothjax import analysis, ops
from tests.support import random


def _stack(layers):
    return lambda x: reduce(lambda x, layer: layer(x), layers, x)


def _dilated(ndim, *rates, taps=3):
    kernel = jnp.ones((*(taps,) * ndim, 1, 1))
    return _stack([lambda x, rate=rate: ops.dilated_conv(x, kernel, rate=rate) for rate in rates])


def _interacting(ndim, *rates, weight=None):
    kernel = jnp.ones((*(3,) * ndim, 1, 1))

    def layer(x, rate):
        mix = jnp.ones((rate**ndim,) * 2) if weight is None else weight
        return ops.group_interaction_dilated_conv(x, kernel, mix, rate=rate)

    return _stack([lambda x, rate=rate: layer(x, rate) for rate in rates])


def _shared(ndim, *rates, smoother=None):
    kernel = jnp.ones((*(3,) * ndim, 1, 1))

    def layer(x, rate):
        taps = jnp.ones((2 * rate - 1,) * ndim) if smoother is None else smoother
        return ops.ss_dilated_conv(x, kernel, taps, rate=rate)

    return _stack([lambda x, rate=rate: layer(x, rate) for rate in rates])


def _ones(ndim, size=33):
    return jnp.ones((1, *(size,) * ndim, 1))


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_gridding_is_zero_and_every_cure_is_above(ndim):
    """Fig. 2: rates with a common factor leave neighbours disjoint; HDC and both smoothings do not."""
    x = _ones(ndim, 33 if ndim < 3 else 17)
    assert analysis.dependence(_dilated(ndim, 2, 2, 2), x, rate=2) == 0.0
    for cured in (_dilated(ndim, 1, 2, 3), _interacting(ndim, 2, 2), _shared(ndim, 2, 2)):
        assert analysis.dependence(cured, x, rate=2) > 0.25


def test_gridding_of_the_common_factor_alone():
    """Rates 2, 4, 8 as well as 2, 2, 2 (Sec. 3.1); rates without a common factor do not, except in the first layer."""
    x = _ones(1, 65)
    assert analysis.dependence(_dilated(1, 2, 4, 8), x, rate=2) == 0.0
    assert analysis.dependence(_dilated(1, 4, 4), x, rate=4) == 0.0
    assert analysis.dependence(_dilated(1, 2, 3), x, rate=6) > 0.2


def test_the_identity_cures_nothing():
    weight, smoother = ops.identity_group_interaction(2, 2), ops.identity_smoother(2, 2)
    assert analysis.dependence(_interacting(2, 2, weight=weight), _ones(2), rate=2) == 0.0
    assert analysis.dependence(_shared(2, 2, smoother=smoother), _ones(2), rate=2) == 0.0


@pytest.mark.parametrize("layers", [1, 2, 5])
@pytest.mark.parametrize("ndim", [1, 2])
def test_plain_convolutions_by_hand(layers, ndim):
    """Windows of 2n + 1 units, one apart, share 2n of 2n + 2 rows."""
    found = analysis.dependence(_dilated(ndim, *(1,) * layers), _ones(ndim, 21), rate=3)
    assert found == pytest.approx(layers / (layers + 1))


def test_group_interaction_by_hand():
    """Every second pair in a line lies in one block, whose units see the same; rate 2, three taps: {-2, ..., 3}."""
    found = analysis.dependence(_interacting(1, 2), _ones(1), rate=2)
    # Blocks see 6 inputs each, of which neighbouring blocks share 4.
    assert found == pytest.approx((1 + 4 / 8) / 2)


def test_all_the_same_is_one():
    assert analysis.dependence(lambda x: x + x.mean(1, keepdims=True), _ones(1, 9), rate=2) == 1.0


@pytest.mark.parametrize("shape", [(2, 9, 2), (1, 7, 6, 2)])
def test_sets_are_what_a_change_of_the_input_reaches(shape):
    ndim = len(shape) - 2
    first, second = random(0, *(3,) * ndim, 2, 3), random(1, *(2,) * ndim, 3, 2)
    block = _stack(
        [lambda x: jnp.tanh(ops.dilated_conv(x, first, rate=2)), lambda x: ops.dilated_conv(x, second)[:, 1:] ** 2]
    )
    x = random(2, *shape)
    out = np.asarray(block(x))
    units = [tuple(size // 2 for size in out.shape[1:-1]), (0,) * (len(shape) - 2)]
    expected = np.zeros((len(units), *shape[1:-1]), bool)
    for at in np.ndindex(*shape[1:-1]):
        changed = np.asarray(block(x.at[(slice(None), *at)].add(0.3))) != out
        for number, unit in enumerate(units):
            expected[(number, *at)] = changed[(slice(None), *unit)].any()
    np.testing.assert_array_equal(analysis.receptive_sets(block, x, units), expected)


def test_channels_do_not_cancel():
    """Two output channels of opposite sign, and their sum, see their inputs."""
    kernel = jnp.ones((3, 1, 2)) * jnp.array([1.0, -1.0])[None, None]
    sets = analysis.receptive_sets(lambda x: ops.dilated_conv(x, kernel), jnp.ones((1, 5, 1)), [(2,)])
    np.testing.assert_array_equal(sets, [[False, True, True, True, False]])


def test_small_products_are_seen():
    """Ten layers with weights of 1e-5: the contribution of the ends is below the smallest float32."""
    kernel = jnp.asarray([1e-5, 1.0, 1e-5]).reshape(3, 1, 1)
    block = _stack([lambda x: ops.dilated_conv(x, kernel)] * 10)
    (seen,) = analysis.receptive_sets(block, _ones(1, 23), [(11,)])
    assert np.nonzero(seen)[0].tolist() == list(range(1, 22))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: analysis.dependence(lambda x: x.mean((1, 2)), _ones(2, 5), rate=2), "must return maps of 2 spatial"),
        (lambda: analysis.dependence(lambda x: x, _ones(2, 5), rate=0), "rate must be an int >= 1, got 0"),
        (lambda: analysis.dependence(lambda x: x, _ones(2, 3), rate=3), "more than rate = 3 units along every axis"),
        (lambda: analysis.dependence(lambda x: 0 * x, _ones(2, 5), rate=2), "depends on no input"),
        (lambda: analysis.receptive_sets(lambda x: x, _ones(2, 5), [(2,)]), "units must be positions of 2 ints"),
        (lambda: analysis.receptive_sets(lambda x: x, _ones(2, 5), []), "units must be positions of 2 ints"),
        (lambda: analysis.receptive_sets(lambda x: x, _ones(2, 5), [(2, 5)]), r"inside of the function's result"),
    ],
)
def test_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()
