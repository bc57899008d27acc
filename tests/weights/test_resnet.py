"""Encoders of classification networks: the published features, and dilated networks with the same weights."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from smoothjax import models, weights
from tests.support import assert_close, build, random
from tests.weights.reference import slim_features, tf_variables, torchvision_features, torchvision_tensors


def _run(encoder, x):
    return jax.jit(lambda x: encoder(x))(x)


@pytest.fixture(scope="module")
def slim():
    return tf_variables("slim", 50, width=4, classes=None, smoothing="none")


@pytest.fixture(scope="module")
def torchvision():
    return torchvision_tensors(18, width=4)


@pytest.mark.parametrize("size", [(64, 90), (65, 67)])
def test_slim_classification_features(slim, size):
    x = 30 * random(0, 1, *size, 3)
    classifier = {"resnet_v1_50/logits/weights": 0, "resnet_v1_50/mean_rgb": 0, "global_step": 0}
    encoder = weights.resnet_from_slim(slim | classifier, 50, output_stride=32)
    assert_close(_run(encoder, x), slim_features(slim, x, depth=50), 1e-5)


def test_the_dilated_slim_network_agrees_on_the_coarse_grid(slim):
    """The last unit of a block has its stride, so dilation loses nothing: every fourth cell is the published one."""
    x = 30 * random(0, 1, 66, 97, 3)
    coarse, fine = (_run(weights.resnet_from_slim(slim, 50, output_stride=s), x) for s in (32, 8))
    assert fine.shape[1:3] == (9, 13)
    assert_close(fine[:, ::4, ::4], coarse, 1e-5)


@pytest.mark.parametrize(("depth", "size"), [(18, (64, 90)), (50, (65, 67))])
def test_torchvision_classification_features(depth, size):
    tensors, x = torchvision_tensors(depth, width=4), random(0, 1, *size, 3)
    encoder = weights.resnet_from_torchvision(tensors, depth, output_stride=32)
    assert_close(_run(encoder, x), torchvision_features(tensors, x, depth=depth), 1e-5)


@pytest.mark.parametrize(
    ("stride", "strides", "rates"), [(8, (1, 2, 1, 1), (1, 1, 2, 4)), (16, (1, 2, 2, 1), (1, 1, 1, 2))]
)
def test_torchvision_weights_in_deeplabs_encoder(torchvision, stride, strides, rates):
    x = random(0, 1, 66, 81, 3)
    encoder = weights.resnet_from_torchvision(torchvision, 18, output_stride=stride, smoothing="ss_conv")
    expected = torchvision_features(torchvision, x, depth=18, strides=strides, rates=rates)
    assert_close(_run(encoder, x), expected, 1e-5)


@pytest.mark.parametrize("depth", [34, 152])
def test_other_depths_of_torchvision(depth):
    encoder = weights.resnet_from_torchvision(torchvision_tensors(depth, width=1), depth)
    assert encoder.depth == depth


@pytest.mark.parametrize(("padding", "size", "shift"), [("same", 968, 3), ("same", 966, 1), ("same_pool", 968, 2)])
def test_same_padding_moves_the_cells(padding, size, shift):
    """Far from the borders, SAME at an even size sees the image moved by the number of pixels in the docstring."""
    make = lambda padding: build(lambda rngs: models.ResNetEncoder(18, width=2, padding=padding, rngs=rngs))
    image = jnp.zeros((1, size, 9, 3)).at[:, 480:490].set(random(0, 1, 10, 9, 3))
    moved = _run(make(padding), image)
    expected = _run(make("symmetric"), jnp.roll(image, -shift, 1))
    assert float(jnp.abs(moved - _run(make("symmetric"), image)).max()) > 0.1 * float(moved.max())
    assert_close(moved, expected, 1e-5)


def test_refuses_unknown_options_of_the_encoder():
    make: Any = models.ResNetEncoder
    for options, message in (
        ({"padding": "valid"}, "padding must be one of symmetric, same, same_pool, got 'valid'"),
        ({"stride_unit": "second"}, "stride_unit must be one of first, last, got 'second'"),
    ):
        with pytest.raises(ValueError, match=message):
            make(50, rngs=nnx.Rngs(0), **options)


def test_refuses_another_depth_or_family(slim, torchvision):
    with pytest.raises(ValueError, match="depth is 101, but the variables are of a resnet50: pass depth=50"):
        weights.resnet_from_slim(slim, 101)
    with pytest.raises(ValueError, match="depth is 34, but the variables are of a resnet18"):
        weights.resnet_from_torchvision(torchvision, 34)
    with pytest.raises(ValueError, match="must be of the family 'slim', got those of the family 'torchvision'"):
        weights.resnet_from_slim(torchvision, 18)
    with pytest.raises(ValueError, match=r"does not have \(decoder/aspp/conv1/weights\)"):
        weights.resnet_from_slim(slim | {"decoder/aspp/conv1/weights": 0}, 50)


# --- into a network that is there already ---


def _deeplab(**options):
    options = {"encoder": "resnet18", "num_classes": 3, "width": 4} | options
    return lambda rngs: models.DeepLab(rngs=rngs, **options)


def _shapes(make):
    """A network without values, which is enough if none of its own are needed."""
    return nnx.eval_shape(lambda: make(nnx.Rngs(0)))


def test_initialize_a_deeplab(torchvision):
    model = build(_deeplab(smoothing="ss_conv", padding="same"))
    before = nnx.to_pure_dict(nnx.state(model))
    params, model_state, report = weights.initialize_encoder(model, torchvision, source="torchvision")
    jax.tree.map(np.testing.assert_array_equal, nnx.to_pure_dict(nnx.state(model)), before)  # the model is not changed
    expected = nnx.to_pure_dict(nnx.state(weights.resnet_from_torchvision(torchvision, 18, smoothing="ss_conv")))
    nnx.update(model, params, model_state)
    after = nnx.to_pure_dict(nnx.state(model))
    jax.tree.map(np.testing.assert_array_equal, after["encoder"], expected)
    jax.tree.map(np.testing.assert_array_equal, after["head"], before["head"])
    assert jax.tree.structure(params) == jax.tree.structure(nnx.to_pure_dict(nnx.state(model, nnx.Param)))
    assert jax.tree.structure(model_state) == jax.tree.structure(nnx.to_pure_dict(nnx.state(model, nnx.BatchStat)))
    assert len(report.loaded) == 100
    assert len(report.initial) == 16
    assert report.deviations == ("padding 'same', published 'symmetric'",)
    assert str(report) == (
        "loaded from torchvision: 100 of 116 arrays\n"
        "left at initialisation: encoder.stages.*.*.conv*.smoother (8), head.branches.*.bias (4), "
        "head.branches.*.kernel (4)\n"
        "not used: bn1.num_batches_tracked, fc.bias, fc.weight, layer*.*.bn*.num_batches_tracked (16), "
        "layer*.*.downsample.*.num_batches_tracked (3)\n"
        "other than in the published network: padding 'same', published 'symmetric'"
    )


def test_deviations_from_the_published_architecture(slim):
    make = _deeplab(encoder="resnet50", **weights.SOURCES["slim"].architecture)
    report = weights.initialize_encoder(_shapes(make), slim, source="slim").report
    assert report.deviations == ()
    assert "published" not in str(report)
    report = weights.initialize_encoder(_shapes(_deeplab(encoder="resnet50")), slim, source="slim").report
    assert [deviation.split()[0] for deviation in report.deviations] == ["stride_in", "stride_unit", "padding"]


def test_slim_as_the_authors_load_it(slim):
    """A slim checkpoint in the network of the authors, whose outputs are tested with their own; not in slim's."""
    sources = weights.SOURCES
    assert sources["slim-as-authors"].architecture == sources["deeplab"].architecture
    assert sources["slim-as-authors"].preprocessing == weights.CAFFE_PREPROCESSING
    model = _shapes(_deeplab(encoder="resnet50", **sources["slim-as-authors"].architecture))
    report = weights.initialize_encoder(model, slim, source="slim-as-authors").report
    assert report.deviations == ()
    assert all(name.startswith("head") for name in report.initial)
    deviations = weights.initialize_encoder(model, slim, source="slim").report.deviations
    assert [deviation.split()[0] for deviation in deviations] == ["stride_in", "stride_unit", "padding", "epsilon"]


