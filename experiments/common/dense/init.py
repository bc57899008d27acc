"""Published weights in the encoder of a study's network, with the architecture and the preprocessing they expect."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from smoothjax import data, weights

from ..network import M, Network, Tree
from .config import LITE, DenseConfig, InitConfig

PerChannel = tuple[float, ...]


def architecture(init: InitConfig) -> dict[str, Any]:
    """Options of the encoder that the weights were trained with; none where there are no weights.

    EfficientNet-Lite is padded symmetrically all the same: at odd sizes nothing differs, and at even ones TensorFlow's
    SAME would move its cells by up to 7 pixels from where labels are compared with them.
    """
    if init.published is None:
        return {}
    options = dict(weights.SOURCES[init.published].architecture)
    return options | {"padding": "symmetric"} if init.published in LITE else options


def normalization(config: DenseConfig) -> tuple[PerChannel, PerChannel]:
    """Mean and standard deviation of each channel: those given or measured, those of the weights, or of ImageNet.

    Those given or measured are in units of 0 .. 255. Of images of other channels than RGB, for which published weights
    have no statistics, the standard deviation is scaled, so that the inputs spread as much as those of the weights.
    """
    images, init = config.data, config.init
    if images.mean is not None and images.std is not None:
        spread = 1.0
        if init.published is not None and images.channels != 3:
            spread = sum(weights.SOURCES[init.published].preprocessing.std) / sum(data.IMAGENET_STD)
        return images.mean, tuple(spread * value for value in images.std)
    if images.channels != 3:
        raise ValueError(
            f"images of {images.channels} channels need --data.mean and --data.std: call `completed` of the study on "
            "the configuration first, which measures them"
        )
    if init.published is None:
        return data.IMAGENET_MEAN, data.IMAGENET_STD
    expected = weights.SOURCES[init.published].preprocessing
    if expected.channel_order == "RGB":
        return expected.mean, expected.std
    (blue, green, red), (blue_std, green_std, red_std) = expected.mean, expected.std
    return (red, green, blue), (red_std, green_std, blue_std)


def weights_file(init: InitConfig) -> Path | None:
    """The file of published weights, named or installed by pip; None where the network starts from none.

    Raises:
      ModuleNotFoundError: it is not named, and the package that has it is not installed.
      ValueError: it is not named, and no package has it.
    """
    if init.source is None or init.source == "run" or init.checkpoint is not None:
        return None if init.source in (None, "run") else init.checkpoint
    if init.source not in LITE:
        raise ValueError(f"--init.source {init.source} needs --init.checkpoint: name the file of the weights")
    return weights.installed_file(init.source)


def initialized(network: Network[M], init: InitConfig) -> Network[M]:
    """The network with the published weights in its encoder; prints what was loaded and what was not.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file cannot be read, or is of another network.
    """
    file = weights_file(init)
    if file is None or init.source is None or init.source == "run":
        return network
    result = weights.initialize_encoder(network.model(), weights.read(file), source=init.source)
    if weights.SOURCES[init.source].preprocessing.channel_order == "BGR":
        # Images are RGB in all studies; the first kernel is turned instead. One for other channels is in their order.
        _flip_first_kernel(result.params)
    print(f"{file}, {result.report}", flush=True)
    return replace(network, params=result.params, model_state=result.model_state)


def _flip_first_kernel(params: Tree) -> None:
    encoder = params["deeplab"]["encoder"] if "deeplab" in params else params["encoder"]
    kernel = encoder["conv1"]["kernel"]
    encoder["conv1"]["kernel"] = jnp.flip(kernel, 2) if kernel.shape[2] == 3 else kernel
