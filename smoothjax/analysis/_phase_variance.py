"""The disagreement of an up-sampling layer's phases about a constant."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from ._arguments import check_maps, check_pixels
from ._dependence import output_shape


def phase_variance(function: Callable[[jax.Array], jax.Array], inputs: ArrayLike, *, factor: int) -> float:
    r"""Variance between the phases of an up-sampled constant over its power: the checkerboard of a layer as a number.

    A layer that up-samples by r turns a constant, away from the borders, into a pattern that repeats every r pixels
    along each axis: one value $y_{n,c,p}$ for each of the $r^d$ phases p. With their mean $\bar y_{n,c}$,

    $$V = \frac{\sum_{n,c,p} (y_{n,c,p} - \bar y_{n,c})^2}{\sum_{n,c,p} y_{n,c,p}^2} \in [0, 1]$$

    0: a constant stays constant, as with a resize convolution, or a sub-pixel convolution that starts from one kernel
    for all phases (ICNR); 1: only the pattern remains. A bias lowers it, as it is part of the power; scaling the
    layer changes nothing. Rounding leaves about the square of the dtype's precision, 1e-14 in float32.

    This isolates the layer, with a constant input and no network after it; `checkerboard_energy` measures real features
    or images.

    Args:
      function: an up-sampling layer, or several, from maps `[N, *S, C]` to `[N, *(factor * S), C']` with the same
        d = 1, 2 or 3 spatial axes; any callable.
      inputs: constants, `[N, *S, C]`: each channel of each example is the same everywhere. More examples with random
        values make the figure more reliable. Maps must be large enough that the block at the output's centre doesn't
        see the borders.
      factor: the up-sampling factor r, an int >= 2; for several layers their product.

    Returns:
      V, without unit.

    Raises:
      AssertionError: inputs have another rank or dtype.
      ValueError: factor is not an int >= 2, inputs are not constant, the function's result has another size, differs
        between its two central blocks (the borders are seen), or is zero there.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from flax import nnx
      >>> from smoothjax import analysis, nn
      >>> x = jnp.broadcast_to(jax.random.normal(jax.random.key(0), (4, 1, 1, 8)), (4, 9, 9, 8))
      >>> for method in ("dcl", "resize_conv", "sub_pixel"):
      ...     layer = nn.UpConv(8, 4, method=method, rngs=nnx.Rngs(0))
      ...     print(method, f"{analysis.phase_variance(layer, x, factor=2):.1f}")
      dcl 0.7
      resize_conv 0.0
      sub_pixel 0.0

    References:
      Odena, Dumoulin & Olah, Deconvolution and Checkerboard Artifacts, Distill, 2016; Gao et al., Pixel Deconvolutional
      Networks, 2017, Sec. 1; Aitken et al., Checkerboard artifact free sub-pixel convolution, 2017 (ICNR).
    """
    maps, factor = check_maps("inputs", inputs), check_pixels("factor", factor, minimum=2)
    corner = maps[(slice(None), *(slice(0, 1),) * (maps.ndim - 2))]
    if not bool((maps == corner).all()):
        raise ValueError("inputs must be constant along their spatial axes: use jnp.broadcast_to(values, shape)")
    sizes, found = maps.shape[1:-1], output_shape(function, maps)[1:-1]
    if found != tuple(factor * size for size in sizes):
        raise ValueError(
            f"function must up-sample by factor = {factor}, from {sizes} to {tuple(factor * size for size in sizes)}, "
            f"got {found}: give its factor"
        )
    if min(sizes) < 3:
        raise ValueError(f"inputs must have at least 3 units along every spatial axis, got {sizes}: give larger ones")
    out = jax.jit(lambda maps: function(maps))(maps)
    tolerance = float(jnp.finfo(out.dtype).eps) ** 0.5
    values = np.asarray(out, np.float64)
    # In the centre of the map, and before it.
    block, before = (
        values[(slice(None), *(slice(factor * (size // 2 - back), factor * (size // 2 - back + 1)) for size in sizes))]
        for back in (0, 1)
    )
    power = np.mean(block**2)
    if not power > 0:
        raise ValueError("function must not map the inputs to zero everywhere: give other constants, e.g. random ones")
    if np.mean((block - before) ** 2) > tolerance**2 * power:
        raise ValueError(
            f"the centre of the function's result sees the borders of inputs of {sizes} units: give larger ones"
        )
    axes = tuple(range(1, values.ndim - 1))
    return float(np.mean((block - block.mean(axes, keepdims=True)) ** 2) / power)
