"""The network of a study: its options, and published weights in its encoder with the preprocessing they expect."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from smoothjax import data, weights

from ..network import M, Network, Tree, compute_dtype
from .config import LITE, DeepLabConfig, DenseConfig, InitConfig

PerChannel = tuple[float, ...]


def architecture(init: InitConfig) -> dict[str, Any]:
    """Options of the encoder that the weights were trained with; none without weights.

    EfficientNet-Lite is still padded symmetrically: at odd sizes nothing differs, and at even sizes TensorFlow's SAME
    would move its cells by up to 7 pixels from the labels that they are compared with.
    """
    if init.published is None:
        return {}
    options = dict(weights.SOURCES[init.published].architecture)
    return options | {"padding": "symmetric"} if init.published in LITE else options


def normalization(config: DenseConfig) -> tuple[PerChannel, PerChannel]:
    """Mean and standard deviation of each channel: those given or measured, those of the weights, or of ImageNet.

    Given or measured values are in units of 0 .. 255. Published weights have no statistics for images that are not RGB:
    then the standard deviation is scaled, so that inputs have the spread of the weights' training images.
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
    """The file of published weights, given or installed by pip; None if the network starts from none.

    Raises:
      ModuleNotFoundError: no file is given, and the package with the weights is not installed.
      ValueError: no file is given, and no package has the weights.
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
        # Images are RGB in all studies; the first kernel is turned instead. A kernel for other channels is in their
        # order.
        _flip_first_kernel(result.params)
    print(f"{file}, {result.report}", flush=True)
    return replace(network, params=result.params, model_state=result.model_state)


def _flip_first_kernel(params: Tree) -> None:
    encoder = params["deeplab"]["encoder"] if "deeplab" in params else params["encoder"]
    kernel = encoder["conv1"]["kernel"]
    encoder["conv1"]["kernel"] = jnp.flip(kernel, 2) if kernel.shape[2] == 3 else kernel


def deeplab_options(config: DeepLabConfig, init: InitConfig, num_classes: int, in_features: int = 3) -> dict[str, Any]:
    """The arguments of `models.DeepLab`, except the source of randomness; published weights determine some of them."""
    own: dict[str, Any] = {}
    if config.is_residual:
        own = {"stride_in": config.stride_in, "width": config.width}
    elif config.is_stack:
        own = {"stem": config.stem, "width": config.width}
    return {
        "encoder": config.encoder,
        "head": config.head,
        "num_classes": num_classes,
        "smoothing": config.smoothing,
        "head_rates": config.head_rates,
        "batch_norm": config.batch_norm,
        "in_features": in_features,
        "remat": config.remat,
        "dtype": compute_dtype(config.precision),
        **own,
        **architecture(init),
    }
