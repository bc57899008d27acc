"""The inputs that an output unit depends on, and the share of them that its neighbours see."""

import itertools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from ._arguments import check_maps, check_pixels
from ._receptive_field import check_finite, error_size


def receptive_sets(
    function: Callable[[jax.Array], jax.Array], inputs: ArrayLike, units: Sequence[Sequence[int]]
) -> np.ndarray:
    r"""The sets of input units that some output units depend on: where their gradients are not zero (Fig. 2).

    $$R_i = \Big\{j : \exists n, c:\ \frac{\partial \sum_{c'} a_{c'} y_{n,c'}[i]}{\partial x_{n,c}[j]} \ne 0\Big\}$$

    with random $a_{c'} > 0$, so that output channels don't cancel. A gradient that is 0 by chance, from cancelling
    paths or a closed ReLU, counts as no dependence. So give random inputs, with several examples for a network with
    ReLUs. To see what a layer connects independent of its weights, replace them by their absolute values, or by ones.

    Args:
      function: a block of a network, from maps `[N, *S, C]` to `[N, *S', C']` with the same d = 1, 2 or 3 spatial axes;
        any callable that JAX can differentiate, whose examples do not depend on each other.
      inputs: inputs of the block, `[N, *S, C]`. Every example is differentiated for every unit.
      units: positions of output units, d ints each.

    Returns:
      bool `[len(units), *S]`.

    Raises:
      AssertionError: inputs have another rank or dtype.
      ValueError: the function's result is not a map with d spatial axes, a unit is outside of it, or gradients are not
        finite.

    Example:
      >>> import jax.numpy as jnp
      >>> from smoothjax import analysis, ops
      >>> block = lambda x: ops.dilated_conv(x, jnp.ones((3, 1, 1)), rate=2)
      >>> analysis.receptive_sets(block, jnp.ones((1, 8, 1)), [(3,), (4,)]).astype(int).tolist()
      [[0, 1, 0, 1, 0, 1, 0, 0], [0, 0, 1, 0, 1, 0, 1, 0]]

    References:
      Wang & Ji, Smoothed Dilated Convolutions for Improved Dense Prediction, KDD 2018, Sec. 3.1, Fig. 2.
    """
    maps = check_maps("inputs", inputs)
    shape = output_shape(function, maps)
    chosen = np.asarray(units)
    if chosen.ndim != 2 or chosen.shape[1] != len(shape) - 2 or not np.issubdtype(chosen.dtype, np.integer):
        raise ValueError(
            f"units must be positions of {len(shape) - 2} ints each in the function's result, at least one, got "
            f"{units!r}"
        )
    if (chosen < 0).any() or (chosen >= np.array(shape[1:-1])).any():
        raise ValueError(f"units must be inside of the function's result, {shape[1:-1]}, got {chosen.tolist()}")
    weights = np.random.default_rng(0).uniform(0.5, 1.5, shape[-1])

    @jax.jit
    def largest(maps: jax.Array, units: jax.Array) -> jax.Array:
        out, pull = jax.vjp(function, maps)
        error = error_size(out.dtype) * jnp.asarray(weights, out.dtype)

        def seen(unit: jax.Array) -> jax.Array:
            at = (slice(None), *(unit[axis] for axis in range(unit.size)))
            (gradient,) = pull(jnp.zeros_like(out).at[at].set(error[None]))
            return jnp.abs(gradient).max((0, -1))

        # One by one, which needs the memory of one unit.
        return jax.lax.map(seen, units)

    gradients = np.asarray(largest(maps, jnp.asarray(chosen, jnp.int32)))
    return check_finite(gradients) != 0


def dependence(function: Callable[[jax.Array], jax.Array], inputs: ArrayLike, *, rate: int) -> float:
    r"""The share of inputs that neighbouring outputs have in common: 0 is gridding.

    The mean, over all pairs of neighbours (i, j) along an axis, of the Jaccard index of their receptive sets:

    $$D = \frac{1}{|\mathcal{P}|} \sum_{(i, j) \in \mathcal{P}} \frac{|R_i \cap R_j|}{|R_i \cup R_j|} \in [0, 1]$$

    0: no two neighbours share an input, as after dilated convolutions of only one rate (Fig. 2); 1: all neighbours see
    the same, as after global pooling. n plain convolutions of three taps give n / (n + 1). The pairs start in one block
    of `rate**d` units at the output's centre, so every phase counts once along every axis; group interaction, for
    instance, gives neighbours within a block the same set, and others less.

    It does not measure the strength of a dependence: a smoother close to the identity counts like any other, while the
    identity itself gives 0. `phase_imbalance` measures strength.

    Args:
      function: see `receptive_sets`; take absolute values of weights, or ones, to see what layers connect.
      inputs: inputs of the block, `[N, *S, C]`, large enough that the sets of units at the centre end before the
        borders.
      rate: side of the block in units, an int >= 1: the dilation rate, the factor of an up-sampling layer, or the least
        common multiple of several.

    Returns:
      D, without unit.

    Raises:
      AssertionError: inputs have another rank or dtype.
      ValueError: rate is not an int >= 1, the function's result is no map of as many axes or has less than `rate + 1`
        units along one, or a unit at its centre depends on no input.

    Example:
      >>> import jax.numpy as jnp
      >>> from smoothjax import analysis, ops
      >>> x, kernel = jnp.ones((1, 17, 17, 1)), jnp.ones((3, 3, 1, 1))
      >>> plain = lambda x: ops.dilated_conv(x, kernel, rate=2)
      >>> smoothed = lambda x: ops.ss_dilated_conv(x, kernel, jnp.ones((3, 3)), rate=2)
      >>> [round(analysis.dependence(layer, x, rate=2), 2) for layer in (plain, smoothed)]
      [0.0, 0.75]

    References:
      Wang & Ji, KDD 2018, Sec. 3.1, Fig. 2.
    """
    maps, rate = check_maps("inputs", inputs), check_pixels("rate", rate)
    sizes = output_shape(function, maps)[1:-1]
    if min(sizes) <= rate:
        raise ValueError(
            f"the function's result must have more than rate = {rate} units along every axis, got {sizes}: give larger "
            "inputs"
        )
    starts = [(size - rate - 1) // 2 for size in sizes]
    units = list(itertools.product(*(range(start, start + rate + 1) for start in starts)))
    sets = dict(zip(units, receptive_sets(function, maps, units), strict=True))
    indices = []
    for unit in itertools.product(*(range(start, start + rate) for start in starts)):
        for axis in range(len(unit)):
            one, two = sets[unit], sets[(*unit[:axis], unit[axis] + 1, *unit[axis + 1 :])]
            if not (one.any() and two.any()):
                raise ValueError(f"unit {unit} or its neighbour depends on no input: give random inputs, and more")
            indices.append((one & two).sum() / (one | two).sum())
    return float(np.mean(indices))


def output_shape(function: Callable[[jax.Array], jax.Array], maps: jax.Array) -> tuple[int, ...]:
    """The shape of the function's result, which must be a map with the same spatial axes."""
    shape = jax.eval_shape(function, maps).shape
    if len(shape) != maps.ndim:
        raise ValueError(
            f"function must return maps of {maps.ndim - 2} spatial axes as its inputs, [N, *S, C], got shape {shape}: "
            "pass a block of the network before its axes are pooled away"
        )
    return shape
