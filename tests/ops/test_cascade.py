"""Sec. 3.4: in a cascade of one rate, smoothing before and after differ only at the first and the last layer."""

import jax.numpy as jnp
import pytest

from smoothjax import ops
from tests.support import assert_close, random

DEPTH, RATE, SIZE = 3, 2, 8

pytestmark = pytest.mark.usefixtures("x64")


def _cascades(smooth, kernels):
    """The same cascade with every smoothing before, and with every smoothing after, its dilated convolution."""

    def before(x, parameters):
        for kernel, parameter in zip(kernels, parameters, strict=True):
            x = ops.dilated_conv(smooth(x, parameter), kernel, rate=RATE)
        return x

    def after(x, parameters):
        for kernel, parameter in zip(kernels, parameters, strict=True):
            x = smooth(ops.dilated_conv(x, kernel, rate=RATE), parameter)
        return x

    return before, after


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("method", ["ss_conv", "ss_block_fc"])
def test_only_the_first_and_the_last_layer_differ(ndim, method):
    if method == "ss_conv":
        smooth, shape, identity = ops.ss_conv, (2 * RATE - 1,) * ndim, ops.identity_smoother(RATE, ndim)
    else:
        smooth = lambda x, weight: ops.ss_block_fc(x, weight, rate=RATE)
        shape, identity = (RATE**ndim,) * 2, ops.identity_group_interaction(RATE, ndim)
    x = random(0, 1, *(SIZE,) * ndim, 2, dtype=jnp.float64)
    kernels = [random(1 + i, *(3,) * ndim, 2, 2, dtype=jnp.float64) for i in range(DEPTH)]
    first, *inner, last = (random(10 + i, *shape, dtype=jnp.float64) for i in range(DEPTH + 1))
    before, after = _cascades(smooth, kernels)

    # The first smoothing aside, "before" is "after"; the last one aside, "after" is "before".
    assert_close(before(x, [first, *inner]), after(smooth(x, first), [*inner, identity]))
    assert_close(after(x, [*inner, last]), smooth(before(x, [identity, *inner]), last))
    # With the same parameters at the same layers the order matters for the SS convolution. Group interaction commutes
    # with a convolution that its groups share, here where the rate divides the size.
    same = jnp.allclose(before(x, [first, *inner]), after(x, [first, *inner]))
    assert bool(same) is (method == "ss_block_fc")


@pytest.mark.parametrize(("rate", "size"), [(2, 7), (3, 9), (3, 8)])
def test_the_order_in_a_cascade_of_ss_convolutions(rate, size):
    """At every rate and size, layers `smooth, convolve` in a row equal `convolve, smooth` except at the two ends."""
    x, kernels = random(0, 1, size, size, 2), [random(1 + i, 3, 3, 2, 2) for i in range(DEPTH)]
    smoothers = [random(10 + i, 2 * rate - 1, 2 * rate - 1) for i in range(DEPTH)]
    before = x
    for kernel, smoother in zip(kernels, smoothers, strict=True):
        before = ops.ss_dilated_conv(before, kernel, smoother, rate=rate)
    after = ops.ss_conv(x, smoothers[0])
    for kernel, smoother in zip(kernels, [*smoothers[1:], ops.identity_smoother(rate, 2)], strict=True):
        after = ops.ss_conv(ops.dilated_conv(after, kernel, rate=rate), smoother)
    assert_close(after, before, 1e-5)


@pytest.mark.parametrize(("size", "same"), [(8, True), (9, False)])
def test_group_interaction_completes_its_last_blocks_in_every_layer(size, same):
    """If the rate does not divide the size, a cascade of it differs from `ss_block_fc` without padding."""
    x, kernels = random(0, 1, size, size, 2), [random(1 + i, 3, 3, 2, 2) for i in range(DEPTH)]
    weights = [random(20 + i, 4, 4) for i in range(DEPTH)]
    fused, unpadded = x, x
    for kernel, weight in zip(kernels, weights, strict=True):
        fused = ops.group_interaction_dilated_conv(fused, kernel, weight, rate=RATE)
        unpadded = ops.ss_block_fc(ops.dilated_conv(unpadded, kernel, rate=RATE), weight, rate=RATE)
    assert bool(jnp.allclose(fused, unpadded, rtol=1e-4)) is same


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_the_smoothed_convolutions_are_these_cascades(ndim):
    x = random(0, 1, *(SIZE,) * ndim, 2, dtype=jnp.float64)
    kernels = [random(1 + i, *(3,) * ndim, 2, 2, dtype=jnp.float64) for i in range(DEPTH)]
    smoothers = [random(10 + i, *(2 * RATE - 1,) * ndim, dtype=jnp.float64) for i in range(DEPTH)]
    weights = [random(20 + i, *(RATE**ndim,) * 2, dtype=jnp.float64) for i in range(DEPTH)]
    by_ss_conv, by_interaction = x, x
    for kernel, smoother, weight in zip(kernels, smoothers, weights, strict=True):
        by_ss_conv = ops.ss_dilated_conv(by_ss_conv, kernel, smoother, rate=RATE)
        by_interaction = ops.group_interaction_dilated_conv(by_interaction, kernel, weight, rate=RATE)
    before, _ = _cascades(ops.ss_conv, kernels)
    _, after = _cascades(lambda x, weight: ops.ss_block_fc(x, weight, rate=RATE), kernels)
    assert_close(by_ss_conv, before(x, smoothers))
    assert_close(by_interaction, after(x, weights))
