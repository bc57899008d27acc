"""Counting pixels near contours on the device, where gridding and any other loss of resolution show first."""

import math
import operator
from functools import partial
from typing import Any

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from .._checks import check_structure
from .._meshes import keeps_split_batch
from ._confusion import check_label_maps, confusion_matrix, widened


def boundary_confusion_matrix(
    labels: ArrayLike,
    predictions: ArrayLike,
    *,
    num_classes: int,
    distance: float = 0.02,
    sizes: ArrayLike | None = None,
    ignore_label: int = 255,
) -> jax.Array:
    r"""Counts the pixels near the contours of true and predicted masks, for the boundary IoU.

    With $G_c$ and $P_c$ the pixels labelled and predicted as class c, a pixel of a mask is *near its contour* if a
    pixel outside of the mask is within the distance d: $G_c^d = \{p \in G_c : \exists q \notin G_c, |p-q|_\infty \le
    d\}$. As in the authors' code, distance is the larger of the horizontal and the vertical one (d erosions by a square
    of 3x3), and pixels outside of the image are outside of every mask. So are the pixels that do not count, see
    `confusion_matrix`: true and predicted masks end where they begin. So every mask has a contour, and a missed class
    counts even if ignored pixels surround it.

    The row of the matrix is the label of a pixel in $\bigcup_c G_c^d$, its column the prediction of a pixel in
    $\bigcup_c P_c^d$; the last row and column are for pixels outside of the bands, so row c, column c and their common
    entry add up to $|G_c^d|$, $|P_c^d|$ and $|G_c^d \cap P_c^d|$. Matrices of a split add up, in `numpy.int64`.

    Args:
      labels: true classes, integers `[*B, H, W]`.
      predictions: predicted classes, integers of the same shape.
      num_classes: number of classes, K.
      distance: d, as a fraction of each image's diagonal if a float (at least 1 pixel; 0.02 is published), in pixels if
        an int.
      sizes: heights and widths of the images `[*B, 2]` in pixels if they are padded at the bottom and on the right;
        padding does not count, with any label. By default the whole array is image.
      ignore_label: the label of pixels that do not count.

    Returns:
      int32 `[K + 1, K + 1]`, for `boundary_iou_per_class`
        and `mean_boundary_iou`.

    Raises:
      AssertionError: the shapes differ or have no two axes, or an array is not of integers.
      ValueError: `num_classes` or `distance` is out of range.

    Example:
      >>> import jax.numpy as jnp
      >>> labels = jnp.zeros((6, 6), int).at[:, 3:].set(1)
      >>> print(boundary_confusion_matrix(labels, labels, num_classes=2, distance=1))
      [[14  0  0]
       [ 0 14  0]
       [ 0  0  8]]

    References:
      Cheng et al., Boundary IoU: Improving Object-Centric Image Segmentation Evaluation, CVPR 2021, Sec. 4.
    """
    labels, predictions, sizes = _checked(labels, predictions, num_classes, sizes)
    return _near_contours(labels, predictions, sizes, num_classes, distance, ignore_label)


@keeps_split_batch(out=None)
def _near_contours(
    labels: jax.Array,
    predictions: jax.Array,
    sizes: jax.Array | None,
    num_classes: int,
    distance: float,
    ignore_label: int,
) -> jax.Array:
    pair, valid, sizes = _masked(labels, predictions, sizes, num_classes, ignore_label)
    near = [_near(classes, valid, sizes, distance=distance, border=True) for classes in pair]
    # Pixels that count but are not near form one more class; pixels that do not count get a label of no class.
    outside = num_classes + 1
    rows, columns = (
        jnp.where(valid, jnp.where(close, classes, num_classes), outside)
        for classes, close in zip(pair, near, strict=True)
    )
    return confusion_matrix(rows, columns, num_classes=num_classes + 1, ignore_label=outside)


