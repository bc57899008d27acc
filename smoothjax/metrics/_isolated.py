"""Counting predicted pixels that agree with none of their neighbours: the trace of gridding in a prediction."""

from typing import Literal

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from .._checks import check_choice, check_structure
from .._meshes import keeps_split_batch
from ._confusion import check_label_maps, widened

_STEPS = {4: ((0, 1), (1, 0)), 8: ((0, 1), (1, 0), (1, 1), (1, -1))}


def isolated_pixels(
    labels: ArrayLike,
    predictions: ArrayLike,
    *,
    neighbors: Literal[4, 8] = 8,
    ignore_label: int = 255,
) -> jax.Array:
    r"""Counts the pixels whose predicted class none of their neighbours has.

    With P the predicted classes and N(p) the neighbours of a pixel p that lie in the image and count,

    $$\text{isolated} = |\{p : N(p) \ne \emptyset,\ P(q) \ne P(p)\ \forall q \in N(p)\}|$$

    A pixel counts unless its label is `ignore_label`; a pixel that does not count is not a neighbour. If the phases of
    a dilated convolution share no input, neighbours are classified independently and errors are single pixels; if
    neighbours share inputs, errors come in patches.

    Limits: the truth plays no role, so a blurred prediction has none, and a correct scattered one has many. Read it
    beside the IoU, and beside the count of the labels themselves, `isolated_pixels(labels, labels)`, which is above 0
    if classes have structures of one pixel. Pairs of wrong pixels are not isolated, and up-sampling turns the grid of
    a coarse output into blocks, so measure before it.

    Args:
      labels: true classes, integers `[*B, H, W]`; they only determine which pixels count.
      predictions: predicted classes, integers of the same shape.
      neighbors: 4, those that share an edge, or 8, those that share an edge or a corner. With 4, all pixels of a
        diagonal line of one pixel are isolated; with 8, none.
      ignore_label: the label of pixels that do not count.

    Returns:
      int32 `[2]`: the isolated pixels, and all that count. The counts of a split add up, in `numpy.int64`; their
      quotient is the share of isolated pixels.

    Raises:
      AssertionError: the shapes differ or have no two axes, or an array is not of integers.
      ValueError: `neighbors` is neither 4 nor 8.

    Example:
      >>> import jax.numpy as jnp
      >>> from smoothjax import metrics
      >>> predictions = jnp.array([[0, 0, 0, 0], [0, 1, 0, 1], [0, 0, 0, 1]])
      >>> print(metrics.isolated_pixels(predictions, predictions))
      [ 1 12]
    """
    check_choice("neighbors", neighbors, tuple(_STEPS))
    labels, predictions = jnp.asarray(labels), jnp.asarray(predictions)
    check_label_maps(labels, predictions)
    axes = f"labels must be maps [*B, H, W], got shape {labels.shape}: add axes"
    check_structure(axes, chex.assert_equal, labels.ndim >= 2, True)
    return _counted(labels, predictions, neighbors, ignore_label)


@keeps_split_batch(out=None)
def _counted(labels: jax.Array, predictions: jax.Array, neighbors: int, ignore_label: int) -> jax.Array:
    classes, counts = widened(predictions), widened(labels) != ignore_label
    height, width = classes.shape[-2:]
    edge = [(0, 0)] * (classes.ndim - 2) + [(1, 1), (1, 1)]
    around, counted_around = jnp.pad(classes, edge), jnp.pad(counts, edge)
    met = agrees = jnp.zeros(counts.shape, bool)
    for step in _STEPS[neighbors]:
        for sign in (1, -1):
            row, column = (1 + sign * offset for offset in step)
            there = (..., slice(row, row + height), slice(column, column + width))
            met |= counted_around[there]
            agrees |= counted_around[there] & (around[there] == classes)
    return jnp.stack([(counts & met & ~agrees).sum(dtype=jnp.int32), counts.sum(dtype=jnp.int32)])
