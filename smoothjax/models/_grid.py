"""The grid of the network's output: the positions of its cells, for down-sampling labels and up-sampling logits.

Cell i of a network with symmetric padding sits on input pixel `stride * i`: the alignment `"cells"`. The authors of
smoothed dilated convolutions resize instead, as TensorFlow 1 does by default, which puts cell i of n on pixel
`i * size / n`. That alignment, `"authors"`, is up to `stride - 1` pixels off at the end of an image; if the stride
divides the size both are the same.
"""

import operator
from collections.abc import Sequence
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import export, lax

from .._checks import check_choice, check_int, is_int
from ..names import Alignment

_ALIGNMENTS: tuple[Alignment, ...] = get_args(Alignment)


def downsample_labels(labels: jax.Array, *, stride: int = 8, align: Alignment = "cells") -> jax.Array:
    """Labels on the grid of the logits: the pixel under each cell, no interpolation.

    Args:
      labels: `[N, H, W]` class indices.
      stride: pixels per cell.
      align: `"cells"`, pixel `stride * i` for cell i; `"authors"`, pixel `floor(i * H / h)`, which is TensorFlow 1's
        `resize_nearest_neighbor`.

    Returns:
      `[N, ceil(H / stride), ceil(W / stride)]` of the labels' dtype.

    Raises:
      ValueError: labels is not `[N, H, W]`, or align is unknown.

    Example:
      >>> import jax.numpy as jnp
      >>> from smoothjax import models
      >>> models.downsample_labels(jnp.arange(9).reshape(1, 1, 9), stride=4).tolist()
      [[[0, 4, 8]]]
      >>> models.downsample_labels(jnp.arange(9).reshape(1, 1, 9), stride=4, align="authors").tolist()
      [[[0, 3, 6]]]
    """
    if labels.ndim != 3:
        raise ValueError(f"labels must be [N, H, W], got shape {labels.shape}: add or remove axes")
    stride = _check_stride(stride)
    check_choice("align", align, _ALIGNMENTS)
    if align == "cells":
        return labels[:, ::stride, ::stride]
    rows, columns = (_authors_pixels(size, stride) for size in labels.shape[1:])
    return labels[:, rows[:, None], columns]


def upsample_logits(
    logits: jax.Array, spatial_shape: Sequence[int], *, stride: int = 8, align: Alignment = "cells"
) -> jax.Array:
    """Bilinear interpolation of logits on their own grid; pixels beyond the last cell take its value.

    At pixel `stride * i` the result is exactly the logit of cell i, so nothing is shifted.

    Args:
      logits: `[N, h, w, classes]`.
      spatial_shape: the size `(H, W)` of the image in pixels; `(h, w)` must be `ceil((H, W) / stride)`.
      stride: pixels per cell.
      align: `"cells"`, or `"authors"`: pixel p takes its value at `p * h / H` cells, which is TensorFlow 1's
        `resize_bilinear`.

    Returns:
      `[N, H, W, classes]` of the logits' dtype.

    Raises:
      ValueError: logits is not `[N, h, w, classes]` of a float dtype, its size is not `ceil((H, W) / stride)`,
        spatial_shape or stride are not ints, or align is unknown.

    Example:
      >>> import jax.numpy as jnp
      >>> from smoothjax import models
      >>> models.upsample_logits(jnp.array([0.0, 2.0]).reshape(1, 1, 2, 1), (1, 4), stride=2).ravel().tolist()
      [0.0, 1.0, 2.0, 2.0]
    """
    stride, spatial_shape = _check_stride(stride), _check_shape(spatial_shape)
    check_choice("align", align, _ALIGNMENTS)
    if not jnp.issubdtype(logits.dtype, jnp.floating):
        raise ValueError(f"logits must be floating point to be interpolated, got {logits.dtype}: cast them")
    wanted = tuple(-(-size // stride) for size in spatial_shape)
    # A symbolic size of an exported program cannot be compared.
    known = not any(export.is_symbolic_dim(size) for size in (*spatial_shape, *logits.shape[1:3]))
    if logits.ndim != 4 or len(wanted) != 2 or (known and logits.shape[1:3] != wanted):
        raise ValueError(
            f"logits must be [N, h, w, classes] with (h, w) = ceil({spatial_shape} / {stride}) = {wanted}, got "
            f"shape {logits.shape}: pass the size of the image that the logits were computed from"
        )
    # Two small matrix products: on CPU several times faster than gathering four neighbours of every pixel.
    rows, columns = (
        _interpolation(size, cells, stride, align).astype(logits.dtype)
        for size, cells in zip(spatial_shape, logits.shape[1:3], strict=True)
    )
    highest = lax.Precision.HIGHEST
    logits = jnp.einsum("Yy,nyxc->nYxc", rows, logits, precision=highest)
    return jnp.einsum("Xx,nYxc->nYXc", columns, logits, precision=highest)


def _interpolation(size: int, cells: int, stride: int, align: Alignment) -> jax.Array:
    """The matrix `[size, cells]` of linear interpolation: row p holds the weights of pixel p."""
    pixels = jnp.arange(size)
    position = jnp.minimum(pixels / stride if align == "cells" else pixels * cells / size, cells - 1)
    return jnp.clip(1.0 - jnp.abs(position[:, None] - jnp.arange(cells)[None, :]), 0.0, 1.0)


def _authors_pixels(size: int, stride: int) -> np.ndarray:
    """The pixel of each cell in TensorFlow 1, which computes it in float32."""
    cells = -(-size // stride)
    step = np.float32(size) / np.float32(cells)
    return np.floor(np.arange(cells, dtype=np.float32) * step).astype(np.int32)


def _check_stride(stride: object) -> int:
    return check_int("stride", stride, remedy="pass the output stride of the network")


def _check_shape(spatial_shape: Any) -> tuple[Any, ...]:
    """The sizes as Python ints, symbolic ones unchanged; a wrong number of sizes is refused later."""
    sizes = tuple(spatial_shape) if np.iterable(spatial_shape) else (spatial_shape,)
    if not all(export.is_symbolic_dim(size) or is_int(size) for size in sizes):
        raise ValueError(
            f"spatial_shape must be the ints (H, W), got {spatial_shape!r}: pass the size of the image in pixels"
        )
    return tuple(size if export.is_symbolic_dim(size) else operator.index(size) for size in sizes)
