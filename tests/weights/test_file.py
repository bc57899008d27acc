"""Our own files: every network is restored whole, and any other content is refused by name."""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx

from smoothjax import models, nn, weights
from tests.support import build, random
from tests.weights.reference import tf_variables

_ENCODER: dict[str, Any] = {"encoder": "resnet18", "width": 2, "num_classes": 3, "head_rates": (1, 2)}


def _deeplab(**options: Any):
    return lambda rngs: models.DeepLab(**(_ENCODER | options), rngs=rngs)


def _upsampled(**options: Any):
    return lambda rngs: models.DeepLabUpsampled(_deeplab()(rngs), **options, rngs=rngs)


_NETWORKS = {
    "smoothed": _deeplab(smoothing="ss_conv", batch_norm="frozen", remat=True, dtype=jnp.bfloat16),
    "one rate": _deeplab(head="large_fov", head_rates=(3,), padding="same", epsilon=1e-3, stride_unit="last"),
    "layers": _deeplab(smoothing="lfe", output_stride=16),
    "duc": _deeplab(head="duc", head_rates=None, smoothing="multigrid"),
    "upsampled": _upsampled(upsampling="pixel_dcl", order="equations"),
    "four channels": _deeplab(in_features=4),
    "unet": lambda rngs: models.UNet(
        num_classes=3, in_features=1, upsampling="ipixel_dcl", depth=2, width=2, rngs=rngs
    ),
    "carafe": lambda rngs: models.UNet(num_classes=3, upsampling="carafe", depth=2, width=2, rngs=rngs),
    "dysample": _upsampled(upsampling="dysample"),
    "encoder": lambda rngs: models.ResNetEncoder(50, width=2, smoothing="group_interaction", rngs=rngs),
    "lite": lambda rngs: models.DeepLab(
        encoder="efficientnet_lite0", width=2, num_classes=3, smoothing="ss_conv", output_stride=16, rngs=rngs
    ),
    "lite encoder": lambda rngs: models.EfficientNetLiteEncoder("1", width=2, padding="symmetric", rngs=rngs),
    "vae": lambda rngs: models.ConvVAE(
        width=2, latent_features=4, likelihood="discretized_logistic", upsampling="fast_pixel_dcl", rngs=rngs
    ),
    "gcanet": lambda rngs: models.GCANet(task="derain", smoothing="circulant_group_interaction", width=2, rngs=rngs),
    "denoiser": lambda rngs: models.DilatedDenoiser(
        stem=3, rates=(2, 4), smoothing="group_interaction", width=2, in_features=1, rngs=rngs
    ),
    "temporal": lambda rngs: models.TemporalConvNet(
        3, in_features=2, width=4, depth=3, kernel_size=3, smoothing="ss_conv", rngs=rngs
    ),
}


def _random(make):
    """The network with different values in every array, so that a swapped name shows."""
    model = nnx.eval_shape(lambda: make(nnx.Rngs(0)))
    graph, state = nnx.split(model)
    leaves = [
        (path, leaf.replace(random(index, *leaf.shape, dtype=leaf.dtype)))
        for index, (path, leaf) in enumerate(nnx.to_flat_state(state))
    ]
    return nnx.merge(graph, nnx.from_flat_state(leaves))


@pytest.mark.parametrize("name", _NETWORKS)
def test_every_network_comes_back(name, tmp_path):
    """The graph reveals a lost argument; with the same graph and arrays the outputs are the same."""
    model = _random(_NETWORKS[name])
    weights.save(model, tmp_path / "model.safetensors")
    found = weights.load(tmp_path / "model.safetensors")
    assert type(found) is type(model)
    (graph, state), (expected_graph, expected) = nnx.split(found), nnx.split(model)
    assert str(graph) == str(expected_graph)
    jax.tree.map(np.testing.assert_array_equal, nnx.to_pure_dict(state), nnx.to_pure_dict(expected))


