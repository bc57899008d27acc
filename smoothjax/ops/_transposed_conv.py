"""The two views of transposed convolution: the direct operation, and independent phases reinterlaced."""

import math

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from .._checks import Pairs, Rate, check_choice, check_factor, check_maps
from .._meshes import keeps_split_batch
from .._programs import one_program
from ..names import TransposedMethod
from ._dilated import check_kernel, convolve
from ._reinterlace import reinterlace


def transposed_conv(
    x: ArrayLike, kernel: ArrayLike, *, factor: Rate = 2, method: TransposedMethod = "decomposed"
) -> jax.Array:
    r"""Transposed convolution, the "deconvolutional layer" (DCL) of the pixel paper (Eq. 1, Figs. 2 and 3).

    $$F_p = F_{in} * k_p, \qquad F_{out} = F_1 \oplus \dots \oplus F_{r^d}$$

    Each of the `factor**d` phases of the output is a convolution of the input with its own part of the kernel, every
    r-th tap; $\oplus$ is `reinterlace`. Nothing connects the phases: this is the checkerboard. Padding is SAME and the
    kernel is not flipped: the result equals `lax.conv_transpose(..., "SAME", transpose_kernel=False)` at every kernel
    size. It is the adjoint of a convolution of stride r whose kernel is flipped, with C_in and C_out exchanged.

    Args:
      x: maps `[N, *S, C_in]` with d = 1, 2 or 3 spatial axes; float32, bfloat16, float16 or float64.
      kernel: `[*K, C_in, C_out]`, cast to x's dtype. If K is below the factor, some phases are 0.
      factor: up-sampling factor r, an int >= 2, or one int >= 1 per axis; then their product replaces `factor**d`.
      method: `"decomposed"`, one convolution to all phases at low resolution, or `"direct"`, XLA's own; both give the
        same numbers. On CPU the gradient of the direct form is tens of times slower.

    Returns:
      Maps `[N, *(factor * S), C_out]` of x's dtype.

    Raises:
      AssertionError: x or kernel has another rank or dtype.
      ValueError: factor or method is invalid, or channels do not match.

    Example:
      >>> import jax.numpy as jnp
      >>> from smoothjax import ops
      >>> x, kernel = jnp.array([1.0, 2.0]).reshape(1, 2, 1), jnp.array([1.0, 10.0]).reshape(2, 1, 1)
      >>> ops.transposed_conv(x, kernel).ravel().tolist()
      [10.0, 1.0, 20.0, 2.0]

    References:
      Gao et al., Pixel Deconvolutional Networks, 2017, Eq. 1, Figs. 2 and 3.
    """
    x = check_maps("x", x)
    factors = check_factor(factor, x.ndim - 2)
    kernel = check_kernel(kernel, x, transposed=True)
    check_choice("method", method, ("decomposed", "direct"), remedy="both give the same numbers")
    return (_direct if method == "direct" else _decomposed)(x, kernel, factors)


@one_program
@keeps_split_batch()
def _direct(x: jax.Array, kernel: jax.Array, factors: tuple[int, ...]) -> jax.Array:
    spatial = "DHW"[-(x.ndim - 2) :]
    if 0 in x.shape:  # lax would invent a size
        return _decomposed(x, kernel, factors)
    dtype = jnp.promote_types(x.dtype, jnp.float32) if x.dtype == jnp.float16 else x.dtype  # as in `dilated_conv`
    y = lax.conv_transpose(
        x.astype(dtype),
        kernel.astype(dtype),
        factors,
        "SAME",
        dimension_numbers=(f"N{spatial}C", f"{spatial}IO", f"N{spatial}C"),
        transpose_kernel=False,
    )
    return y.astype(x.dtype)


@one_program
@keeps_split_batch()
def _decomposed(x: jax.Array, kernel: jax.Array, factors: tuple[int, ...]) -> jax.Array:
    kernels, reach = _phase_kernels(kernel, factors)
    phases = convolve(x, kernels, reach, rate=1)
    phases = phases.reshape(*phases.shape[:-1], math.prod(factors), kernel.shape[-1])
    return reinterlace(jnp.moveaxis(phases, -2, 0), rate=factors)


def _phase_kernels(kernel: jax.Array, factors: tuple[int, ...]) -> tuple[jax.Array, Pairs]:
    """The kernels of all phases side by side, `[*T, C_in, factor**d * C_out]`, and their reach before and after.

    With the padding `before` of the input dilated by r, output r i + p takes tap k from input i + t where
    k = before - p + r t. So the taps, completed by zeros, are `[T, r]` in row-major order, the phases backwards.
    """
    *size, c_in, c_out = kernel.shape
    ndim, pads, reach, split = len(size), [], [], []
    for taps, factor in zip(size, factors, strict=True):
        before = _padding_before(taps, factor)
        first, last = -(before // factor), -(-(taps - 1 - before) // factor)
        low = factor - 1 - before - factor * first
        pads.append((low, factor * (last - first + 1) - taps - low))
        reach.append((-first, last))
        split += [last - first + 1, factor]
    kernels = jnp.pad(kernel, [*pads, (0, 0), (0, 0)]).reshape(*split, c_in, c_out)
    kernels = jnp.flip(kernels, [2 * axis + 1 for axis in range(ndim)])
    kernels = kernels.transpose(*range(0, 2 * ndim, 2), 2 * ndim, *range(1, 2 * ndim, 2), 2 * ndim + 1)
    return kernels.reshape(*split[::2], c_in, math.prod(factors) * c_out), tuple(reach)


def _padding_before(taps: int, factor: int) -> int:
    """Zeros before the dilated input: the SAME rule of `lax.conv_transpose`, which agrees with Keras and PyTorch."""
    return taps - 1 if taps <= factor else -(-(taps + factor - 2) // 2)
