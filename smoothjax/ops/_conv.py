"""The convolution of the whole project: the signature of `jax.lax.conv_general_dilated`, with fast forms on CPU."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike, DTypeLike

from .._checks import DTYPES, Padding, Rate, check_by_axis, check_maps, check_parameter, effective_size, resolve_padding
from .._meshes import keeps_split_batch
from .._programs import one_program
from ._fast._conv import convolution
from ._fast._depthwise import depthwise, grouped
from ._fast._window import Window


def conv_general_dilated(
    lhs: jax.Array,
    rhs: jax.Array,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: lax.ConvGeneralDilatedDimensionNumbers = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: lax.PrecisionLike = None,
    preferred_element_type: DTypeLike | None = None,
    out_sharding: jax.sharding.NamedSharding | jax.sharding.PartitionSpec | None = None,
) -> jax.Array:
    """`jax.lax.conv_general_dilated` with fast forms on CPU: the same arguments, the same numbers.

    XLA's convolution on CPU is slow for many channels and small maps, and its kernel gradient is slow at every size.
    Here these are matrix products, in value and derivatives, forward and reverse. Cases without a fast form go to
    `jax.lax`: groups, except one filter per channel; batch groups; a dilated `lhs`; layouts other than channels-last;
    integers; symbolic or empty shapes; explicitly sharded axes; other platforms.

    Args:
      lhs: maps `[N, *S, C_in]` for a fast form, with d = 1, 2 or 3 spatial axes.
      rhs: kernel `[*K, C_in, C_out]`, or `[*K, 1, C]` with `feature_group_count=C`.
      window_strides: steps between outputs, by axis.
      padding: `"SAME"`, `"SAME_LOWER"`, `"VALID"`, or pairs `(low, high)`.
      lhs_dilation: zeros between the pixels of `lhs`; none for a fast form.
      rhs_dilation: dilation rates by axis.
      dimension_numbers: layouts; channels-last layouts such as `("NHWC", "HWIO", "NHWC")` have fast forms.
      feature_group_count: 1, or C, for a fast form.
      batch_group_count: 1 for a fast form.
      precision: as in `jax.lax`; on CPU all products have the precision of their type.
      preferred_element_type: as in `jax.lax`; the dtype of `lhs`, or None, for a fast form.
      out_sharding: as in `jax.lax`; None for a fast form.

    Returns:
      The result of `jax.lax.conv_general_dilated`.

    Raises:
      TypeError: as `jax.lax.conv_general_dilated` does.
      ValueError: as `jax.lax.conv_general_dilated` does.

    Example:
      >>> import jax.numpy as jnp
      >>> from flax import nnx
      >>> from smoothjax import ops
      >>> conv = nnx.Conv(3, 8, (3, 3), conv_general_dilated=ops.conv_general_dilated, rngs=nnx.Rngs(0))
      >>> conv(jnp.ones((1, 9, 9, 3))).shape
      (1, 9, 9, 8)

    References:
      Chellapilla et al., High Performance Convolutional Neural Networks for Document Processing, 2006 (convolutions as
      matrix products).
    """
    handed = (preferred_element_type in (None, lhs.dtype)) and out_sharding is None and batch_group_count == 1
    if handed and _is_plain(lhs, rhs, lhs_dilation, dimension_numbers, feature_group_count):
        # jax.lax refuses malformed arguments, below.
        window = _window_of(lhs, rhs, window_strides, padding, rhs_dilation)
        if window is not None:
            if feature_group_count == 1:
                return convolution(lhs, rhs, window)
            return depthwise(lhs, rhs.reshape(*rhs.shape[:-2], rhs.shape[-1]), window)
    return lax.conv_general_dilated(
        lhs,
        rhs,
        window_strides,
        padding,
        lhs_dilation,
        rhs_dilation,
        dimension_numbers,
        feature_group_count,
        batch_group_count,
        precision,
        preferred_element_type,
        out_sharding=out_sharding,
    )


def depthwise_conv(
    x: ArrayLike,
    kernel: ArrayLike,
    *,
    rate: Rate = 1,
    strides: int | Sequence[int] = 1,
    padding: Padding = "SAME",
) -> jax.Array:
    r"""Depthwise dilated convolution: one filter for each channel.

    $$o_c[i] = \sum_s f_c[s_0\,i + r\,s]\,w_c[s]$$

    with strides $s_0$: a correlation, the kernel is not flipped. On CPU this computes shifted products, where XLA's
    grouped convolution takes tens of times as long.

    Args:
      x: maps `[N, *S, C]` with d = 1, 2 or 3 spatial axes; float32, bfloat16, float16 or float64.
      kernel: `[*K, C]`, cast to x's dtype.
      rate: dilation rate r in pixels, an int >= 1 or one per axis.
      strides: pixels between two outputs, an int >= 1 or one per axis.
      padding: `"SAME"` (`ceil(S / stride)` outputs, the smaller half of the zeros before), `"VALID"`, or d pairs `(low,
        high)` of zeros in pixels.

    Returns:
      Maps `[N, *S', C]` of x's dtype.

    Raises:
      AssertionError: x or kernel has another rank or dtype.
      ValueError: rate, strides or padding is malformed, channels do not match, or no output is left.

    Example:
      >>> import jax.numpy as jnp
      >>> from smoothjax import ops
      >>> x, kernel = jnp.ones((1, 4, 2)), jnp.array([[1.0, 10.0], [1.0, 10.0], [1.0, 10.0]])
      >>> ops.depthwise_conv(x, kernel, padding="VALID")[0].tolist()
      [[3.0, 30.0], [3.0, 30.0]]

    References:
      Chollet, Xception: Deep Learning with Depthwise Separable Convolutions, 2017.
    """
    x = check_maps("x", x)
    ndim = x.ndim - 2
    rates = check_by_axis("rate", rate, ndim)
    shape = (*(None,) * ndim, x.shape[-1])
    _check_depthwise_order(jnp.shape(kernel), x)
    kernel = check_parameter("kernel", kernel, shape=shape, layout="[*K, C] with x's C", dtype=x.dtype)
    steps = check_by_axis("strides", strides, ndim, remedy="use 1 to keep the size")
    size = kernel.shape[:-1]
    pairs = resolve_padding(padding, size, rates, x.shape[1:-1])
    static = all(isinstance(length, int) for length in x.shape)
    if isinstance(padding, str) and padding == "SAME" and max(steps) > 1:
        extents = list(map(effective_size, size, rates))
        pairs = tuple(lax.padtype_to_pads(x.shape[1:-1], extents, steps, "SAME"))
    window = Window(steps, pairs, rates)
    if static and 0 not in x.shape:
        return _depthwise(x, kernel, window)
    return grouped(window, x, kernel)


@one_program
@keeps_split_batch()
def _depthwise(x: jax.Array, kernel: jax.Array, window: Window) -> jax.Array:
    return depthwise(x, kernel, window)


def _check_depthwise_order(shape: tuple[int, ...], x: jax.Array) -> None:
    """Names the remedy for the kernel of another library's depthwise layer, whose rank is one too large."""
    for order, found, remedy in (
        ("PyTorch's order [C, 1, *K]", shape[:2], "jnp.moveaxis(kernel[:, 0], 0, -1)"),
        ("the order of Flax and jax.lax, [*K, 1, C]", shape[-2:][::-1], "kernel[..., 0, :]"),
    ):
        if len(shape) == x.ndim and found == (x.shape[-1], 1):
            raise AssertionError(f"kernel must be [*K, C] with x's C, got shape {shape}, in {order}: write {remedy}")


