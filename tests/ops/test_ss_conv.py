"""Method 2: the SS convolution against a depthwise one, its forms, and the authors' code."""

from functools import partial
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smoothjax import ops
from smoothjax.ops._fast import _blocked_product, _shifted_sum, _spatial_filter
from tests.ops.cases import all_derivatives, assert_equals, assert_same, convolve, each_convolution
from tests.support import assert_close, random


def _one_filter(x, kernel, rate, padding):
    """The definition: a convolution whose kernel is the filter on the diagonal of the channels."""
    return convolve(x, kernel[..., None, None] * np.eye(x.shape[-1]), rate, padding)


def _of_xla(x, kernel, rate):
    """The same by XLA, without padding; it compiles quickly for filters of every size."""
    return ops.dilated_conv(x, jnp.tensordot(kernel, jnp.eye(x.shape[-1]), 0), rate=rate, padding="VALID")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
@each_convolution
def test_one_filter_for_every_channel(dtype, case):
    x, kernel, rate, padding = case
    kernel = kernel[..., 0, 0]
    operation = partial(ops.ss_conv, rate=rate, padding=padding)
    assert_equals(_one_filter(x, kernel, rate, padding), operation, x, kernel, dtype=dtype)


@pytest.mark.usefixtures("x64")
@each_convolution
def test_both_forms_agree_in_value_and_gradients(case):
    x, kernel, rate, _ = case
    kernel = jnp.asarray(kernel[..., 0, 0])
    x = jnp.pad(jnp.asarray(x), [(0, 0), *((size * rate, size * rate) for size in kernel.shape), (0, 0)])

    assert_same(partial(_blocked_product.blocked_product, rate=rate), partial(_shifted_sum.shifted_sum, rate=rate),
                x, kernel)  # fmt: skip


@pytest.mark.as_users
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("size", "kernel_size", "rate", "lows"), [
    ((5, 4), (3, 3), 1, (1, 1)), ((9, 7), (3, 3), 2, (2, 2)), ((6, 5), (3, 2), 1, (2, 0)), ((7, 6), (2, 4), 1, (0, 3)),
    ((13,), (4,), 3, (9,)), ((11,), (5,), 1, (0,)), ((8, 3, 4), (2, 2, 2), 1, (0, 1, 1)),
    ((9, 2, 3), (3, 1, 3), 2, (1, 0, 2)), ((4, 9), (1, 3), 1, (0, 1)), ((6, 1), (3, 1), 1, (1, 0)),
    ((3, 3), (1, 1), 1, (0, 0)),
])  # fmt: skip
def test_without_a_padded_copy(size, kernel_size, rate, lows):
    """In value and gradients, for odd and even sizes, even and uneven padding, causal on either side."""
    pairs = tuple((low, (taps - 1) * rate - low) for low, taps in zip(lows, kernel_size, strict=True))
    x, kernel = random(0, 2, *size, 3, dtype=jnp.float64), random(1, *kernel_size, dtype=jnp.float64)

    def plain(x, kernel):
        return _shifted_sum.shifted_sum(jnp.pad(x, [(0, 0), *pairs, (0, 0)]), kernel, rate)

    assert_same(partial(_spatial_filter.unpadded_sum, rate=rate, pairs=pairs), plain, x, kernel)


