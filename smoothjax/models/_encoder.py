"""What the encoders of dense networks share: their options, and the last stages dilated instead of strided."""

from collections.abc import Callable
from typing import Any, TypedDict, get_args

import jax
from flax import nnx
from jax.typing import DTypeLike

from .._checks import check_choice
from ..names import BatchNormMode, EncoderDegridding, EncoderPadding, StrideIn, StrideUnit

DEGRIDDINGS: tuple[EncoderDegridding, ...] = get_args(EncoderDegridding)
"""The smoothings of an encoder: those of `nn.DilatedConv`, and `"multigrid"`, which changes the rates."""

OUTPUT_STRIDES = (8, 16, 32)
HE = nnx.initializers.variance_scaling(2.0, "fan_out", "normal")


class EncoderOptions(TypedDict, total=False):
    """The options of an encoder that a network hands through to it; each has its default there.

    `stride_in` and `stride_unit` are those of `ResNetEncoder`, `stem` is that of `DilatedStackEncoder`, which has no
    `output_stride` and no `padding`; the others are common to all.
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
    """How a block is applied: as it is, or such that the backward pass computes its activations anew."""
    return nnx.remat(_apply) if remat else _apply


def _apply(block: Any, x: jax.Array) -> jax.Array:
    return block(x)
