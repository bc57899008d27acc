"""The two views of dilated convolution: the direct operation, and its decomposition."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from .._checks import (
    Padding,
    Pairs,
    Rate,
    check_by_axis,
    check_choice,
    check_maps,
    check_parameter,
    is_int,
    resolve_padding,
    spread,
)
from .._meshes import keeps_split_batch
from .._programs import one_program
from ..names import DilatedMethod
from ._fast._conv import convolution
from ._fast._conv_forms import plain
from ._fast._window import Window
from ._reinterlace import periodic_subsample, reinterlace
from ._torch_order import torch_order


def dilated_conv(
    x: ArrayLike,
    kernel: ArrayLike,
    *,
    rate: Rate = 1,
    padding: Padding = "SAME",
    method: DilatedMethod = "direct",
) -> jax.Array:
    r"""Dilated (atrous) convolution (Eq. 1), directly or through its decomposition (Sec. 3.1, Fig. 3).

    $$o[i] = \sum_s f[i + r\,s]\,w[s]$$

    a correlation: the kernel is not flipped. (Eq. 1 prints $w[i]$ for $w[s]$.) With `method="decomposed"` it is three
    steps: periodic subsampling into `rate**d` groups, one standard convolution shared by the groups, reinterlacing.
    Nothing connects the groups: this is gridding.

    Args:
      x: maps `[N, *S, C_in]` with d = 1, 2 or 3 spatial axes; float32, bfloat16, float16 or float64.
      kernel: `[*K, C_in, C_out]`, cast to x's dtype.
      rate: dilation rate r in pixels, an int >= 1 or one per axis; 1 is the standard convolution.
      padding: `"SAME"` (in total `(K - 1) * rate` per axis, the smaller half before), `"VALID"`, or d pairs `(low,
        high)` of zeros in pixels.
      method: `"direct"` or `"decomposed"`; both give the same numbers.

    Returns:
      Maps `[N, *S', C_out]` of x's dtype, `S' = S + low + high - (K - 1) * rate`.

    Raises:
      AssertionError: x or kernel has another rank or dtype.
      ValueError: rate, padding or method is invalid, channels do not match, or no output is left.

    Example:
      >>> import jax.numpy as jnp
      >>> from smoothjax import ops
      >>> x, kernel = jnp.arange(6.0).reshape(1, 6, 1), jnp.ones((2, 1, 1))
      >>> ops.dilated_conv(x, kernel, rate=3, padding="VALID").ravel().tolist()
      [3.0, 5.0, 7.0]

    References:
      Wang & Ji, Smoothed Dilated Convolutions for Improved Dense Prediction, KDD 2018, Eq. 1 and Sec. 3.1.
    """
    x = check_maps("x", x)
    rates = check_by_axis("rate", rate, x.ndim - 2)
    kernel = check_kernel(kernel, x)
    pairs = resolve_padding(padding, kernel.shape[:-2], rates, x.shape[1:-1])
    check_choice("method", method, ("direct", "decomposed"), remedy="both give the same numbers")
    return (convolve if method == "direct" else _decomposed)(x, kernel, pairs, rates)


def check_kernel(kernel: ArrayLike, x: jax.Array, *, name: str = "kernel", transposed: bool = False) -> jax.Array:
    """Returns the kernel of a convolution of x, or a transposed one, checked and cast to x's dtype."""
    given, remedy_of = jnp.shape(kernel), partial(torch_order, name, transposed=transposed)
    if len(given) == x.ndim and given[-2] != x.shape[-1] and remedy_of(given, c_in=x.shape[-1]) is None:
        other = remedy_of(given, c_in=x.shape[1])
        if other is not None or given[-2] == x.shape[1]:
            raise ValueError(
                f"x must be [N, *S, C_in], channels last, got shape {x.shape}, whose axis 1 has the C_in of {name}, "
                f"{x.shape[1]}: move it with jnp.moveaxis(x, 1, -1)"
                + (f"; as for {name}, {other}" if other is not None else "")
            )
    if len(given) == x.ndim + 1 and given[-2] == x.shape[-1]:
        raise AssertionError(
            f"x must be [N, *S, C_in] with {len(given) - 2} spatial axes, as {name} has, got shape {x.shape}: add what "
            "is missing, such as the batch axis with x[None]"
        )
    shape = (*(None,) * (x.ndim - 2), x.shape[-1], None)
    return check_parameter(
        name,
        kernel,
        shape=shape,
        layout="[*K, C_in, C_out] with x's C_in",
        dtype=x.dtype,
        remedy_of=partial(remedy_of, c_in=x.shape[-1]),
    )


@one_program
@keeps_split_batch()
def convolve(x: jax.Array, kernel: jax.Array, pairs: Pairs, rate: Rate) -> jax.Array:
    """The direct form on checked arguments. XLA accumulates bfloat16 in float32 and rounds once."""
    if not all(is_int(side) for pair in pairs for side in pair):
        # Symbolic sizes, under jax.export, cannot be compared below.
        x, pairs = pad_zeros(x, pairs), ((0, 0),) * len(pairs)
    window = Window((1,) * len(pairs), pairs, spread(rate, len(pairs)))
    static = all(isinstance(length, int) and length > 0 for length in x.shape)
    return convolution(x, kernel, window) if static else plain(window, x, kernel)


def shared_convolution(groups: jax.Array, kernel: jax.Array) -> jax.Array:
    """Step 2 of the decomposition: one standard convolution, without padding, shared by all groups `[G, N, ...]`."""
    count, batch = groups.shape[:2]
    folded = groups.reshape(count * batch, *groups.shape[2:])
    out = convolve(folded, kernel, ((0, 0),) * (folded.ndim - 2), rate=1)
    return out.reshape(count, batch, *out.shape[1:])


@one_program
@keeps_split_batch()
def _decomposed(x: jax.Array, kernel: jax.Array, pairs: Pairs, rates: tuple[int, ...]) -> jax.Array:
    x = pad_zeros(x, pairs)
    sides = zip(x.shape[1:-1], kernel.shape[:-2], rates, strict=True)
    out_shape = [size - (taps - 1) * rate for size, taps, rate in sides]
    groups = shared_convolution(periodic_subsample(x, rate=rates), kernel)
    return reinterlace(groups, rate=rates, spatial_shape=out_shape)


def pad_zeros(x: jax.Array, pairs: Pairs, more_channels: int = 0) -> jax.Array:
    """Zeros around the spatial axes of `[N, *S, C]` and after the channels; a negative side removes pixels."""
    return lax.pad(x, x.dtype.type(0), [(0, 0, 0), *((low, high, 0) for low, high in pairs), (0, more_channels, 0)])