@pytest.mark.as_users
def test_what_lies_beyond_a_border_is_never_read():
    """Not even to be multiplied by zero: values that are not finite reach only their neighbours."""
    x = jnp.zeros((1, 6, 5, 16)).at[0, 2, 4].set(jnp.inf)
    reached = ~np.isfinite(ops.ss_conv(x, jnp.ones((3, 3))))[0].all(-1)
    assert np.argwhere(reached).tolist() == [[row, column] for row in (1, 2, 3) for column in (3, 4)]


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("size", "taps", "rate"), [
    ((50,), (5,), 1), ((9, 41), (3, 3), 1), ((4, 21), (2, 3), 3), ((6, 20), (1, 7), 1), ((3, 4, 5), (3, 1, 2), 2),
])  # fmt: skip
def test_the_gradient_of_the_filter_tap_by_tap(size, taps, rate):
    """With more columns than are summed at once, and with fewer."""
    x = random(0, 2, *(length + (n - 1) * rate for length, n in zip(size, taps, strict=True)), 3, dtype=jnp.float64)
    cotangent = random(1, 2, *size, 3, dtype=jnp.float64)
    pull = jax.vjp(lambda kernel: _shifted_sum.shifted_sum(x, kernel, rate), jnp.zeros(taps))[1]
    assert_close(jax.jit(partial(_spatial_filter.products_by_tap, taps, rate))(x, cotangent), pull(cotangent)[0])


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("size", "taps"), [((4, 600), (3, 3)), ((5, 200), (3, 2)), ((9, 12), (8, 7))])
def test_gradients_beyond_the_limits_of_the_fast_form(size, taps):
    """For wider maps, and larger filters, than the fast form is compiled for."""
    x, kernel = random(0, 1, *size, 2, dtype=jnp.float64), random(1, *taps, dtype=jnp.float64)
    pads = [((n - 1) // 2, n // 2) for n in taps]

    def plain(x, kernel):
        return _of_xla(jnp.pad(x, [(0, 0), *pads, (0, 0)]), kernel, 1)

    found, expected = (jax.grad(lambda *a, f=form: jnp.sum(jnp.sin(f(*a))), (0, 1)) for form in (ops.ss_conv, plain))
    for actual, reference in zip(jax.jit(found)(x, kernel), jax.jit(expected)(x, kernel), strict=True):
        assert_close(actual, reference)


@pytest.mark.as_users
@pytest.mark.parametrize("taps", [7, 8, 15, 16])
def test_large_filters(taps):
    """With one sum and with many, and beyond the limit of the shifted form."""
    x, kernel = random(0, 2, 9, 11, 3), random(1, taps, taps)
    assert_close(ops.ss_conv(x, kernel), _one_filter(np.asarray(x), np.asarray(kernel), 1, "SAME"))


@pytest.mark.parametrize(("length", "taps", "rate"), [(200, 51, 1), (129, 31, 2), (400, 9, 40), (64, 53, 1)])
def test_long_rows_are_cut_into_blocks(length, taps, rate):
    x, kernel = random(0, 2, length, 3), random(1, taps)
    if length > (taps - 1) * rate:
        blocked = jax.jit(partial(_blocked_product.blocked_product, rate=rate))(x, kernel)
        assert_close(blocked, _shifted_sum.shifted_sum(x, kernel, rate))
    assert_close(ops.ss_conv(x, kernel, rate=rate), _one_filter(np.asarray(x), np.asarray(kernel), rate, "SAME"))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("shape", "size", "rate"), [
    ((2, 11, 9, 3), (3, 3), 1), ((1, 19, 2), (5,), 2), ((1, 5, 4, 5, 2), (3, 2, 3), 1), ((1, 12, 10, 2), (8, 9), 1),
])  # fmt: skip
def test_its_own_derivatives_are_those_of_a_convolution(shape, size, rate, monkeypatch):
    """In forward, reverse and mixed mode, of first and second order: the rule is exact everywhere."""
    monkeypatch.setattr(_spatial_filter, "_MIN_UNPADDED_CHANNELS", 1)
    x, kernel = random(0, *shape, dtype=jnp.float64), random(1, *size, dtype=jnp.float64)
    dx, dkernel = random(2, *shape, dtype=jnp.float64), random(3, *size, dtype=jnp.float64)
    pads = [((taps - 1) * rate // 2, (taps - 1) * rate - (taps - 1) * rate // 2) for taps in size]

    def plain(x, kernel):
        return _of_xla(jnp.pad(x, [(0, 0), *pads, (0, 0)]), kernel, rate)

    forms = (partial(ops.ss_conv, rate=rate), plain)
    both = [jax.jit(partial(all_derivatives, form))((x, kernel), (dx, dkernel)) for form in forms]
    for actual, reference in zip(*both, strict=True):
        assert_close(actual, reference)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("size", [(3, 3), (5, 3), (6, 9)])
@pytest.mark.parametrize("pads", [((0, 0), (0, 0)), ((0, 4), (9, 1))])
def test_gradients_at_any_padding(size, pads):
    """Less than half the filter's reach, and more than all of it."""
    x, kernel = random(0, 2, 9, 11, 3, dtype=jnp.float64), random(1, *size, dtype=jnp.float64)

    def plain(x, kernel):
        return _of_xla(jnp.pad(x, [(0, 0), *pads, (0, 0)]), kernel, 1)

    assert_same(partial(ops.ss_conv, padding=pads), plain, x, kernel)


@pytest.mark.as_users
@pytest.mark.parametrize("channels", [512, 513])
def test_channels_that_would_alias(channels):
    x, kernel = random(0, 1, 6, 5, channels), random(1, 5, 5)
    assert_close(ops.ss_conv(x, kernel), _one_filter(np.asarray(x), np.asarray(kernel), 1, "SAME"))


@pytest.mark.as_users
def test_memory_grows_with_the_length_alone():
    """Not with its square, as with a single matrix for the whole row."""
    kernel = random(0, 227)  # beyond the limit of the shifted form
    gradient = jax.grad(lambda x, kernel: jnp.sum(jnp.sin(ops.ss_conv(x, kernel))), (0, 1))
    x = [jax.ShapeDtypeStruct((1, length, 4), jnp.float32) for length in (2000, 16000)]
    for function in (ops.ss_conv, gradient):
        analyses: list[Any] = [jax.jit(function).lower(shape, kernel).compile().memory_analysis() for shape in x]
        small, large = (analysis.temp_size_in_bytes for analysis in analyses)
        assert large < 16 * small


@pytest.mark.as_users
def test_large_filters_of_volumes_take_no_copies_of_their_matrix():
    """Copies at all positions took 46 times the map for 7x7x7 taps; map, padding and blocks take 4 times."""
    x = jax.ShapeDtypeStruct((1, 32, 32, 32, 8), jnp.float32)
    analysis: Any = jax.jit(ops.ss_conv).lower(x, random(0, 7, 7, 7)).compile().memory_analysis()
    assert analysis.temp_size_in_bytes <= 10 * 4 * x.size


@pytest.mark.as_users
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_reach_no_further_than_a_large_filter(bad):
    """They once spread through zeros of the banded matrix, to 22 x 22 outputs instead of 16 x 15."""
    kernel, x = jnp.ones((16, 15)), jnp.zeros((1, 40, 40, 1)).at[0, 20, 20].set(bad)
    assert np.sum(~np.isfinite(ops.ss_conv(x, kernel))) == 16 * 15


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("rate", [1, 2, 4])
def test_equation_7_is_the_identity(ndim, rate):
    x = random(0, 2, *(5,) * ndim, 3)
    smoother = ops.identity_smoother(rate, ndim)
    chex.assert_shape(smoother, (2 * rate - 1,) * ndim)
    assert float(smoother.sum()) == 1.0
    chex.assert_trees_all_equal(ops.ss_conv(x, smoother), x)


def test_smoothing_is_a_convolution_before_the_dilated_one():
    x, kernel, smoother = random(0, 2, 9, 8, 3), random(1, 3, 3, 3, 4), random(2, 3, 3)
    out = ops.ss_dilated_conv(x, kernel, smoother, rate=2, padding="VALID")
    chex.assert_shape(out, (2, 5, 4, 4))
    smoothed = _one_filter(np.asarray(x), np.asarray(smoother), 1, "SAME")
    assert_close(out, convolve(smoothed, np.asarray(kernel), 2, "VALID"))


def test_groups_meet_in_every_neighbourhood():
    x, kernel, smoother = random(0, 1, 16, 16, 1), random(1, 3, 3, 1, 1), random(2, 3, 3)
    smoothed = lambda x: ops.ss_dilated_conv(x, kernel, smoother, rate=2)
    dependence = np.asarray(jax.grad(lambda x: smoothed(x)[0, 7, 8, 0])(x))[0, :, :, 0] != 0
    assert dependence[4:11, 5:12].all()
    assert dependence.sum() == 49


@pytest.mark.as_users
@pytest.mark.parametrize(("rate", "size"), [(2, "10x10"), (2, "9x14"), (4, "13x17")])
def test_official_code(shared_data, rate, size):
    reference = np.load(shared_data(f"official_ops/smooth_SSC_r{rate}_{size}.npz"))
    smoother = jnp.asarray(reference["d.fix_w"][:, :, 0, 0, 0]) + ops.identity_smoother(rate, 2)
    out = ops.ss_dilated_conv(reference["x"], reference["d.weights"], smoother, rate=rate)
    assert_close(out, reference["y"], 1e-5)


def test_refuses_a_smoother_of_another_rate():
    with pytest.raises(ValueError, match=r"smoother must be \[\*K\].*here \[7, 7\], got shape \(3, 3\)"):
        ops.ss_dilated_conv(jnp.zeros((1, 9, 9, 1)), jnp.zeros((3, 3, 1, 1)), jnp.zeros((3, 3)), rate=4)
