"""The fast form of pixel deconvolution: factor 2, two dimensions, the last two phases from one masked kernel."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from ._checks import accumulation_dtype, check_maps, check_parameter
from ._dilated import check_kernel, convolve_same
from ._reinterlace import reinterlace


def fast_pixel_deconv(
    x: ArrayLike, kernel_first: ArrayLike, kernel_second: ArrayLike, kernel_cross: ArrayLike
) -> jax.Array:
    r"""Pixel deconvolution in its efficient implementation (PixelDCL, Sec. 2.3, Fig. 6): factor 2, two dimensions.

    $$F_1 = F_{in} * k_1, \qquad F_2 = F_1 * k_2, \qquad F_{out} = M + M * k_\times, \qquad
    M = F_1 \oplus 0 \oplus 0 \oplus F_2$$

    F1 takes the even rows and columns of the output, F2 the odd ones; a masked kernel over this half-filled map makes
    the pixels between. Only its taps whose offsets add to an odd number count, up, down, left and right of 3x3: they
    lead from an empty pixel to filled ones. With 3x3 kernels that is 2 sets of 3x3 and 4 weights a channel pair, where
    a transposed convolution of 6x6 has 36.

    Args:
      x: maps `[N, H, W, C_in]`; float32, bfloat16 or float64.
      kernel_first: `[*K, C_in, C]` of F1, cast to x's dtype, as the others.
      kernel_second: `[*K, C, C]` of F2.
      kernel_cross: `[*K, C, C]` with odd K. It is masked here; masked taps get no gradient.

    Returns:
      Maps `[N, 2 * H, 2 * W, C]` of x's dtype.

    Raises:
      AssertionError: a kernel has another rank, or an argument another dtype.
      ValueError: x has not two spatial axes, channels do not match, or a size of kernel_cross is even.

    Example:
      >>> import jax.numpy as jnp
      >>> from smoothjax import ops
      >>> x, one = jnp.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 2, 2, 1), jnp.ones((1, 1, 1, 1))
      >>> cross = jnp.full((3, 3, 1, 1), 0.25)  # the mean of the four neighbours, 0 beyond the border
      >>> ops.fast_pixel_deconv(x, one, one, cross).reshape(4, 4).tolist()[1]
      [1.25, 1.0, 2.25, 2.0]

    References:
      Gao et al., Pixel Deconvolutional Networks, 2017, Sec. 2.3 and Fig. 6.
    """
    x = check_maps("x", x)
    if x.ndim != 4:
        raise ValueError(
            f"x must be [N, H, W, C] with two spatial axes, got shape {x.shape}: this form is factor 2 in two "
            "dimensions (Fig. 6); pixel_deconv takes one to three axes and every factor"
        )
    kernel_first = check_kernel(kernel_first, x, name="kernel_first")
    channels = kernel_first.shape[-1]
    square = {"shape": (None, None, channels, channels), "layout": "[*K, C, C] with kernel_first's C", "dtype": x.dtype}
    kernel_second = check_parameter("kernel_second", kernel_second, **square)
    kernel_cross = check_parameter("kernel_cross", kernel_cross, **square)
    if any(size % 2 == 0 for size in kernel_cross.shape[:2]):
        raise ValueError(
            f"kernel_cross must have an odd height and width, got shape {kernel_cross.shape}: only then has it a "
            "centre, from which the mask counts"
        )
    first = convolve_same(x, kernel_first)
    second = convolve_same(first, kernel_second)
    right, below = _between(first, second, kernel_cross)
    return reinterlace(jnp.stack([first, right, below, second]), rate=2)


def _between(first: jax.Array, second: jax.Array, kernel: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The phases (0, 1) and (1, 0), at low resolution, where nothing is multiplied by the empty half of the map.

    One matrix product a source gives its part in every tap at every pixel; a phase is the sum of shifted ones.
    """
    height, width = kernel.shape[:2]
    taps = [tap for tap in itertools.product(range(height), range(width)) if _is_live(tap, kernel.shape)]
    if not taps:  # 1x1: all of it is masked
        return jnp.zeros_like(first), jnp.zeros_like(first)
    weights = jnp.stack([kernel[tap] for tap in taps], 1)  # [C, taps, C]
    parts = [
        jnp.einsum("nhwc,ctd->tnhwd", source, weights, preferred_element_type=accumulation_dtype(first.dtype))
        for source in (first, second)
    ]
    phases = []
    for phase in ((0, 1), (1, 0)):
        total: Any = 0
        for index, tap in enumerate(taps):
            # The row and column of the up-sampled map that this tap reads, relative to 2 i and 2 j.
            row, column = phase[0] + tap[0] - height // 2, phase[1] + tap[1] - width // 2
            total = total + _shift(parts[row % 2][index], row // 2, column // 2)
        phases.append(total.astype(first.dtype))
    return phases[0], phases[1]


def _literal(first: jax.Array, second: jax.Array, kernel: jax.Array) -> jax.Array:
    """Steps 3 to 5 of Fig. 6 as they are drawn: the reference of `_between`."""
    empty = jnp.zeros_like(first)
    half_filled = reinterlace(jnp.stack([first, empty, empty, second]), rate=2)
    height, width = kernel.shape[:2]
    live = jnp.array([[_is_live((row, column), kernel.shape) for column in range(width)] for row in range(height)])
    masked = jnp.where(live[:, :, None, None], kernel, jnp.zeros_like(kernel))
    return half_filled + convolve_same(half_filled, masked)


def _is_live(tap: tuple[int, int], size: tuple[int, ...]) -> bool:
    """Whether the offsets of a tap from the centre add to an odd number."""
    return (tap[0] - size[0] // 2 + tap[1] - size[1] // 2) % 2 == 1


def _shift(x: jax.Array, rows: int, columns: int) -> jax.Array:
    """`y[i, j] = x[i + rows, j + columns]`, 0 beyond the border, of maps `[N, H, W, C]`."""
    if rows == columns == 0:
        return x
    return lax.pad(x, x.dtype.type(0), [(0, 0, 0), (-rows, rows, 0), (-columns, columns, 0), (0, 0, 0)])
