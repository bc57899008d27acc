"""Counting (label, prediction) pairs of pixels on the device."""

import chex
import jax
import jax.numpy as jnp

from .._checks import check_structure
from .._meshes import keeps_split_batch


def confusion_matrix(
    labels: jax.typing.ArrayLike, predictions: jax.typing.ArrayLike, *, num_classes: int, ignore_label: int = 255
) -> jax.Array:
    """Counts how often each class was predicted as each class.

    Three kinds of pixels are not counted: those labelled `ignore_label`, those whose label is otherwise outside
    `0 .. num_classes - 1`, and those whose prediction is. The last two cannot raise under `jax.jit`; the readers of
    `smoothjax.data` refuse such labels with the name of the file.

    A count is a 32-bit integer: one call may see up to 2^31 pixels of one pair. Over a split, add the matrices up on
    the host in `numpy.int64`.

    Args:
      labels: true classes, integers of any shape.
      predictions: predicted classes, integers of the same shape.
      num_classes: number of classes, K.
      ignore_label: the label of pixels that do not count.

    Returns:
      int32 `[K, K]`; the entry in row i, column j is the number of pixels of class i predicted as class j.

    Raises:
      AssertionError: the shapes differ, or an array is not of integers.
      ValueError: `num_classes` is not positive.

    Example:
      >>> import jax.numpy as jnp
      >>> labels = jnp.array([[0, 0, 1], [1, 1, 255]])
      >>> predictions = jnp.array([[0, 1, 1], [1, 1, 0]])
      >>> print(confusion_matrix(labels, predictions, num_classes=2))
      [[1 1]
       [0 3]]
    """
    if num_classes < 1:
        raise ValueError(f"num_classes must be at least 1, got {num_classes}; pass the number of classes of the data")
    labels, predictions = jnp.asarray(labels), jnp.asarray(predictions)
    check_label_maps(labels, predictions)
    return _counted(labels, predictions, num_classes, ignore_label)


@keeps_split_batch(out=None)
def _counted(labels: jax.Array, predictions: jax.Array, num_classes: int, ignore_label: int) -> jax.Array:
    labels, predictions = widened(labels), widened(predictions)
    counted = (labels != ignore_label) & (labels >= 0) & (labels < num_classes)
    counted &= (predictions >= 0) & (predictions < num_classes)
    cells = num_classes**2
    pair = labels.astype(jnp.int32) * num_classes + predictions.astype(jnp.int32)
    # An additional cell takes pixels that are not counted. On a CPU this is five times faster than a product of one-hot
    # matrices.
    counts = jnp.bincount(jnp.where(counted, pair, cells).ravel(), length=cells + 1)
    return counts[:cells].reshape(num_classes, num_classes).astype(jnp.int32)


def check_label_maps(labels: jax.Array, predictions: jax.Array) -> None:
    """Refuses labels and predictions that are not integers of one shape."""
    shapes = f"predictions must have the shape of labels, {labels.shape}, got {predictions.shape}: predict every pixel"
    check_structure(shapes, chex.assert_equal_shape, (labels, predictions))
    types = (
        f"labels and predictions must be integers, got {labels.dtype} and {predictions.dtype}: take the argmax of "
        "logits over the classes"
    )
    check_structure(types, chex.assert_type, (labels, predictions), int)


def widened(integers: jax.Array) -> jax.Array:
    """Integers of at least 32 bits, in which every number of classes and every ignored label compares correctly.

    In 8 bits JAX reads 256 classes as 0. Wider types stay: a cast would wrap outside values into the range.
    """
    return integers.astype(jnp.int32) if jnp.iinfo(integers.dtype).bits < 32 else integers
