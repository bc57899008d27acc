"""The grid of the network's output: cell i sits on input pixel `stride * i`, for labels down and logits up alike."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax


def downsample_labels(labels: jax.Array, *, stride: int = 8) -> jax.Array:
    """Labels on the grid of the logits: the pixel under each cell, no interpolation.

    Args:
      labels: `[N, H, W]` class indices.
      stride: pixels a cell.

    Returns:
      `[N, ceil(H / stride), ceil(W / stride)]` of the labels' dtype.

    Raises:
      ValueError: labels is not `[N, H, W]`.

    Example:
      >>> import jax.numpy as jnp
      >>> from smoothjax import models
      >>> models.downsample_labels(jnp.arange(9).reshape(1, 1, 9), stride=4).tolist()
      [[[0, 4, 8]]]
    """
    if labels.ndim != 3:
        raise ValueError(f"labels must be [N, H, W], got shape {labels.shape}: add or remove axes")
    _check_stride(stride)
    return labels[:, ::stride, ::stride]


def upsample_logits(logits: jax.Array, spatial_shape: Sequence[int], *, stride: int = 8) -> jax.Array:
    """Bilinear interpolation of logits on their own grid; pixels beyond the last cell take its value.

    At pixel `stride * i` the result is exactly the logit of cell i, so nothing is shifted.

    Args:
      logits: `[N, h, w, classes]`.
      spatial_shape: the size `(H, W)` of the image in pixels; h and w are those that `stride` leaves of it.
      stride: pixels a cell.

    Returns:
      `[N, H, W, classes]` of the logits' dtype.

    Raises:
      ValueError: logits is not `[N, h, w, classes]`, or its size is not `ceil((H, W) / stride)`.

    Example:
      >>> import jax.numpy as jnp
      >>> from smoothjax import models
      >>> models.upsample_logits(jnp.array([0.0, 2.0]).reshape(1, 1, 2, 1), (1, 4), stride=2).ravel().tolist()
      [0.0, 1.0, 2.0, 2.0]
    """
    _check_stride(stride)
    spatial_shape = tuple(spatial_shape) if isinstance(spatial_shape, Sequence) else (spatial_shape,)
    if not jnp.issubdtype(logits.dtype, jnp.floating):
        raise ValueError(f"logits must be floating point to be interpolated, got {logits.dtype}: cast them")
    wanted = tuple(-(-size // stride) for size in spatial_shape)
    # A size that is only known when an exported program runs cannot be compared.
    known = all(isinstance(size, int) for size in (*spatial_shape, *logits.shape[1:3]))
    if logits.ndim != 4 or len(wanted) != 2 or (known and logits.shape[1:3] != wanted):
        raise ValueError(
            f"logits must be [N, h, w, classes] with (h, w) = ceil({tuple(spatial_shape)} / {stride}) = {wanted}, got "
            f"shape {logits.shape}: pass the size of the image that the logits were computed from"
        )
    # Two small matrix products: on CPU several times faster than gathering four neighbours of every pixel.
    rows, columns = (
        _interpolation(size, cells, stride).astype(logits.dtype)
        for size, cells in zip(spatial_shape, logits.shape[1:3], strict=True)
    )
    highest = lax.Precision.HIGHEST
    logits = jnp.einsum("Yy,nyxc->nYxc", rows, logits, precision=highest)
    return jnp.einsum("Xx,nYxc->nYXc", columns, logits, precision=highest)


def _interpolation(size: int, cells: int, stride: int) -> jax.Array:
    """The matrix `[size, cells]` of linear interpolation: row p holds the weights of pixel p."""
    position = jnp.minimum(jnp.arange(size) / stride, cells - 1)
    return jnp.clip(1.0 - jnp.abs(position[:, None] - jnp.arange(cells)[None, :]), 0.0, 1.0)


def _check_stride(stride: int) -> None:
    if not isinstance(stride, int) or stride < 1:
        raise ValueError(f"stride must be an int >= 1, got {stride!r}: pass the output stride of the network")
