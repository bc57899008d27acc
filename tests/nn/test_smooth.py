"""Plug and play: smoothing the dilated convolutions of models that know nothing about it."""

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import pytest
from flax import linen, nnx, struct
from flax.core import FrozenDict

from smoothjax import nn
from tests.support import assert_close, random

each_smoothing = pytest.mark.parametrize("smoothing", ["group_interaction", "ss_conv"])


def _conv(rate: int | tuple[int, ...] = 1, **options):
    return nnx.Conv(3, 3, (3, 3), kernel_dilation=rate, rngs=nnx.Rngs(0), **options)


class Network(nnx.Module):
    """A network with convolutions in every place where a model may keep them."""

    def __init__(self):
        self.stem = _conv(1)
        self.blocks = nnx.List([_conv(2), _conv(4, padding="VALID", use_bias=False)])
        self.tied = self.blocks[0]
        self.branches = nnx.Dict(wide=_conv((3, 3), padding=3), narrow=_conv())
        self.tail = nnx.Sequential(_conv(2, padding=((2, 2), (1, 3))), nnx.relu)

    def __call__(self, x):
        x = self.tied(self.blocks[0](nnx.relu(self.stem(x))))
        x = self.branches["wide"](x) + self.branches["narrow"](x)
        return self.tail(self.blocks[1](x))


def _run(model, x):
    return nnx.jit(lambda model, x: model(x))(model, x)


@each_smoothing
def test_outputs_stay_until_the_smoothing_is_trained(smoothing):
    model, x = Network(), random(0, 2, 15, 13, 3)
    before, kernels = _run(model, x), {path: v[...] for path, v in nnx.to_flat_state(nnx.state(model, nnx.Param))}
    smoothed, paths = nn.smooth(model, smoothing, rngs=nnx.Rngs(0))
    assert smoothed is model
    assert paths == [("blocks", 0), ("blocks", 1), ("branches", "wide"), ("tail", "layers", 0)]
    assert_close(_run(model, x), before)
    after = {path: v[...] for path, v in nnx.to_flat_state(nnx.state(model, nnx.Param))}
    chex.assert_trees_all_equal({path: after[path] for path in kernels}, kernels)
    assert {path for path in after if path not in kernels} == {(*path, "smoother") for path in paths}

    gradient = nnx.jit(nnx.grad(lambda model: jnp.mean(model(x) ** 2)))(model)
    for path, leaf in nnx.to_flat_state(gradient):
        assert not nn.is_smoother(path) or float(jnp.abs(leaf[...]).max()) > 0


def test_a_shared_layer_stays_one_layer():
    model, _ = nn.smooth(Network(), "ss_conv", rngs=nnx.Rngs(0))
    assert model.tied is model.blocks[0]


def test_a_lone_convolution_and_plain_containers():
    conv, x = _conv(2), random(0, 1, 7, 7, 3)
    layer, paths = nn.smooth(conv, "ss_conv", rngs=nnx.Rngs(0))
    assert paths == [()]
    assert isinstance(layer, nn.DilatedConv)
    assert layer.kernel is conv.kernel
    chex.assert_trees_all_equal(layer(x), conv(x))
    (_, second), paths = nn.smooth((_conv(), {"a": _conv(2)}), "ss_conv", rngs=nnx.Rngs(0))
    assert paths == [(1, "a")]
    assert isinstance(second["a"], nn.DilatedConv)


class Container(nnx.Pytree):
    """A pytree of Flax that is not a module."""

    def __init__(self, conv):
        self.conv = conv


def test_pytrees_shared_tuples_and_layers_inside_of_layers():
    pair = (_conv(2),)
    holder = Container(_conv(4))
    model: Any = nnx.Module()
    model.first, model.second, model.holder = nnx.data(pair), nnx.data(pair), holder
    model.outer = nn.DilatedConv(3, 3, (3, 3), rate=2, before=_conv(2), rngs=nnx.Rngs(0))
    _, paths = nn.smooth(model, "ss_conv", rngs=nnx.Rngs(0))
    assert sorted(map(str, paths)) == sorted(
        map(str, [("first", 0), ("holder", "conv"), ("outer",), ("outer", "before")])
    )
    assert isinstance(model.first[0], nn.DilatedConv)
    assert model.first[0] is model.second[0]
    assert isinstance(model.outer.before, nn.DilatedConv)
    assert isinstance(holder.conv, nn.DilatedConv)


