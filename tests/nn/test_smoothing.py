"""The SS operations as layers: each starts as the identity, and computes its operation afterwards."""

from typing import Any

import chex
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from smoothjax import nn, ops
from tests.support import assert_close, random

RNGS = nnx.Rngs(0)


@pytest.mark.parametrize("kernel_size", [(3,), (4,), (3, 3), (2, 5), (7, 7), (3, 2, 1)])
def test_ss_conv_starts_as_the_identity(kernel_size):
    x = random(0, 2, *(6,) * len(kernel_size), 3)
    chex.assert_trees_all_equal(nn.SSConv(kernel_size, rngs=RNGS)(x), x)


@pytest.mark.parametrize(("rate", "padding"), [(2, "SAME"), (3, "SAME"), (2, ((2, 2), (4, 0)))])
def test_dilated_ss_conv_starts_as_the_identity(rate, padding):
    x = random(0, 1, 8, 8, 2)
    chex.assert_trees_all_equal(nn.SSConv((3, 3), rate=rate, padding=padding, rngs=RNGS)(x), x)


def test_valid_ss_conv_starts_as_the_centre():
    x = random(0, 1, 8, 8, 2)
    for padding in ("VALID", ((0, 0), (0, 0))):
        chex.assert_trees_all_equal(nn.SSConv((3, 5), padding=padding, rngs=RNGS)(x), x[:, 1:-1, 2:-2])
    chex.assert_trees_all_equal(nn.SSConv((3, 5), padding=((0, 0), (1, 1)), rngs=RNGS)(x), x[:, 1:-1, 1:-1])


@pytest.mark.parametrize("size", [(6,), (7,), (6, 6), (7, 5), (3, 4, 5)])
def test_block_fc_and_group_interaction_are_two_views(size):
    x, ndim = random(0, 2, *size, 3), len(size)
    on_blocks, on_groups = nn.SSBlockFC(2, ndim, rngs=RNGS), nn.GroupInteraction(2, ndim, rngs=RNGS)
    chex.assert_trees_all_equal(on_blocks(x), x)
    groups = ops.periodic_subsample(x, rate=2)
    chex.assert_trees_all_equal(on_groups(groups), groups)

    on_blocks.smoother[...] = on_groups.smoother[...] = random(1, 2**ndim, 2**ndim)
    assert_close(on_blocks(x), ops.reinterlace(on_groups(groups), rate=2, spatial_shape=size))


@pytest.mark.parametrize("rates", [(1, 2), (3, 2)])
def test_rates_by_axis(rates):
    """Each layer starts as the identity, and computes its operation afterwards."""
    x, number = random(0, 1, 7, 8, 2), rates[0] * rates[1]
    filtered = nn.SSConv((3, 5), rate=rates, rngs=RNGS)
    on_blocks, on_groups = nn.SSBlockFC(rates, 2, rngs=RNGS), nn.GroupInteraction(rates, 2, rngs=RNGS)
    groups = ops.periodic_subsample(x, rate=rates)
    for layer, maps in ((filtered, x), (on_blocks, x), (on_groups, groups)):
        chex.assert_trees_all_equal(layer(maps), maps)
    assert on_blocks.smoother.shape == on_groups.smoother.shape == (number, number)
    assert (filtered.rate, nn.SSConv((3, 5), rate=(2, 2), rngs=RNGS).rate) == (rates, 2)
    filtered.smoother[...] = random(1, 3, 5)
    assert_close(filtered(x), ops.ss_conv(x, filtered.smoother[...], rate=rates))
    on_blocks.smoother[...] = on_groups.smoother[...] = random(2, number, number)
    assert_close(on_blocks(x), ops.reinterlace(on_groups(groups), rate=rates, spatial_shape=(7, 8)))
    assert {one.kind for one in nn.smoothers(nnx.List([filtered, on_blocks])).values()} == {
        "ss_conv",
        "group_interaction",
    }