def test_trained_smoothing_comes_along():
    variables = tf_variables("slim", 50, width=4, classes=5, smoothing="group_interaction")
    model = _shapes(_deeplab(encoder="resnet50", smoothing="group_interaction"))
    params, _, report = weights.initialize_encoder(model, variables, source="deeplab")
    whole: Any = weights.deeplab_from_tf(variables, smoothing="group_interaction")
    np.testing.assert_array_equal(
        params["encoder"]["stages"][3][2]["conv2"]["smoother"], whole.encoder.stages[3][2].conv2.smoother[...]
    )
    assert {name.split("/")[0] for name in report.dropped} == {"decoder"}
    other = _shapes(_deeplab(encoder="resnet50", smoothing="ss_conv"))
    with pytest.raises(ValueError, match="the network has 'ss_conv': build it with smoothing='group_interaction'"):
        weights.initialize_encoder(other, variables, source="deeplab")


def test_initialize_an_encoder_or_a_larger_network(torchvision):
    encoder = _shapes(lambda rngs: models.ResNetEncoder(18, width=4, rngs=rngs))
    assert not weights.initialize_encoder(encoder, torchvision, source="torchvision").report.initial
    make = lambda rngs: models.DeepLabUpsampled(_deeplab()(rngs), rngs=rngs)
    report = weights.initialize_encoder(_shapes(make), torchvision, source="torchvision").report
    assert len(report.loaded) == 100


def test_initialize_refuses(torchvision):
    model = _shapes(_deeplab())
    default = {"model": model, "variables": torchvision, "source": "torchvision"}
    narrow, deep = torchvision_tensors(18, width=2), torchvision_tensors(34, width=4)
    initialize: Any = weights.initialize_encoder
    for options, message in (
        ({"source": "caffe"}, "source must be one of deeplab, slim, .*, efficientnet_lite4, got 'caffe'"),
        ({"source": "slim"}, "must be of the family 'slim', got those of the family 'torchvision'"),
        ({"variables": deep}, "are of a resnet34, the encoder of the network is a resnet18"),
        ({"variables": narrow}, r"'conv1.weight' has shape \[2, 3, 7, 7\], but encoder.conv1"),
        ({"variables": torchvision | {"other": 0}}, r"does not have \(other\)"),
        ({"model": model.head}, "model must have one encoder of smoothjax.models, SummedHead has 0"),
    ):
        with pytest.raises(ValueError, match=message):
            initialize(**(default | options))
