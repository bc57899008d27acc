"""GCANet from PyTorch's tensors equals the published network, to the last digits of its images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from smoothjax import models, weights
from tests.support import assert_close, random
from tests.weights.reference import Shapes, conv, random_tensors

_RATES = {1: 2, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1}


def _tensors(width=6):
    """A state dict of random values."""
    shapes: Shapes = {"conv1.weight": (width, 4, 3, 3), "gate.weight": (3, 3 * width, 3, 3), "gate.bias": (3,)}
    shapes |= {f"conv{i}.weight": (width, width, 3, 3) for i in (2, 3)}
    shapes |= {"deconv3.weight": (width, width, 4, 4), "deconv2.weight": (width, width, 3, 3)}
    shapes |= {"deconv1.weight": (3, width, 1, 1), "deconv1.bias": (3,)}
    shapes |= {f"deconv{i}.bias": (width,) for i in (2, 3)}
    norms = [f"norm{i}" for i in range(1, 6)]
    for block, rate in _RATES.items():
        for i in (1, 2):
            shapes[f"res{block}.conv{i}.weight"] = (width, width, 3, 3)
            norms.append(f"res{block}.norm{i}")
            if rate > 1:
                shapes[f"res{block}.pre_conv{i}.weight"] = (1, 1, 2 * rate - 1, 2 * rate - 1)
    return random_tensors(shapes | {f"{norm}.{leaf}": (width,) for norm in norms for leaf in ("weight", "bias")})


@jax.jit
def _reference(t, x):
    """The published code, line by line, with PyTorch's transposed convolution as scattered kernels."""

    def layer(y, name, **options):
        kernel = t[f"{name}.weight"].transpose(2, 3, 1, 0)
        y = conv(y, kernel, padding=kernel.shape[0] // 2 * options.get("rate", 1), **options)
        return y + t[f"{name}.bias"].reshape(1, 1, 1, -1) if f"{name}.bias" in t else y

    def norm(y, name):
        y = (y - y.mean((1, 2), keepdims=True)) / jnp.sqrt(y.var((1, 2), keepdims=True) + 1e-5)
        return y * t[f"{name}.weight"].reshape(1, 1, 1, -1) + t[f"{name}.bias"].reshape(1, 1, 1, -1)

    def shared(y, name):
        if f"{name}.weight" not in t:
            return y
        kernel = t[f"{name}.weight"].transpose(2, 3, 1, 0)
        return conv(y, jnp.tile(kernel, (1, 1, 1, y.shape[-1])), padding=kernel.shape[0] // 2, groups=y.shape[-1])

    def transposed(y, name):  # factor 2, 4x4, padding 1: input i adds to outputs 2i - 1 ... 2i + 2
        n, height, width, _ = y.shape
        kernel = t[f"{name}.weight"]
        out = jnp.zeros((n, 2 * height + 2, 2 * width + 2, kernel.shape[1]))
        for i in range(4):
            for j in range(4):
                out = out.at[:, i : i + 2 * height : 2, j : j + 2 * width : 2].add(y @ kernel[:, :, i, j])
        return out[:, 1:-1, 1:-1] + t[f"{name}.bias"].reshape(1, 1, 1, -1)

    y = jax.nn.relu(norm(layer(x, "conv1"), "norm1"))
    y = jax.nn.relu(norm(layer(y, "conv2"), "norm2"))
    levels = [jax.nn.relu(norm(layer(y, "conv3", stride=2), "norm3"))]
    x = levels[0]
    for block, rate in _RATES.items():
        name = f"res{block}"
        y = jax.nn.relu(norm(layer(shared(x, f"{name}.pre_conv1"), f"{name}.conv1", rate=rate), f"{name}.norm1"))
        y = norm(layer(shared(y, f"{name}.pre_conv2"), f"{name}.conv2", rate=rate), f"{name}.norm2")
        x = jax.nn.relu(x + y)
        if block in (4, 7):
            levels.append(x)
    gates = layer(jnp.concatenate(levels, -1), "gate")
    y = levels[0] * gates[..., :1] + levels[1] * gates[..., 1:2] + levels[2] * gates[..., 2:]
    y = jax.nn.relu(norm(transposed(y, "deconv3"), "norm4"))
    return layer(jax.nn.relu(norm(layer(y, "deconv2"), "norm5")), "deconv1")


@pytest.mark.parametrize("task", models.TASKS)
def test_every_layer(task):
    tensors, x = _tensors(), 60 * random(0, 2, 22, 18, 4)
    model = weights.gcanet_from_torch(tensors, task=task)
    expected = _reference(tensors, x)
    assert bool(jnp.any(expected < 0))
    assert_close(jax.jit(lambda x: model(x))(x), expected if task == "dehaze" else jax.nn.relu(expected), 1e-5)


@pytest.fixture(scope="module")
def run():
    """The published network, compiled once, by the first test that has its weights."""
    compiled = {}

    def make(path):
        if not compiled:
            model = weights.gcanet_from_torch(weights.read(path), task="dehaze")
            compiled["dehaze"] = jax.jit(lambda x: model(x))
        return compiled["dehaze"]

    return make


@pytest.mark.parametrize("name", ["0051_0.8_0.2", "0099_0.9_0.16"])
def test_published_crops(shared_data, run, name):
    reference = np.load(shared_data(f"gcanet/{name}_crop_dehaze.npz"))
    x = models.gcanet_input(jnp.asarray(reference["image"], jnp.float32)[None])
    np.testing.assert_allclose(x[0], reference["net_input"], atol=1e-4)
    out = run(shared_data("gcanet/wacv_gcanet_dehaze.safetensors"))(reference["net_input"][None])
    np.testing.assert_allclose(out[0], reference["net_output"], rtol=0, atol=5e-3)


@pytest.mark.parametrize("name", ["0051_0.8_0.2", "0099_0.9_0.16"])
def test_published_images(shared_data, run, name):
    images = jnp.asarray(np.asarray(Image.open(shared_data(f"gcanet/{name}_input.png")).convert("RGB")), jnp.float32)
    images = images[None]
    out = run(shared_data("gcanet/wacv_gcanet_dehaze.safetensors"))(models.gcanet_input(images))
    image = np.asarray(models.gcanet_image(out, images, task="dehaze"))[0]
    expected = np.asarray(Image.open(shared_data(f"gcanet/{name}_dehaze_expected.png")))
    difference = np.abs(image.astype(int) - expected)
    assert difference.max() <= 1
    assert (difference > 0).any(-1).mean() < 1e-3


@pytest.mark.parametrize(
    ("change", "task", "message"),
    [
        ({}, "denoise", "task must be one of dehaze, derain, got 'denoise'"),
        ({"conv1.weight": None}, "dehaze", r"the state dict has no kernel 'conv1.weight' of four axes"),
        ({"res4.pre_conv1.weight": None}, "dehaze", r"1 variables .* not in the checkpoint \(res4.pre_conv1.weight\)"),
        ({"res8.conv1.weight": np.zeros(1)}, "dehaze", r"does not have \(res8.conv1.weight\)"),
        (
            {"res4.pre_conv1.weight": np.zeros((1, 1, 3, 3))},
            "dehaze",
            r"'res4.pre_conv1.weight' has shape \[1, 1, 3, 3\], but blocks.3.conv1.smoother .* takes \[7, 7\]",
        ),
    ],
)
def test_refuses(change, task, message):
    tensors = {name: value for name, value in (_tensors() | change).items() if value is not None}
    with pytest.raises(ValueError, match=message):
        weights.gcanet_from_torch(tensors, task=task)