def test_outputs_are_the_same_in_one_line(tmp_path):
    """Also for a trained network, whose mode a file does not keep, and for other dtypes than it was made with."""
    model = build(_deeplab(smoothing="ss_conv"))
    images = random(0, 1, 17, 19, 3)
    expected = jax.jit(lambda x: model(x))(images)
    model.train()
    weights.save(model, tmp_path / "model.safetensors")
    found = weights.load(tmp_path / "model.safetensors")
    assert isinstance(found, models.DeepLab)
    np.testing.assert_array_equal(jax.jit(lambda x: found(x))(images), expected)
    narrow = jax.tree.map(lambda x: x.astype(jnp.bfloat16), nnx.state(model))
    nnx.update(model, narrow)
    weights.save(model, tmp_path / "narrow.safetensors")
    dtypes = {leaf.dtype for leaf in jax.tree.leaves(nnx.state(weights.load(tmp_path / "narrow.safetensors")))}
    assert dtypes == {jnp.dtype(jnp.bfloat16)}


def test_a_published_network_keeps_its_options_and_its_preprocessing(tmp_path):
    """TensorFlow's padding and epsilon, and BGR: without them the outputs would differ."""
    model = weights.deeplab_from_tf(tf_variables("caffe", 50, width=4, classes=3, smoothing="none"))
    path = tmp_path / "model.safetensors"
    weights.save(model, path, classes=("road", "sky", "car"), preprocessing=weights.CAFFE_PREPROCESSING)
    about = weights.describe(path)
    assert (about.network, about.classes, about.version) == ("DeepLab", ("road", "sky", "car"), "0.1.0")
    assert about.preprocessing == weights.CAFFE_PREPROCESSING
    assert about.arguments["padding"] == "same"
    assert about.arguments["epsilon"] == 1e-3
    found = weights.load(path)
    assert isinstance(found, models.DeepLab)
    assert isinstance(found.encoder, models.ResNetEncoder)
    assert found.encoder.padding == "same"


def test_other_readers_open_it(tmp_path):
    model = _random(_NETWORKS["temporal"])
    weights.save(model, tmp_path / "model.safetensors")
    assert (
        weights.read(tmp_path / "model.safetensors").keys()
        == safetensors.numpy.load_file(tmp_path / "model.safetensors").keys()
    )


def test_what_cannot_be_saved(tmp_path):
    path = tmp_path / "model.safetensors"
    with pytest.raises(ValueError, match=r"model must be one of DeepLab, .*, got Linear: for another model, save the"):
        weights.save(nnx.Linear(2, 2, rngs=nnx.Rngs(0)), path)
    model = nnx.eval_shape(lambda: _deeplab()(nnx.Rngs(0)))
    with pytest.raises(ValueError, match=r"path must end in .safetensors, got .*model.npz: name it e.g. .*safetensors"):
        weights.save(model, tmp_path / "model.npz")
    with pytest.raises(ValueError, match="classes must be 3 different names, one a channel of the logits, got 2, 2 of"):
        weights.save(model, path, classes=("road", "sky"))
    smoothed, _ = nn.smooth(_random(_deeplab()), "ss_conv", rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"as its constructor makes it, got one changed in .*smoother, .*nn.smooth"):
        weights.save(smoothed, path)
    other = _random(_NETWORKS["temporal"])
    other.blocks[1].conv.rate = 4
    with pytest.raises(ValueError, match=r"got one changed in blocks.1.conv.rate"):
        weights.save(other, path)
    with pytest.raises(ValueError, match=r"model must have values, got ShapeDtypeStruct as .*: make it without nnx"):
        weights.save(model, path)
    counted = _random(_NETWORKS["temporal"])
    bias = counted.blocks[0].conv.bias
    bias.set_value(jnp.zeros_like(bias[...], jnp.int32))
    with pytest.raises(ValueError, match=r"model must have floating-point arrays, got int32 as blocks.0.conv.bias"):
        weights.save(counted, path)
    assert not path.exists()


def test_numbers_of_numpy_are_plain_numbers(tmp_path):
    """A network whose momentum came from an array could not be saved."""
    options: Any = {"momentum": np.float64(0.9), "epsilon": 1, "depth": 2, "width": 2}
    model = build(lambda rngs: models.UNet(num_classes=3, **options, rngs=rngs))
    weights.save(model, tmp_path / "model.safetensors")
    again: Any = weights.load(tmp_path / "model.safetensors")
    assert (again.down[0].bn1.momentum, again.down[0].bn1.epsilon) == (0.9, 1.0)


