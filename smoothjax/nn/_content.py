"""Predictions of the content-aware up-sampling layers: kernels (CARAFE) and offsets (DySample)."""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from .. import ops
from .._checks import accumulation_dtype, check_int

#: Channels to which CARAFE compresses its input before it predicts kernels, and groups of channels of DySample.
COMPRESSED, GROUPS = 64, 4

# Both layers start almost as interpolation: of the box-filtered nearest pixel, and bilinear.
_SMALL = nnx.initializers.normal(0.001)
_COMPRESSOR = nnx.initializers.xavier_uniform()

Parameters = tuple[list[jax.Array], list[jax.Array]]
"""Kernels, and one bias for each."""


def check_content_options(
    method: str, out_features: int, compressed_features: object, groups: object, dynamic_scope: bool
) -> tuple[int | None, int | None]:
    """The compressed channels of CARAFE and the groups of DySample, None for other methods; refuses misplaced
    options."""
    if compressed_features is not None and method != "carafe":
        raise ValueError(
            f"compressed_features is an option of only carafe, got {compressed_features!r} with {method!r}: leave it "
            "out"
        )
    for name, value in (("groups", groups), ("dynamic_scope", dynamic_scope or None)):
        if value is not None and method != "dysample":
            raise ValueError(f"{name} is an option of only dysample, got {value!r} with {method!r}: leave it out")
    if method == "carafe":
        wanted = COMPRESSED if compressed_features is None else compressed_features
        return check_int("compressed_features", wanted, remedy="64 is the paper's"), None
    if method != "dysample":
        return None, None
    if groups is None:
        return None, next(count for count in range(GROUPS, 0, -1) if out_features % count == 0)
    count = check_int("groups", groups, remedy="4 is the paper's")
    if out_features % count:
        raise ValueError(
            f"groups must divide out_features, got {count} with {out_features}: leave it out for the largest "
            f"divisor up to {GROUPS}"
        )
    return None, count


def draw_carafe(
    in_features: int,
    kernel_size: tuple[int, ...],
    factors: tuple[int, ...],
    compressed_features: int,
    draw: Callable[..., jax.Array],
    dtype: DTypeLike,
) -> Parameters:
    """The 1x1 compressor, and the encoder to a kernel for each phase, with two taps less per axis (Sec. 3.2)."""
    encoded = math.prod(factors) * math.prod(kernel_size)
    encoder_size = tuple(max(1, taps - 2) for taps in kernel_size)
    compressor = draw((*(1,) * len(kernel_size), in_features, compressed_features), init=_COMPRESSOR)
    encoder = draw((*encoder_size, compressed_features, encoded), init=_SMALL)
    return [compressor, encoder], [jnp.zeros(compressed_features, dtype), jnp.zeros(encoded, dtype)]


def predicted_kernels(
    x: jax.Array,
    kernels: Sequence[jax.Array],
    biases: Sequence[jax.Array],
    kernel_size: tuple[int, ...],
    factors: tuple[int, ...],
) -> jax.Array:
    """A kernel for every pixel of the output, `[N, *(factor * S), *K]`; the taps of each are positive and sum to 1."""
    compressed = _with_bias(ops.dilated_conv(x, kernels[0]), biases[0])
    logits = shuffled(_with_bias(ops.dilated_conv(compressed, kernels[1]), biases[1]), factors)
    weights = jax.nn.softmax(logits.astype(accumulation_dtype(x.dtype)), -1).astype(x.dtype)
    return weights.reshape(*weights.shape[:-1], *kernel_size)


def draw_dysample(
    in_features: int,
    kernel_size: tuple[int, ...],
    factors: tuple[int, ...],
    groups: int,
    dynamic_scope: bool,
    draw: Callable[..., jax.Array],
    dtype: DTypeLike,
) -> Parameters:
    """The convolution to the offsets of each phase, and with dynamic scope the one to their scope."""
    predicted = math.prod(factors) * groups * len(kernel_size)
    shape = (*kernel_size, in_features, predicted)
    kernels = [draw(shape, init=_SMALL)] + [jnp.zeros(shape, dtype)] * dynamic_scope
    return kernels, [jnp.zeros(predicted, dtype) for _ in kernels]


def predicted_offsets(
    x: jax.Array,
    kernels: Sequence[jax.Array],
    biases: Sequence[jax.Array],
    groups: int,
    factors: tuple[int, ...],
) -> jax.Array:
    """Offsets in pixels of the input, `[N, *(factor * S), groups, d]`: predictions times 1/4, or a scope below 1/2."""
    offsets, *scope = (
        _with_bias(ops.dilated_conv(x, kernel), bias) for kernel, bias in zip(kernels, biases, strict=True)
    )
    offsets = offsets * (0.5 * jax.nn.sigmoid(scope[0]) if scope else 0.25)
    offsets = shuffled(offsets, factors)
    return offsets.reshape(*offsets.shape[:-1], groups, len(factors))


def shuffled(phases: jax.Array, factors: tuple[int, ...]) -> jax.Array:
    """Periodic shuffling: `[N, *S, factor**d * C]`, the phases before the channels, to `[N, *(factor * S), C]`."""
    count = math.prod(factors)
    apart = phases.reshape(*phases.shape[:-1], count, phases.shape[-1] // count)
    return ops.reinterlace(jnp.moveaxis(apart, -2, 0), rate=factors)


def _with_bias(y: jax.Array, bias: jax.Array) -> jax.Array:
    return y + bias.reshape((1,) * (y.ndim - 1) + bias.shape)
