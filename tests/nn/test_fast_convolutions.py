"""Fast convolutions in an existing model."""

from typing import Any

import jax.numpy as jnp
import pytest
from flax import nnx
from jax import lax

from smoothjax import nn, ops
from tests.support import assert_close, random


def _model() -> nnx.Sequential:
    rngs = nnx.Rngs(0)
    own = nnx.Conv(4, 4, (3, 3), conv_general_dilated=lambda *a, **k: lax.conv_general_dilated(*a, **k), rngs=rngs)
    return nnx.Sequential(
        nnx.Conv(3, 4, (3, 3), rngs=rngs), nnx.relu, own, nnx.Conv(4, 2, (1, 1), strides=2, rngs=rngs)
    )


def test_every_convolution_is_changed_once_and_computes_the_same():
    model, x = _model(), random(0, 2, 9, 9, 3)
    before = model(x)
    assert nn.use_fast_convolutions(model) == [("layers", 0), ("layers", 3)]
    first: Any = model.layers[0]
    assert first.conv_general_dilated is ops.conv_general_dilated
    assert_close(model(x), before)
    assert nn.use_fast_convolutions(model) == []


def test_fast_convolutions_can_still_be_smoothed():
    model = nnx.Sequential(nnx.Conv(3, 4, (3, 3), kernel_dilation=2, rngs=nnx.Rngs(0)))
    nn.use_fast_convolutions(model)
    assert nn.smooth(model, "ss_conv", rngs=nnx.Rngs(0))[1] == [("layers", 0)]


def test_what_is_no_model_is_refused():
    with pytest.raises(ValueError, match=r"model must be a Flax NNX module.*got ArrayImpl"):
        nn.use_fast_convolutions(jnp.ones(3))
