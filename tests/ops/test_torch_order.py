"""Kernels in the order of other libraries: errors that name the order, and never an error for a kernel that fits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smoothjax import ops
from tests.support import random

_ONES = jnp.ones
_X = _ONES((1, 8, 9, 4))


def _message(call, *arguments, **options):
    with pytest.raises((ValueError, AssertionError)) as caught:
        call(*arguments, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("call", "name", "options"),
    [
        (ops.dilated_conv, "kernel", {"rate": 2}),
        (ops.ss_dilated_conv, "kernel", {"rate": 2, "smoother": _ONES((3, 3))}),
        (ops.group_interaction_dilated_conv, "kernel", {"rate": 2, "weight": _ONES((4, 4))}),
        (ops.pixel_deconv, "kernels[0]", {"kernels": [_ONES((6, 4, 3, 3))] * 4, "order": ops.pixel_order(2, 2)}),
        (ops.fast_pixel_deconv, "kernel_first", {"kernel_second": _X, "kernel_cross": _X}),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_pytorchs_order_is_recognised(call, name, options):
    """The error spoke of channels, of which nothing is wrong."""
    kernel = _ONES((6, 4, 3, 3))
    given = {} if "kernels" in options else {name: kernel}
    message = _message(call, _X, **given, **options)
    assert message.startswith(f"{name} must be ")
    assert "got shape (6, 4, 3, 3): it looks like PyTorch's order [C_out, C_in, *K], write " in message
    converted = eval(message.rpartition("write ")[2], {"jnp": jnp, "kernel": kernel, "kernels": [kernel], name: kernel})
    assert converted.shape == (3, 3, 4, 6)


def test_the_expressions_convert():
    """Beside loops over taps, as PyTorch defines both convolutions."""
    x, kernel = random(0, 1, 6, 6, 4), random(1, 5, 4, 3, 3)
    message = _message(ops.dilated_conv, x, kernel, padding="VALID")
    found = ops.dilated_conv(x, eval(message.rpartition("write ")[2]), padding="VALID")
    expected = sum(x[:, i : i + 4, j : j + 4] @ kernel[:, :, i, j].T for i in range(3) for j in range(3))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    kernel = random(2, 4, 5, 2, 2)
    message = _message(ops.transposed_conv, x, kernel)
    assert "PyTorch's order [C_in, C_out, *K]" in message
    found = ops.transposed_conv(x, eval(message.rpartition("write ")[2]))
    expected = np.zeros((1, 12, 12, 5))
    for i in range(2):
        for j in range(2):
            expected[:, i::2, j::2] += x @ kernel[:, :, i, j]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_images_and_kernel_of_pytorch_are_told_together():
    """Otherwise the second error follows the first; or none, where channels happen to fit."""
    message = _message(ops.dilated_conv, _ONES((1, 4, 8, 9)), _ONES((6, 4, 3, 3)))
    assert "move it with jnp.moveaxis(x, 1, -1); as for kernel, it looks like PyTorch's order" in message
    assert "as for kernel, it" in _message(ops.dilated_conv, _ONES((1, 3, 8, 9)), _ONES((6, 3, 3, 3)))
    # With as many pixels as channels the images are channels-last, as the kernel says.
    assert _message(ops.dilated_conv, _ONES((1, 4, 8, 4)), _ONES((6, 4, 3, 3))).startswith("kernel must be ")


def test_other_kernels_that_do_not_fit_are_not_taken_for_pytorchs():
    """A kernel 3x3 of 5 channels, for 3, could be one of 5x5 in the other order."""
    for shape in ((3, 3, 5, 8), (3, 3, 5, 5), (1, 3, 5, 7), (6, 4, 3, 5)):
        message = _message(ops.dilated_conv, _ONES((1, 8, 9, shape[1])), _ONES(shape))
        assert message.endswith(": match it to the data")


def test_kernels_that_fit_are_not_refused():
    """As many taps as channels: nobody can tell, and it may be meant."""
    for shape in ((6, 4, 4, 4), (4, 4, 4, 4), (64, 3, 4, 4)):
        assert jax.eval_shape(ops.dilated_conv, _X, _ONES(shape)).shape == (1, 8, 9, 4)
    assert jax.eval_shape(ops.depthwise_conv, _X, _ONES((4, 1, 4))).shape == _X.shape
    assert jax.eval_shape(ops.depthwise_conv, _X, _ONES((1, 1, 4))).shape == _X.shape


def test_depthwise_kernels_of_other_libraries():
    """They have an axis more."""
    ours = random(0, 3, 3, 4)
    for kernel in (jnp.moveaxis(ours, -1, 0)[:, None], ours[..., None, :]):
        message = _message(ops.depthwise_conv, _X, kernel)
        assert message.startswith("kernel must be [*K, C] with x's C, got shape ")
        np.testing.assert_array_equal(eval(message.rpartition("write ")[2]), ours)
