"""Shared parts of the encoders of dense networks: options, and the dilation of the last stages."""

from collections.abc import Callable
from typing import Any, TypedDict, get_args

import jax
from flax import nnx
from jax.typing import DTypeLike

from .._checks import check_choice
from ..names import BatchNormMode, EncoderDegridding, EncoderPadding, StrideIn, StrideUnit

DEGRIDDINGS: tuple[EncoderDegridding, ...] = get_args(EncoderDegridding)
"""The degridding methods of an encoder: the smoothings of `nn.DilatedConv`, and `"multigrid"`, which changes rates."""

OUTPUT_STRIDES = (8, 16, 32)
HE = nnx.initializers.variance_scaling(2.0, "fan_out", "normal")


class EncoderOptions(TypedDict, total=False):
    """The options that a network passes on to its encoder, which has the defaults.

    `stride_in` and `stride_unit` belong to `ResNetEncoder`, `stem` to `DilatedStackEncoder`, which has no
    `output_stride` and no `padding`; all encoders have the others.
    """

    output_stride: int
    stem: int
    stride_in: StrideIn
    stride_unit: StrideUnit
    padding: EncoderPadding
    batch_norm: BatchNormMode
    momentum: float
    epsilon: float
    width: int
    in_features: int
    remat: bool
    dtype: DTypeLike | None


def check_dilation(output_stride: int, smoothing: EncoderDegridding) -> None:
    """Refuses an unknown output stride or smoothing, and a smoothing without dilated layers."""
    check_choice("output_stride", output_stride, OUTPUT_STRIDES)
    check_choice("smoothing", smoothing, DEGRIDDINGS)
    if output_stride == 32 and smoothing != "none":
        raise ValueError(
            f"smoothing {smoothing!r} has no dilated layer to act on at output_stride 32: use 8 or 16, or 'none'"
        )


def applied(remat: bool) -> Callable[[Any, jax.Array], jax.Array]:
    """Applies a block, directly or so that the backward pass recomputes its activations."""
    return nnx.remat(_apply) if remat else _apply


def _apply(block: Any, x: jax.Array) -> jax.Array:
    return block(x)
