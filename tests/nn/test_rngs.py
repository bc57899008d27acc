"""Keys for initial weights, drawn together."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from smoothjax import nn


@pytest.mark.parametrize("generator", ["threefry2x32", "rbg", "unsafe_rbg"])
def test_keys_drawn_together_are_those_of_flax(generator):
    """Across two blocks of keys: other keys would change initial weights."""
    key = jax.random.key(3, impl=generator)

    def draw(rngs):
        return jax.random.key_data(jnp.stack([rngs.params() for _ in range(70)]))

    flax, ours = jax.jit(lambda: draw(nnx.Rngs(key)))(), jax.jit(lambda: draw(nn.traced_rngs(key)))()
    np.testing.assert_array_equal(ours, flax)
