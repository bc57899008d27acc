"""Strategies for the law tests, and slow references written straight from the definitions."""

import itertools
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import TOLERANCE, assert_close

#: Each example compiles anew, so a few examples of each law go a long way.
EXAMPLES = 8


@st.composite
def maps(draw: st.DrawFn, max_channels: int = 3) -> np.ndarray:
    """Float64 maps ``[N, *S, C]`` of one to three spatial axes, of odd and even sizes."""
    ndim = draw(st.integers(1, 3))
    limit = {1: 17, 2: 11, 3: 7}[ndim]
    shape = (
        draw(st.integers(1, 2)),
        *(draw(st.integers(1, limit)) for _ in range(ndim)),
        draw(st.integers(1, max_channels)),
    )
    return np.random.default_rng(draw(st.integers(0, 2**32 - 1))).standard_normal(shape)


def rates(limit: int = 4) -> st.SearchStrategy[int]:
    """Dilation rates; at the small sizes of :func:`maps` many of them exceed the map."""
    return st.integers(1, limit)


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int, Any]:
    """A map, a kernel, a rate and a padding that leave some output."""
    x, rate = draw(maps()), draw(rates(3))
    ndim = x.ndim - 2
    size = tuple(draw(st.integers(1, 3)) for _ in range(ndim))
    kernel = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).standard_normal((*size, x.shape[-1], 2))
    extents = [(taps - 1) * rate + 1 for taps in size]
    explicit = tuple(
        (low := draw(st.integers(0, 3)), draw(st.integers(max(0, extent - length - low), extent + 2)))
        for extent, length in zip(extents, x.shape[1:-1], strict=True)
    )
    choices: list[Any] = ["SAME", explicit]
    if all(length >= extent for length, extent in zip(x.shape[1:-1], extents, strict=True)):
        choices.append("VALID")
    return x, kernel, rate, draw(st.sampled_from(choices))


def each_convolution(test: Callable[..., None]) -> Callable[..., None]:
    """Runs a test with several `case`s of :func:`convolutions`."""
    return settings(max_examples=EXAMPLES, deadline=None)(given(case=convolutions())(test))


def pairs_of(padding: Any, size: tuple[int, ...], rate: int) -> tuple[tuple[int, int], ...]:
    """The explicit pairs of a padding."""
    if padding == "VALID":
        return ((0, 0),) * len(size)
    if padding == "SAME":
        total = [(taps - 1) * rate for taps in size]
        return tuple((math.floor(t / 2), math.ceil(t / 2)) for t in total)
    return padding


def convolve(x: np.ndarray, kernel: np.ndarray, rate: int, padding: Any) -> np.ndarray:
    """Eq. 1, one tap after the other."""
    size = kernel.shape[:-2]
    pairs = pairs_of(padding, size, rate)
    x = np.pad(x, [(0, 0), *pairs, (0, 0)])
    out = [length - (taps - 1) * rate for length, taps in zip(x.shape[1:-1], size, strict=True)]
    total = np.zeros((x.shape[0], *out, kernel.shape[-1]))
    for tap in itertools.product(*map(range, size)):
        window = tuple(slice(t * rate, t * rate + length) for t, length in zip(tap, out, strict=True))
        total += x[(slice(None), *window)] @ kernel[tap]
    return total


def all_derivatives(form: Callable[[jax.Array, jax.Array], jax.Array], primals: Any, tangents: Any) -> list[jax.Array]:
    """Derivatives of an operation on data and a parameter: forward, reverse, mixed, first and second order, mapped."""
    grad = jax.grad(lambda x, parameter: jnp.sum(jnp.sin(form(x, parameter)) ** 2), (0, 1))
    forward = jax.jvp(form, primals, tangents)
    hessian_product = jax.jvp(grad, primals, tangents)  # forward over reverse
    reverse_twice = jax.vjp(grad, *primals)[1](tangents)
    mapped = jax.vmap(grad)(*(jnp.stack([value, -value]) for value in primals))
    return jax.tree.leaves((forward, hessian_product, reverse_twice, mapped))


def assert_same(form: Callable[..., jax.Array], reference: Callable[..., jax.Array], *arguments: Any) -> None:
    """Asserts that two forms agree in value and in the gradients of all arguments, for the cosine as cotangent."""

    def pull(form: Callable[..., jax.Array], *arguments: jax.Array) -> tuple[jax.Array, ...]:
        out, vjp = jax.vjp(form, *arguments)
        return out, *vjp(jnp.cos(out))

    both = [jax.jit(partial(pull, f))(*map(jnp.asarray, arguments)) for f in (form, reference)]
    for actual, expected in zip(*both, strict=True):
        assert_close(actual, expected)


def assert_equals(
    reference: np.ndarray, operation: Callable[..., jax.Array], x: np.ndarray, kernel: np.ndarray, *, dtype: str
) -> None:
    """Asserts that a compiled operation on maps of a dtype keeps it and gives the reference."""
    with jax.enable_x64(dtype == "float64"):
        out = jax.jit(operation)(jnp.asarray(x, dtype), jnp.asarray(kernel))
        assert out.dtype == dtype
        assert_close(out, reference, TOLERANCE[dtype])


def assert_defined(
    operation: Callable[..., jax.Array],
    definition: Callable[..., np.ndarray],
    x: jax.Array,
    values: jax.Array,
    factors: tuple[int, ...],
) -> None:
    """Asserts that an up-sampling with values for each output pixel is its definition in float64, in x's dtype."""
    expected = definition(np.asarray(x, np.float64), np.asarray(values, np.float64), factors)
    found = jax.jit(partial(operation, factor=factors))(x, values)
    assert found.dtype == x.dtype
    assert_close(found, expected)