def trimap_confusion_matrix(
    labels: ArrayLike,
    predictions: ArrayLike,
    *,
    num_classes: int,
    distance: float = 0.02,
    sizes: ArrayLike | None = None,
    ignore_label: int = 255,
) -> jax.Array:
    """The confusion matrix of the pixels within a distance of a true boundary between two classes: of a trimap.

    A pixel counts if one of another true class is within the distance, the larger of the horizontal and the vertical
    one. The border of the image is not a boundary. Pixels that do not count, see `confusion_matrix`, belong to no
    class: if boundaries are drawn as ignored lines, five pixels wide as in VOC 2012, the distance must reach across
    them.

    Args:
      labels: true classes, integers `[*B, H, W]`.
      predictions: predicted classes, integers of the same shape.
      num_classes: number of classes, K.
      distance: as a fraction of each image's diagonal if a float (at least 1 pixel), in pixels if an int.
      sizes: heights and widths of the images `[*B, 2]` in pixels, where they are padded at the bottom and on the
        right: the padding does not count, whatever it is labelled. By default the whole array is image.
      ignore_label: the label of pixels that do not count.

    Returns:
      int32 `[K, K]`, for `mean_iou` and the other measures of a confusion matrix.

    Raises:
      AssertionError: the shapes differ or have no two axes, or an array is not of integers.
      ValueError: `num_classes` or `distance` is out of range.

    Example:
      >>> import jax.numpy as jnp
      >>> labels = jnp.zeros((6, 6), int).at[:, 3:].set(1)
      >>> shifted = jnp.zeros((6, 6), int).at[:, 2:].set(1)
      >>> print(trimap_confusion_matrix(labels, shifted, num_classes=2, distance=1))
      [[0 6]
       [0 6]]

    References:
      Kohli, Ladicky & Torr, Robust Higher Order Potentials for Enforcing Label Consistency, IJCV 2009; Chen et al.,
      DeepLab, 2016 (mean IoU in a trimap).
    """
    labels, predictions, sizes = _checked(labels, predictions, num_classes, sizes)
    return _near_true_contours(labels, predictions, sizes, num_classes, distance, ignore_label)


@keeps_split_batch(out=None)
def _near_true_contours(
    labels: jax.Array,
    predictions: jax.Array,
    sizes: jax.Array | None,
    num_classes: int,
    distance: float,
    ignore_label: int,
) -> jax.Array:
    (truth, predicted), valid, sizes = _masked(labels, predictions, sizes, num_classes, ignore_label)
    counted = valid & _near(truth, valid, sizes, distance=distance, border=False)
    return confusion_matrix(
        jnp.where(counted, truth, num_classes), predicted, num_classes=num_classes, ignore_label=num_classes
    )


def _checked(
    labels: ArrayLike, predictions: ArrayLike, num_classes: int, sizes: ArrayLike | None
) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    """The arguments as arrays."""
    if num_classes < 1:
        raise ValueError(f"num_classes must be at least 1, got {num_classes}; pass the number of classes of the data")
    labels, predictions = jnp.asarray(labels), jnp.asarray(predictions)
    check_label_maps(labels, predictions)
    axes = f"labels must be maps [*B, H, W], got shape {labels.shape}: add axes"
    check_structure(axes, chex.assert_equal, labels.ndim >= 2, True)
    if sizes is None:
        return labels, predictions, None
    sizes, shape = jnp.asarray(sizes), (*labels.shape[:-2], 2)
    one_each = f"sizes must be a height and a width for each map, {shape}, got shape {sizes.shape}: change its axes"
    check_structure(one_each, chex.assert_shape, sizes, shape)
    return labels, predictions, sizes


def _masked(
    labels: jax.Array, predictions: jax.Array, sizes: jax.Array | None, num_classes: int, ignore_label: int
) -> tuple[tuple[jax.Array, jax.Array], jax.Array, jax.Array | None]:
    """Labels and predictions int32 `[N, H, W]`, which of their pixels count, and the sizes `[N, 2]`."""
    sizes = None if sizes is None else sizes.reshape(-1, 2)
    labels, predictions = (widened(array).reshape(-1, *array.shape[-2:]) for array in (labels, predictions))
    valid = (labels != ignore_label) & (labels >= 0) & (labels < num_classes)
    valid &= (predictions >= 0) & (predictions < num_classes)
    if sizes is not None:
        for axis in (1, 2):
            valid &= _positions(labels, axis) < sizes[:, axis - 1, None, None]
    return (labels.astype(jnp.int32), predictions.astype(jnp.int32)), valid, sizes


