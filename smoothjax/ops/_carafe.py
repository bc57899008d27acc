"""Content-aware reassembly: up-sampling with a separate kernel for every output pixel."""

import itertools
import math
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from .._checks import Rate, accumulation_dtype, check_factor, check_maps, check_parameter
from .._meshes import keeps_split_batch
from .._programs import one_program
from ._reinterlace import periodic_subsample, reinterlace


def carafe(x: ArrayLike, kernels: ArrayLike, *, factor: Rate = 2) -> jax.Array:
    r"""Content-aware reassembly of features (CARAFE): every output pixel has its own weights for its neighbourhood.

    $$y_c[r\,i + p] = \sum_s x_c[i + s - \lfloor K / 2 \rfloor]\,w_{r\,i + p}[s]$$

    Pixel $r\,i + p$ of the output is a weighted sum of the K^d pixels around pixel i of the input, with zeros beyond
    the border; all channels share the weights. Kernels whose taps are all $K^{-d}$ give nearest interpolation of the
    box-filtered maps. In the paper, and in `nn.UpConv(method="carafe")`, the kernels are predicted from x and a softmax
    makes the taps of each sum to 1; here they are any array. Each of the `factor**d` phases has its own kernels, and
    then all are reinterlaced.

    Args:
      x: maps `[N, *S, C]` with d = 1, 2 or 3 spatial axes; float32, bfloat16, float16 or float64.
      kernels: `[N, *(factor * S), *K]`, or `[1, ...]` for the whole batch, with odd K; cast to x's dtype.
      factor: up-sampling factor r, an int >= 2, or one int >= 1 per axis.

    Returns:
      Maps `[N, *(factor * S), C]` of x's dtype.

    Raises:
      AssertionError: x or kernels has another rank or dtype.
      ValueError: factor is invalid, kernels have other sizes, or a size K is even.

    Example:
      >>> import jax.numpy as jnp
      >>> from smoothjax import ops
      >>> x = jnp.array([3.0, 6.0]).reshape(1, 2, 1)
      >>> kernels = jnp.array([[0, 1, 0], [0, 0.5, 0.5], [0.5, 0.5, 0], [0, 1, 0]])[None]  # [1, 4, 3]
      >>> ops.carafe(x, kernels).ravel().tolist()
      [3.0, 4.5, 4.5, 6.0]

    References:
      Wang et al., CARAFE: Content-Aware ReAssembly of FEatures, ICCV 2019, Sec. 3.3; the layout of its public code is
      `[N, K*K, 2*H, 2*W]`.
    """
    x = check_maps("x", x)
    ndim = x.ndim - 2
    factors = check_factor(factor, ndim)
    sizes = tuple(step * size for step, size in zip(factors, x.shape[1:-1], strict=True))
    batch = batch_of(kernels, x)
    kernels = check_parameter(
        "kernels",
        kernels,
        shape=(batch, *sizes, *(None,) * ndim),
        layout="[N, *(factor * S), *K], one kernel for every pixel of the output",
        dtype=x.dtype,
    )
    size = kernels.shape[1 + ndim :]
    if any(taps % 2 == 0 for taps in size):
        raise ValueError(
            f"kernels must have odd sizes K to have a centre, got {size}, the last axes of shape {kernels.shape}: use "
            "e.g. 5 taps along each axis"
        )
    return _reassembled(x, kernels, factors)


def batch_of(parameter: ArrayLike, x: jax.Array) -> int:
    """The required batch size of a parameter for every pixel: 1, or that of the maps."""
    shape = jnp.shape(parameter)
    return 1 if shape and shape[0] == 1 else x.shape[0]


@one_program
@keeps_split_batch()
# Jitted here, so that calls outside jit do not compile every tap separately.
@partial(jax.jit, static_argnums=2)
# Keeping its shifted maps for the backward pass would store them K^d times.
@partial(jax.checkpoint, static_argnums=2, prevent_cse=False)
def _reassembled(x: jax.Array, kernels: jax.Array, factors: tuple[int, ...]) -> jax.Array:
    sizes, size = x.shape[1:-1], kernels.shape[x.ndim - 1 :]
    dtype = accumulation_dtype(x.dtype)
    flat = kernels.reshape(*kernels.shape[: x.ndim - 1], math.prod(size))
    weights = lax.split(periodic_subsample(flat, rate=factors).astype(dtype), (1,) * math.prod(size), axis=x.ndim)
    sides = [(0, 0, 0), *((taps // 2, taps // 2, 0) for taps in size), (0, 0, 0)]
    padded = lax.pad(x, x.dtype.type(0), sides).astype(dtype)
    total = jnp.zeros((math.prod(factors), *x.shape), dtype)
    for tap, weight in zip(itertools.product(*map(range, size)), weights, strict=True):
        window = tuple(slice(start, start + length) for start, length in zip(tap, sizes, strict=True))
        total = total + weight * padded[(slice(None), *window)][None]
    return reinterlace(total.astype(x.dtype), rate=factors)
