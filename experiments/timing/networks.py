"""Cases of whole networks: a training step, and a prediction."""

import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from smoothjax import models, nn, training

from ..common.network import Network, Trees, build_network, model_state_of
from ..common.published import upsampling_times
from .measure import Case, Peer, random_array

_BATCH = 2
_PARTS = {"train": "training step", "predict": "prediction"}


def network_cases(*, quick: bool) -> list[Case]:
    """Table 2 of the pixel paper, DeepLab with smoothing beside its baseline, and a plain network made fast."""
    side, options = (32, {"depth": 2, "width": 8}) if quick else (256, {})
    published = upsampling_times()
    unet = partial(_unet_peer, side, options)
    cases = [
        Case(
            f"U-Net with {label} / with DCL",
            f"2x{side}x{side}x3",
            partial(unet, method),
            partial(unet, "dcl"),
            {part: published[label][key] / published["DCL"][key] for key, part in _PARTS.items()},
        )
        for method, label in (("fast_pixel_dcl", "PixelDCL"), ("ipixel_dcl", "iPixelDCL"))
    ]
    # The second has the width of the stored CamVid runs: beside cheap convolutions smoothing costs relatively more.
    for side, width, encoder in [(33, 8, "resnet10")] if quick else [(161, 64, "resnet50"), (129, 32, "resnet18")]:
        deeplab = partial(_deeplab_peer, side, encoder, width)
        for method, label in (("ss_conv", "SS convolution"), ("group_interaction", "group interaction")):
            title = f"DeepLab {encoder} of width {width} with {label} / baseline"
            cases.append(Case(title, f"2x{side}x{side}x3", partial(deeplab, method), partial(deeplab, "none")))
    side, width, blocks = (33, 8, (1, 1, 1, 1)) if quick else (161, 64, (3, 4, 6, 3))
    plain = partial(_plain_peer, side, width, blocks)
    title = f"dilated ResNet-{3 * sum(blocks) + 2} of nnx.Conv, after nn.use_fast_convolutions / before"
    return [*cases, Case(title, f"2x{side}x{side}x3", partial(plain, fast=True), partial(plain, fast=False))]


def deeplab_demand(crop: tuple[int, int], width: int) -> float:
    """Images per second that training a DeepLab with ResNet-18 consumes: the median of five steps of two images."""
    make = lambda rngs: models.DeepLab(encoder="resnet18", width=width, num_classes=21, rngs=rngs)
    step = network_peer(make, crop, 8).runs["training step"]
    step()
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return _BATCH / statistics.median(seconds)


def _unet_peer(side: int, options: dict[str, Any], method: Any) -> Peer:
    return network_peer(
        lambda rngs: models.UNet(num_classes=21, upsampling=method, rngs=rngs, **options), (side, side), 1
    )


def _deeplab_peer(side: int, encoder: Any, width: int, method: Any) -> Peer:
    make = lambda rngs: models.DeepLab(encoder=encoder, width=width, num_classes=21, smoothing=method, rngs=rngs)
    return network_peer(make, (side, side), 8)


class _Bottleneck(nnx.Module):
    """A residual block without normalisation."""

    def __init__(self, features: int, width: int, stride: int, rate: int, *, rngs: nnx.Rngs):
        self.reduce = nnx.Conv(features, width, (1, 1), strides=stride, rngs=rngs)
        self.convolve = nnx.Conv(width, width, (3, 3), kernel_dilation=rate, rngs=rngs)
        # Starts at zero, so that values stay small through sixteen blocks.
        self.expand = nnx.Conv(width, 4 * width, (1, 1), kernel_init=nnx.initializers.zeros, rngs=rngs)
        self.shortcut = nnx.Conv(features, 4 * width, (1, 1), strides=stride, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        y = nnx.relu(self.convolve(nnx.relu(self.reduce(x))))
        return nnx.relu(self.shortcut(x) + self.expand(y))


def _plain_network(width: int, counts: Sequence[int], rngs: nnx.Rngs) -> nnx.Sequential:
    """The convolutions of a dilated residual network as a user of Flax writes them, with `counts` blocks per stage."""
    blocks, features = [], width
    stages = ((1, 1, 1), (2, 2, 1), (4, 1, 2), (8, 1, 4))
    for count, (factor, stride, rate) in zip(counts, stages, strict=True):
        for index in range(count):
            blocks.append(_Bottleneck(features, factor * width, stride if index == 0 else 1, rate, rngs=rngs))
            features = 4 * factor * width
    stem = nnx.Conv(3, width, (7, 7), strides=2, rngs=rngs)
    pool = partial(nnx.max_pool, window_shape=(3, 3), strides=(2, 2), padding="SAME")
    return nnx.Sequential(stem, pool, *blocks, nnx.Conv(features, 21, (3, 3), kernel_dilation=12, rngs=rngs))


def _plain_peer(side: int, width: int, blocks: Sequence[int], *, fast: bool) -> Peer:
    def make(rngs: nnx.Rngs) -> nnx.Module:
        model = _plain_network(width, blocks, rngs)
        if fast:
            nn.use_fast_convolutions(model)
        return model

    return network_peer(make, (side, side), 8)


def network_peer(make: Callable[[nnx.Rngs], nnx.Module], size: tuple[int, int], stride: int) -> Peer:
    """A network with the training step of the studies: cross entropy, SGD with momentum, donated state."""
    network, optimizer = build_network(make, seed=0), optax.sgd(1e-6, momentum=0.9)
    images = random_array(0, _BATCH, *size, 3)
    cells = [-(-length // stride) for length in size]
    labels = jnp.asarray(np.random.default_rng(0).integers(0, 21, (_BATCH, *cells)))
    mesh = training.data_mesh(jax.devices()[:1])
    step = training.compile_step(partial(_loss, network), optimizer, mesh)
    state = training.create_state(network.params, network.model_state, optimizer)
    # Each step donates the state, as in training; predictions use the original.
    held = [training.replicate(jax.tree.map(jnp.copy, state), mesh)]
    batch = training.replicate({"image": images, "label": labels}, mesh)

    def train() -> None:
        held[0], metrics = step(held[0], batch)
        jax.block_until_ready((held[0], metrics))

    predict = jax.jit(lambda variables: jnp.argmax(network.model(variables)(images), -1))
    variables = Trees(network.params, network.model_state)
    return Peer(
        {
            "training step": train,
            "prediction": lambda: jax.block_until_ready(predict(variables)),
        }
    )


def _loss(network: Network, params: Any, model_state: Any, batch: Any) -> training.LossOutput:
    model = network.model(Trees(params, model_state), training=True)
    loss_sum, count = training.cross_entropy(model(batch["image"]), batch["label"])
    return training.LossOutput(loss_sum, count, model_state_of(model))
