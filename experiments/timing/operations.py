"""Cases of single operations, beside those that they contain or replace."""

import importlib.util
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from smoothjax import nn, ops
from smoothjax.names import Upsampling

from .measure import Case, Peer, jax_peer, random_array


def operation_cases(*, quick: bool) -> list[Case]:
    """`ss_conv` beside depthwise convolutions, whose kernel repeats the one filter for all channels."""
    shape = (1, 17, 17, 32) if quick else (2, 40, 40, 256)
    cases = [_depthwise(taps, shape) for taps in (3, 7)]
    if importlib.util.find_spec("torch"):
        cases += [_torch_depthwise(taps, shape) for taps in (7, 15)]
    return cases


def layer_cases(*, quick: bool) -> list[Case]:
    """Smoothed beside plain dilated convolutions, and up-sampling layers beside the transposed convolution."""
    sizes, channels = ((17,), 32) if quick else ((40, 41), 256)
    smoothing = [_smoothed("SS convolution", _ss, rate, sizes[0], channels) for rate in (2, 4)]
    smoothing += [_smoothed("group interaction", _gi, rate, size, channels) for size in sizes for rate in (2, 4)]
    smoothing += [_attention(sizes[0], channels), _frequency_selection(sizes[0], channels)]
    maps = [(1, 8, 16)] if quick else [(2, 32, 128), (2, 16, 256), (2, 64, 64)]
    names = ("transposed_conv", "fast_pixel_deconv", "pixel_deconv", "ipixel_deconv")
    upsampling = [_upsampling(name, *size) for name in names for size in maps]
    return smoothing + upsampling + [_rival(method, *size) for method in _RIVALS for size in maps]


#: Up-sampling layers made of several operations: method of `nn.UpConv` and title.
_RIVALS: dict[Upsampling, str] = {
    "resize_conv": "resize convolution 3x3",
    "sub_pixel_blur": "blurred sub-pixel convolution 3x3",
    "carafe": "CARAFE 5x5",
    "dysample": "DySample",
}


def _depthwise(taps: int, shape: tuple[int, ...]) -> Case:
    x, kernel = random_array(0, *shape), random_array(1, taps, taps)

    def depthwise(x: jax.Array, kernel: jax.Array) -> jax.Array:
        channels = x.shape[-1]
        return lax.conv_general_dilated(
            x,
            jnp.broadcast_to(kernel[:, :, None, None], (taps, taps, 1, channels)),
            (1, 1),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=channels,
        )

    return Case(
        f"ss_conv {taps}x{taps} / depthwise convolution of JAX",
        _size(shape),
        partial(jax_peer, ops.ss_conv, x, kernel),
        partial(jax_peer, depthwise, x, kernel),
    )


def _torch_depthwise(taps: int, shape: tuple[int, ...]) -> Case:
    x, kernel = random_array(0, *shape), random_array(1, taps, taps)
    return Case(
        f"ss_conv {taps}x{taps} / depthwise convolution of PyTorch, channels last",
        _size(shape),
        partial(jax_peer, ops.ss_conv, x, kernel),
        partial(_torch_peer, shape, taps),
    )


