"""The field of an output in the maps of each layer: against the blocks of `between`, and with repeated calls."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from smoothjax import analysis, nn


def _conv(rate):
    return nn.DilatedConv(1, 1, (3,), rate=rate, rngs=nnx.Rngs(rate))


class Shared(nnx.Module):
    """A layer that is called twice, with a path around it."""

    def __init__(self):
        self.conv, self.last = _conv(2), _conv(1)

    def __call__(self, x):
        return self.last(x + self.conv(jnp.tanh(self.conv(x))))


def test_they_are_the_fields_of_the_blocks_behind():
    """The field of a layer's input equals the field of the block from that layer to the end."""
    model = nnx.Sequential(_conv(1), jnp.tanh, _conv(2), _conv(4))
    inputs = jax.random.normal(jax.random.key(0), (2, 32, 1))
    found = analysis.layer_fields(model, inputs)
    assert [one.name for one in found] == ["layers.0", "layers.2", "layers.3"]
    for one in found:
        block = analysis.between(model, inputs, one.name, "layers.3")
        expected = analysis.effective_receptive_field(block, block.features(inputs))
        np.testing.assert_allclose(one.field, expected, rtol=1e-5, atol=1e-7)
    assert found[0].module is model.layers[0]


def test_a_layer_that_is_called_twice_has_two():
    """Paths around the layer do not count: the field of the first call includes only what passes both calls."""
    found = analysis.layer_fields(Shared(), jnp.ones((1, 33, 1)))
    assert [one.name for one in found] == ["conv", "conv", "last"]
    assert np.flatnonzero(found[1].field).tolist() == [13, 14, 15, 16, 17, 18, 19]


@pytest.mark.parametrize(
    ("model", "message"), [(lambda x: x, "model must be a Flax NNX module"), (nnx.List([]), "has no __call__")]
)
def test_refuses(model, message):
    with pytest.raises(ValueError, match=message):
        analysis.layer_fields(model, jnp.ones((1, 9, 1)))
