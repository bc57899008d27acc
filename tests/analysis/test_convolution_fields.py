"""Receptive fields in what each convolution of a program is given: those of its layers, where these have names."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from smoothjax import analysis, nn
from tests.support import assert_close, random

INPUTS = random(0, 2, 9, 8, 2)


class Network(nnx.Module):
    """Layers in sequence, one of them smoothed, with a shortcut around another."""

    def __init__(self, rngs: nnx.Rngs):
        self.stem = nnx.Conv(2, 3, (3, 3), strides=(2, 1), rngs=rngs)
        self.smoothed = nn.DilatedConv(3, 3, (3, 3), rate=2, smoothing="ss_conv", rngs=rngs)
        self.last = nnx.Conv(3, 2, (3, 3), kernel_dilation=2, rngs=rngs)
        self.last.kernel[...] = jnp.abs(self.last.kernel[...])

    def __call__(self, x):
        x = nnx.sigmoid(self.stem(x))
        y = jnp.sin(self.smoothed(x))
        return x[..., :2] + self.last(y)


def test_it_is_that_of_the_layers():
    """For a function it needs no names, and gives what `layer_fields` finds in an NNX module."""
    network = Network(nnx.Rngs(0))
    fields = analysis.convolution_fields(lambda x: network(x), INPUTS)
    expected = {one.name: one.field for one in analysis.layer_fields(network, INPUTS)}
    convolutions = analysis.certify(network, INPUTS).convolutions
    # The layer that is smoothed is given what its first convolution is given.
    assert [one.name for one in convolutions] == ["stem", "smoothed", "smoothed", "last"]
    assert len(fields) == 4
    for number, name in ((0, "stem"), (1, "smoothed"), (3, "last")):
        assert_close(fields[number], expected[name], 1e-6)


def test_between_two_convolutions_it_is_the_field_of_the_block():
    network = Network(nnx.Rngs(0))
    block = analysis.between(network, INPUTS, "stem", "stem")
    expected = analysis.effective_receptive_field(block, block.features(INPUTS))
    first, *later = analysis.convolution_fields(lambda x: network(x), INPUTS, of=0)
    assert_close(first, expected, 1e-6)
    assert not np.any(later[-1])


@pytest.mark.parametrize("spec", ["NHWC", "NCHW"])
def test_any_layout_and_mapped_networks(spec):
    """Equinox maps a network of one example, channels first."""
    kernel = random(1, 3, 3, 2, 2)
    order = ("NHWC", "HWIO", "NHWC") if spec == "NHWC" else ("NCHW", "HWIO", "NCHW")

    def one(x):
        return lax.conv_general_dilated(x[None], kernel, (1, 1), "SAME", rhs_dilation=(2, 2), dimension_numbers=order)[
            0
        ]

    def network(x):
        moved = jnp.moveaxis(x, -1, 1) if spec == "NCHW" else x
        y = jax.vmap(lambda x: one(jnp.tanh(one(x))))(moved)
        return jnp.moveaxis(y, 1, -1) if spec == "NCHW" else y

    first, last = analysis.convolution_fields(network, INPUTS)
    assert_close(first, analysis.effective_receptive_field(network, INPUTS), 1e-6)
    assert (last > 0).sum() == 9
    assert analysis.phase_imbalance(last, rate=2) == pytest.approx(1)


def test_a_loop_with_convolutions_and_an_unknown_number_are_refused():
    kernel = random(1, 3, 3, 2, 2)

    def turn(x, _):
        return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")), None

    with pytest.raises(ValueError, match="function calls convolutions in an operation scan"):
        analysis.convolution_fields(lambda x: lax.scan(turn, x, None, length=2)[0], INPUTS)
    with pytest.raises(ValueError, match="of must be the number of one of the 1 convolutions, from 0, got 1"):
        analysis.convolution_fields(lambda x: turn(x, None)[0], INPUTS, of=1)
