"""Method 2: separable and shared (SS) convolution, and the smoothed dilated convolution built on it."""

from functools import partial

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from .._checks import (
    Padding,
    Pairs,
    Rate,
    accumulation_dtype,
    check_by_axis,
    check_maps,
    check_ndim,
    check_parameter,
    resolve_padding,
)
from .._meshes import keeps_split_batch
from .._programs import one_program
from ._dilated import dilated_conv
from ._fast._depthwise import grouped
from ._fast._spatial_filter import filter_maps
from ._fast._window import Window


def ss_conv(x: ArrayLike, kernel: ArrayLike, *, padding: Padding = "SAME", rate: Rate = 1) -> jax.Array:
    r"""Separable and shared convolution: one spatial filter for every channel (Sec. 3.3, Figs. 5 and 7).

    $$o_c[i] = \sum_s f_c[i + r\,s]\,w[s]$$

    Like a depthwise convolution with the same filter for every channel: the number of parameters does not depend on the
    number of channels.

    Args:
      x: maps `[N, *S, C]` with d = 1, 2 or 3 spatial axes; float32, bfloat16, float16 or float64.
      kernel: the filter `[*K]`, cast to x's dtype; not flipped.
      padding: `"SAME"`, `"VALID"` or d pairs `(low, high)` of zeros in pixels.
      rate: dilation rate of the filter in pixels, an int >= 1 or one per axis.

    Returns:
      Maps `[N, *S', C]` of x's dtype, `S' = S + low + high - (K - 1) * rate`.

    Raises:
      AssertionError: an argument has another rank or dtype.
      ValueError: rate or padding is invalid, or no output is left.

    Example:
      >>> import jax.numpy as jnp
      >>> from smoothjax import ops
      >>> x = jnp.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])[None]  # [1, 3, 2]: one axis, two channels
      >>> ops.ss_conv(x, jnp.array([1.0, 1.0, 1.0])).tolist()
      [[[3.0, 30.0], [6.0, 60.0], [5.0, 50.0]]]

    References:
      Wang & Ji, Smoothed Dilated Convolutions for Improved Dense Prediction, KDD 2018, Sec. 3.3, Figs. 5 and 7.
    """
    x = check_maps("x", x)
    rates = check_by_axis("rate", rate, x.ndim - 2)
    kernel = _check_filter("kernel", kernel, (None,) * (x.ndim - 2), x.dtype)
    pairs = resolve_padding(padding, kernel.shape, rates, x.shape[1:-1])
    return _filtered(x, kernel, pairs, rates)


@one_program
@keeps_split_batch()
# Jitted here, so that calls outside jit do not compile its loops again.
@partial(jax.jit, static_argnums=(2, 3))
def _filtered(x: jax.Array, kernel: jax.Array, pairs: Pairs, rates: tuple[int, ...]) -> jax.Array:
    """The filter on checked arguments."""
    dtype = accumulation_dtype(x.dtype)
    x_wide, wide = x.astype(dtype), kernel.astype(dtype)
    if len(set(rates)) == 1:
        y = filter_maps(x_wide, wide, rates[0], pairs)
    else:  # rare: one filter for each channel, all the same
        window = Window((1,) * len(pairs), pairs, rates)
        shared = jnp.broadcast_to(wide[..., None], (*wide.shape, x.shape[-1]))
        y = grouped(window, x_wide, shared)
    return y.astype(x.dtype)


def ss_dilated_conv(
    x: ArrayLike, kernel: ArrayLike, smoother: ArrayLike, *, rate: Rate, padding: Padding = "SAME"
) -> jax.Array:
    """Dilated convolution smoothed by an SS convolution before it: method 2 (Sec. 3.3, Figs. 5 and 7).

    Every unit collects its neighbours from the other groups before periodic subsampling separates them. The smoother is
    always SAME, so it changes no size; `padding` applies only to the dilated convolution. In bfloat16 each of the two
    operations accumulates in float32 and rounds once.

    Args:
      x: maps `[N, *S, C_in]` with d = 1, 2 or 3 spatial axes; float32, bfloat16, float16 or float64.
      kernel: `[*K, C_in, C_out]`, cast to x's dtype.
      smoother: the SS filter, `2 * rate - 1` taps along each axis, cast to x's dtype; Eq. 7 is the identity.
      rate: dilation rate in pixels, an int >= 1 or one per axis.
      padding: as in `dilated_conv`.

    Returns:
      Maps `[N, *S', C_out]` of x's dtype, of the size that `dilated_conv` gives.

    Raises:
      AssertionError: an argument has another rank or dtype.
      ValueError: rate or padding is invalid, shapes do not match, or no output is left.

    Example:
      >>> import jax.numpy as jnp
      >>> from smoothjax import ops
      >>> x, kernel = jnp.ones((1, 5, 5, 3)), jnp.ones((3, 3, 3, 4))
      >>> smoothed = ops.ss_dilated_conv(x, kernel, ops.identity_smoother(2, 2), rate=2)
      >>> bool((smoothed == ops.dilated_conv(x, kernel, rate=2)).all())
      True

    References:
      Wang & Ji, KDD 2018, Sec. 3.3, Figs. 5 and 7.
    """
    x = check_maps("x", x)
    rates = check_by_axis("rate", rate, x.ndim - 2)
    smoother = _check_filter("smoother", smoother, tuple(2 * one - 1 for one in rates), x.dtype)
    return dilated_conv(ss_conv(x, smoother), kernel, rate=rates, padding=padding)


def identity_smoother(rate: Rate, ndim: int) -> jax.Array:
    """The SS filter of the identity (Eq. 7): the initial value of the layer.

    Args:
      rate: dilation rate in pixels, an int >= 1 or one per axis.
      ndim: number of spatial axes d, 1, 2 or 3.

    Returns:
      `2 * rate - 1` taps along each of `ndim` axes, 1 at the centre and 0 elsewhere, of JAX's default float type.

    Raises:
      ValueError: rate or ndim is invalid.

    Example:
      >>> from smoothjax import ops
      >>> ops.identity_smoother(2, 1).tolist()
      [0.0, 1.0, 0.0]

    References:
      Wang & Ji, KDD 2018, Eq. 7.
    """
    rates = check_by_axis("rate", rate, check_ndim(ndim))
    return jnp.zeros([2 * one - 1 for one in rates]).at[tuple(one - 1 for one in rates)].set(1.0)


def _check_filter(name: str, value: ArrayLike, shape: tuple[int | None, ...], dtype: jnp.dtype) -> jax.Array:
    return check_parameter(name, value, shape=shape, layout="[*K], one filter of x's spatial axes", dtype=dtype)