@pytest.mark.parametrize("model", [3, None, "model"])
def test_refuses_what_is_no_model(model):
    with pytest.raises(
        ValueError, match=r"model must be a Flax NNX module or a container of them, got (int|NoneType|str)"
    ):
        nn.smooth(model, "ss_conv", rngs=nnx.Rngs(0))


def test_our_own_layers_are_smoothed_too_and_once():
    model = nnx.List([nn.DilatedConv(3, 3, (3, 3), rate=2, rngs=nnx.Rngs(0))])
    x = random(0, 1, 8, 8, 3)
    before = model[0](x)
    _, paths = nn.smooth(model, "group_interaction", rngs=nnx.Rngs(0))
    assert paths == [(0,)]
    chex.assert_trees_all_equal(model[0](x), before)
    assert nn.smooth(model, "ss_conv", rngs=nnx.Rngs(0))[1] == []


@pytest.mark.parametrize("dtype", [None, jnp.bfloat16])
def test_causal_and_unbatched(dtype):
    conv = nnx.Conv(3, 5, 2, kernel_dilation=4, padding="CAUSAL", dtype=dtype, rngs=nnx.Rngs(0))
    layer, _ = nn.smooth(conv, "none", rngs=nnx.Rngs(0))
    x = random(0, 20, 3)
    chex.assert_trees_all_equal(layer(x), conv(x))
    assert layer(x).dtype == conv(x).dtype


@pytest.mark.parametrize("smoothing", nn.CAUSAL_SMOOTHINGS[1:])
@pytest.mark.parametrize(
    "make",
    [
        lambda: nnx.Conv(3, 5, 2, kernel_dilation=4, padding="CAUSAL", rngs=nnx.Rngs(0)),
        lambda: nnx.Conv(3, 5, (2,), kernel_dilation=4, padding=[(4, 0)], use_bias=False, rngs=nnx.Rngs(0)),
        lambda: nn.DilatedConv(3, 5, (2,), rate=4, padding=[(4, 0)], rngs=nnx.Rngs(0)),
    ],
    ids=["CAUSAL", "pairs", "DilatedConv"],
)
def test_a_causal_layer_stays_causal_whatever_is_learnt(make, smoothing):
    conv, x = make(), random(0, 1, 16, 3)
    layer, paths = nn.smooth(conv, smoothing, rngs=nnx.Rngs(0))
    assert paths == [()]
    assert isinstance(layer, nn.CausalDilatedConv)
    assert layer.kernel is conv.kernel
    chex.assert_trees_all_equal(layer(x), conv(x))
    layer.smoother[...] = random(1, *layer.smoother.shape)
    moved = jnp.abs(layer(x.at[0, 8].add(1.0)) - layer(x)).max((0, 2)) > 0
    assert jnp.flatnonzero(moved)[0] == 8
    assert nn.smooth(layer, smoothing, rngs=nnx.Rngs(0))[1] == []


@pytest.mark.parametrize("smoothing", sorted(set(nn.SMOOTHINGS) - set(nn.CAUSAL_SMOOTHINGS)))
@pytest.mark.parametrize("make", [nnx.Conv, nn.DilatedConv])
def test_what_looks_ahead_is_refused_for_causal_layers(make, smoothing):
    options = {"kernel_dilation": 4, "padding": "CAUSAL"} if make is nnx.Conv else {"rate": 4, "padding": ((4, 0),)}
    model = nnx.List([make(3, 5, (2,), rngs=nnx.Rngs(0), **options)])
    with pytest.raises(ValueError, match=f"at 0: it is causal, and {smoothing} would look ahead; nn.CausalDilatedConv"):
        nn.smooth(model, smoothing, rngs=nnx.Rngs(0))
    assert type(model[0]) is make


def test_a_causal_layer_with_more_around_it_is_refused():
    layer = nn.DilatedConv(3, 5, (2,), rate=4, padding=((4, 0),), before=lambda x: x, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="it is causal, and more than a plain DilatedConv"):
        nn.smooth(layer, "ss_conv", rngs=nnx.Rngs(0))


