"""Plug and play: the transposed convolutions of an existing model are replaced."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from smoothjax import nn
from tests.support import assert_close, random

ConvTranspose = partial(nnx.ConvTranspose, rngs=nnx.Rngs(0))


def _generator():
    """A DCGAN generator: its first layer, of stride 1, does not up-sample."""
    return nnx.Sequential(
        ConvTranspose(8, 8, (4, 4), padding="VALID"),
        nnx.relu,
        ConvTranspose(8, 4, (4, 4), strides=(2, 2), padding=((2, 2), (2, 2))),
    )


class Decoder(nnx.Module):
    """Layers in attributes, lists and dicts; one of them used twice."""

    def __init__(self):
        self.first = ConvTranspose(4, 4, (5, 5), strides=2, use_bias=False)
        self.blocks: Any = nnx.List([self.first, nnx.Dict(up=ConvTranspose(4, 3, (2, 2), strides=2, padding="VALID"))])

    def __call__(self, x):
        for block in (self.first, self.blocks[0], self.blocks[1]["up"]):
            x = block(x)
        return x


@pytest.mark.parametrize("method", nn.UPSAMPLINGS)
def test_shapes_stay(method):
    model, x = Decoder(), jnp.ones((2, 3, 5, 4))
    shape = model(x).shape
    replaced, paths = nn.replace_upsampling(model, method, rngs=nnx.Rngs(1))
    assert replaced is model
    assert paths == [("first",), ("blocks", 1, "up")]
    assert model.first is model.blocks[0]
    assert isinstance(model.first, nn.UpConv)
    assert (model.first.method, model.first.bias) == (method, None)
    assert model(x).shape == shape == (2, 24, 40, 3)
    taps = {"dcl": 5, "carafe": 5, "dysample": 1}.get(method, 3)
    assert model.first.kernel_size == (taps, taps)


def test_what_does_not_up_sample_is_left_alone():
    model, paths = nn.replace_upsampling(_generator(), "pixel_dcl", rngs=nnx.Rngs(0))
    assert paths == [("layers", 2)]
    assert type(model.layers[0]) is nnx.ConvTranspose


def test_the_model_itself():
    model, paths = nn.replace_upsampling(ConvTranspose(2, 3, (4,), strides=4), "ipixel_dcl", rngs=nnx.Rngs(0))
    assert paths == [()]
    assert model(jnp.ones((1, 5, 2))).shape == (1, 20, 3)


@pytest.mark.parametrize(
    ("taps", "stride", "padding"),
    [
        (4, (1, 2), 1),
        (3, (2, 3), "SAME"),
        (5, (3, 2), "VALID"),
        (4, 2, 1),
        (4, 2, "VALID"),
        (3, 2, "VALID"),
        (2, 3, "VALID"),
        (5, 2, ((0, 3), (4, 1))),
        (2, 2, 0),
        (4, 2, 2),
    ],
)
def test_other_paddings_keep_their_shapes_and_places(taps, stride, padding):
    """With the old kernel, "dcl" computes the same as the layer, so every pixel keeps its place."""
    conv, x = ConvTranspose(2, 3, (taps, taps), strides=stride, padding=padding), random(0, 2, 5, 6, 2)
    expected = conv(x)
    for method in ("dcl", "ipixel_dcl", "pixel_dcl", "resize_conv", "sub_pixel", "dysample"):
        model, paths = nn.replace_upsampling([conv], method, rngs=nnx.Rngs(1))
        assert paths == [(0,)]
        layer: Any = model[0]
        assert layer(x).shape == expected.shape
        if method == "dcl":
            layer.kernel[...] = conv.kernel[...]
            assert_close(layer(x), expected)


class _Own(nnx.ConvTranspose):
    def __call__(self, inputs):
        return 2 * super().__call__(inputs)


@pytest.mark.parametrize(
    ("layer", "method", "message"),
    [
        (ConvTranspose(1, 1, (3, 3), strides=(2, 1)), "fast_pixel_dcl", r"it has factor \(2, 1\) in 2; use pixel_dcl"),
        (
            ConvTranspose(1, 1, (3, 3), strides=2, padding="CIRCULAR"),
            "dcl",
            r"another way than by zeros, padding='CIRCULAR'",
        ),
        (ConvTranspose(1, 1, (3, 3), strides=2, kernel_dilation=2), "dcl", r"dilated, kernel_dilation=2"),
        (ConvTranspose(1, 1, (3, 3), strides=2, mask=jnp.ones((3, 3, 1, 1))), "dcl", r"masked"),
        (ConvTranspose(1, 1, (3, 3), strides=2, dtype=jnp.float8_e5m2), "dcl", r"computes in .*float8"),
        (ConvTranspose(1, 1, (3, 3), strides=3), "fast_pixel_dcl", r"it has factor 3 in 2; use pixel_dcl"),
        (
            _Own(1, 1, (3, 3), strides=2, rngs=nnx.Rngs(0)),
            "dcl",
            r"a _Own, a subclass of nnx\.ConvTranspose of unknown meaning, which defines __call__",
        ),
        (
            ConvTranspose(1, 1, (3, 3), strides=2, precision=("high", "highest")),
            "dcl",
            r"precision must be .* one for both operands, got \('high', 'highest'\)",
        ),
    ],
)
def test_refuses_by_path_before_anything_changes(layer, method, message):
    good = ConvTranspose(1, 1, (4, 4), strides=2)
    model = nnx.Dict(good=good, bad=nnx.List([layer]))
    with pytest.raises(ValueError, match=rf"cannot replace the transposed convolution at bad\.0: .*{message}"):
        nn.replace_upsampling(model, method, rngs=nnx.Rngs(0))
    assert model["good"] is good


def test_refuses_what_is_no_model():
    with pytest.raises(ValueError, match="model must be a Flax NNX module or a container of them, got int"):
        nn.replace_upsampling(3, "dcl", rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="method must be one of dcl"):
        nn.replace_upsampling(Decoder(), "deconv", rngs=nnx.Rngs(0))  # pyright: ignore[reportArgumentType]


def test_the_new_layer_is_called_like_the_old_one():
    layers: list[Any] = [nnx.ConvTranspose(2, 3, (4, 4), strides=2, rngs=nnx.Rngs(0))]
    model, _ = nn.replace_upsampling(layers, "dcl", rngs=nnx.Rngs(0))
    assert model[0](inputs=jnp.ones((1, 3, 3, 2)), out_sharding=None).shape == (1, 6, 6, 3)


def _stack(count: int):
    """Layers stacked by Flax, and a function that runs them in sequence."""
    make: Any = nnx.vmap(lambda key: nnx.ConvTranspose(2, 2, (4, 4), strides=2, rngs=nnx.Rngs(key)))
    run: Any = nnx.vmap(lambda layer, x: layer(x), in_axes=(0, None))
    return make(jax.random.split(jax.random.key(0), count)), run


@pytest.mark.parametrize("method", ["dcl", "fast_pixel_dcl", "sub_pixel", "carafe"])
def test_a_stack_becomes_a_stack_of_different_layers(method):
    """Layer i of the stack equals an UpConv with the weights of that layer."""
    stacked, run = _stack(3)
    x = random(0, 1, 3, 4, 2)
    shape = run(stacked, x).shape
    (layer,), paths = nn.replace_upsampling([stacked], method, rngs=nnx.Rngs(1))
    assert paths == [(0,)]
    found = run(layer, x)
    assert found.shape == shape
    for index in range(3):
        one = nn.UpConv(2, 2, method=method, kernel_size=layer.kernel_size, rngs=nnx.Rngs(0))
        nnx.update(one, jax.tree.map(lambda value, index=index: value[index], nnx.state(layer)))
        assert_close(found[index], one(x))
    # CARAFE starts near one interpolation, whatever is drawn.
    assert float(abs(found[0] - found[1]).max()) > (1e-4 if method == "carafe" else 0.01)


class _WithLevel(nnx.ConvTranspose):
    """A subclass that overrides only the constructor."""

    def __init__(self, level: int):
        super().__init__(2, 2, (4, 4), strides=2, rngs=nnx.Rngs(0))
        self.level = level


def test_a_subclass_with_a_constructor_keeps_what_that_sets():
    (layer,), _ = nn.replace_upsampling([_WithLevel(3)], "fast_pixel_dcl", rngs=nnx.Rngs(0))
    assert isinstance(layer, nn.UpConv)
    assert vars(layer)["level"] == 3


def test_selected_layers_alone_are_replaced():
    """By the mechanism of `nn.smooth`, whose tests cover all kinds of selections."""
    model, paths = nn.replace_upsampling(Decoder(), "pixel_dcl", skip="blocks.1", rngs=nnx.Rngs(0))
    assert (paths, paths.skipped) == ([("first",)], {("blocks", 1, "up"): "skip names it"})
    assert type(model.blocks[1]["up"]) is nnx.ConvTranspose
    dilated = ConvTranspose(1, 1, (3, 3), strides=2, kernel_dilation=2)
    model, paths = nn.replace_upsampling([dilated, ConvTranspose(1, 1, (4, 4), strides=2)], "dcl", strict=False,
                                         rngs=nnx.Rngs(0))  # fmt: skip
    assert (paths, paths.refused) == ([(1,)], {(0,): "it is dilated, kernel_dilation=2"})
    assert model[0] is dilated
    with pytest.raises(ValueError, match=r"only names 'head', which is not a part of the model"):
        nn.replace_upsampling(Decoder(), "dcl", only="head", rngs=nnx.Rngs(0))


@pytest.mark.parametrize("method", nn.UPSAMPLINGS)
def test_the_precision_is_that_of_every_product(method):
    """In the layer and in its gradient; without the option, products request none."""
    conv, x = ConvTranspose(2, 2, (4, 4), strides=2, precision="highest"), jnp.ones((1, 3, 3, 2))
    (layer,), _ = nn.replace_upsampling([conv], method, rngs=nnx.Rngs(0))

    def programs(layer):
        return [str(jax.make_jaxpr(f)(x)) for f in (lambda x: layer(x), jax.grad(lambda x: layer(x).sum()))]

    for program in programs(layer):
        assert "Precision.HIGHEST" in program
        assert "precision=None" not in program
    layer.precision = None
    assert any("precision=None" in program for program in programs(layer))


def test_the_element_type_is_that_of_the_result():
    """A wider type is also that of the computation: rounded inputs, then float32."""
    options = {"dtype": jnp.bfloat16, "preferred_element_type": jnp.float32}
    conv = ConvTranspose(2, 2, (4, 4), strides=2, use_bias=False, **options)
    x = random(0, 1, 3, 4, 2)
    expected = conv(x)
    (layer,), _ = nn.replace_upsampling([conv], "dcl", rngs=nnx.Rngs(0))
    layer.kernel[...] = conv.kernel[...]
    found = layer(x)
    assert found.dtype == expected.dtype == jnp.float32
    assert_close(found, expected)
    layer.preferred_element_type = jnp.bfloat16
    layer.dtype = None
    assert layer(x).dtype == jnp.bfloat16


@pytest.mark.parametrize("norm", [nnx.WeightNorm, nnx.SpectralNorm])
def test_normalised_weights_are_refused(norm):
    """The scale of an nnx.WeightNorm stayed, without an effect."""
    model = nnx.Sequential(norm(nnx.ConvTranspose(2, 2, (4, 4), strides=2, rngs=nnx.Rngs(0)), rngs=nnx.Rngs(0)))
    with pytest.raises(ValueError, match=rf"it lies in an nnx\.{norm.__name__}, which knows no other weights"):
        nn.replace_upsampling(model, "fast_pixel_dcl", rngs=nnx.Rngs(0))


def test_cast_parameters_keep_their_type():
    layer = nnx.ConvTranspose(2, 2, (4, 4), strides=2, rngs=nnx.Rngs(0))
    nnx.update(layer, jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), nnx.state(layer)))
    new, _ = nn.replace_upsampling(layer, "dcl", rngs=nnx.Rngs(0))
    assert new(jnp.ones((1, 4, 4, 2), jnp.bfloat16)).dtype == jnp.bfloat16