# Jitted here, so that calls outside jit do not compile its passes one by one.
@partial(jax.jit, static_argnames=("distance", "border"))
def _near(classes: jax.Array, valid: jax.Array, sizes: jax.Array | None, *, distance: float, border: bool) -> jax.Array:
    """Whether a valid pixel of another class, or with `border` anything outside of the mask, is within the distance."""
    in_pixels, most = _most(distance, classes.shape[1:])
    radius: Any = most
    if sizes is not None:
        radius = jnp.full(len(sizes), most) if in_pixels else _of_diagonal(distance, sizes, most)
    # The largest and the smallest class of a window: it has two classes iff they differ. 16 bits are enough: the matrix
    # of more classes would not fit into memory.
    lowest, classes = jnp.iinfo(jnp.int16).min, classes.astype(jnp.int16)
    # Pixels that do not count, padding included, have no influence, or with `border` the separate class -1.
    largest = _window_max(jnp.where(valid, classes, -1 if border else lowest), radius, most)
    smallest = -_window_max(jnp.where(valid, -classes, 1 if border else lowest), radius, most)
    near = largest > smallest
    if border:
        reach = radius if sizes is None else radius[:, None, None]
        for axis in (1, 2):
            position = _positions(classes, axis)
            near |= (position < reach) | (position >= classes.shape[axis] - reach)
    return near & valid


def _positions(maps: jax.Array, axis: int) -> jax.Array:
    """The rows of maps `[N, H, W]`, as `[1, H, 1]`, or the columns, as `[1, 1, W]`."""
    return jnp.expand_dims(jnp.arange(maps.shape[axis]), (0, 3 - axis))


def _most(distance: Any, shape: tuple[int, ...]) -> tuple[bool, int]:
    """Whether the distance is in pixels, and its value in the largest image that fits into the array."""
    try:
        value = 0 if isinstance(distance, bool) else operator.index(distance)
        pixels = True
    except TypeError:
        value, pixels = distance, False
    if not (value >= 1 if pixels else 0 < value < 1):
        raise ValueError(
            f"distance must be a float in (0, 1), a fraction of the image's diagonal, or an int >= 1, in pixels, got "
            f"{distance!r}: 0.02 is the published one"
        )
    most = value if pixels else max(1, round(value * math.hypot(*shape)))
    # A window need not be larger than twice the image.
    return pixels, min(most, max(1, *shape))


def _of_diagonal(distance: float, sizes: jax.Array, most: int) -> jax.Array:
    diagonals = jnp.sqrt(jnp.sum(sizes.astype(jnp.float32) ** 2, -1))
    return jnp.clip(jnp.round(distance * diagonals), 1, most).astype(jnp.int32)


def _window_max(values: jax.Array, radius: int | jax.Array, most: int) -> jax.Array:
    """The maximum over square windows of maps `[N, H, W]`, with a radius per map `[N]` or one static radius."""
    for axis in range(2):
        along = partial(_line_max, axis=axis, most=most)
        values = jax.vmap(along, (0, None if isinstance(radius, int) else 0))(values, radius)
    return values


def _line_max(values: jax.Array, radius: Any, *, axis: int, most: int) -> jax.Array:
    """The maximum over `radius` neighbours on either side along an axis, by doubling: log2(radius) passes."""
    length, lowest = values.shape[axis], jnp.iinfo(values.dtype).min
    pads = [(0, 0)] * values.ndim
    pads[axis] = (most, most + 1)
    table = jnp.pad(values, pads, constant_values=lowest)
    width, span = 2 * radius + 1, 1
    # Two windows of the largest power of two that fits cover the whole one.
    chosen, chosen_span = table, 1
    while 2 * span <= 2 * most + 1:
        ahead = jax.lax.slice_in_dim(table, span, None, axis=axis)
        pads[axis] = (0, span)
        table = jnp.maximum(table, jnp.pad(ahead, pads, constant_values=lowest))
        span *= 2
        if isinstance(radius, int):
            chosen, chosen_span = table, span
        else:
            chosen = jnp.where(width >= span, table, chosen)
            chosen_span = jnp.where(width >= span, span, chosen_span)
    left = jax.lax.dynamic_slice_in_dim(chosen, most - radius, length, axis)
    right = jax.lax.dynamic_slice_in_dim(chosen, most + radius + 1 - chosen_span, length, axis)
    return jnp.maximum(left, right)
