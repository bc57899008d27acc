"""Periodic subsampling and reinterlacing: steps 1 and 3 of the decomposition, and the primitive of all else."""

import math
from collections.abc import Sequence

import jax
import jax.export
from jax import lax
from jax.typing import ArrayLike

from .._checks import Rate, check_by_axis, check_groups, check_maps, is_int, spread
from .._meshes import keeps_split_batch
from .._programs import one_program


def periodic_subsample(x: ArrayLike, *, rate: Rate) -> jax.Array:
    r"""Splits maps into their `rate**d` phases: step 1 of the decomposition (Sec. 3.1, Fig. 3).

    Group $g$ with row-major phase $(p_1, \dots, p_d)$ holds $x[r\,i + p]$; in 2-D, $g = p_1 r + p_2$. A size that
    `rate` does not divide is zero-padded at its end. `reinterlace` is the inverse.

    Args:
      x: maps `[N, *S, C]` with d = 1, 2 or 3 spatial axes; float32, bfloat16, float16 or float64.
      rate: subsampling rate r in pixels, an int >= 1 or one per axis; then their product replaces `rate**d`.

    Returns:
      Groups `[rate**d, N, *ceil(S / rate), C]` of x's dtype.

    Raises:
      AssertionError: x has another rank or dtype.
      ValueError: rate is neither an int >= 1 nor one per axis.

    Example:
      >>> import jax.numpy as jnp
      >>> from smoothjax import ops
      >>> ops.periodic_subsample(jnp.arange(5.0).reshape(1, 5, 1), rate=2).reshape(2, 3).tolist()
      [[0.0, 2.0, 4.0], [1.0, 3.0, 0.0]]

    References:
      Wang & Ji, Smoothed Dilated Convolutions for Improved Dense Prediction, KDD 2018, Sec. 3.1 and Fig. 3.
    """
    x = check_maps("x", x)
    return _subsampled(x, check_by_axis("rate", rate, x.ndim - 2))


@one_program
@keeps_split_batch(out=1)
def _subsampled(x: jax.Array, rates: tuple[int, ...]) -> jax.Array:
    ndim = x.ndim - 2
    blocks = split_blocks(x, rates)
    phase_axes = [2 + 2 * axis for axis in range(ndim)]
    block_axes = [1 + 2 * axis for axis in range(ndim)]
    groups = blocks.transpose(*phase_axes, 0, *block_axes, blocks.ndim - 1)
    return groups.reshape(math.prod(rates), *groups.shape[ndim:])


def reinterlace(groups: ArrayLike, *, rate: Rate, spatial_shape: Sequence[int] | None = None) -> jax.Array:
    r"""Puts the `rate**d` phases back into place: step 3 of the decomposition (Sec. 3.1, Fig. 3).

    The exact inverse of `periodic_subsample`. The same map is the *periodic shuffling* of transposed convolutions
    (the operator $\oplus$ of Gao et al., Eq. 1): gridding and checkerboards have one cause, phases that never interact,
    and both cures act on the groups before this step.

    Args:
      groups: `[rate**d, N, *S', C]`, phases in row-major order; float32, bfloat16, float16 or float64.
      rate: interlacing rate r in pixels, an int >= 1 or one per axis.
      spatial_shape: the d sizes to crop the result to, each at most `rate * S'`; None keeps all of it.

    Returns:
      Maps `[N, *spatial_shape, C]` of the groups' dtype.

    Raises:
      AssertionError: groups has another rank or dtype.
      ValueError: the number of groups is not `rate**d`, or spatial_shape does not fit.

    Example:
      >>> import jax.numpy as jnp
      >>> from smoothjax import ops
      >>> groups = jnp.array([[0.0, 2.0, 4.0], [1.0, 3.0, 0.0]]).reshape(2, 1, 3, 1)
      >>> ops.reinterlace(groups, rate=2, spatial_shape=(5,)).ravel().tolist()
      [0.0, 1.0, 2.0, 3.0, 4.0]

    References:
      Wang & Ji, KDD 2018, Sec. 3.1 and Fig. 3; Gao et al., Pixel Deconvolutional Networks, 2017, Eq. 1 and Fig. 3.
    """
    groups = check_groups(groups)
    rates = check_by_axis("rate", rate, groups.ndim - 3)
    if groups.shape[0] != math.prod(rates):
        raise ValueError(
            f"groups must hold rate**d = {' * '.join(map(str, rates))} = {math.prod(rates)} phases on its first axis, "
            f"got shape {groups.shape}: pass the result of periodic_subsample, or the rate it was made with"
        )
    full = tuple(rate * size for rate, size in zip(rates, groups.shape[2:-1], strict=True))
    return _reinterlaced(groups, rates, full if spatial_shape is None else _check_crop(spatial_shape, full))


