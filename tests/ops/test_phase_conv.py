"""The convolution of pixel deconvolution: its kernel gradient against XLA's, in every mode."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smoothjax.ops._dilated import convolve
from smoothjax.ops._fast import _phase_conv
from tests.ops.cases import EXAMPLES, all_derivatives, convolutions, pairs_of
from tests.support import assert_close, random


def _of_xla(pairs, x, kernel, cotangent):
    return jax.vjp(lambda kernel: convolve(x, kernel, pairs, rate=1), kernel)[1](cotangent)[0]


@pytest.mark.as_users
@given(convolutions(), st.sampled_from([1, 500, 3000, 10**6]))
@settings(max_examples=2 * EXAMPLES, deadline=None)
def test_its_strips_make_the_gradient_of_the_kernel(case, strip_bytes):
    """At every size, padding and length of a strip, from a single row to all of them."""
    x, kernel, _, padding = case
    pairs = pairs_of("SAME" if padding == "VALID" else padding, kernel.shape[:-2], 1)
    with jax.enable_x64(True):
        x, kernel = jnp.asarray(x), jnp.asarray(kernel)
        cotangent = random(2, *convolve(x, kernel, pairs, rate=1).shape, dtype=x.dtype)
        strips = _phase_conv.strip_products(kernel.shape[:-2], pairs, strip_bytes, x, cotangent)
        assert_close(strips, _of_xla(pairs, x, kernel, cotangent))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("shared_bytes", [10**6, 0])
@pytest.mark.parametrize("size", [(3, 3), (1, 2), (4, 3), (2,), (2, 1, 3)])
def test_its_derivatives_are_those_of_xla(size, shared_bytes, monkeypatch):
    """In forward, reverse and mixed mode, of first and second order; from the same copies, and strip by strip."""
    monkeypatch.setattr(_phase_conv, "_STRIP_BYTES", 4000)
    monkeypatch.setattr(_phase_conv, "_SHARED_BYTES", shared_bytes)
    shape = {1: (2, 30, 3), 2: (2, 9, 7, 3), 3: (1, 5, 4, 3, 3)}[len(size)]
    x, kernel, dx, dkernel = (
        random(seed, *shape, dtype=jnp.float64) for seed, shape in enumerate([shape, (*size, 3, 4)] * 2)
    )
    pairs = pairs_of("SAME", size, 1)
    forms = (_phase_conv.phase_conv, partial(convolve, pairs=pairs, rate=1))
    both = [jax.jit(partial(all_derivatives, form))((x, kernel), (dx, dkernel)) for form in forms]
    for actual, reference in zip(*both, strict=True):
        assert_close(actual, reference)


@pytest.mark.as_users
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_it_rounds_once(dtype):
    """The sum over a thousand positions and several strips is as exact as its dtype."""
    x, cotangent = random(0, 2, 24, 24, 8, dtype=dtype), random(1, 2, 24, 24, 5, dtype=dtype)
    strips = _phase_conv.strip_products((3, 3), ((1, 1), (1, 1)), 100_000, x, cotangent)
    assert strips.dtype == dtype
    with jax.enable_x64(True):
        exact = _of_xla(((1, 1), (1, 1)), x.astype("float64"), jnp.zeros((3, 3, 8, 5)), cotangent.astype("float64"))
    assert_close(strips, exact, {"float32": 1e-6, "bfloat16": 2**-8}[dtype])
