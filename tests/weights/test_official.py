"""Group interaction weights of the authors' code."""

import jax.numpy as jnp
import numpy as np
import pytest

from smoothjax import ops, weights
from tests.support import assert_close, random


@pytest.mark.parametrize(("rate", "size"), [(2, "10x10"), (2, "9x14"), (4, "13x17")])
def test_official_code(shared_data, rate, size):
    reference = np.load(shared_data(f"official_ops/smooth_GI_r{rate}_{size}.npz"))
    weight = weights.group_interaction_weight_from_official(reference["d.fix_w"])
    out = ops.group_interaction_dilated_conv(reference["x"], reference["d.weights"], weight, rate=rate)
    assert_close(out, reference["y"], 1e-5)


def test_the_published_formula():
    fix_w, groups = np.asarray(random(0, 4, 4)), random(1, 4, 2, 3, 3, 5)
    out = ops.group_interaction(groups, weights.group_interaction_weight_from_official(fix_w))
    expected = [fix_w[0, i] * groups[i] + sum(fix_w[j, i] * groups[j] for j in range(1, 4)) for i in range(4)]
    assert_close(out, jnp.stack(expected))
    paper = ops.group_interaction(groups, jnp.asarray(fix_w.T))
    assert not jnp.allclose(out, paper, atol=1e-2)  # the code and Eq. 3 are not the same operation


def test_refuses_the_filter_of_an_ss_convolution():
    with pytest.raises(ValueError, match=r"fix_w must be a square matrix.*got shape \(3, 3, 1, 1, 1\)"):
        weights.group_interaction_weight_from_official(jnp.zeros((3, 3, 1, 1, 1)))
