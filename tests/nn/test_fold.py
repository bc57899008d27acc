"""Folding for inference: folded layers keep all outputs, borders included; others stay, with a reason."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from smoothjax import models, nn, ops, weights
from tests.support import assert_close, random

SMOOTHED = [smoothing for smoothing in nn.SMOOTHINGS if smoothing != "none"]


def _learnt(layer: Any) -> Any:
    """The layer with a smoothing away from the identity."""
    for index, name in enumerate(("smoother", "aggregation")):
        parameter = getattr(layer, name, None)
        if parameter is not None:
            parameter[...] = random(index + 1, *parameter.shape, dtype=parameter.dtype)
    return layer


def _layer(channels=(2, 2), kernel=(1, 1), groups=2, **options) -> Any:
    features, out = channels
    return _learnt(nn.DilatedConv(features, out, kernel, feature_group_count=groups, rngs=nnx.Rngs(0), **options))


@pytest.mark.parametrize("smoothing", SMOOTHED)
def test_rate_1_is_a_factor_of_the_kernel(smoothing):
    """Even if the convolution pads, since a filter of one tap does not."""
    layer, x = _layer((3, 4), (3, 3), 1, rate=1, smoothing=smoothing), random(0, 1, 6, 7, 3)
    expected = layer(x)
    _, paths = nn.fold(layer)
    assert (paths, layer.smoothing, layer.smoother, layer.kernel_size) == ([()], "none", None, (3, 3))
    assert_close(layer(x), expected)


@pytest.mark.parametrize("smoothing", [one for one in SMOOTHED if one != "group_interaction"])
@pytest.mark.parametrize("rate", [2, (2, 3)])
def test_one_tap_of_each_channel_becomes_the_filter(smoothing, rate):
    """Exact at the border as well, where the filter reads the zeros outside."""
    layer, x = _layer(rate=rate, smoothing=smoothing), random(0, 2, 7, 8, 2)
    expected = layer(x)
    _, paths = nn.fold(layer)
    assert paths == [()]
    assert (layer.rate, layer.kernel.shape) == (1, ((3, 3, 1, 2) if rate == 2 else (3, 5, 1, 2)))
    assert_close(layer(x), expected)
    again = nn.fold(layer)[1]
    assert (again, again.refused) == ([], {})


OPTIONS: dict[str, dict[str, Any]] = {
    "valid, two taps": {"kernel": (2,), "padding": "VALID"},
    "circular, two taps": {"kernel": (2,), "padding": "CIRCULAR"},
    "to one channel": {"channels": (3, 1), "kernel": (2,), "groups": 1, "padding": "VALID"},
    "strided": {"strides": 2},
    "depthwise in three axes": {"kernel": (1, 1, 1)},
    "more around it": {"before": lambda x: 2 * x, "after": lambda x: x + 1},
    "bfloat16": {"dtype": jnp.bfloat16, "param_dtype": jnp.bfloat16},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options_stay(name):
    layer = _layer(rate=2, smoothing="ss_conv", **OPTIONS[name])
    x = random(0, 1, *(9, 8, 5)[: len(layer.kernel_size)], layer.in_features, dtype=layer.dtype or jnp.float32)
    expected = layer(x)
    _, paths = nn.fold(layer)
    assert paths == [()]
    assert layer(x).dtype == expected.dtype
    assert_close(layer(x), expected)


@pytest.mark.parametrize(
    ("taps", "rate", "smoothing"), [(2, 2, "ss_conv"), (3, 1, "ss_conv"), (2, 1, "group_interaction")]
)
def test_causal_layers_fold_exactly_from_the_first_step(taps, rate, smoothing):
    layer: Any = nn.CausalDilatedConv(2, 1, taps, rate=rate, smoothing=smoothing, rngs=nnx.Rngs(0))
    x = random(0, 1, 9, 2)
    expected = _learnt(layer)(x)
    assert nn.fold(layer)[1] == [()]
    assert_close(layer(x), expected)
    moved = jnp.abs(layer(x.at[0, 4].add(1.0)) - layer(x)).max((0, 2)) > 0
    assert jnp.flatnonzero(moved)[0] == 4


def test_stacked_layers_fold_one_by_one():
    one = partial(nn.DilatedConv, 2, 1, (1,), rate=2, smoothing="aggregated_filters")
    make: Any = nnx.vmap(lambda key: one(rngs=nnx.Rngs(key)))
    stack, x = _learnt(make(jax.random.split(jax.random.key(0), 2))), random(0, 2, 1, 7, 2)
    run = nnx.vmap(lambda layer, x: layer(x))
    expected = run(stack, x)
    assert nn.fold(nnx.List([stack]))[1] == [(0,)]
    assert_close(run(stack, x), expected)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"groups": 1, "kernel": (3, 3), "rate": 2}, "a dense kernel multiplies 3.6 times as often"),
        ({"kernel": (3, 3), "rate": 4}, "a dense kernel multiplies 3.9 times as often"),
        ({"channels": (2, 1), "groups": 1, "rate": 2}, "a dense kernel takes longer"),
        ({"rate": 4}, "a dense kernel takes longer, though it multiplies no more often"),
        ({"rate": 2, "smoothing": "group_interaction"}, "group interaction depends on the place in a block"),
        ({"kernel": (2,), "rate": 2}, "its convolution pads a filtered map"),
        ({"kernel": (2,), "rate": 2, "padding": "REFLECT"}, "its convolution pads a filtered map"),
    ],
)
def test_what_would_be_slower_or_another_map_stays(options, reason):
    layer = _layer(**({"smoothing": "ss_conv"} | options))
    before = layer.kernel
    _, paths = nn.fold(layer)
    assert (paths, layer.kernel is before) == ([], True)
    assert paths.refused[()].startswith(reason)


def test_why_a_padded_layer_is_refused():
    """The dense kernel reads the filtered map beyond the border, where the layer has zeros: they agree only inside."""
    layer, x = _layer((2, 1), (2,), 1, rate=2, smoothing="ss_conv", use_bias=False), random(0, 1, 12, 2)
    dense = jnp.zeros((5, 2, 1))
    for tap in range(2):
        dense = dense.at[2 * tap : 2 * tap + 3].add(layer.smoother[...][:, None, None] * layer.kernel[tap][None])
    folded = ops.dilated_conv(x, dense, padding=((2, 2),))
    assert_close(folded[:, 1:-1], layer(x)[:, 1:-1])
    assert not np.allclose(folded, layer(x), atol=1e-3)


def test_a_network_names_what_was_folded_and_a_file_has_no_place_for_it(tmp_path):
    model = models.TemporalConvNet(3, in_features=2, width=2, depth=3, smoothing="ss_conv", rngs=nnx.Rngs(0))
    model, paths = nn.fold(model, skip="blocks.2")
    assert [path[:2] for path in paths] == [("blocks", 0)]
    assert [path[:2] for path in paths.refused] == [("blocks", 1)]
    assert [path[:2] for path in paths.skipped] == [("blocks", 2)]
    with pytest.raises(ValueError, match=r"got one changed in .*, and save it before nn\.fold"):
        weights.save(model, tmp_path / "model.safetensors")
