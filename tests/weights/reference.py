"""Published networks, reimplemented from their papers and code, with the names of their checkpoints.

Independent of the library: plain functions of `lax` and NumPy.
"""

import itertools
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Shapes = dict[str, tuple[int, ...]]
CAFFE_BLOCKS = {
    50: (["a", "b", "c"], ["a", "b", "c", "d"], ["a", "b", "c", "d", "e", "f"], ["a", "b", "c"]),
    101: (["a", "b", "c"], ["a", "b1", "b2", "b3"], ["a", *(f"b{i}" for i in range(1, 23))], ["a", "b", "c"]),
}
UNITS = {10: (1,) * 4, 18: (2,) * 4, 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def published_value(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A value derived from a variable's name, as for the reference outputs of the authors' network."""
    z = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
    match name.split("/")[-1]:
        case "weights":
            value = z * np.sqrt(2 / np.prod(shape[:3]))
        case "gamma":
            value = (0.3 if "branch2c" in name or "conv3" in name else 1) * (1 + 0.1 * z)
        case "moving_variance":
            value = np.exp(0.2 * z)
        case "fix_w":
            value = 0.1 * z + (np.eye(*shape) if len(shape) == 2 else 0)
        case _:
            value = 0.1 * z
    return value.astype(np.float32)


def random_tensors(shapes: Shapes, seed: int = 0) -> dict[str, np.ndarray]:
    """Random values for a state dict: kernels that keep the scale, positive variances, usual values for the rest."""
    rng, tensors = np.random.default_rng(seed), {}
    for name, shape in shapes.items():
        z = rng.standard_normal(shape)
        if len(shape) > 1:
            z *= np.sqrt(2 / np.prod(shape[1:]))
        elif name.endswith("running_var"):
            z = np.exp(0.2 * z)
        elif name.endswith("weight"):
            z = 1 + 0.1 * z
        else:
            z *= 0.1
        tensors[name] = z.astype(np.float32)
    return tensors


def conv(x: Any, kernel: Any, *, stride: int = 1, rate: int = 1, padding: Any = "SAME", groups: int = 1) -> jax.Array:
    """A convolution of `[N, H, W, C]` with a kernel HWIO."""
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        padding if isinstance(padding, str) else ((padding, padding),) * 2,
        rhs_dilation=(rate, rate),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def max_pool(x: jax.Array, padding: str | int) -> jax.Array:
    pads = padding if isinstance(padding, str) else ((0, 0), (padding, padding), (padding, padding), (0, 0))
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), pads)


def normalise(x: jax.Array, mean: Any, variance: Any, scale: Any, bias: Any, epsilon: float) -> jax.Array:
    row = lambda v: jnp.reshape(v, (1, 1, 1, -1))
    return (x - row(mean)) / jnp.sqrt(row(variance) + epsilon) * row(scale) + row(bias)


# --- DeepLabv2 of the authors of smoothed dilated convolutions, in TensorFlow ---


_BRANCH = {"shortcut": "1", "conv1": "2a", "conv2": "2b", "conv3": "2c"}


def tf_scopes(family: str, depth: int) -> Iterator[tuple[int, int, Callable[[str], str], Callable[[str], str]]]:
    """Stage and unit of every block, and its scopes of convolutions and batch normalisations by role."""
    for stage, units in enumerate(CAFFE_BLOCKS[depth]):
        for unit, suffix in enumerate(units):
            if family == "caffe":
                block = f"{stage + 2}{suffix}_branch"
                yield stage, unit, lambda r, b=block: f"res{b}{_BRANCH[r]}", lambda r, b=block: f"bn{b}{_BRANCH[r]}"
            else:
                block = f"resnet_v1_{depth}/block{stage + 1}/unit_{unit + 1}/bottleneck_v1/"
                yield stage, unit, lambda r, b=block: b + r, lambda r, b=block: f"{b}{r}/BatchNorm"


def tf_head(family: str, branch: int) -> str:
    return f"fc1_voc12_c{branch}" if family == "caffe" else f"decoder/aspp/conv{branch + 1}"


def tf_stem(family: str, depth: int) -> tuple[str, str]:
    return (
        ("conv1", "bn_conv1")
        if family == "caffe"
        else (f"resnet_v1_{depth}/conv1", f"resnet_v1_{depth}/conv1/BatchNorm")
    )


def tf_variables(family: str, depth: int, *, width: int, classes: int | None, smoothing: str) -> dict[str, np.ndarray]:
    """A checkpoint of random values; without classes, that of only an encoder."""
    shapes: Shapes = {}

    def layer(scope: str, norm: str, size: int, c_in: int, c_out: int) -> None:
        shapes[f"{scope}/weights"] = (size, size, c_in, c_out)
        shapes.update({f"{norm}/{leaf}": (c_out,) for leaf in ("beta", "gamma", "moving_mean", "moving_variance")})

    layer(*tf_stem(family, depth), 7, 3, width)
    c_in = width
    for stage, unit, scope, norm in tf_scopes(family, depth):
        c, out = width * 2**stage, 4 * width * 2**stage
        if unit == 0:
            layer(scope("shortcut"), norm("shortcut"), 1, c_in, out)
        layer(scope("conv1"), norm("conv1"), 1, c_in, c)
        layer(scope("conv2"), norm("conv2"), 3, c, c)
        layer(scope("conv3"), norm("conv3"), 1, c, out)
        rate = (1, 1, 2, 4)[stage]
        if rate > 1 and smoothing != "none":
            extra = (rate**2,) * 2 if smoothing == "group_interaction" else (2 * rate - 1,) * 2 + (1, 1, 1)
            shapes[f"{scope('conv2')}/fix_w"] = extra
        c_in = out
    for branch in range(4 if classes else 0):
        shapes[f"{tf_head(family, branch)}/weights"] = (3, 3, c_in, classes or 0)
        shapes[f"{tf_head(family, branch)}/biases"] = (classes or 0,)
    return {name: published_value(name, shape) for name, shape in shapes.items()}


def tf_norm(x: jax.Array, v: Any, scope: str, epsilon: float) -> jax.Array:
    leaves = ("moving_mean", "moving_variance", "gamma", "beta")
    return normalise(x, *(v[f"{scope}/{leaf}"] for leaf in leaves), epsilon=epsilon)


def tf_dilated(x: jax.Array, v: Any, scope: str, rate: int, smoothing: str) -> jax.Array:
    """The dilated convolution of the authors' code, with its way of using `fix_w`."""
    kernel = v[f"{scope}/weights"]
    if smoothing == "ss_conv":
        size = 2 * rate - 1
        shared = jnp.reshape(v[f"{scope}/fix_w"], (size, size)).at[rate - 1, rate - 1].add(1)
        x = conv(x, jnp.tile(shared[..., None, None], (1, 1, 1, x.shape[-1])), groups=x.shape[-1])
    if smoothing != "group_interaction":
        return conv(x, kernel, rate=rate)
    height, width = x.shape[1:3]
    x = jnp.pad(x, [(0, 0), (0, -height % rate), (0, -width % rate), (0, 0)])
    fix_w, phases = v[f"{scope}/fix_w"], list(itertools.product(range(rate), repeat=2))
    groups = [conv(x[:, i::rate, j::rate], kernel) for i, j in phases]
    out = jnp.zeros((*x.shape[:3], kernel.shape[-1]))
    for index, (i, j) in enumerate(phases):
        group = fix_w[0, index] * groups[index]
        for other in range(1, len(groups)):
            group += fix_w[other, index] * groups[other]
        out = out.at[:, i::rate, j::rate].set(group)
    return out[:, :height, :width]


@partial(jax.jit, static_argnames=("family", "depth", "smoothing"))
def tf_deeplab(v: Any, x: jax.Array, *, family: str, depth: int, smoothing: str) -> jax.Array:
    """SAME everywhere, stride on the first 1x1 of the second stage, epsilon 1e-3."""
    norm = partial(tf_norm, v=v, epsilon=1e-3)
    scope, stem = tf_stem(family, depth)
    x = max_pool(jax.nn.relu(norm(conv(x, v[f"{scope}/weights"], stride=2), scope=stem)), "SAME")
    for stage, unit, scope, bn in tf_scopes(family, depth):
        stride, rate = (2 if (stage, unit) == (1, 0) else 1), (1, 1, 2, 4)[stage]
        weights = lambda role, s=scope: v[f"{s(role)}/weights"]
        y = jax.nn.relu(norm(conv(x, weights("conv1"), stride=stride), scope=bn("conv1")))
        y = tf_dilated(y, v, scope("conv2"), rate, smoothing if rate > 1 else "none")
        y = norm(conv(jax.nn.relu(norm(y, scope=bn("conv2"))), weights("conv3")), scope=bn("conv3"))
        if unit == 0:
            x = norm(conv(x, weights("shortcut"), stride=stride), scope=bn("shortcut"))
        x = jax.nn.relu(x + y)
    logits = 0
    for branch, rate in enumerate((6, 12, 18, 24)):
        head = tf_head(family, branch)
        logits += conv(x, v[f"{head}/weights"], rate=rate) + v[f"{head}/biases"].reshape(1, 1, 1, -1)
    return jnp.asarray(logits)


# --- TF-slim's resnet_v1 for classification ---


@partial(jax.jit, static_argnames="depth")
def slim_features(v: Any, x: jax.Array, *, depth: int) -> jax.Array:
    """Explicit padding but for the pooling; the last unit of a block holds the stride, in its 3x3; epsilon 1e-5."""
    norm = partial(tf_norm, v=v, epsilon=1e-5)
    scope, stem = tf_stem("slim", depth)
    x = max_pool(jax.nn.relu(norm(conv(x, v[f"{scope}/weights"], stride=2, padding=3), scope=stem)), "SAME")
    for stage, unit, scope, bn in tf_scopes("slim", depth):
        stride = 2 if stage < 3 and unit == UNITS[depth][stage] - 1 else 1
        y = jax.nn.relu(norm(conv(x, v[f"{scope('conv1')}/weights"]), scope=bn("conv1")))
        y = conv(y, v[f"{scope('conv2')}/weights"], stride=stride, padding=1)
        y = norm(conv(jax.nn.relu(norm(y, scope=bn("conv2"))), v[f"{scope('conv3')}/weights"]), scope=bn("conv3"))
        if unit == 0:
            x = norm(conv(x, v[f"{scope('shortcut')}/weights"]), scope=bn("shortcut"))
        x = jax.nn.relu(x[:, ::stride, ::stride] + y)
    return x


# --- torchvision's resnet ---


def torchvision_tensors(depth: int, *, width: int) -> dict[str, np.ndarray]:
    """A state dict of random values, classifier and counters included."""
    shapes: Shapes = {}

    def layer(conv: str, norm: str, size: int, c_in: int, c_out: int) -> None:
        shapes[f"{conv}.weight"] = (c_out, c_in, size, size)
        shapes.update({f"{norm}.{leaf}": (c_out,) for leaf in ("weight", "bias", "running_mean", "running_var")})
        shapes[f"{norm}.num_batches_tracked"] = ()

    layer("conv1", "bn1", 7, 3, width)
    c_in, expansion = width, 4 if depth >= 50 else 1
    for stage, units in enumerate(UNITS[depth]):
        for unit in range(units):
            c, block = width * 2**stage, f"layer{stage + 1}.{unit}"
            sizes = [(1, c_in, c), (3, c, c), (1, c, 4 * c)] if depth >= 50 else [(3, c_in, c), (3, c, c)]
            for index, size in enumerate(sizes, 1):
                layer(f"{block}.conv{index}", f"{block}.bn{index}", *size)
            if unit == 0 and c_in != expansion * c:
                layer(f"{block}.downsample.0", f"{block}.downsample.1", 1, c_in, expansion * c)
            c_in = expansion * c
    return random_tensors(shapes | {"fc.weight": (10, c_in), "fc.bias": (10,)})


@partial(jax.jit, static_argnames=("depth", "strides", "rates"))
def torchvision_features(
    t: Any, x: jax.Array, *, depth: int, strides: tuple[int, ...] = (1, 2, 2, 2), rates: tuple[int, ...] = (1, 1, 1, 1)
) -> jax.Array:
    """v1.5: the first 3x3 of a stage has the stride; a rate holds for all 3x3 of a stage. Epsilon 1e-5."""

    def layer(x: jax.Array, conv_name: str, norm: str, stride: int = 1, rate: int = 1) -> jax.Array:
        kernel = t[f"{conv_name}.weight"].transpose(2, 3, 1, 0)
        x = conv(x, kernel, stride=stride, rate=rate, padding=kernel.shape[0] // 2 * rate)
        leaves = ("running_mean", "running_var", "weight", "bias")
        return normalise(x, *(t[f"{norm}.{leaf}"] for leaf in leaves), epsilon=1e-5)

    x = max_pool(jax.nn.relu(layer(x, "conv1", "bn1", 2)), 1)
    for stage, units in enumerate(UNITS[depth]):
        for unit in range(units):
            block, stride = f"layer{stage + 1}.{unit}", strides[stage] if unit == 0 else 1
            each = partial(lambda y, i, *options, b: layer(y, f"{b}.conv{i}", f"{b}.bn{i}", *options), b=block)
            if depth >= 50:
                y = jax.nn.relu(each(jax.nn.relu(each(x, 1)), 2, stride, rates[stage]))
                y = each(y, 3)
            else:
                y = each(jax.nn.relu(each(x, 1, stride, rates[stage])), 2, 1, rates[stage])
            if f"{block}.downsample.0.weight" in t:
                x = layer(x, f"{block}.downsample.0", f"{block}.downsample.1", stride)
            x = jax.nn.relu(x + y)
    return x


def lite_tensors(width: int = 4) -> dict[str, np.ndarray]:
    """EfficientNet-Lite0 as the state dict of PyTorch's package, with `width` channels for 32 of the first layer."""
    shapes: Shapes = {}

    def conv(name: str, out: int, channels: int, taps: int) -> None:
        shapes[f"{name}.weight"] = (out, channels, taps, taps)

    def norm(name: str, channels: int) -> None:
        shapes.update({f"{name}.{leaf}": (channels,) for leaf in ("weight", "bias", "running_mean", "running_var")})
        shapes[f"{name}.num_batches_tracked"] = ()

    conv("_conv_stem", width, 3, 3)
    norm("_bn0", width)
    features, number = width, 0
    stages = (
        (1, 3, 1, 16),
        (2, 3, 6, 24),
        (2, 5, 6, 40),
        (3, 3, 6, 80),
        (3, 5, 6, 112),
        (4, 5, 6, 192),
        (1, 3, 6, 320),
    )
    for blocks, taps, expansion, channels in stages:
        wanted = channels * width / 32
        out = max(8, int(wanted + 4) // 8 * 8)
        out += 8 if out < 0.9 * wanted else 0
        for _ in range(blocks):
            block, expanded = f"_blocks.{number}.", features * expansion
            if expansion > 1:
                conv(f"{block}_expand_conv", expanded, features, 1)
                norm(f"{block}_bn0", expanded)
            conv(f"{block}_depthwise_conv", expanded, 1, taps)
            norm(f"{block}_bn1", expanded)
            conv(f"{block}_project_conv", out, expanded, 1)
            norm(f"{block}_bn2", out)
            features, number = out, number + 1
    conv("_conv_head", 1280, features, 1)
    norm("_bn1", 1280)
    shapes |= {"_fc.weight": (1000, 1280), "_fc.bias": (1000,)}

    def value(name: str, shape: tuple[int, ...]) -> np.ndarray:
        if not shape:
            return np.array(7)
        z = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape).astype(np.float32)
        if len(shape) > 1:
            return z * np.sqrt(2 / np.prod(shape[1:])).astype(np.float32)
        positive = name.endswith("running_var") or name.endswith(".weight")
        return 1 + 0.2 * np.tanh(z) if positive else 0.1 * z

    return {name: value(name, shape) for name, shape in shapes.items()}
