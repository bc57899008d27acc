"""Content-aware reassembly: its definition in loops, and the interpolations among its cases."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smoothjax import ops
from tests.ops.cases import assert_defined
from tests.support import assert_close, random


def _looped(x, kernels, factors):
    """Computes one output pixel and one tap at a time; x and kernels in float64."""
    sizes, taps = x.shape[1:-1], kernels.shape[x.ndim - 1 :]
    out = np.zeros((x.shape[0], *(step * size for step, size in zip(factors, sizes, strict=True)), x.shape[-1]))
    for place in itertools.product(*map(range, out.shape[:-1])):
        for tap in itertools.product(*map(range, taps)):
            at = [o // step + t - most // 2 for o, step, t, most in zip(place[1:], factors, tap, taps, strict=True)]
            if all(0 <= pixel < size for pixel, size in zip(at, sizes, strict=True)):
                out[place] += kernels[(*place, *tap)] * x[(place[0], *at)]
    return out


def _arguments(sizes, factors, taps, dtype):
    places = [step * size for step, size in zip(factors, sizes, strict=True)]
    return random(0, 2, *sizes, 3, dtype=dtype), random(1, 2, *places, *taps, dtype=dtype)


@pytest.mark.as_users
@pytest.mark.parametrize(
    ("sizes", "factors", "taps", "dtype"),
    [
        ((5,), (3,), (5,), "float64"),
        ((3, 4), (2, 2), (5, 5), "float64"),
        ((4, 3), (1, 3), (3, 1), "float64"),
        ((2, 3, 2), (2, 2, 2), (3, 3, 3), "float64"),
        ((3, 4), (2, 2), (3, 3), "float32"),
        ((3, 4), (2, 2), (3, 3), "bfloat16"),
    ],
)
def test_it_is_its_definition(sizes, factors, taps, dtype):
    """Also on maps smaller than the neighbourhood."""
    with jax.enable_x64(dtype == "float64"):
        assert_defined(ops.carafe, _looped, *_arguments(sizes, factors, taps, dtype), factors)


def test_it_is_that_of_pytorch():
    """The values of `unfold` and a sum in PyTorch 2.13, for maps 0 to 5 and kernels that count from 0 to 215."""
    x = jnp.arange(6.0).reshape(1, 2, 3, 1)
    kernels = jnp.arange(24.0 * 9).reshape(1, 4, 6, 3, 3)
    assert ops.carafe(x, kernels).ravel().astype(int).tolist() == CARAFE_OF_PYTORCH


def test_even_weights_are_box_filtered_and_nearest():
    x = random(0, 2, 5, 4, 3)
    box = ops.ss_conv(x, jnp.full((5, 5), 1 / 25))
    found = ops.carafe(x, jnp.full((1, 15, 12, 5, 5), 1 / 25), factor=3)
    assert_close(found, jnp.repeat(jnp.repeat(box, 3, 1), 3, 2))


def test_weights_that_sum_to_one_keep_a_constant():
    """Away from the border, whatever the weights: a checkerboard can only come from the input."""
    kernels = jax.nn.softmax(random(1, 1, 12, 14, 9)).reshape(1, 12, 14, 3, 3)
    y = ops.carafe(jnp.full((1, 6, 7, 2), 3.0), kernels)
    assert_close(y[:, 2:-2, 2:-2], jnp.full((1, 8, 10, 2), 3.0))


def test_it_commutes_with_shifts():
    """Moving the input by one pixel, with its kernels, moves the output by two."""
    x, kernels = random(0, 1, 8, 3, 2), random(1, 1, 16, 6, 3, 3)
    shifted = ops.carafe(jnp.roll(x, 1, 1), jnp.roll(kernels, 2, 1))
    assert_close(shifted[:, 4:-2], jnp.roll(ops.carafe(x, kernels), 2, 1)[:, 4:-2])


def test_refuses_kernels_of_other_rank():
    with pytest.raises(
        AssertionError, match=r"kernels must be \[N, \*\(factor \* S\), \*K\].*got shape \(1, 6, 8, 9\)"
    ):
        ops.carafe(jnp.zeros((2, 3, 4, 2)), jnp.zeros((1, 6, 8, 9)))


CARAFE_OF_PYTORCH = [
    58, 130, 370, 505, 502, 610, 490, 562, 1180, 1315, 1150, 1258,
    898, 970, 1945, 2080, 1762, 1870, 1330, 1402, 2755, 2890, 2410, 2518,
]  # fmt: skip