def _is_plain(
    lhs: jax.Array,
    rhs: jax.Array,
    lhs_dilation: Sequence[int] | None,
    dimension_numbers: lax.ConvGeneralDilatedDimensionNumbers,
    groups: int,
) -> bool:
    """Whether the fast forms support layout, types and shapes."""
    ndim = lhs.ndim - 2
    if ndim not in (1, 2, 3) or rhs.ndim != lhs.ndim or lhs.dtype != rhs.dtype or lhs.dtype not in DTYPES:
        return False
    lengths = (*lhs.shape, *rhs.shape)
    if not all(isinstance(length, int) and length > 0 for length in lengths):
        return False
    if any(step != 1 for step in lhs_dilation or ()):
        return False
    spatial = "DHW"[-ndim:]
    layout = (f"N{spatial}C", f"{spatial}IO", f"N{spatial}C")
    numbers = lax.conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
    if numbers != lax.conv_dimension_numbers(lhs.shape, rhs.shape, layout):
        return False
    if any(axis is not None for axis in jax.typeof(lhs).sharding.spec):
        return False
    if groups == 1:
        return lhs.shape[-1] == rhs.shape[-2]
    return groups == lhs.shape[-1] == rhs.shape[-1] and rhs.shape[-2] == 1


def _window_of(
    lhs: jax.Array,
    rhs: jax.Array,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    rhs_dilation: Sequence[int] | None,
) -> Window | None:
    """The movement of the kernel; None if an argument is malformed or no output is left."""
    ndim = lhs.ndim - 2
    rates = tuple(rhs_dilation) if rhs_dilation is not None else (1,) * ndim
    if len(window_strides) != ndim or len(rates) != ndim or min(*window_strides, *rates) < 1:
        return None
    if isinstance(padding, str):
        if padding.upper() not in ("SAME", "SAME_LOWER", "VALID"):
            return None
        extents = [(taps - 1) * rate + 1 for taps, rate in zip(rhs.shape[:-2], rates, strict=True)]
        padding = lax.padtype_to_pads(lhs.shape[1:-1], extents, window_strides, padding.upper())
    if len(padding) != ndim or not all(len(pair) == 2 for pair in padding):
        return None
    pairs = tuple((int(low), int(high)) for low, high in padding)
    window = Window(tuple(map(int, window_strides)), pairs, tuple(map(int, rates)))
    return window if math.prod(window.out_size(lhs.shape[1:-1], rhs.shape[:-2])) else None