def _stated(**changes):
    """A modified description of a small network."""
    arguments = {"out_features": 3, "vocabulary": 3, "width": 2, "depth": 1}
    return {"version": "0.1.0", "network": "TemporalConvNet", "arguments": arguments, **changes}


_HOSTILE = [
    ("[]", "hold no description of a network"),
    ("{" * 100, "lie more than 64 deep"),
    (_stated(network="os.system"), "its network must be one of DeepLab"),
    (_stated(network=["DeepLab"]), "must hold network, arguments and version"),
    (_stated(arguments={"rngs": 0}), "its arguments make no TemporalConvNet"),
    (_stated(arguments={"out_features": 10**30, "vocabulary": 3}), "its argument out_features must be at most"),
    (_stated(arguments={"out_features": 3, "vocabulary": 3, "depth": 10**6}), "its argument depth must be at most 152"),
    (_stated(arguments={"out_features": float("nan"), "vocabulary": 3}), "its argument out_features must be at most"),
    (_stated(arguments={"out_features": 3, "vocabulary": 3, "dtype": "object"}), "its dtype must be None or one of"),
    (_stated(network="UNet", arguments={"num_classes": 3, "epsilon": "1"}), "epsilon must be of type float, got '1'"),
    (_stated(network="DeepLab", arguments={"num_classes": 3, "head_rates": [1] * 99}), "at most 64 values, got 99"),
    (_stated(classes="road"), "classes must be names, got road"),
    (_stated(classes=["a", "a", "b"]), "classes must be 3 different names"),
    (_stated(preprocessing={"mean": [0, 0, 0]}), "its preprocessing must hold channel_order, mean, std"),
    (_stated(preprocessing={"mean": [0, 0], "std": [1] * 3, "channel_order": "RGB"}), "as many finite numbers as mean"),
    (_stated(preprocessing={"mean": [0] * 3, "std": [1] * 3, "channel_order": "RBG"}), "must be 'RGB' or 'BGR'"),
    (_stated(), "it lacks the array 'blocks.0.conv.bias', which a TemporalConvNet of its arguments has"),
]


@pytest.mark.parametrize(("content", "message"), _HOSTILE)
def test_a_hostile_description_is_one_error_that_names_the_file(content, message, tmp_path):
    path = tmp_path / "received.safetensors"
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_bytes(safetensors.numpy.save({"x": np.zeros(1, np.float32)}, {"smoothjax": text}))
    with pytest.raises(ValueError, match=message) as caught:
        weights.load(path)
    assert str(caught.value).startswith(f"{path} cannot be loaded: ")
    assert "\n" not in str(caught.value)


def test_foreign_and_damaged_files(tmp_path):
    path = tmp_path / "received.safetensors"
    with pytest.raises(FileNotFoundError, match=r"received.safetensors does not exist: check the path"):
        weights.load(path)
    with pytest.raises(FileNotFoundError, match="is a folder: name the file in it"):
        weights.load(tmp_path)
    for content, message in (
        (b"", "not a safetensors file, or damaged"),
        (b"\xff" * 64, "not a safetensors file, or damaged"),
        (safetensors.numpy.save({"x": np.zeros(1)}), "that weights.save has not written, .*weights.read returns its"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"received.safetensors cannot be loaded: .*{message}"):
            weights.load(path)
    weights.save(_random(_NETWORKS["temporal"]), path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-4])
    with pytest.raises(ValueError, match=r"received.safetensors cannot be loaded"):
        weights.load(path)
    arrays = safetensors.numpy.load(whole)
    with safetensors.safe_open(_written(path, whole), framework="numpy") as file:
        metadata = file.metadata()
    for changed, message in (
        (
            {**arrays, "more": np.zeros(1)},
            "it holds the array 'more', which a TemporalConvNet of its arguments does not",
        ),
        (
            {**arrays, "head.bias": np.zeros(7, np.float32)},
            r"its array 'head.bias' has shape \[7\], and a .* takes \[3\]",
        ),
        ({**arrays, "head.bias": np.zeros(3, np.int32)}, "its array 'head.bias' is of int32"),
    ):
        path.write_bytes(safetensors.numpy.save(changed, metadata))
        with pytest.raises(ValueError, match=message):
            weights.load(path)


def _written(path, content):
    path.write_bytes(content)
    return path