def test_under_jit_and_split():
    model, _ = nn.smooth(Network(), "group_interaction", rngs=nnx.Rngs(0))
    graph, state = nnx.split(model)
    x = random(0, 1, 15, 15, 3)
    assert_close(jax.jit(lambda s, x: nnx.merge(graph, s)(x))(state, x), _run(model, x))


class Subclass(nnx.Conv):
    """A subclass of a convolution that computes something else."""

    def __call__(self, inputs, out_sharding=None):
        return 2 * super().__call__(inputs, out_sharding)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (_conv(2, input_dilation=2), "it dilates its input"),
        (_conv(2, mask=jnp.ones((3, 3, 3, 3))), "its kernel is masked"),
        (_conv(2, conv_general_dilated=lambda *a, **k: None), "it uses a convolution function of its own"),
        (_conv(2, dtype=jnp.float8_e5m2), "it computes in a dtype of its own"),
        (_conv(2, promote_dtype=lambda x, dtype: x), "it computes in a dtype of its own"),
        (_conv(2, padding=((-1, 2), (1, 1))), r"its padding is \(\(-1, 2\), \(1, 1\)\)"),
        (
            nnx.vmap(lambda key: _conv(2), out_axes=nnx.StateAxes({nnx.Param: 1}))(
                jax.random.split(jax.random.key(0), 2)
            ),
            r"a parameter of shape \(3, 2, 3, 3, 3\) is not a stack of \(3, 3, 3, 3\) along its first axes",
        ),
        (Subclass(3, 3, (3, 3), kernel_dilation=2, rngs=nnx.Rngs(0)), "it is a Subclass, .*, which defines __call__"),
    ],
)
def test_refuses_what_is_no_plain_dilated_convolution_and_changes_nothing(layer, message):
    model = nnx.Sequential(_conv(2), nnx.List([layer]))
    with pytest.raises(ValueError, match=rf"cannot smooth the convolution at layers\.1\.0: {message}"):
        nn.smooth(model, "ss_conv", rngs=nnx.Rngs(0))
    assert type(model.layers[0]) is nnx.Conv


def test_refuses_an_unknown_smoothing():
    with pytest.raises(ValueError, match=r"smoothing must be one of none, .*, ss_conv, .*, got 'multigrid'"):
        nn.smooth(Network(), "multigrid", rngs=nnx.Rngs(0))  # pyright: ignore[reportArgumentType]


# --- in the place of what they replace ---


def test_a_smoothed_layer_is_called_like_a_convolution():
    """`inputs` by keyword, `out_sharding`, and the options that other code reads off an `nnx.Conv`."""
    conv = nnx.Conv(2, 3, (3, 3), kernel_dilation=2, use_bias=False, rngs=nnx.Rngs(0))
    x = random(0, 2, 6, 7, 2)
    layer, _ = nn.smooth(conv, "ss_conv", rngs=nnx.Rngs(0))
    assert_close(layer(inputs=x, out_sharding=None), conv(inputs=x, out_sharding=None))
    for option in ("in_features", "out_features", "kernel_size", "kernel_shape", "strides", "padding", "use_bias",
                   "input_dilation", "kernel_dilation", "feature_group_count", "mask", "dtype", "param_dtype",
                   "precision", "promote_dtype", "preferred_element_type", "conv_general_dilated"):  # fmt: skip
        assert getattr(layer, option) == getattr(conv, option), option
    mesh = jax.make_mesh((8,), ("data",))
    with jax.set_mesh(mesh):
        y = layer(random(1, 8, 6, 7, 2), out_sharding=jax.sharding.PartitionSpec("data"))
    assert jax.typeof(y).sharding.spec[0] == "data"


class _Pair(NamedTuple):
    first: Any
    second: Any


@struct.dataclass
class _Record:
    conv: Any
    name: str = struct.field(pytree_node=False, default="record")


def _dilated(rate=2, **options):
    return nnx.Conv(2, 2, (3, 3), kernel_dilation=rate, rngs=nnx.Rngs(0), **options)