@one_program
@keeps_split_batch(axis=1)
def _reinterlaced(groups: jax.Array, rates: tuple[int, ...], crop: tuple[int, ...]) -> jax.Array:
    ndim = groups.ndim - 3
    phases = groups.reshape(*rates, *groups.shape[1:])
    axes = [ndim]
    for axis in range(ndim):
        axes += [ndim + 1 + axis, axis]
    return merge_blocks(phases.transpose(*axes, phases.ndim - 1), rates, crop)


def split_blocks(x: jax.Array, rate: Rate) -> jax.Array:
    """Views `[N, *S, C]` as whole `rate**d` blocks `[N, B1, rate, ..., Bd, rate, C]`, the last completed by zeros."""
    # Sizes may be symbolic under jax.export: no Python branch on them, no remainder, no size read from the result.
    rates = spread(rate, x.ndim - 2)
    counts = [-(-size // step) for size, step in zip(x.shape[1:-1], rates, strict=True)]
    missing = [(0, n * step - size, 0) for n, step, size in zip(counts, rates, x.shape[1:-1], strict=True)]
    x = lax.pad(x, x.dtype.type(0), [(0, 0, 0), *missing, (0, 0, 0)])
    interleaved = [part for pair in zip(counts, rates, strict=True) for part in pair]
    return x.reshape(x.shape[0], *interleaved, x.shape[-1])


def merge_blocks(blocks: jax.Array, rate: Rate, spatial_shape: Sequence[int]) -> jax.Array:
    """The inverse of `split_blocks`, cropped to `spatial_shape`."""
    rates = spread(rate, len(spatial_shape))
    full = tuple(size * step for size, step in zip(blocks.shape[1:-1:2], rates, strict=True))
    x = blocks.reshape(blocks.shape[0], *full, blocks.shape[-1])
    return crop_end(x, spatial_shape)


def crop_end(x: jax.Array, spatial_shape: Sequence[int]) -> jax.Array:
    """Crops maps `[N, *S, C]` at their end."""
    if all(map(is_int, (*spatial_shape, *x.shape[1:-1]))):
        return x[(slice(None), *(slice(size) for size in spatial_shape))]
    # A slice of a symbolic size (jax.export) is a nest of minima, growing with every layer; negative padding is not.
    surplus = [(0, size - whole, 0) for size, whole in zip(spatial_shape, x.shape[1:-1], strict=True)]
    return lax.pad(x, x.dtype.type(0), [(0, 0, 0), *surplus, (0, 0, 0)])


def _check_crop(spatial_shape: Sequence[int], full: tuple[int, ...]) -> tuple[int, ...]:
    problem = ValueError(
        f"spatial_shape must be {len(full)} ints between 1 and {full}, got {spatial_shape!r}: crop to the size that "
        "was subsampled, one int for each spatial axis"
    )
    if isinstance(spatial_shape, str) or not isinstance(spatial_shape, Sequence) or len(spatial_shape) != len(full):
        raise problem
    for size, limit in zip(spatial_shape, full, strict=True):
        # Symbolic sizes (jax.export) cannot be compared; they are trusted.
        symbolic = jax.export.is_symbolic_dim(size) or jax.export.is_symbolic_dim(limit)
        if not symbolic and not (is_int(size) and min(1, limit) <= size <= limit):
            raise problem
    return tuple(spatial_shape)
