"""DeepLab from TensorFlow's variables equals the authors' network, to the last digits."""

import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from smoothjax import models, ops, weights
from tests.support import assert_close, random
from tests.weights.reference import published_value, tf_deeplab, tf_variables


def _run(model, x):
    return jax.jit(lambda x: model(x))(x)


@partial(jax.jit, static_argnums=0)
def _logits_and_features(graph, state, x):
    # The state is an argument, for 180 MB of constants would take as long to compile as the network itself.
    model = nnx.merge(graph, state)
    features = model.encoder(x)
    return model.head(features), features


@pytest.fixture(scope="module")
def plain():
    return tf_variables("caffe", 50, width=4, classes=5, smoothing="none")


@pytest.mark.parametrize(
    ("name", "smoothing"),
    [("deeplab_regular_65x81", "none"), ("deeplab_smooth_SSC_65x81", "ss_conv"), ("res101_regular_65x65", "none")],
)
def test_outputs_of_the_authors_network(shared_data, name, smoothing):
    reference = np.load(shared_data(f"official_deeplab/{name}.npz"))
    shapes = json.loads(shared_data(f"official_deeplab/{name}.variables.json").read_text())
    variables = {name: published_value(name, tuple(shape)) for name, shape in shapes.items()}
    model = weights.deeplab_from_tf(variables, smoothing=smoothing)
    logits, features = _logits_and_features(*nnx.split(model), reference["x"])
    assert_close(logits, reference["logits"], 1e-4)
    assert_close(features.mean((1, 2)), reference["encoding_mean"], 1e-4)
    assert_close(features[0, 0, 0], reference["encoding_corner"], 1e-4)


@pytest.mark.parametrize(
    ("family", "depth", "smoothing", "size"),
    [
        ("caffe", 50, "group_interaction", (64, 74)),  # sizes that SAME pads unevenly, and no multiple of the rates
        ("slim", 50, "ss_conv", (66, 65)),
        ("caffe", 101, "none", (67, 72)),
    ],
)
def test_other_sizes_encoders_and_smoothings(family, depth, smoothing, size):
    variables = tf_variables(family, depth, width=4, classes=5, smoothing=smoothing)
    model, x = weights.deeplab_from_tf(variables, smoothing=smoothing), 30 * random(0, 2, *size, 3)
    assert_close(_run(model, x), tf_deeplab(variables, x, family=family, depth=depth, smoothing=smoothing), 1e-4)


def test_a_plain_checkpoint_starts_every_smoothing_as_the_identity(plain):
    flat = {
        s: dict(nnx.to_flat_state(nnx.state(weights.deeplab_from_tf(plain, smoothing=s)))) for s in models.DEGRIDDINGS
    }
    for state in flat.values():
        for path, leaf in flat["none"].items():
            np.testing.assert_array_equal(state[path][...], leaf[...])
    conv = ("encoder", "stages", 3, 0, "conv2", "smoother")
    np.testing.assert_array_equal(flat["ss_conv"][conv][...], ops.identity_smoother(4, 2))
    np.testing.assert_array_equal(flat["group_interaction"][conv][...], ops.identity_group_interaction(4, 2))
    np.testing.assert_array_equal(flat["aggregated_filters"][conv][...], ops.identity_smoother(4, 2))
    np.testing.assert_array_equal(flat["aggregated_filters"][(*conv[:-1], "aggregation")][...], np.zeros(4))
    for without in ("multigrid", "average_filter", "gaussian_filter"):
        assert len(flat[without]) == len(flat["none"])
    with pytest.raises(ValueError, match=r"smoothing must be one of none, .*, aggregated_filters, got 'drn'"):
        weights.deeplab_from_tf(plain, smoothing="drn")  # pyright: ignore[reportArgumentType]


def test_options_and_mode(plain):
    model = weights.deeplab_from_tf(plain, batch_norm="frozen", dtype=jnp.bfloat16)
    assert model.num_classes == 5
    assert isinstance(model.encoder, models.ResNetEncoder)
    assert model.encoder.bn1.mode == "frozen"
    assert model.encoder.bn1.use_running_average
    assert model.encoder.conv1.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(model))} == {jnp.dtype(jnp.float32)}


def test_slots_of_optimisers_are_dropped(plain):
    slots = {f"{name}/Momentum": value for name, value in plain.items()} | {"global_step": np.int64(20000)}
    weights.deeplab_from_tf(plain | slots)


def _without(*names):
    return lambda variables: {name: value for name, value in variables.items() if name not in names}


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (_without("bn4c_branch2b/gamma"), {}, r"1 variables .* are not in the checkpoint \(bn4c_branch2b/gamma\)"),
        (_without("conv1/weights"), {}, "no kernel 'conv1/weights' of its first layer"),
        (_without("fc1_voc12_c0/weights"), {}, "no output layer .* load only its encoder, by resnet_from_slim or"),
        (
            _without("res4c_branch2a/weights"),
            {},
            r"network with \[3, 4, 5, 3\] blocks in its stages, of no known depth",
        ),
        (lambda v: v | {"conv_extra/weights": 0}, {}, r"1 variables that this network does not have \(conv_extra/"),
        (
            lambda v: v | {"bn_conv1/gamma": np.ones(5)},
            {},
            r"'bn_conv1/gamma' has shape \[5\], but encoder.bn1.scale of the network takes \[4\]",
        ),
        (lambda v: {"layer1.0.conv1.weight": 0} | dict.fromkeys(v, 0), {}, "no known depth|no kernel"),
        (lambda v: {}, {}, "must be of the family 'caffe' or 'slim', got none that is known .first no variable at all"),
        (lambda v: v, {"smoothing": "hdc"}, "smoothing must be one of none, multigrid"),
        (
            lambda v: v | {"res4a_branch2b/fix_w": np.zeros((3, 3, 1, 1, 1))},
            {},
            "trained with smoothing 'ss_conv' .*, the network has 'none': build it with smoothing='ss_conv'",
        ),
        (
            lambda v: v | {"res4a_branch2b/fix_w": np.zeros((3, 3, 1, 1, 1))},
            {"smoothing": "ss_conv"},
            r"8 variables of this network are not in the checkpoint \(res4b_branch2b/fix_w",
        ),
        (
            lambda v: v | {"a/fix_w": np.zeros((3, 3, 1, 1, 1)), "b/fix_w": np.zeros((4, 4))},
            {"smoothing": "ss_conv"},
            r"'fix_w' have \[2, 5\] axes",
        ),
    ],
)
def test_refuses(plain, change, options, message):
    with pytest.raises(ValueError, match=message):
        weights.deeplab_from_tf(change(plain), **options)


def test_refuses_a_smoother_of_another_rate():
    variables = tf_variables("caffe", 50, width=4, classes=5, smoothing="ss_conv")
    variables["res5a_branch2b/fix_w"] = np.zeros((3, 3, 1, 1, 1), np.float32)
    with pytest.raises(ValueError, match=r"'res5a_branch2b/fix_w' has shape \[3, 3, 1, 1, 1\], but .* takes \[7, 7\]"):
        weights.deeplab_from_tf(variables, smoothing="ss_conv")
