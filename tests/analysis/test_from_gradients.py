"""Gradients from other frameworks give the same field as our own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smoothjax import analysis, ops
from tests.support import random


def test_of_our_gradients_it_is_our_field():
    kernel, images = random(0, 3, 3, 2, 3), random(1, 2, 9, 8, 2)

    def network(x):
        return jnp.tanh(ops.dilated_conv(x, kernel, rate=2))

    gradients = jax.grad(lambda x: network(x)[:, 4, 4].sum())(images)
    expected = analysis.effective_receptive_field(network, images)
    np.testing.assert_allclose(analysis.from_gradients(gradients), expected, rtol=1e-5)
    first = analysis.from_gradients(jnp.moveaxis(gradients, -1, 1), channels="first")
    np.testing.assert_allclose(first, expected, rtol=1e-5)


def test_of_torch_it_is_the_same_field():
    """The recipe of the docstring, on two dilated convolutions."""
    torch = pytest.importorskip("torch")
    first, second, images = random(0, 3, 3, 2, 4), random(1, 3, 3, 4, 3), random(2, 2, 2, 15, 15)

    def network(x):
        return ops.dilated_conv(jax.nn.relu(ops.dilated_conv(x, first, rate=2)), second, rate=2)

    x = torch.tensor(np.array(images), requires_grad=True)
    weights = [torch.tensor(np.array(kernel.transpose(3, 2, 0, 1))) for kernel in (first, second)]
    y = torch.relu(torch.nn.functional.conv2d(x, weights[0], padding=2, dilation=2))
    y = torch.nn.functional.conv2d(y, weights[1], padding=2, dilation=2)
    y[:, :, y.shape[2] // 2, y.shape[3] // 2].sum().backward()
    field = analysis.from_gradients(x.grad.numpy(), channels="first")
    expected = analysis.effective_receptive_field(network, jnp.moveaxis(images, 1, -1))
    np.testing.assert_allclose(field, expected, rtol=1e-4, atol=1e-5)
    assert analysis.phase_imbalance(field, rate=2) == 1.0


def test_refuses():
    with pytest.raises(ValueError, match='channels must be "first" or "last"'):
        analysis.from_gradients(np.ones((1, 4, 1)), channels="middle")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="finite gradients"):
        analysis.from_gradients(np.full((1, 4, 1), np.nan))
