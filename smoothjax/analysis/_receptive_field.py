"""What an output unit sees: the effective receptive field, and numbers about its grid."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from ._arguments import check_int, check_maps


def effective_receptive_field(
    function: Callable[[jax.Array], jax.Array], inputs: ArrayLike, *, batch_size: int = 8
) -> np.ndarray:
    r"""How much each input unit moves the output unit at the centre (Wang & Ji, KDD 2018, Sec. 4.4).

    $$\mathrm{ERF}[i] = \sum_c \frac{1}{N} \sum_n \Big|\frac{\partial \sum_{c'} y_{n,c'}[0]}{\partial x_{n,c}[i]}\Big|$$

    The error at the output's centre (unit $\lfloor S'/2 \rfloor$ of each axis) is 1 in every channel, 0 elsewhere; it
    is propagated back to the input, the absolute values are averaged over the examples and summed over the channels.

    Args:
      function: a block of a network, from maps `[N, *S, C]` to `[N, *S', C']` with the same d = 1, 2 or 3 spatial axes;
        any callable that JAX can differentiate, whose examples do not depend on each other.
      inputs: what the block is given, `[N, *S, C]`; for a trained network the features of a split's images.
      batch_size: examples differentiated together.

    Returns:
      float64 `[*S]`, not negative.

    Raises:
      AssertionError: inputs have another rank or dtype.
      ValueError: batch_size is no int >= 1, or the function's result is no map of as many axes.

    Example:
      >>> import jax.numpy as jnp
      >>> from smoothjax import analysis, ops
      >>> block = lambda x: ops.dilated_conv(x, jnp.ones((3, 1, 1)), rate=2)
      >>> analysis.effective_receptive_field(block, jnp.ones((1, 7, 1))).tolist()
      [0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0]

    References:
      Wang & Ji, KDD 2018, Sec. 4.4, Figs. 8 and 9; Luo et al., Understanding the Effective Receptive Field in Deep
      Convolutional Neural Networks, 2016.
    """
    maps, batch_size = check_maps("inputs", inputs), check_int("batch_size", batch_size, 1)
    shape = jax.eval_shape(function, maps[:1]).shape
    if len(shape) != maps.ndim:
        raise ValueError(
            f"function must return maps of {maps.ndim - 2} spatial axes as its inputs, [N, *S, C], got shape "
            f"{shape}: pass a block of the network before its axes are pooled away"
        )
    centre = tuple(size // 2 for size in shape[1:-1])

    @jax.jit
    def gradients(batch: jax.Array) -> jax.Array:
        out, pull = jax.vjp(function, batch)
        (gradient,) = pull(jnp.zeros_like(out).at[(slice(None), *centre)].set(1))
        return jnp.abs(gradient).sum((0, -1))

    total = np.zeros(maps.shape[1:-1])
    for start in range(0, len(maps), batch_size):
        total += np.asarray(gradients(maps[start : start + batch_size]), np.float64)
    return total / len(maps)


def phase_imbalance(field: ArrayLike, *, rate: int) -> float:
    r"""How unevenly a receptive field is spread over the `rate**d` phases of its grid: gridding as a number.

    With $m_p$ the share of phase p in the sum of the field and $G = r^d$ phases,

    $$I = \frac{\sum_p (m_p - 1/G)^2}{1 - 1/G} \in [0, 1]$$

    is 0 where every phase has the same share and 1 where a single phase has all of it, as after dilated convolutions of
    that rate alone. Sizes that the rate does not divide are cropped evenly to the largest that it does.

    Args:
      field: not negative, `[*S]` with d = 1, 2 or 3 axes, as `effective_receptive_field` gives it.
      rate: side of the grid in units, an int >= 2.

    Returns:
      The imbalance, without unit.

    Raises:
      ValueError: rate is no int >= 2, or field is negative somewhere, all 0, or smaller than the rate.

    Example:
      >>> import numpy as np
      >>> from smoothjax import analysis
      >>> analysis.phase_imbalance(np.array([1, 0, 1, 0]), rate=2), analysis.phase_imbalance(np.ones(4), rate=2)
      (1.0, 0.0)

    References:
      Wang & Ji, KDD 2018, Sec. 3.1, Fig. 2: neighbours see disjoint phases.
    """
    rate, values = check_int("rate", rate, 2), _check_field(field)
    for axis, size in enumerate(values.shape):
        if size < rate:
            raise ValueError(f"field must be at least rate = {rate} units along every axis, got shape {values.shape}")
        start = size % rate // 2
        values = np.take(values, np.arange(start, start + size // rate * rate), axis)
    blocks = values.reshape([n for size in values.shape for n in (size // rate, rate)])
    share = blocks.sum(tuple(range(0, blocks.ndim, 2))).ravel()
    if not share.sum() > 0:
        raise ValueError("field must be above 0 somewhere: is the block connected to its input?")
    share = share / share.sum()
    return float(((share - 1 / share.size) ** 2).sum() / (1 - 1 / share.size))


def contribution_area(field: ArrayLike, *, share: float) -> int:
    """The smallest number of input units that hold a share of the field.

    Args:
      field: not negative, `[*S]`, as `effective_receptive_field` gives it.
      share: in (0, 1]; 0.2, 0.3, 0.5 and 0.99 are usual.

    Returns:
      The number of units.

    Raises:
      ValueError: share is out of its range, or field is negative somewhere or all 0.

    Example:
      >>> import numpy as np
      >>> from smoothjax import analysis
      >>> analysis.contribution_area(np.array([4.0, 3.0, 2.0, 1.0]), share=0.5)
      2

    References:
      Ding et al., Scaling Up Your Kernels to 31x31, 2022 (the measure at 20, 30, 50 and 99 %).
    """
    values = _check_field(field)
    if not 0 < share <= 1:
        raise ValueError(f"share must be in (0, 1], got {share}: 0.5 is half of the field")
    ordered = np.sort(values.ravel())[::-1].cumsum()
    if not ordered[-1] > 0:
        raise ValueError("field must be above 0 somewhere: is the block connected to its input?")
    return int(np.searchsorted(ordered, share * ordered[-1] * (1 - 1e-12)) + 1)


def _check_field(field: Any) -> np.ndarray:
    values = np.asarray(field, np.float64)
    if not 1 <= values.ndim <= 3 or not values.size:
        raise ValueError(f"field must have one to three axes [*S], got shape {values.shape}: sum channels and examples")
    if not (np.isfinite(values).all() and values.min() >= 0):
        raise ValueError("field must be finite and not negative: take absolute values")
    return values
