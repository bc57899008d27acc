"""Dilated convolution: both forms against the definition, against each other and against the authors' code."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smoothjax import ops
from tests.ops.cases import assert_equals, assert_same, convolve, each_convolution
from tests.support import assert_close, random

METHODS = ("direct", "decomposed")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
@each_convolution
def test_equation_1(method, dtype, case):
    x, kernel, rate, padding = case
    operation = partial(ops.dilated_conv, rate=rate, padding=padding, method=method)
    assert_equals(convolve(x, kernel, rate, padding), operation, x, kernel, dtype=dtype)


@pytest.mark.usefixtures("x64")
@each_convolution
def test_both_forms_have_the_same_gradients(case):
    x, kernel, rate, padding = case

    direct, decomposed = (partial(ops.dilated_conv, rate=rate, padding=padding, method=m) for m in METHODS)
    assert_same(decomposed, direct, x, kernel)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("padding", [((5, 5), (4, 4)), ((0, 12), (12, 0)), ((9, 3), (1, 6)), ((2, 3), (4, 1))])
def test_gradients_where_the_output_is_larger(padding):
    """XLA's slow case, which is padded before the convolution."""
    x, kernel = random(0, 1, 6, 7, 2, dtype=jnp.float64), random(1, 3, 3, 2, 3, dtype=jnp.float64)

    def plain(x, kernel):
        numbers = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), padding, rhs_dilation=(2, 2), dimension_numbers=numbers)

    assert_same(partial(ops.dilated_conv, rate=2, padding=padding), plain, x, kernel)


@pytest.mark.as_users
@pytest.mark.parametrize("method", METHODS)
def test_bfloat16_accumulates_in_float32_and_rounds_once(method):
    x, kernel = random(0, 1, 9, 9, 64, dtype=jnp.bfloat16), random(1, 3, 3, 64, 8, dtype=jnp.bfloat16)
    out = ops.dilated_conv(x, kernel, rate=2, method=method)
    exact = ops.dilated_conv(x.astype(jnp.float32), kernel.astype(jnp.float32), rate=2)
    # Float32 sums of another order may fall to the other side of a rounding boundary, by one unit in the last place.
    once = exact.astype(jnp.bfloat16)
    assert float(jnp.mean(out == once)) > 0.99
    assert_close(out, once, 2**-7)


def test_figure_3_sizes():
    out = ops.dilated_conv(jnp.ones((1, 10, 10, 1)), jnp.ones((3, 3, 1, 1)), rate=2, padding="VALID")
    chex.assert_shape(out, (1, 6, 6, 1))


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_shift_equivariance(ndim):
    x, kernel = random(0, 1, *(12,) * ndim, 2), random(1, *(3,) * ndim, 2, 2)
    axes = tuple(range(1, ndim + 1))
    conv = jax.jit(lambda x: ops.dilated_conv(x, kernel, rate=2, padding="VALID"))
    shifted = conv(jnp.roll(x, (1,) * ndim, axes))
    inner = (slice(None), *(slice(1, None),) * ndim)
    assert_close(shifted[inner], jnp.roll(conv(x), (1,) * ndim, axes)[inner])


def test_groups_never_meet():
    """Gridding: through any number of layers of rate 2 an output depends only on inputs of its own phase."""
    x, kernel = random(0, 1, 16, 16, 1), random(1, 3, 3, 1, 1)
    stack = lambda x: ops.dilated_conv(ops.dilated_conv(x, kernel, rate=2), kernel, rate=2)
    dependence = np.asarray(jax.grad(lambda x: stack(x)[0, 7, 8, 0])(x))[0, :, :, 0] != 0
    rows, columns = np.nonzero(dependence)
    assert set(rows % 2) == {1}
    assert set(columns % 2) == {0}


@pytest.mark.as_users
@pytest.mark.parametrize("form", ["regular", "decompose"])
@pytest.mark.parametrize(("rate", "size"), [(2, "10x10"), (2, "9x14"), (4, "13x17")])
@pytest.mark.parametrize("method", METHODS)
def test_official_code(shared_data, form, rate, size, method):
    reference = np.load(shared_data(f"official_ops/{form}_r{rate}_{size}.npz"))
    out = ops.dilated_conv(reference["x"], reference["d.weights"], rate=rate, method=method)
    assert_close(out, reference["y"], 1e-5)


def test_symbolic_sizes_export():
    batch, height, width = jax.export.symbolic_shape("b, h, w")
    x = jax.ShapeDtypeStruct((batch, height, width, 2), jnp.float32)
    kernel = random(0, 3, 3, 2, 2)
    exported = jax.export.export(jax.jit(lambda x: ops.dilated_conv(x, kernel, rate=2)))(x)
    image = random(1, 2, 7, 9, 2)
    assert_close(exported.call(image), ops.dilated_conv(image, kernel, rate=2))


def test_refuses_an_unknown_method():
    with pytest.raises(ValueError, match="method must be one of direct, decomposed, got 'fft'"):
        ops.dilated_conv(jnp.zeros((1, 5, 1)), jnp.zeros((3, 1, 1)), method="fft")  # pyright: ignore[reportArgumentType]


def test_channels_first_are_told_what_to_move():
    """Images as PyTorch has them, or without a batch: the error was about the kernel, which is right."""
    kernel = jnp.ones((3, 3, 3, 4))
    with pytest.raises(
        ValueError, match=r"x must be .* channels last, got shape \(1, 3, 9, 9\), whose axis 1 has the C_"
    ):
        ops.dilated_conv(jnp.ones((1, 3, 9, 9)), kernel)
    with pytest.raises(
        AssertionError, match=r"x must be \[N, \*S, C_in\] with 2 spatial axes, as kernel has, got shape"
    ):
        ops.dilated_conv(jnp.ones((9, 9, 3)), kernel)
    with pytest.raises(ValueError, match="kernel must be"):
        ops.dilated_conv(jnp.ones((1, 9, 9, 5)), kernel)
