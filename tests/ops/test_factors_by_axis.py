"""Up-sampling factors that differ by axis: the views of a transposed convolution agree, phases are in place."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from smoothjax import ops
from tests.support import assert_close, random

each_factor = pytest.mark.parametrize("factor", [(1, 2), (2, 3), (3, 1)])


@each_factor
@pytest.mark.parametrize("size", [(3, 3), (1, 4), (6, 2)])
def test_the_views_of_a_transposed_convolution(factor, size):
    x, kernel = random(0, 2, 4, 5, 2), random(1, *size, 2, 3)
    direct = ops.transposed_conv(x, kernel, factor=factor, method="direct")
    assert direct.shape == (2, 4 * factor[0], 5 * factor[1], 3)
    assert_close(ops.transposed_conv(x, kernel, factor=factor), direct)


@each_factor
@pytest.mark.parametrize("order", ["figure", "equations"])
def test_pixel_deconvolution_makes_every_phase_once(factor, order):
    """With kernels of one tap that copy the first phase, or the input, all pixels of a block are equal."""
    stages = ops.pixel_order(factor, 2, order=order)
    phases = [phase for stage in stages for phase in stage]
    assert sorted(phases) == [(i, j) for i in range(factor[0]) for j in range(factor[1])]
    earlier = [sum(len(stage) for stage in stages[:n]) for n, stage in enumerate(stages) for _ in stage]
    x = random(0, 1, 3, 4, 1)
    expected = np.repeat(np.repeat(x, factor[0], 1), factor[1], 2)
    copies = [jnp.zeros((1, 1, max(1, n), 1)).at[0, 0, 0].set(1.0) for n in earlier]
    assert_close(ops.pixel_deconv(x, copies, factor=factor, order=order), expected)
    copies = [jnp.zeros((1, 1, 1 + n, 1)).at[0, 0, 0].set(1.0) for n in earlier]
    assert len(copies) == math.prod(factor)
    assert_close(ops.ipixel_deconv(x, copies, factor=factor, order=order), expected)


def test_a_factor_of_one_along_all_axes_is_refused():
    with pytest.raises(ValueError, match=r"factor must be >= 2 along at least one axis, got \(1, 1\)"):
        ops.transposed_conv(random(0, 1, 3, 3, 1), random(1, 3, 3, 1, 1), factor=(1, 1))
