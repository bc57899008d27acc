"""Layers by name, and the blocks between them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from smoothjax import analysis, models
from tests.support import assert_close, build, random

_IMAGES = (2, 33, 41, 3)


@pytest.fixture(scope="module")
def model():
    make = lambda rngs: models.DeepLab(
        encoder="resnet18", num_classes=3, width=4, head_rates=(1, 2), smoothing="ss_conv", remat=True, rngs=rngs
    )
    return build(make)


@pytest.fixture(scope="module")
def images():
    return random(0, *_IMAGES)


def test_layers_are_listed_in_the_order_of_calls(model, images):
    found = analysis.layers(model, images)
    names = [layer.name for layer in found]
    assert names[:3] == ["encoder", "encoder.conv1", "encoder.bn1"]
    assert names[-3:] == ["head", "head.branches.0", "head.branches.1"]
    assert len(set(names)) == len(names)
    layer = found[names.index("encoder.stages.3.1.conv2")]
    assert layer.module is model.encoder.stages[3][1].conv2
    assert (layer.input_shape, layer.output_shape) == ((2, 5, 6, 32), (2, 5, 6, 32))
    assert [found[0].input_shape, found[0].output_shape] == [_IMAGES, (2, 5, 6, 32)]


def test_a_block_is_the_rest_of_the_network(model, images):
    """The layers before a block followed by the block equal the network up to the block's end."""
    block = analysis.between(model, images, "encoder.stages.2", "encoder.stages.3")
    assert (block.start, block.stop) == ("encoder.stages.2.0", "encoder.stages.3.1")
    assert_close(block(block.features(images)), model.encoder(images))
    everything = analysis.between(model, images, "encoder", "head")
    np.testing.assert_array_equal(everything.features(images), images)
    assert_close(everything(images), model(images))


def test_a_single_layer_is_that_layer(model, images):
    block = analysis.between(model, images, "encoder.stages.3.1.conv2")
    features = block.features(images)
    assert_close(block(features), model.encoder.stages[3][1].conv2(features))
    gradient, expected = (
        jax.grad(lambda x, f=f: (f(x)[0] ** 2).sum())(features) for f in (block, model.encoder.stages[3][1].conv2)
    )
    assert_close(gradient, expected)


def test_the_model_stays_as_it_is_and_blocks_are_in_evaluation_mode(model, images):
    model.train()
    try:
        before = nnx.to_pure_dict(nnx.state(model))
        block = analysis.between(model, images, "encoder.stages.3")
        features = block.features(images)
        # Examples do not depend on each other.
        assert_close(block(features)[:1], block(features[:1]))
        assert model.encoder.remat
        assert type(model.encoder) is models.ResNetEncoder
        assert not model.encoder.bn1.use_running_average
        jax.tree.map(np.testing.assert_array_equal, before, nnx.to_pure_dict(nnx.state(model)))
    finally:
        model.eval()


def test_any_model_has_layers():
    model = build(lambda rngs: models.UNet(num_classes=3, width=2, depth=2, rngs=rngs))
    x = random(1, 1, 16, 16, 3)
    assert "down.0.conv1" in [layer.name for layer in analysis.layers(model, x)]
    block = analysis.between(model, x, "down.0", "up.0")
    assert_close(block(x), model(x))
    with pytest.raises(ValueError, match=r"something goes round bottom to up\.0"):
        analysis.between(model, x, "bottom", "up.0")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("encoder.stages.7",), r"start must name a layer that the model calls, got 'encoder\.stages\.7'"),
        (("encoder", "tail"), "stop must name a layer that the model calls, got 'tail'"),
        (("encoder.stages.3", "encoder.stages.2"), r"stop must depend on what start is given, but encoder\.stages\.2"),
        (("encoder.stages.3.1.conv2", "head"), r"something goes round encoder\.stages\.3\.1\.conv2 to head"),
    ],
)
def test_refuses(model, images, names, message):
    with pytest.raises(ValueError, match=message):
        analysis.between(model, images, *names)


def test_functions_have_no_layers():
    with pytest.raises(ValueError, match="model must be a Flax NNX module, got function"):
        analysis.layers(lambda x: x, jnp.ones((1, 4, 1)))  # pyright: ignore[reportArgumentType]


def test_a_model_without_a_call_says_so():
    vae = nnx.eval_shape(lambda: models.ConvVAE(width=2, latent_features=4, rngs=nnx.Rngs(0)))
    images = jnp.ones((1, 64, 64, 3))
    for refused in (lambda: analysis.layers(vae, images), lambda: analysis.between(vae, images, "down")):
        with pytest.raises(ValueError, match=r"^model must be called with the inputs, but ConvVAE has no __call__"):
            refused()


class _Transformed(nnx.Module):
    """A layer whose call is transformed by Flax, which calls a copy of it."""

    def __init__(self):
        self.conv, self.norm = (
            nnx.Conv(2, 2, (3,), kernel_dilation=2, rngs=nnx.Rngs(0)),
            nnx.BatchNorm(2, rngs=nnx.Rngs(0)),
        )

    @nnx.remat
    def __call__(self, x):
        return self._inner(x)  # pyright: ignore[reportCallIssue]

    @nnx.jit
    def _inner(self, x):
        return self.norm(self.conv(x))


def test_layers_inside_transformations_are_found_each_time():
    """Flax called copies of them, which had no name; what JAX had traced before was not looked at again; and measures
    by gradients failed, and left the model without its layers."""
    model, maps = nnx.Sequential(_Transformed(), _Transformed()), jnp.ones((1, 17, 2))
    expected = model(maps)
    names = ["layers.0", "layers.0.conv", "layers.0.norm", "layers.1", "layers.1.conv", "layers.1.norm"]
    for _ in range(2):
        assert [one.name for one in analysis.layers(model, maps)] == names
        assert [one.name for one in analysis.layer_fields(model, maps)] == names
        certificate = analysis.certify(model, maps)
        assert [one.name for one in certificate.convolutions] == ["layers.0.conv", "layers.1.conv"]
    fields = analysis.convolution_fields(model, maps)
    np.testing.assert_allclose(fields[0], analysis.effective_receptive_field(model, maps), rtol=1e-6)
    block = analysis.between(model, maps, "layers.1")
    assert block(block.features(maps)).shape == maps.shape
    with pytest.raises(
        ValueError, match=r"something goes round layers\.0\.conv to layers\.1, .* or that is transformed"
    ):
        analysis.between(model, maps, "layers.0.conv", "layers.1")
    with pytest.raises(ValueError, match=r"layers\.1\.conv does not .*, or is inside nnx\.remat or nnx\.jit"):
        analysis.between(model, maps, "layers.0", "layers.1.conv")
    model.eval()
    assert model(maps).shape == expected.shape  # the model is whole