def _torch_peer(shape: tuple[int, ...], taps: int) -> Peer:
    torch: Any = importlib.import_module("torch")
    n, height, width, channels = shape
    x = torch.randn(n, channels, height, width).to(memory_format=torch.channels_last).requires_grad_()
    kernel = torch.randn(taps, taps, requires_grad=True)
    cotangent = torch.randn(n, channels, height, width).to(memory_format=torch.channels_last)

    def forward() -> Any:
        filters = kernel.expand(channels, 1, taps, taps)
        return torch.nn.functional.conv2d(x, filters, padding=taps // 2, groups=channels)

    def value() -> None:
        with torch.no_grad():
            forward()

    return Peer(
        {"forward": value, "forward + backward": lambda: torch.autograd.grad(forward(), (x, kernel), cotangent)}
    )


def _ss(x: jax.Array, kernel: jax.Array, parameter: jax.Array, *, rate: int) -> jax.Array:
    return ops.ss_dilated_conv(x, kernel, parameter, rate=rate)


def _gi(x: jax.Array, kernel: jax.Array, parameter: jax.Array, *, rate: int) -> jax.Array:
    return ops.group_interaction_dilated_conv(x, kernel, parameter, rate=rate)


def _smoothed(name: str, function: Callable[..., jax.Array], rate: int, size: int, channels: int) -> Case:
    x = random_array(0, 2, size, size, channels)
    kernel = random_array(1, 3, 3, channels, channels, scale=1 / (9 * channels) ** 0.5)
    side = 2 * rate - 1 if function is _ss else rate**2
    parameter = random_array(2, side, side)
    return Case(
        f"{name} of rate {rate} / dilated convolution",
        _size(x.shape),
        partial(jax_peer, partial(function, rate=rate), x, kernel, parameter),
        partial(jax_peer, partial(ops.dilated_conv, rate=rate), x, kernel),
    )


def _upsampling(name: str, batch: int, size: int, channels: int) -> Case:
    x = random_array(0, batch, size, size, channels)

    def kernel(seed: int, taps: int, sources: int = 1) -> jax.Array:
        fan_in = taps**2 * sources * channels
        return random_array(seed, taps, taps, sources * channels, channels, scale=fan_in**-0.5)

    best: Callable[[], Peer] = partial(jax_peer, ops.transposed_conv, x, kernel(1, 6))
    flax: Callable[[], Peer] = partial(jax_peer, _flax_transposed, x, kernel(1, 6))
    phases = {"pixel_deconv": (1, 1, 2, 2), "ipixel_deconv": (1, 2, 3, 3)}.get(name, (1, 1, 1))
    kernels = [kernel(seed, 3, sources) for seed, sources in enumerate(phases)]

    def general(x: jax.Array, *kernels: jax.Array) -> jax.Array:
        return getattr(ops, name)(x, kernels)

    title, ours, reference = {
        "transposed_conv": ("transposed_conv 6x6 / nnx.ConvTranspose", best, flax),
        "fast_pixel_deconv": (
            "fast_pixel_deconv 3x3 / transposed_conv 6x6",
            partial(jax_peer, ops.fast_pixel_deconv, x, *kernels),
            best,
        ),
    }.get(name, (f"{name} 3x3 / transposed_conv 6x6", partial(jax_peer, general, x, *kernels), best))
    return Case(title, _size(x.shape), ours, reference)


def _rival(method: Upsampling, batch: int, size: int, channels: int) -> Case:
    """A whole layer from C to C channels, including everything that it predicts, beside the transposed convolution."""
    x = random_array(0, batch, size, size, channels)
    kernel = random_array(1, 6, 6, channels, channels, scale=1 / (6 * channels**0.5))
    return Case(
        f"{_RIVALS[method]} / transposed_conv 6x6",
        _size(x.shape),
        _layer_peer(lambda: nn.UpConv(channels, channels, method=method, use_bias=False, rngs=nnx.Rngs(0)), x),
        partial(jax_peer, ops.transposed_conv, x, kernel),
    )


def _attention(size: int, channels: int) -> Case:
    """Large-kernel attention as published, beside a dilated convolution of the same rate."""

    def make() -> nn.LargeKernelAttention:
        return nn.LargeKernelAttention(channels, use_bias=False, rngs=nnx.Rngs(0))

    return _beside_dilated("large-kernel attention of rate 3", make, 3, size, channels)


def _frequency_selection(size: int, channels: int) -> Case:
    """A dilated convolution with frequency selection before it, beside the convolution alone."""

    def make() -> nn.DilatedConv:
        before = nn.FrequencySelection(channels, rngs=nnx.Rngs(0))
        return nn.DilatedConv(channels, channels, (3, 3), rate=4, before=before, use_bias=False, rngs=nnx.Rngs(0))

    return _beside_dilated("frequency selection before a dilated convolution of rate 4", make, 4, size, channels)


def _beside_dilated(
    name: str, make: Callable[[], Callable[[jax.Array], jax.Array]], rate: int, size: int, channels: int
) -> Case:
    x = random_array(0, 2, size, size, channels)
    kernel = random_array(1, 3, 3, channels, channels, scale=1 / (9 * channels) ** 0.5)
    return Case(
        f"{name} / dilated convolution",
        _size(x.shape),
        _layer_peer(make, x),
        partial(jax_peer, partial(ops.dilated_conv, rate=rate), x, kernel),
    )


def _layer_peer(make: Callable[[], Callable[[jax.Array], jax.Array]], x: jax.Array) -> Callable[[], Peer]:
    """A layer as a function of its input and of all its parameters, with random values."""
    graph, state = nnx.split(nnx.eval_shape(make))
    shapes, tree = jax.tree.flatten(state)
    leaves = [
        random_array(seed, *leaf.shape, scale=math.prod(leaf.shape[:-1]) ** -0.5) for seed, leaf in enumerate(shapes)
    ]

    def layer(x: jax.Array, *leaves: jax.Array) -> jax.Array:
        return nnx.merge(graph, jax.tree.unflatten(tree, leaves))(x)

    return partial(jax_peer, layer, x, *leaves)


def _flax_transposed(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """`nnx.ConvTranspose(..., strides=2, use_bias=False)` as a function of its kernel."""
    layer = nnx.eval_shape(
        lambda: nnx.ConvTranspose(
            x.shape[-1], kernel.shape[-1], kernel.shape[:2], strides=2, use_bias=False, rngs=nnx.Rngs(0)
        )
    )
    graph, state = nnx.split(layer)
    return nnx.merge(graph, nnx.map_state(lambda path, _: kernel, state))(x)


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
