"""The inputs that outputs depend on, by forward passes only: for programs without a derivative."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from .._checks import check_int
from ..progress import Progress
from ._sharing import Sharing, Tally

#: Added to floating-point units, alternating over the examples: a small change passes functions that saturate, and a
#: large one is not lost in the rounding of the far ends of deep networks.
_STEPS = (1.0, 2.0**16)
_SMALL_STEPS = (1.0, 2.0**6)


class ByChanges(NamedTuple):
    """The result of changing the inputs.

    Attributes:
      axes: the sharing of neighbouring outputs along each spatial axis; a lower bound.
      field: float64 `[*S]`, the effect of each input unit on the central output unit: the mean over examples of the
        absolute change, summed over channels, or of whether integers change. For floating-point inputs only examples
        with small changes count.
    """

    axes: tuple[Sharing, ...]
    field: np.ndarray


def sharing_by_changes(
    function: Callable[[jax.Array], jax.Array],
    inputs: ArrayLike,
    *,
    batch_size: int = 16,
    block: int | None = None,
    progress: bool = False,
) -> ByChanges:
    """Measures the sharing of neighbouring outputs by changing input units one at a time; needs no derivative.

    An output depends on every unit whose change alters it. The converse does not hold: a rectifier may be closed for
    all examples, an argmax may return the same class. So sharing that is found is real, and sharing that is not found
    may still exist; several examples make this less likely. `certify` proves gridding from a program, and
    `receptive_sets` uses gradients.

    Floating-point units change alternately by 1 (first example) and 65536 (second example; float16: 64), integers
    between 0 and 255 by 128, modulo 256. A pass through the function takes `batch_size` examples, and there are
    `N * prod(S) / batch_size` passes, or `N * B**d / batch_size` with a block of B units. With a block the result
    covers only the sharing of units in it.

    Args:
      function: maps `[N, *S, C]` to maps `[N, *S', C']` with the same d = 1, 2 or 3 spatial axes, of any dtype, or to
        integer labels `[N, *S']`; examples do not depend on each other.
      inputs: examples `[N, *S, C]`, floating point, or integers between 0 and 255.
      batch_size: number of changes in one call of the function, which always gets this number of examples.
      block: number of units to change along each axis, at the centre of the inputs; by default all.
      progress: whether to show progress, in input units, after five seconds.

    Returns:
      The sharing of neighbours, and the field of the central output.

    Raises:
      ValueError: inputs or results are not such maps, batch_size or block is no int >= 1, or results are not finite.

    Example:
      >>> import jax.numpy as jnp
      >>> from smoothjax import analysis, ops
      >>> block = lambda x: ops.dilated_conv(x, jnp.ones((3, 1, 1)), rate=2)
      >>> found = analysis.sharing_by_changes(block, jnp.ones((1, 8, 1)))
      >>> found.axes[0].shared, found.field.tolist()
      (0, [0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0])
    """
    batch_size = check_int("batch_size", batch_size, remedy="give a number of examples")
    if block is not None:
        block = check_int("block", block, remedy="give a number of units along each axis")
    maps = np.asarray(inputs)
    floats = jnp.issubdtype(maps.dtype, jnp.floating)
    if not 3 <= maps.ndim <= 5 or not maps.size or not (floats or jnp.issubdtype(maps.dtype, jnp.integer)):
        raise ValueError(
            "inputs must be floating-point or integer maps [N, *S, C] with one to three spatial axes, got "
            f"{maps.dtype} {maps.shape}: add axes, or cast them"
        )
    if not floats and (maps.min() < 0 or maps.max() > 255):
        raise ValueError(
            f"inputs of integers must lie between 0 and 255, got {maps.min()} to {maps.max()}: cast them to float"
        )
    sizes = maps.shape[1:-1]
    out = jax.eval_shape(function, jax.ShapeDtypeStruct((batch_size, *maps.shape[1:]), maps.dtype))
    labels = hasattr(out, "dtype") and not jnp.issubdtype(out.dtype, jnp.floating)
    ranks = (maps.ndim, maps.ndim - 1) if labels else (maps.ndim,)
    if len(getattr(out, "shape", ())) not in ranks or out.shape[0] != batch_size:
        raise ValueError(
            f"function must return maps or labels of {len(sizes)} spatial axes as its inputs, an example for each, got "
            f"shape {getattr(out, 'shape', type(out).__name__)}: pass a block of it before axes are pooled away"
        )
    compiled = jax.jit(lambda batch: function(batch))  # a module that holds arrays has no hash

    def call(batch: np.ndarray) -> np.ndarray:
        found = np.asarray(compiled(jnp.asarray(batch)))
        found = found if found.ndim == maps.ndim else found[..., None]
        return found if found.dtype.kind in "iub" else found.astype(np.float64)

    tally, field, counted = Tally(out.shape[1 : 1 + len(sizes)], sizes), np.zeros(sizes), 0
    centre = tuple(size // 2 for size in out.shape[1 : 1 + len(sizes)])
    sides = sizes if block is None else tuple(min(block, size) for size in sizes)
    first = [(size - side) // 2 for size, side in zip(sizes, sides, strict=True)]
    units = [tuple(start + k for start, k in zip(first, unit, strict=True)) for unit in np.ndindex(*sides)]
    steps = _SMALL_STEPS if floats and jnp.finfo(maps.dtype).maxexp <= 16 else _STEPS
    with Progress(len(maps) * len(units), "receptive sets", unit="units", shown=progress) as shown:
        for number, example in enumerate(maps):
            same = np.repeat(example[None], batch_size, 0)
            before = call(same)
            if not np.isfinite(before).all():
                raise ValueError(
                    "function must return finite numbers, got infinite ones or NaN: look for NaN in inputs and weights"
                )
            step = steps[number % len(steps)]
            small = not floats or step == steps[0]
            counted += small
            for start in range(0, len(units), batch_size):
                chosen, batch = units[start : start + batch_size], same.copy()
                for place, unit in enumerate(chosen):
                    changed = batch[(place, *unit)]
                    batch[(place, *unit)] = changed + step if floats else (changed.astype(int) + 128) % 256
                # Compare each example with itself at the same place of a batch, since rounding may depend on the place.
                after = call(batch)
                differs = (after != before).any(-1)
                for place, unit in enumerate(chosen):
                    tally.add(unit, differs[place])
                    if small:
                        field[unit] += _moved(after[(place, *centre)], before[(place, *centre)])
                shown.update(len(chosen))
    return ByChanges(tally.axes(), field / counted)


def _moved(after: np.ndarray, before: np.ndarray) -> float:
    if after.dtype.kind in "iub":
        return float((after != before).any())
    return float(np.abs(np.nan_to_num(after - before)).sum())


def sharing_of_sets(sets: ArrayLike, shape: Sequence[int]) -> tuple[Sharing, ...]:
    """The sharing of neighbours in a block of outputs, from the set of each.

    Args:
      sets: bool `[prod(shape), *S]`, for the units of the block in row-major order, as from `receptive_sets`.
      shape: number of units of the block along each axis.

    Returns:
      The sharing along each axis.

    Raises:
      ValueError: the number of sets does not match the shape.

    Example:
      >>> import numpy as np
      >>> from smoothjax import analysis
      >>> analysis.sharing_of_sets(np.array([[1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 0]], bool), [3])[0].shared
      0
    """
    values = np.asarray(sets).astype(bool)
    if values.ndim != len(shape) + 1 or len(values) != np.prod(shape):
        raise ValueError(
            f"sets must be bool [{'*'.join(map(str, shape))}, *S], of each unit of the block, got {values.shape}: give "
            "those of all units"
        )
    tally = Tally(shape, values.shape[1:])
    for unit in np.ndindex(*values.shape[1:]):
        tally.add(unit, values[(slice(None), *unit)].reshape(*shape))
    return tally.axes()
