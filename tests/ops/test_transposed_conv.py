"""Transposed convolution: two views of one operation, and the adjoint of the strided one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from smoothjax import ops
from tests.ops.cases import EXAMPLES, maps
from tests.support import assert_close, random


@st.composite
def transposed(draw):
    """A map, a kernel of any size, also below the factor, and a factor."""
    x, factor = draw(maps()), draw(st.integers(2, 4))
    size = [draw(st.integers(1, 3 if x.ndim == 5 else 7)) for _ in range(x.ndim - 2)]
    kernel = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).standard_normal((*size, x.shape[-1], 2))
    return x, kernel, factor


@given(transposed())
@settings(max_examples=2 * EXAMPLES, deadline=None)
def test_the_two_views_agree(case):
    x, kernel, factor = case
    with jax.enable_x64(True):
        decomposed = ops.transposed_conv(x, kernel, factor=factor)
        direct = ops.transposed_conv(x, kernel, factor=factor, method="direct")
        reference = lax.conv_transpose(
            x, kernel, (factor,) * (x.ndim - 2), "SAME", dimension_numbers=_dimensions(x.ndim)
        )
    assert_close(decomposed, reference)
    np.testing.assert_array_equal(direct, reference)


def _dimensions(rank):
    spatial = "DHW"[-(rank - 2) :]
    return f"N{spatial}C", f"{spatial}IO", f"N{spatial}C"


@pytest.mark.as_users
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("factor", [2, 3])
def test_it_is_flax_conv_transpose(size, factor):
    layer = nnx.ConvTranspose(3, 4, (size, size + 1), strides=factor, use_bias=False, rngs=nnx.Rngs(0))
    x = random(0, 2, 5, 4, 3)
    assert_close(ops.transposed_conv(x, layer.kernel[...], factor=factor), layer(x))


@pytest.mark.parametrize(("factor", "size"), [(2, 6), (2, 3), (3, 4), (3, 2)])
def test_it_is_the_adjoint_of_the_strided_convolution(factor, size, x64):
    """With the kernel flipped, and C_in and C_out exchanged, one Jacobian is the transpose of the other."""
    x = random(0, 1, 4, 3, 2, dtype=jnp.float64)
    kernel = random(1, size, size, 2, 3, dtype=jnp.float64)
    adjoint = jnp.flip(kernel, (0, 1)).swapaxes(-1, -2)
    before = size - 1 if size <= factor else -(-(size + factor - 2) // 2)
    pads = (size - 1 - before, before + 1 - factor)  # of the strided convolution; a negative one crops

    def strided(y):
        return lax.conv_general_dilated(
            y, adjoint, (factor, factor), (pads, pads), dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    y = random(2, 1, 4 * factor, 3 * factor, 3, dtype=jnp.float64)
    assert strided(y).shape == x.shape
    forward = jax.jacobian(lambda x: ops.transposed_conv(x, kernel, factor=factor))(x).reshape(y.size, x.size)
    backward = jax.jacobian(strided)(y).reshape(x.size, y.size)
    assert_close(forward, backward.T)
    assert np.abs(forward).max() > 0.1


def test_nothing_connects_the_phases():
    """The disease: a phase does not depend on the taps of the others."""
    x, kernel = random(0, 1, 5, 5, 2), random(1, 6, 6, 2, 3)
    changed = kernel.at[0::2, 1::2].multiply(-3.0)
    phases, others = (ops.periodic_subsample(ops.transposed_conv(x, k), rate=2) for k in (kernel, changed))
    same = [bool((a == b).all()) for a, b in zip(phases, others, strict=True)]
    assert same.count(False) == 1


def test_the_count_of_the_paper():
    """6x6 is 36 weights per channel pair, 9 for each of the four phases."""
    x = jnp.zeros((1, 9, 9, 1)).at[0, 4, 4, 0].set(1.0)
    out = ops.transposed_conv(x, jnp.ones((6, 6, 1, 1)))
    assert [int(phase.sum()) for phase in ops.periodic_subsample(out, rate=2)] == [9, 9, 9, 9]


def test_refuses_an_unknown_method():
    with pytest.raises(ValueError, match=r"method must be one of decomposed, direct, got 'fast': both give the same"):
        ops.transposed_conv(jnp.zeros((1, 4, 1)), jnp.zeros((2, 1, 1)), method="fast")  # pyright: ignore[reportArgumentType]


def test_refuses_factor_one():
    with pytest.raises(ValueError, match="factor must be an int >= 2, got 1: pass one Python int"):
        ops.transposed_conv(jnp.zeros((1, 4, 1)), jnp.zeros((2, 1, 1)), factor=1)
