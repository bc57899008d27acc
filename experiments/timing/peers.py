"""Cases beside PyTorch: whole networks, and single convolutions."""

import importlib
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from smoothjax import models, ops

from ..common.config import require
from .measure import Case, Peer, jax_peer, random_array
from .networks import network_peer

#: Layers of the networks below: side of the map, input and output channels, taps, rate.
_LAYERS = (
    *((41, 64, 256, 1, 1), (21, 1024, 256, 1, 1), (21, 2048, 512, 1, 1)),
    *((21, 256, 256, 3, 2), (21, 512, 512, 3, 4), (21, 2048, 21, 3, 12)),
    *((81, 64, 64, 3, 1), (256, 64, 64, 3, 1), (128, 128, 128, 3, 1)),
    *((64, 256, 256, 3, 1), (32, 512, 512, 3, 1), (16, 1024, 1024, 3, 1)),
)
_TRANSPOSED = ((128, 128, 64), (64, 256, 128), (32, 512, 256))


def network_peer_cases(*, quick: bool) -> list[Case]:
    """Our networks beside the same ones in PyTorch, with two images each."""
    theirs = _torch_networks()
    side = 33 if quick else 161
    depth, width = (18, 8) if quick else (50, 64)
    narrow, small = (33, 8) if quick else (129, 32)
    unet_side, levels, unet_width = (32, 3, 8) if quick else (256, 5, 64)
    demo = (33, 8) if quick else (97, 16)
    vae_width = 8 if quick else 32
    return [
        _case(
            f"DeepLab resnet{depth} of width {width}, frozen statistics / PyTorch",
            side,
            lambda: _deeplab(depth, width, side, frozen=True),
            lambda: theirs.peer(
                theirs.DeepLab(depth, width, frozen=True), (2, 3, side, side), (2, _cells(side), _cells(side))
            ),
        ),
        _case(
            f"DeepLab resnet18 of width {small} / PyTorch",
            narrow,
            lambda: _deeplab(18, small, narrow),
            lambda: theirs.peer(theirs.DeepLab(18, small), (2, 3, narrow, narrow), (2, _cells(narrow), _cells(narrow))),
        ),
        _case(
            "U-Net with DCL / PyTorch",
            unet_side,
            lambda: network_peer(
                lambda rngs: models.UNet(num_classes=21, depth=levels, width=unet_width, upsampling="dcl", rngs=rngs),
                (unet_side, unet_side),
                1,
            ),
            lambda: theirs.peer(
                theirs.UNet(levels, unet_width), (2, 3, unet_side, unet_side), (2, unet_side, unet_side)
            ),
        ),
        _case(
            "VAE with DCL / PyTorch",
            64,
            lambda: _vae(vae_width),
            lambda: theirs.peer(theirs.VAE(vae_width), (2, 3, 64, 64), None),
        ),
        _case(
            f"demo network, DeepLab resnet18 of width {demo[1]} / PyTorch",
            demo[0],
            lambda: _deeplab(18, demo[1], demo[0], head_rates=(1, 2, 4, 6)),
            lambda: theirs.peer(
                theirs.DeepLab(18, demo[1], head_rates=(1, 2, 4, 6)),
                (2, 3, demo[0], demo[0]),
                (2, _cells(demo[0]), _cells(demo[0])),
            ),
        ),
    ]


def layer_peer_cases(*, quick: bool) -> list[Case]:
    """Single convolutions beside those of PyTorch, with two examples each: the value, and each gradient separately."""
    torch = _torch()
    layers = [(9, 8, 8, 3, 1)] if quick else _LAYERS
    transposed = [(4, 8, 8)] if quick else _TRANSPOSED
    cases = [
        Case(
            f"convolution {taps}x{taps} of rate {rate}, {inputs} -> {outputs} / PyTorch",
            f"2x{side}x{side}x{inputs}",
            partial(_layer, side, inputs, outputs, taps, rate),
            partial(_torch_layer, torch, side, inputs, outputs, taps, rate),
        )
        for side, inputs, outputs, taps, rate in layers
    ]
    return cases + [
        Case(
            f"transposed convolution 6x6, {inputs} -> {outputs} / PyTorch",
            f"2x{side}x{side}x{inputs}",
            partial(_transposed, side, inputs, outputs),
            partial(_torch_transposed, torch, side, inputs, outputs),
        )
        for side, inputs, outputs in transposed
    ]


def _case(title: str, side: int, ours: Callable[[], Peer], reference: Callable[[], Peer]) -> Case:
    return Case(title, f"2x{side}x{side}x3", ours, reference)