def test_containers_keep_their_type():
    """A named tuple read by its fields, a dataclass of `flax.struct` and a frozen dict are entered, and stay so."""

    class Holder(nnx.Module):
        def __init__(self):
            self.pair = nnx.data(_Pair(_dilated(), _dilated(1)))
            self.record = nnx.data(_Record(_dilated(4)))
            self.frozen = nnx.data(FrozenDict({"a": _dilated(), "b": None}))

    model, paths = nn.smooth(Holder(), "ss_conv", rngs=nnx.Rngs(0))
    assert paths == [("pair", 0), ("record", "conv"), ("frozen", "a")]
    assert isinstance(model.pair, _Pair)
    assert isinstance(model.pair.first, nn.DilatedConv)
    assert isinstance(model.record, _Record)
    assert (type(model.record.conv), model.record.name) == (nn.DilatedConv, "record")
    assert isinstance(model.frozen, FrozenDict)
    assert isinstance(model.frozen["a"], nn.DilatedConv)


def test_half_precision_parameters_are_smoothed():
    conv, x = _dilated(param_dtype=jnp.float16, dtype=jnp.float16), random(0, 1, 6, 6, 2)
    expected = conv(x)
    layer, _ = nn.smooth(conv, "group_interaction", rngs=nnx.Rngs(0))
    assert layer(x).dtype == jnp.float16
    assert_close(layer(x).astype(jnp.float32), expected.astype(jnp.float32), 5e-3)


def test_spectral_norm_is_refused_before_anything_changes():
    """It keeps a statistic for each known parameter, and would fail at the first call."""
    model = nnx.Sequential(_dilated(), nnx.SpectralNorm(_dilated(4), rngs=nnx.Rngs(0)))
    with pytest.raises(ValueError, match=r"cannot smooth the convolution at layers\.1\.layer_instance: it lies in an"):
        nn.smooth(model, "ss_conv", rngs=nnx.Rngs(0))
    assert type(model.layers[0]) is nnx.Conv


def test_weight_norm_of_the_kernel_alone_is_kept():
    """One of all parameters has no scale for the new ones, and would fail at the first call."""
    norm = lambda **options: nnx.WeightNorm(_dilated(), rngs=nnx.Rngs(0), **options)
    x = random(0, 1, 6, 6, 2)
    model = nnx.Sequential(norm())
    expected = model(x)
    nn.smooth(model, "ss_conv", rngs=nnx.Rngs(0))
    assert_close(model(x), expected)
    with pytest.raises(ValueError, match=r"layers\.0\.layer_instance: it lies in an nnx\.WeightNorm, which would also"):
        nn.smooth(nnx.Sequential(norm(variable_filter=nnx.Param)), "ss_conv", rngs=nnx.Rngs(0))
    # A folded kernel would be normalised with its smoother.
    layer = nn.DilatedConv(2, 2, (3, 3), rate=1, smoothing="ss_conv", rngs=nnx.Rngs(0))
    assert nn.fold(nnx.WeightNorm(layer, rngs=nnx.Rngs(0)))[1] == []


@pytest.mark.parametrize("smoothing", ["group_interaction", "ss_conv", "circulant_group_interaction"])
def test_parameters_that_were_cast_keep_their_type(smoothing):
    """Smoothers of the constructor's float32 once turned the outputs of a network in bfloat16 into float32."""
    for conv in (_dilated(), nn.DilatedConv(2, 2, (3, 3), rate=2, rngs=nnx.Rngs(0))):
        nnx.update(conv, jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), nnx.state(conv)))
        x = random(0, 1, 6, 6, 2).astype(jnp.bfloat16)
        expected = conv(x)
        found = nn.smooth(conv, smoothing, rngs=nnx.Rngs(0))[0](x)
        assert found.dtype == expected.dtype == jnp.bfloat16
        assert_close(found.astype(jnp.float32), expected.astype(jnp.float32), 2e-2)


def test_linen_modules_are_refused():
    """A Linen module is a dataclass, in which nothing was found, and nothing was said."""
    for change in (
        lambda model: nn.smooth(model, "ss_conv", rngs=nnx.Rngs(0)),
        lambda model: nn.replace_upsampling(model, "dcl", rngs=nnx.Rngs(0)),
        nn.use_fast_convolutions,
    ):
        with pytest.raises(ValueError, match=r"got the Linen module Dense: .*linen\.md"):
            change(linen.Dense(1))
