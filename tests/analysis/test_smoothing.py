"""The smoothing parameters found in a network, their distance from the identity, and their drawing."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from smoothjax import models, nn
from smoothjax.analysis import SmoothingParameter, describe_smoothing, draw_smoothing, smoothing_parameters
from tests.support import build

RATES = (2, 2, 2, 2, 2, 2, 4, 4, 4, 4, 4, 4)


@functools.cache
def _initial(smoothing):
    return nnx.split(_built(smoothing))


def _gcanet(smoothing):
    graph, state = _initial(smoothing)
    return nnx.merge(graph, state)


def _built(smoothing):
    return build(lambda rngs: models.GCANet(task="dehaze", smoothing=smoothing, width=2, rngs=rngs))


def _disturbed(model, scale=0.1):
    """The model with every smoother slightly off the identity."""
    for number, parameter in enumerate(smoothing_parameters(model)):
        layer = model
        for key in parameter.path:
            layer = layer[key] if isinstance(key, int) else getattr(layer, str(key))
        noise = np.random.default_rng(number).standard_normal(parameter.value.shape)
        layer.smoother[...] = layer.smoother[...] + scale * jnp.asarray(noise, jnp.float32)
    return model


@pytest.mark.parametrize("smoothing", ["ss_conv", "group_interaction"])
def test_all_layers_in_their_order_and_at_the_identity(smoothing):
    found = smoothing_parameters(_gcanet(smoothing))
    assert [p.path for p in found] == [("blocks", i, f"conv{j}") for i in range(6) for j in (1, 2)]
    assert {p.kind for p in found} == {smoothing}
    assert [p.distance for p in found] == [0.0] * 12
    shapes = [(2 * r - 1,) * 2 if smoothing == "ss_conv" else (r * r,) * 2 for r in RATES]
    assert [p.value.shape for p in found] == shapes


@pytest.mark.parametrize("smoothing", ["ss_conv", "group_interaction"])
def test_a_model_its_state_and_its_dicts_give_the_same(smoothing):
    model = _disturbed(_gcanet(smoothing))
    state = nnx.state(model, nnx.Param)
    found = smoothing_parameters(model)
    assert min(p.distance for p in found) > 0.02
    for other in (state, nnx.to_pure_dict(state)):
        for one, two in zip(found, smoothing_parameters(other), strict=True):
            assert (one.path, one.kind, one.distance) == (two.path, two.kind, two.distance)
            np.testing.assert_array_equal(one.value, two.value)


def test_the_distance_is_relative_to_the_identity():
    conv = np.array([[0.0, 0.3, 0.0], [0.0, 1.4, 0.0], [0.0, 0.0, 0.0]])
    matrix = np.eye(4)
    matrix[1, 2] = 2.0
    zeros = {"layer": {"smoother": np.zeros((16, 16))}}
    found = smoothing_parameters({"b": {"smoother": matrix}, "a": {"smoother": conv}} | zeros)
    assert [p.path for p in found] == [("a",), ("b",), ("layer",)]
    assert [p.distance for p in found] == pytest.approx([0.5, 1.0, 1.0])
    assert [p.kind for p in found] == ["ss_conv", "group_interaction", "group_interaction"]


def test_names_are_in_natural_order():
    params: dict[str, Any] = {
        name: {"smoother": np.ones(1)} for name in ("conv10", "conv2", "b10", "b9", "x", "conv2b")
    }
    params["blocks"] = {i: {"smoother": np.ones(1)} for i in (11, 2)}
    found = [".".join(map(str, p.path)) for p in smoothing_parameters(params)]
    assert found == ["b9", "b10", "blocks.2", "blocks.11", "conv2", "conv2b", "conv10", "x"]


def test_every_layer_of_the_library_in_one_to_three_dimensions():
    def layers(rngs, d):
        return (
            nn.SSConv((3,) * d, rngs=rngs),
            nn.SSBlockFC(3, d, rngs=rngs),
            nn.GroupInteraction(2, d, rngs=rngs),
            nn.DilatedConv(1, 1, (3,) * d, rate=3, smoothing="ss_conv", rngs=rngs),
            nn.DilatedConv(1, 1, (3,) * d, rate=2, smoothing="group_interaction", rngs=rngs),
            nn.DilatedConv(1, 1, (3,) * d, rate=4, smoothing="circulant_group_interaction", rngs=rngs),
        )

    model = build(lambda rngs: nnx.List([layer for d in (1, 2, 3) for layer in layers(rngs, d)]))
    kinds = ["ss_conv", "group_interaction", "group_interaction", "ss_conv", "group_interaction"]
    kinds = [*kinds, "circulant_group_interaction"] * 3
    for source in (model, nnx.state(model)):
        found = smoothing_parameters(source)
        assert [p.kind for p in found] == kinds
        assert {p.distance for p in found} == {0.0}
    figure = draw_smoothing(smoothing_parameters(model))
    assert len([axes for axes in figure.axes if axes.images]) == 18
    assert np.asarray(figure.axes[12].images[0].get_array()).shape == (
        3,
        11,
    )  # the three slices of a filter, side by side


def test_shapes_of_two_kinds_are_told_apart_by_the_layer():
    """9x9 is both the filter of rate 5 and the matrix of rate 3; a trained one may be nearer to the wrong identity."""
    layer = nn.DilatedConv(1, 1, (3, 3), rate=5, smoothing="ss_conv", rngs=nnx.Rngs(0))
    layer.smoother = nnx.Param(jnp.eye(9))
    model = nnx.List([layer])
    assert [p.kind for p in smoothing_parameters(model)] == ["ss_conv"]
    assert [p.kind for p in smoothing_parameters(nnx.state(model))] == ["group_interaction"]


@pytest.mark.parametrize(("smoothing", "size"), [("ss_conv", 3), ("group_interaction", 4)])
@pytest.mark.parametrize("count", [2, 3])
def test_layers_of_a_stack_are_shown_one_by_one(smoothing, size, count):
    """Three stacked 3x3 filters look like one 3x3x3 filter."""
    make: Any = nnx.vmap(lambda key: nn.DilatedConv(1, 1, (3, 3), rate=2, smoothing=smoothing, rngs=nnx.Rngs(key)))
    model = nnx.List([make(jax.random.split(jax.random.key(0), count))])
    layer: Any = model[0]
    layer.smoother[...] = layer.smoother[...] * jnp.linspace(1, 2, count)[:, None, None]
    for source in (model, nnx.state(model)):
        found = smoothing_parameters(source)
        assert [p.path for p in found] == [(0, place) for place in range(count)]
        assert {(p.kind, p.value.shape) for p in found} == {(smoothing, (size, size))}
        np.testing.assert_allclose([p.distance for p in found], np.linspace(0, 1, count), atol=1e-6)
    assert f"0.{count - 1}" in describe_smoothing(found)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0)])
def test_refuses_what_is_no_smoother(shape):
    with pytest.raises(ValueError, match=r"blocks.0.smoother has the shape .* neither an SS filter .* nor a group"):
        smoothing_parameters({"blocks": {0: {"smoother": np.zeros(shape)}}})


def test_a_network_without_smoothing_has_none():
    assert smoothing_parameters(_gcanet("none")) == ()
    assert smoothing_parameters({}) == ()
    with pytest.raises(ValueError, match="at least one layer to draw: smooth the network first"):
        draw_smoothing(())


def test_the_table_says_what_the_figure_shows():
    found = smoothing_parameters(_disturbed(_gcanet("ss_conv")))
    lines = describe_smoothing(found).splitlines()
    assert len({len(line) for line in lines}) == 1
    for parameter, line in zip(found, lines[1:], strict=True):
        identity = np.zeros(parameter.value.shape)
        identity[tuple(np.array(parameter.value.shape) // 2)] = 1
        largest = np.abs(parameter.value - identity).max()
        assert line.split()[-2:] == [f"{parameter.distance:.3f}", f"{largest:.3f}"]
        assert line.startswith(".".join(map(str, parameter.path)))


def test_the_figure_has_one_symmetric_scale():
    found = smoothing_parameters(_disturbed(_gcanet("ss_conv")))
    found += smoothing_parameters(_disturbed(_gcanet("group_interaction"), 0.2))
    figure = draw_smoothing(found, columns=5, title="Two networks")
    panels = [axes for axes in figure.axes if axes.images]
    limit = max(np.abs(p.value).max() for p in found)
    for axes, parameter in zip(panels, found, strict=True):
        (image,) = axes.images
        np.testing.assert_array_equal(image.get_array(), parameter.value)
        assert image.get_clim() == pytest.approx((-limit, limit))
        assert f"{parameter.distance:.3f} from the identity" in axes.get_title()
        assert ".".join(map(str, parameter.path)) in axes.get_title()
        assert axes.get_xlabel() == ("offset, pixels" if parameter.kind == "ss_conv" else "from group")
    assert panels[0].images[0].get_extent() == [-1.5, 1.5, 1.5, -1.5]
    assert "no unit" in figure.axes[-1].get_ylabel()
    with pytest.raises(ValueError, match="columns must be at least 1, got 0"):
        draw_smoothing(found, columns=0)


def test_a_result_is_plain_numpy():
    for parameter in smoothing_parameters(_gcanet("ss_conv")):
        assert isinstance(parameter, SmoothingParameter)
        assert isinstance(parameter.value, np.ndarray)
        assert not isinstance(parameter.value, jax.Array)
        assert parameter.value.dtype == np.float64


def test_filters_of_ziegler_et_al():
    """Shows the SS filter of aggregated filters, even if a matrix has its size; fixed filters have no parameters."""
    make = functools.partial(nn.DilatedConv, 3, 4, (3, 3), rate=5, rngs=nnx.Rngs(0))
    found = smoothing_parameters(nnx.List([make(smoothing="average_filter"), make(smoothing="aggregated_filters")]))
    assert [(entry.path, entry.kind, entry.value.shape) for entry in found] == [((1,), "ss_conv", (9, 9))]
    assert len(describe_smoothing(found).splitlines()) == 2
    fixed = smoothing_parameters(make(smoothing="gaussian_filter"))
    assert fixed == ()
    assert len(describe_smoothing(fixed).splitlines()) == 1
    with pytest.raises(ValueError, match="at least one layer to draw"):
        draw_smoothing(fixed)


def test_a_causal_filter_starts_from_its_last_tap():
    layer = nn.CausalDilatedConv(2, 2, 2, rate=4, smoothing="ss_conv", rngs=nnx.Rngs(0))
    for what in (nnx.List([layer]), {"a": nnx.state(layer)}):
        (found,) = smoothing_parameters(what)
        assert (found.kind, found.distance) == ("causal_ss_conv", 0.0)
    axes = draw_smoothing([found]).axes[0]
    assert axes.get_xlim() == (-6.5, 0.5)
    # Even at the centred identity, far from its own, the layer identifies its kind.
    layer.smoother[...] = jnp.zeros(7).at[3].set(1.0)
    (found,) = smoothing_parameters(nnx.List([layer]))
    assert (found.kind, round(found.distance, 3)) == ("causal_ss_conv", 1.414)
