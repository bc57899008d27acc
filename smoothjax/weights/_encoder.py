"""Shared parts of the loaders of residual networks: entries, smoothing parameters included."""

from typing import Literal

import jax
import numpy as np
from flax import nnx

from .. import nn
from ..names import EncoderDegridding
from ._assign import Entry, Path, kernel_from_torch
from ._names import STEM, Names, Variables, layers
from ._official import group_interaction_weight_from_official


def width_of(names: Names, variables: Variables) -> int:
    """Channels of the first layer."""
    name = names.scopes(STEM)[0] + (".weight" if names.family == "torchvision" else "/weights")
    if name not in variables or np.ndim(variables[name]) != 4:
        raise ValueError(f"the checkpoint has no kernel {name!r} of its first layer: is it whole?")
    return np.shape(variables[name])[0 if names.family == "torchvision" else -1]


def encoder_entries(names: Names, prefix: Path = ()) -> list[Entry]:
    """An entry for each parameter and statistic that the encoder shares with a classification network."""
    kernel = kernel_from_torch if names.family == "torchvision" else None
    return [
        Entry((*prefix, *path), variable, kernel if path[-1] == "kernel" else None)
        for layer in layers(names.depth)
        for path, variable in names.variables(layer).items()
    ]


def fit_first_kernel(kernel: np.ndarray, channels: int, *, order: Literal["RGB", "BGR"]) -> np.ndarray:
    """Adapts the first kernel of a network for colour images to images with other channels.

    Args:
      kernel: `[*K, 3, C_out]`, for colours in `order`.
      channels: number of channels of the images.
      order: order of the colours.

    Returns:
      `[*K, channels, C_out]`: the sum over the colours for one channel, so that a grey image gives the same result as
      in RGB; else red, green, blue, red, ..., scaled by 3 / channels, so that outputs keep about their size. For three
      channels the kernel itself.
    """
    if channels == 3:
        return kernel
    colors = kernel if order == "RGB" else kernel[..., ::-1, :]
    if channels == 1:
        return 3 * colors.mean(-2, keepdims=True)
    return colors[..., [index % 3 for index in range(channels)], :] * (3 / channels)


def smoother_entries(names: Names, model: nnx.Module, prefix: Path = ()) -> list[Entry]:
    """An entry for each smoothing parameter of the encoder, from the variables `fix_w` of the authors' code."""
    convolutions = {(*prefix, *layer.conv): layer for layer in layers(names.depth)}
    return [
        Entry(path, f"{names.scopes(convolutions[path[:-1]])[0]}/fix_w", _smoother_from_official)
        for path in nn.smoothers(model)
        if path[:-1] in convolutions
    ]


def initial_smoothers(model: nnx.Module) -> dict[Path, jax.Array]:
    """The initial value of each smoothing parameter of a network."""
    return {path: smoother.initial for path, smoother in nn.smoothers(model).items()}


def trained_smoothing(variables: Variables) -> EncoderDegridding:
    """The smoothing that a checkpoint was trained with."""
    found = {np.ndim(value) for name, value in variables.items() if name.endswith("/fix_w")}
    if not found:
        return "none"
    kinds: dict[int, EncoderDegridding] = {2: "group_interaction", 5: "ss_conv"}
    if len(found) > 1 or not found <= set(kinds):
        raise ValueError(
            f"the variables 'fix_w' have {sorted(found)} axes; all must have 2 (group interaction) or all 5 (SS "
            "convolution): is the checkpoint of one network?"
        )
    return kinds[found.pop()]


def check_smoothing(smoothing: EncoderDegridding, variables: Variables) -> bool:
    """Whether the checkpoint holds smoothing parameters; refuses those of a smoothing that the network does not have.

    A checkpoint without them fits every network: smoothing then starts as the identity.
    """
    trained = trained_smoothing(variables)
    if trained not in ("none", smoothing):
        raise ValueError(
            f"the checkpoint was trained with smoothing {trained!r} (its variables 'fix_w'), the network has "
            f"{smoothing!r}: build it with smoothing={trained!r}, or delete 'fix_w' from the dict"
        )
    return trained != "none"


def _smoother_from_official(fix_w: np.ndarray) -> np.ndarray | jax.Array:
    if fix_w.ndim == 2:
        return group_interaction_weight_from_official(fix_w)
    if fix_w.shape[2:] != (1, 1, 1):
        return fix_w  # refused by its shape
    smoother = fix_w[..., 0, 0, 0].copy()
    # The authors' network adds the filtered map, so there zeros are the identity.
    smoother[tuple(size // 2 for size in smoother.shape)] += 1
    return smoother
