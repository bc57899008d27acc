"""Up-sampling by sampling: every output pixel has its own sampling point in the input."""

import itertools
import math
from functools import partial

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from .._checks import Rate, accumulation_dtype, check_factor, check_maps, check_parameter
from .._meshes import keeps_split_batch
from .._programs import one_program
from ._carafe import batch_of


def dysample(x: ArrayLike, offsets: ArrayLike, *, factor: Rate = 2) -> jax.Array:
    r"""Dynamic sampling (DySample): interpolates the input linearly at a given point for every output pixel.

    $$y_c[o] = x_c\Big(\frac{o + 1/2}{r} - \frac12 + \Delta_{g(c)}[o]\Big)$$

    With offsets $\Delta$ of 0 the result is bilinear interpolation (linear, trilinear), as in
    `torch.nn.functional.interpolate` with `align_corners=False`. Points beyond the border are moved onto it. Channels
    are split into G consecutive groups, each with its own offsets. The paper, and `nn.UpConv(method="dysample")`,
    predict the offsets from x; here they are any array.

    Args:
      x: maps `[N, *S, C]` with d = 1, 2 or 3 spatial axes; float32, bfloat16, float16 or float64.
      offsets: `[N, *(factor * S), G, d]` in pixels of the input, by axis, or `[1, ...]` for the whole batch; G divides
        C; cast to x's dtype.
      factor: up-sampling factor r, an int >= 2, or one int >= 1 per axis.

    Returns:
      Maps `[N, *(factor * S), C]` of x's dtype.

    Raises:
      AssertionError: x or offsets has another rank or dtype.
      ValueError: factor is invalid, offsets have other sizes, or their groups don't divide the channels.

    Example:
      >>> import jax.numpy as jnp
      >>> from smoothjax import ops
      >>> x = jnp.array([0.0, 4.0, 8.0]).reshape(1, 3, 1)
      >>> ops.dysample(x, jnp.zeros((1, 6, 1, 1))).ravel().tolist()
      [0.0, 1.0, 3.0, 5.0, 7.0, 8.0]

    References:
      Liu et al., Learning to Upsample by Learning to Sample, ICCV 2023, Sec. 3; its public code stores the offsets as
      `[N, 2, G, 2*H, 2*W]`, the horizontal one first.
    """
    x = check_maps("x", x)
    ndim = x.ndim - 2
    factors = check_factor(factor, ndim)
    sizes = tuple(step * size for step, size in zip(factors, x.shape[1:-1], strict=True))
    offsets = check_parameter(
        "offsets",
        offsets,
        shape=(batch_of(offsets, x), *sizes, None, ndim),
        layout="[N, *(factor * S), G, d], the offset along each axis for every pixel of the output",
        dtype=x.dtype,
    )
    groups = offsets.shape[-2]
    if x.shape[-1] % groups:
        raise ValueError(
            f"offsets must have a number of groups G that divides x's channels, got {groups}, of shape "
            f"{offsets.shape}, with {x.shape[-1]} channels: use 1 for all channels together"
        )
    return _sampled(x, offsets, factors)


@one_program
@keeps_split_batch()
@partial(jax.jit, static_argnums=2)  # calls outside jit do not compile every corner separately
def _sampled(x: jax.Array, offsets: jax.Array, factors: tuple[int, ...]) -> jax.Array:
    batch, *sizes, channels = x.shape
    *places, groups, ndim = offsets.shape[1:]
    if 0 in x.shape:
        return jnp.zeros((batch, *places, channels), x.dtype)
    dtype = accumulation_dtype(x.dtype)
    neighbours = []  # for both neighbours along each axis, the pixel and its weight, [N or 1, *(factor * S), G]
    for axis, (size, step) in enumerate(zip(sizes, factors, strict=True)):
        at = (jnp.arange(step * size, dtype=dtype) + 0.5) / step - 0.5
        point = jnp.expand_dims(at, [other for other in range(ndim + 2) if other != axis + 1])
        point = point + offsets[..., axis].astype(dtype)
        point = jnp.clip(point, 0, size - 1)
        below = jnp.floor(point)
        # A NaN becomes an arbitrary integer, which must not be read beyond the maps.
        first = jnp.clip(below.astype(jnp.int32), 0, size - 1)
        weight = point - below
        neighbours.append(((first, 1 - weight), (jnp.minimum(first + 1, size - 1), weight)))
    flat = x.reshape(batch, math.prod(sizes), groups, channels // groups)
    total = jnp.zeros((batch, math.prod(places), groups, channels // groups), dtype)
    for corner in itertools.product(*neighbours):
        index, weight = corner[0]
        for (pixel, share), size in zip(corner[1:], sizes[1:], strict=True):
            index, weight = index * size + pixel, weight * share
        index, weight = (value.reshape(value.shape[0], -1, groups, 1) for value in (index, weight))
        index = jnp.broadcast_to(index, (batch, *index.shape[1:]))
        total = total + weight * jnp.take_along_axis(flat, index, 1, mode="promise_in_bounds").astype(dtype)
    return total.astype(x.dtype).reshape(batch, *places, channels)
