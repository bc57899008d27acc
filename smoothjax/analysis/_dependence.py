"""Which inputs an output unit depends on at all, and how much of that its neighbours share."""

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
    r"""The set of input units that each of some output units depends on: where its gradient is not zero (Fig. 2).

    $$R_i = \Big\{j : \exists n, c:\ \frac{\partial \sum_{c'} a_{c'} y_{n,c'}[i]}{\partial x_{n,c}[j]} \ne 0\Big\}$$

    with random $a_{c'} > 0$, so that output channels don't cancel each other. What is 0 by chance counts as not seen:
    paths that cancel, a ReLU that is closed. Give random inputs, of several examples for a network with ReLUs; and to
    see what a layer connects whatever it has learnt, give it the absolute values of its weights, or ones.

    Args:
      function: a block of a network, from maps `[N, *S, C]` to `[N, *S', C']` with the same d = 1, 2 or 3 spatial axes;
        any callable that JAX can differentiate, whose examples do not depend on each other.
      inputs: what the block is given, `[N, *S, C]`. Every example is differentiated for every unit.
      units: positions of output units, d ints each; in their sequence.

    Returns:
      bool `[len(units), *S]`.

    Raises:
      AssertionError: inputs have another rank or dtype.
      ValueError: the function's result is no map of as many axes, a unit is outside of it, or gradients are not finite.

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

        # One after the other: memory is that of one unit.
        return jax.lax.map(seen, units)

    gradients = np.asarray(largest(maps, jnp.asarray(chosen, jnp.int32)))
    return check_finite(gradients) != 0


def dependence(function: Callable[[jax.Array], jax.Array], inputs: ArrayLike, *, rate: int) -> float:
    r"""How much neighbouring outputs see of each other's inputs: 0 is gridding.

    The mean, over all pairs of neighbours (i, j) along an axis, of what their receptive sets have in common (Jaccard
    index):

    $$D = \frac{1}{|\mathcal{P}|} \sum_{(i, j) \in \mathcal{P}} \frac{|R_i \cap R_j|}{|R_i \cup R_j|} \in [0, 1]$$

    0: no two neighbours share an input, as after dilated convolutions of only one rate (Fig. 2); 1: all neighbours see
    the same, as after global pooling. n plain convolutions of three taps have n / (n + 1). The pairs are those that
    start in one block of `rate**d` units at the output's centre, so that every phase counts once along every axis:
    group interaction, say, gives neighbours within one of its blocks the same set, and others less.

    What it does not see is how strong a dependence is: a smoother next to the identity counts like any other, and
    `phase_imbalance` distinguishes the two. The identity itself is a 0.

    Args:
      function: see `receptive_sets`; take absolute values of weights, or ones, to see what layers connect.
      inputs: what the block is given, `[N, *S, C]`, so large that the sets of units at the centre end before the
        borders.
      rate: side of the block in units, an int >= 1: the dilation rate, the factor of an up-sampling layer, or where
        there are several their least common multiple.

    Returns:
      D, without unit.

    Raises:
      AssertionError: inputs have another rank or dtype.
      ValueError: rate is no int >= 1, the function's result is no map of as many axes or has less than `rate + 1`
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
    """The shape of the function's result, if it is a map of as many axes."""
    shape = jax.eval_shape(function, maps).shape
    if len(shape) != maps.ndim:
        raise ValueError(
            f"function must return maps of {maps.ndim - 2} spatial axes as its inputs, [N, *S, C], got shape {shape}: "
            "pass a block of the network before its axes are pooled away"
        )
    return shape
