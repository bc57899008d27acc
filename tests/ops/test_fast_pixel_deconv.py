"""The fast form of pixel deconvolution: its drawing, the general form, and the authors' own outputs."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smoothjax import ops
from smoothjax.ops import _fast_pixel_deconv
from smoothjax.ops._fast import _cross
from tests.ops.cases import all_derivatives
from tests.support import TOLERANCE, assert_close, random

pytestmark = pytest.mark.as_users

SIZES = [(3, 3), (1, 1), (5, 5), (1, 3), (7, 3)]


def _arguments(shape=(2, 5, 4, 3), channels=4, cross=(3, 3), dtype=jnp.float32):
    kernels = [(3, 3, shape[-1], channels), (3, 3, channels, channels), (*cross, channels, channels)]
    kernels = [random(1, *size, dtype=dtype) / np.sqrt(size[0] * size[1] * size[2]) for size in kernels]
    return [random(0, *shape, dtype=dtype), *(kernel.astype(dtype) for kernel in kernels)]


def _drawn(x, first, second, cross):
    """Fig. 6 step by step, with the last phases from the plain form in the same file."""
    one = ops.dilated_conv(x, first)
    return _fast_pixel_deconv._literal(one, ops.dilated_conv(one, second), cross)


CASES = [(cross, (5, 4), "float64") for cross in SIZES] + [((3, 3), (1, 1), "float64"), ((5, 5), (2, 7), "float64")]
CASES += [((3, 3), (5, 4), "float32"), ((3, 3), (5, 4), "bfloat16")]


@pytest.mark.parametrize(("cross", "size", "dtype"), CASES)
def test_it_is_what_fig_6_draws(cross, size, dtype):
    """In value and in the gradient of every argument."""
    with jax.enable_x64(dtype == "float64"):
        arguments = _arguments((2, *size, 3), cross=cross, dtype=dtype)
        weights = random(7, 2, 2 * size[0], 2 * size[1], 4, dtype=dtype)
        assert_close(ops.fast_pixel_deconv(*arguments), _drawn(*arguments))
        for actual, reference in zip(_gradients(ops.fast_pixel_deconv, arguments, weights),
                                     _gradients(_drawn, arguments, weights), strict=True):  # fmt: skip
            assert_close(actual, reference, 2 * TOLERANCE[dtype])


def _gradients(function, arguments, weights):
    return jax.jit(jax.grad(lambda arguments: jnp.sum(function(*arguments) * weights)))(arguments)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("product_bytes", [10**6, 0])
@pytest.mark.parametrize("size", [(3, 3), (1, 5), (1, 1)])
def test_the_cross_is_four_convolutions(size, product_bytes, monkeypatch):
    """In every derivative, with the value from products and from convolutions."""
    monkeypatch.setattr(_cross, "_PRODUCT_BYTES", product_bytes)
    x, kernel, dx, dkernel = (
        random(seed, *shape, dtype=jnp.float64) for seed, shape in enumerate([(2, 5, 4, 3), (*size, 3, 3)] * 2)
    )

    def fast(x, kernel):
        return jnp.stack(_cross.cross(x, jnp.sin(x), kernel))

    def plain(x, kernel):
        parts = [_cross.by_convolutions(jnp.sin(x) if odd else x, kernel, (odd, odd)) for odd in (0, 1)]
        return jnp.stack(parts[0]) + jnp.stack(parts[1])

    both = [jax.jit(partial(all_derivatives, form))((x, kernel), (dx, dkernel)) for form in (fast, plain)]
    for actual, reference in zip(*both, strict=True):
        assert_close(actual, reference)


def test_masked_taps_get_no_gradient():
    x, first, second, cross = _arguments()
    gradient = jax.grad(lambda cross: jnp.sum(ops.fast_pixel_deconv(x, first, second, cross) ** 2))(cross)
    live = np.abs(gradient).max((2, 3)) > 0
    assert live.tolist() == [[False, True, False], [True, False, True], [False, True, False]]


def test_it_is_the_general_form_of_the_same_function():
    """PixelDCL whose last two kernels place the four taps so that they reach the same pixels."""
    x, first, second, cross = _arguments()
    up, left, right, down = cross[0, 1], cross[1, 0], cross[1, 2], cross[2, 1]
    empty = jnp.zeros((3, 3, 4, 4))
    # (0, 1) lies between columns of (0, 0) and rows of (1, 1); (1, 0) between rows of (0, 0) and columns of (1, 1).
    columns_of_first = empty.at[1, 1].set(left).at[1, 2].set(right)
    rows_of_second = empty.at[0, 1].set(up).at[1, 1].set(down)
    rows_of_first = empty.at[1, 1].set(up).at[2, 1].set(down)
    columns_of_second = empty.at[1, 0].set(left).at[1, 1].set(right)
    last = [jnp.concatenate(k, 2) for k in ((columns_of_first, rows_of_second), (rows_of_first, columns_of_second))]
    general = ops.pixel_deconv(x, [first, second, *last])
    assert_close(ops.fast_pixel_deconv(x, first, second, cross), general)


@pytest.mark.parametrize("size", ["5x6", "8x8"])
def test_it_is_the_authors(shared_data, size):
    with np.load(shared_data(f"official_ops/pixel_dcl_{size}.npz")) as stored:
        out = ops.fast_pixel_deconv(stored["x"], *(stored[f"u.conv{i}.weights"] for i in range(3)))
        reference = stored["y"]
    assert_close(out, reference)


def test_the_count_of_the_paper():
    """Two sets of 3x3 and one of 2x2 weights per channel pair: 22 live ones, where 6x6 has 36."""
    arguments = _arguments(channels=1, shape=(1, 6, 6, 1))
    gradients = jax.grad(lambda *k: jnp.sum(jnp.sin(ops.fast_pixel_deconv(arguments[0], *k))), argnums=(0, 1, 2))
    assert [int((np.abs(g) > 0).sum()) for g in gradients(*arguments[1:])] == [9, 9, 4]


@pytest.mark.parametrize("shape", [(1, 4, 3), (1, 4, 4, 4, 3)])
def test_refuses_other_dimensions_and_says_what_to_use(shape):
    with pytest.raises(ValueError, match=r"x must be \[N, H, W, C\].*factor 2 in two dimensions.*pixel_deconv takes"):
        ops.fast_pixel_deconv(jnp.zeros(shape), *_arguments()[1:])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({1: (3, 3, 2, 4)}, r"kernel_first must be \[\*K, C_in, C_out\].*here \[any, any, 3, any\]"),
        ({2: (3, 3, 3, 4)}, r"kernel_second must be \[\*K, C, C\].*here \[any, any, 4, 4\], got shape \(3, 3, 3, 4\)"),
        ({3: (3, 3, 4, 5)}, r"kernel_cross must be \[\*K, C, C\].*here \[any, any, 4, 4\], got shape"),
        ({3: (2, 3, 4, 4)}, r"kernel_cross must have an odd height and width, got shape \(2, 3, 4, 4\)"),
    ],
)
def test_refuses_kernels_that_do_not_fit(changed, message):
    arguments = [jnp.zeros(changed[i]) if i in changed else a for i, a in enumerate(_arguments())]
    with pytest.raises(ValueError, match=message):
        ops.fast_pixel_deconv(*arguments)
