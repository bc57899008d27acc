"""Shared parts of the encoders of dense networks: options, and the dilation of the last stages."""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, TypedDict, get_args

import jax
from flax import nnx
from jax.typing import DTypeLike

from .. import nn
from .._checks import check_bool, check_choice, check_dtypes, check_int, check_rngs
from ..names import BatchNormMode, EncoderDegridding, EncoderPadding, StrideIn, StrideUnit
from ._norm import BATCH_NORM_MODES, BatchNorm

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


class BaseEncoder(nnx.Module):
    """What all encoders share: options, checked, whose defaults each encoder has, and what follows from them."""

    _usual_width: ClassVar[str]
    out_features: int

    def __init__(
        self,
        output_stride: int,
        smoothing: EncoderDegridding,
        batch_norm: BatchNormMode,
        momentum: float,
        epsilon: float,
        width: int,
        in_features: int,
        remat: bool,
        dtype: DTypeLike | None,
        rngs: nnx.Rngs,
    ):
        check_rngs(rngs)
        check_dtypes(dtype=dtype)
        check_choice("smoothing", smoothing, DEGRIDDINGS)
        check_choice("batch_norm", batch_norm, BATCH_NORM_MODES)
        self.output_stride: int = output_stride
        self.smoothing: EncoderDegridding = smoothing
        self.batch_norm: BatchNormMode = batch_norm
        self.momentum: float = momentum
        self.epsilon: float = epsilon
        self.width: int = check_int("width", width, remedy=self._usual_width)
        self.in_features: int = check_int("in_features", in_features, remedy="3 is RGB, 1 is grey")
        self.remat: bool = check_bool("remat", remat)
        self.dtype: DTypeLike | None = dtype

    def _layer_smoothing(self) -> nn.Smoothing:
        """The smoothing of each dilated layer; multigrid changes their rates instead."""
        return "none" if self.smoothing == "multigrid" else self.smoothing

    def _norm(self, rngs: nnx.Rngs) -> Callable[[int], BatchNorm]:
        """Makes the normalisation of a number of channels."""
        return partial(BatchNorm, mode=self.batch_norm, momentum=self.momentum, epsilon=self.epsilon, rngs=rngs)


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