def test_dtypes():
    x = random(0, 1, 6, 6, 2, dtype=jnp.bfloat16)
    for layer in (nn.SSConv((3, 3), rngs=RNGS), nn.SSBlockFC(2, 2, rngs=RNGS)):
        assert layer(x).dtype == jnp.bfloat16
        assert layer.smoother.dtype == jnp.float32


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.SSConv(3, rngs=RNGS), "kernel_size must be a tuple"),  # pyright: ignore[reportArgumentType]
        (lambda: nn.SSConv((2, 2), rate=2, rngs=RNGS), r"no filter of kernel_size \(2, 2\) at rate 2 is the identity"),
        (lambda: nn.SSConv((3, 3), padding=((3, 0), (1, 1)), rngs=RNGS), "no filter .* use odd sizes with 'SAME'"),
        (lambda: nn.SSConv((3, 3), rate=0, rngs=RNGS), "rate must be an int >= 1, got 0"),
        (lambda: nn.SSConv((3, 3), padding="same", rngs=RNGS), "padding must be 'SAME', 'VALID' or 2 pairs"),
        (lambda: nn.SSConv((3, 3), padding=((1, 1),), rngs=RNGS), "padding must be 'SAME', 'VALID' or 2 pairs"),
        (lambda: nn.SSBlockFC(0, 2, rngs=RNGS), "rate must be an int >= 1, got 0"),
        (lambda: nn.GroupInteraction(2, 4, rngs=RNGS), "ndim must be 1, 2 or 3"),
        (lambda: nn.SSBlockFC((2, 2, 2), 2, rngs=RNGS), "rate must be an int >= 1 or 2 ints, one for each"),
        (lambda: nn.SSConv((3, 3), rate=(2,), rngs=RNGS), "rate must be an int >= 1 or 2 ints, one for each"),
    ],
)
def test_refuses(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("padding", [[(2, 1), (0, 2)], ([2, 1], [0, 2]), np.array([[2, 1], [0, 2]])])
@pytest.mark.parametrize(
    "make",
    [
        lambda padding: nn.SSConv((3, 3), padding=padding, rngs=RNGS),
        lambda padding: nn.DilatedConv(2, 2, (3, 3), rate=2, padding=padding, rngs=RNGS),
    ],
    ids=["SSConv", "DilatedConv"],
)
def test_padding_of_any_sequence_becomes_tuples(make, padding):
    """Flax hashes the options of a layer."""
    layer, same = make(padding), make(((2, 1), (0, 2)))
    assert layer.padding == same.padding == ((2, 1), (0, 2))
    assert hash(nnx.split(layer)[0]) == hash(nnx.split(same)[0])
    assert {type(side) for pair in layer.padding for side in pair} == {int}


@pytest.mark.parametrize("make", [lambda: nn.SSConv((3, 3), rngs=RNGS), lambda: nn.SSBlockFC(2, 2, rngs=RNGS)])
def test_any_number_of_batch_axes(make):
    layer, x = make(), random(0, 2, 3, 5, 6, 2)
    layer.smoother[...] = random(1, *layer.smoother.shape)
    stacked = jnp.stack([layer(part) for part in x])
    assert_close(layer(x), stacked)
    assert_close(layer(x[0, 0]), stacked[0, 0])
    with pytest.raises(ValueError, match=r"x must be \[\.\.\., \*S, C\] with the 2 spatial axes.*got shape \(6, 2\)"):
        layer(x[0, 0, 0])


def test_layers_describe_their_smoothing_parameters():
    """Optimisers, costs and figures rely on it: no smoother is missed or taken for another kind."""

    def make(rngs):
        return nnx.List(
            [
                nn.DilatedConv(1, 1, (3, 3), rate=2, rngs=rngs),
                nn.DilatedConv(1, 1, (3, 3), rate=2, smoothing="gaussian_filter", rngs=rngs),
                nn.DilatedConv(1, 1, (3, 3), rate=2, smoothing="group_interaction", rngs=rngs),
                nn.DilatedConv(1, 1, (3, 3), rate=2, smoothing="aggregated_filters", rngs=rngs),
                nn.CausalDilatedConv(1, 1, 2, rate=3, smoothing="ss_conv", rngs=rngs),
                nn.SSConv((2, 3), padding=((1, 0), (1, 1)), rngs=rngs),
                nn.SSBlockFC(3, 1, rngs=rngs),
            ]
        )

    model = make(nnx.Rngs(0))
    found = nn.smoothers(model)
    assert {path: smoother.kind for path, smoother in found.items()} == {
        (2, "smoother"): "group_interaction",
        (3, "smoother"): "ss_conv",
        (3, "aggregation"): "aggregation",
        (4, "smoother"): "causal_ss_conv",
        (5, "smoother"): "ss_conv",
        (6, "smoother"): "group_interaction",
    }
    parameters: dict[Any, Any] = dict(nnx.to_flat_state(nnx.state(model)))
    assert set(found) == {path for path in parameters if nn.is_smoother(path)}
    for path, smoother in found.items():
        np.testing.assert_array_equal(smoother.parameter[...], smoother.initial)
        np.testing.assert_array_equal(smoother.parameter[...], parameters[path][...])
    assert set(nn.smoothers(nnx.eval_shape(lambda: make(nnx.Rngs(0))))) == set(found)
    with pytest.raises(
        ValueError, match="model must be a Flax NNX module, got dict: parameters without their layers have no descr"
    ):
        nn.smoothers({})  # pyright: ignore[reportArgumentType]