def _cells(side: int) -> int:
    return -(-side // 8)


def _deeplab(
    depth: int, width: int, side: int, *, frozen: bool = False, head_rates: tuple[int, ...] | None = None
) -> Peer:
    def make(rngs: nnx.Rngs) -> models.DeepLab:
        return models.DeepLab(
            encoder="resnet50" if depth == 50 else "resnet18",
            width=width,
            num_classes=21,
            batch_norm="frozen" if frozen else "trained",
            head_rates=head_rates,
            rngs=rngs,
        )

    return network_peer(make, (side, side), 8)


def _vae(width: int) -> Peer:
    """A VAE: the training step on the negative bound, and the reconstruction."""
    model = nnx.jit(lambda: models.ConvVAE(upsampling="dcl", width=width, rngs=nnx.Rngs(0)))()
    images, noise = random_array(0, 2, 64, 64, 3), random_array(1, 2, model.latent_features)
    model.eval()
    graph, params, rest = nnx.split(model, nnx.Param, ...)
    model.train()
    train_graph, optimizer = nnx.graphdef(model), optax.sgd(1e-6, momentum=0.9)

    def loss(params: nnx.State, rest: nnx.State) -> tuple[jax.Array, nnx.State]:
        # The copy is needed because the variables of `rest` belong to the outer trace: the gradient cannot update them.
        model = nnx.merge(train_graph, params, rest, copy=True)
        return -model.elbo(images, noise).elbo.sum(), nnx.state(model, nnx.Not(nnx.Param))

    @partial(jax.jit, donate_argnums=(0, 1, 2))
    def step(params: Any, rest: Any, state: optax.OptState) -> tuple[Any, Any, optax.OptState]:
        gradients, rest = jax.grad(loss, has_aux=True)(params, rest)
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), rest, state

    copied = jax.tree.map(jnp.copy, (params, rest))
    held = [(*copied, optimizer.init(params))]

    def train() -> None:
        held[0] = jax.block_until_ready(step(*held[0]))

    predict = jax.jit(lambda params, rest: nnx.merge(graph, params, rest).reconstruct(images))
    return Peer({"training step": train, "prediction": lambda: jax.block_until_ready(predict(params, rest))})


def _parts(function: Callable[[jax.Array, jax.Array], jax.Array], x: jax.Array, kernel: jax.Array) -> Peer:
    """The value, and separately the gradient of the maps and that of the kernel."""
    of_maps = jax_peer(lambda x: function(x, kernel), x).runs["forward + backward"]
    of_kernel = jax_peer(lambda kernel: function(x, kernel), kernel).runs["forward + backward"]
    value = jax_peer(function, x, kernel).runs["forward"]
    return Peer({"forward": value, "gradient of the maps": of_maps, "gradient of the kernel": of_kernel})


def _layer(side: int, inputs: int, outputs: int, taps: int, rate: int) -> Peer:
    x = random_array(0, 2, side, side, inputs)
    kernel = random_array(1, taps, taps, inputs, outputs, scale=(taps**2 * inputs) ** -0.5)
    return _parts(partial(ops.dilated_conv, rate=rate), x, kernel)


def _transposed(side: int, inputs: int, outputs: int) -> Peer:
    x = random_array(0, 2, side, side, inputs)
    kernel = random_array(1, 6, 6, inputs, outputs, scale=(36 * inputs) ** -0.5)
    return _parts(ops.transposed_conv, x, kernel)


def _torch_layer(torch: ModuleType, side: int, inputs: int, outputs: int, taps: int, rate: int) -> Peer:
    padding = rate * (taps - 1) // 2
    return _torch_parts(torch, (2, inputs, side, side), (outputs, inputs, taps, taps), padding=padding, rate=rate)


def _torch_transposed(torch: ModuleType, side: int, inputs: int, outputs: int) -> Peer:
    return _torch_parts(torch, (2, inputs, side, side), (inputs, outputs, 6, 6), padding=2, stride=2, transposed=True)


def _torch_parts(
    torch: ModuleType,
    shape: tuple[int, ...],
    kernel_shape: tuple[int, ...],
    *,
    padding: int,
    stride: int = 1,
    rate: int = 1,
    transposed: bool = False,
) -> Peer:
    torch.set_num_threads(2)
    x = torch.randn(shape).to(memory_format=torch.channels_last)
    kernel = torch.randn(kernel_shape).to(memory_format=torch.channels_last)
    options = ([stride] * 2, [padding] * 2, [rate] * 2, transposed, [0, 0], 1)
    forward = partial(torch.ops.aten.convolution, x, kernel, None, *options)
    cotangent = torch.randn_like(forward())
    backward = partial(torch.ops.aten.convolution_backward, cotangent, x, kernel, None, *options)
    return Peer(
        {
            "forward": forward,
            "gradient of the maps": lambda: backward([True, False, False]),
            "gradient of the kernel": lambda: backward([False, True, False]),
        }
    )


def _torch() -> ModuleType:
    try:
        return importlib.import_module("torch")
    except ImportError:
        require(False, "--peers compares with PyTorch, which is not installed: pip install torch, or leave --peers out")
        raise


def _torch_networks() -> ModuleType:
    _torch()
    return importlib.import_module(".torch_networks", __package__)
