"""What reassembly (CARAFE) and dynamic sampling (DySample) share: derivatives, batches, and what they refuse."""

import jax
import jax.numpy as jnp
import pytest
from jax.test_util import check_grads

from smoothjax import ops
from tests.support import assert_close, random

KERNELS, OFFSETS = (3, 3), (1, 2)  # of one output pixel


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    ("operation", "of_a_pixel", "scale"), [(ops.carafe, KERNELS, 1), (ops.dysample, OFFSETS, 0.05)]
)
def test_derivatives(operation, of_a_pixel, scale):
    """For both arguments, in both modes; sampled points lie between two pixels, away from the kinks."""
    x = random(0, 1, 4, 3, 2, dtype=jnp.float64)
    values = scale * random(1, 1, 8, 6, *of_a_pixel, dtype=jnp.float64)
    check_grads(jax.jit(operation), (x, values), order=2, modes=("fwd", "rev"), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(("operation", "of_a_pixel"), [(ops.carafe, KERNELS), (ops.dysample, OFFSETS)])
def test_one_set_of_values_for_the_batch_and_vmap_over_sets(operation, of_a_pixel):
    x, values = random(0, 2, 3, 4, 2), random(1, 3, 6, 8, *of_a_pixel)
    found = jax.vmap(lambda one: operation(x, one[None]))(values)
    expected = [operation(x, jnp.broadcast_to(one, (2, *one.shape))) for one in values]
    assert_close(found, jnp.stack(expected))


@pytest.mark.parametrize(
    ("operation", "shape", "message"),
    [
        (ops.carafe, (1, 6, 8, 2, 3), r"kernels must have odd sizes K .*, got \(2, 3\), .*use e\.g\. 5 taps"),
        (
            ops.carafe,
            (1, 3, 4, 3, 3),
            r"kernels must be \[N, \*\(factor \* S\), \*K\].*here \[1, 6, 8, any, any\], got",
        ),
        (ops.carafe, (3, 6, 8, 3, 3), r"kernels must be .*here \[2, 6, 8, any, any\], got shape \(3, 6, 8, 3, 3\)"),
        (ops.dysample, (1, 6, 8, 2, 2), r"offsets must have a number of groups G .*, got 2,.*with 3 channels"),
        (
            ops.dysample,
            (1, 3, 4, 1, 2),
            r"offsets must be \[N, \*\(factor \* S\), G, d\].*here \[1, 6, 8, any, 2\], got",
        ),
        (ops.dysample, (1, 6, 8, 1, 3), r"offsets must be .*here \[1, 6, 8, any, 2\], got shape \(1, 6, 8, 1, 3\)"),
    ],
)
def test_refuses_values_that_do_not_fit(operation, shape, message):
    with pytest.raises(ValueError, match=message):
        operation(jnp.zeros((2, 3, 4, 3)), jnp.zeros(shape))
