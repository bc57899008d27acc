"""Method 1: both views of group interaction, and the smoothed dilated convolution built on it."""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from .._checks import (
    Padding,
    Pairs,
    Rate,
    accumulation_dtype,
    check_by_axis,
    check_groups,
    check_maps,
    check_ndim,
    check_parameter,
    resolve_padding,
    spread,
)
from .._meshes import keeps_split_batch
from .._programs import one_program
from ._dilated import check_kernel, convolve, pad_zeros
from ._fast._phase_mixing import mix_phases
from ._reinterlace import crop_end, merge_blocks, split_blocks


def group_interaction(groups: ArrayLike, weight: ArrayLike) -> jax.Array:
    r"""Group interaction layer on the groups of a decomposition (Eq. 3, Fig. 4).

    $$\hat f_i = \sum_j w_{ij} f_j$$

    one weight for each pair of *groups*, shared by all positions and channels. Applied before the reinterlacing, it
    equals `ss_block_fc` applied after it.

    Args:
      groups: `[rate**d, N, *S, C]`, as from `periodic_subsample`; float32, bfloat16, float16 or float64.
      weight: `[rate**d, rate**d]`, row i makes output group i; cast to the groups' dtype.

    Returns:
      Groups of the same shape and dtype.

    Raises:
      AssertionError: an argument has another rank or dtype.
      ValueError: weight is not `[rate**d, rate**d]`.

    Example:
      >>> import jax.numpy as jnp
      >>> from smoothjax import ops
      >>> groups = jnp.array([1.0, 2.0]).reshape(2, 1, 1, 1)
      >>> ops.group_interaction(groups, jnp.array([[1.0, 1.0], [0.0, 3.0]])).ravel().tolist()
      [3.0, 6.0]

    References:
      Wang & Ji, Smoothed Dilated Convolutions for Improved Dense Prediction, KDD 2018, Sec. 3.2, Eqs. 2 and 3. The
      authors' published code starts the sum from $f_i$ instead of $f_0$;
      `smoothjax.weights.group_interaction_weight_from_official` maps weights trained with it to this operation.
    """
    groups = check_groups(groups)
    weight = _check_weight(weight, groups.shape[0], groups.dtype)
    return _interacted(groups, weight)


@one_program
@keeps_split_batch(axis=1, out=1)
def _interacted(groups: jax.Array, weight: jax.Array) -> jax.Array:
    dtype = accumulation_dtype(groups.dtype)
    # This costs little beside the convolution, so it can afford full precision everywhere.
    out = jnp.einsum("ij,j...->i...", weight.astype(dtype), groups.astype(dtype), precision=lax.Precision.HIGHEST)
    return out.astype(groups.dtype)


def ss_block_fc(x: ArrayLike, weight: ArrayLike, *, rate: Rate) -> jax.Array:
    """Separable and shared block-wise fully-connected layer: group interaction on the map (Sec. 3.4, Fig. 6).

    One fully connected map of every non-overlapping `rate**d` block, shared by all blocks and channels. Blocks that
    extend beyond x are completed with zeros and the result is cropped, so at every size `ss_block_fc(x) ==
    reinterlace(group_interaction(periodic_subsample(x)))`.

    Args:
      x: maps `[N, *S, C]` with d = 1, 2 or 3 spatial axes; float32, bfloat16, float16 or float64.
      weight: `[rate**d, rate**d]`, row i makes the unit at phase i of a block; cast to x's dtype.
      rate: side of a block in pixels, an int >= 1 or one per axis; then their product replaces `rate**d`.

    Returns:
      Maps of x's shape and dtype.

    Raises:
      AssertionError: an argument has another rank or dtype.
      ValueError: rate is invalid, or weight is not `[rate**d, rate**d]`.

    Example:
      >>> import jax.numpy as jnp
      >>> from smoothjax import ops
      >>> x = jnp.array([1.0, 2.0, 3.0, 4.0, 5.0]).reshape(1, 5, 1)
      >>> ops.ss_block_fc(x, jnp.full((2, 2), 0.5), rate=2).ravel().tolist()
      [1.5, 1.5, 3.5, 3.5, 2.5]

    References:
      Wang & Ji, KDD 2018, Sec. 3.4 and Fig. 6.
    """
    x = check_maps("x", x)
    rates = check_by_axis("rate", rate, x.ndim - 2)
    weight = _check_weight(weight, math.prod(rates), x.dtype)
    return _mixed(x, weight, rates)


@one_program
@keeps_split_batch()
# Jitted here, so that calls outside jit do not compile its loop again.
@partial(jax.jit, static_argnums=2)
def _mixed(x: jax.Array, weight: jax.Array, rate: tuple[int, ...]) -> jax.Array:
    """The block-wise map on checked arguments."""
    dtype = accumulation_dtype(x.dtype)
    mixed = mix_phases(split_blocks(x, rate).astype(dtype), weight.astype(dtype))
    return merge_blocks(mixed.astype(x.dtype), rate, x.shape[1:-1])


def group_interaction_dilated_conv(
    x: ArrayLike, kernel: ArrayLike, weight: ArrayLike, *, rate: Rate, padding: Padding = "SAME"
) -> jax.Array:
    """Dilated convolution smoothed by group interaction: method 1 (Sec. 3.2, Figs. 4 and 6).

    `dilated_conv` followed by `ss_block_fc`. The input is zero-padded at its end until `rate` divides the
    *output* size, and the result is cropped, as in the authors' code: the last blocks are complete, computed from
    zeros beyond the border. Groups are phases of the output position. The convolution keeps them apart, so mixing them
    before it is equivalent; this is done if its input has no more channels than its output. In bfloat16 each of the two
    operations accumulates in float32 and rounds once.

    Args:
      x: maps `[N, *S, C_in]` with d = 1, 2 or 3 spatial axes; float32, bfloat16, float16 or float64.
      kernel: `[*K, C_in, C_out]`, cast to x's dtype.
      weight: `[rate**d, rate**d]`, cast to x's dtype; Eq. 6 is the identity.
      rate: dilation rate in pixels, an int >= 1 or one per axis; then their product replaces `rate**d`.
      padding: as in `dilated_conv`.

    Returns:
      Maps `[N, *S', C_out]` of x's dtype, of the size that `dilated_conv` gives.

    Raises:
      AssertionError: an argument has another rank or dtype.
      ValueError: rate or padding is invalid, shapes do not match, or no output is left.

    Example:
      >>> import jax.numpy as jnp
      >>> from smoothjax import ops
      >>> x, kernel = jnp.ones((1, 5, 5, 3)), jnp.ones((3, 3, 3, 4))
      >>> weight = ops.identity_group_interaction(2, 2)
      >>> smoothed = ops.group_interaction_dilated_conv(x, kernel, weight, rate=2)
      >>> bool((smoothed == ops.dilated_conv(x, kernel, rate=2)).all())
      True

    References:
      Wang & Ji, KDD 2018, Sec. 3.2 and 3.4, Eqs. 2 and 3, Figs. 4 and 6.
    """
    x = check_maps("x", x)
    rates = check_by_axis("rate", rate, x.ndim - 2)
    kernel = check_kernel(kernel, x)
    weight = _check_weight(weight, math.prod(rates), x.dtype)
    pairs = resolve_padding(padding, kernel.shape[:-2], rates, x.shape[1:-1])
    # Mix on the side with fewer channels. The gradients of `mix_first` do not need the convolution's output: at
    # 2x40x40x256, rates 2 and 4, they take 1.01 to 1.05 times those of a plain convolution, and those of
    # `convolve_first` 1.3 to 1.5 times.
    form = mix_first if kernel.shape[-2] <= kernel.shape[-1] else convolve_first
    return form(x, kernel, weight, rates, pairs)


@one_program
@keeps_split_batch()
def convolve_first(x: jax.Array, kernel: jax.Array, weight: jax.Array, rate: Rate, pairs: Pairs) -> jax.Array:
    """The layer as in Fig. 4, on checked arguments: mixes complete blocks of the output, then crops."""
    rates = spread(rate, len(pairs))
    out_shape = [
        size + low + high - (taps - 1) * step
        for size, (low, high), taps, step in zip(x.shape[1:-1], pairs, kernel.shape[:-2], rates, strict=True)
    ]
    # Written without a remainder, so that symbolic sizes (jax.export) cancel out.
    completed = tuple(
        (low, high - size + -(-size // step) * step)
        for (low, high), size, step in zip(pairs, out_shape, rates, strict=True)
    )
    out = _mixed(convolve(x, kernel, completed, rates), weight, rates)
    return crop_end(out, out_shape)


@one_program
@keeps_split_batch()
def mix_first(x: jax.Array, kernel: jax.Array, weight: jax.Array, rate: Rate, pairs: Pairs) -> jax.Array:
    """The same map with the phases mixed before the convolution, which keeps them apart.

    A phase of the output reads the same phase of the padded input, whose blocks are mixed; the convolution only
    computes the cropped output.
    """
    # If whole blocks of zeros do not fill the padding, the first block begins inside it.
    rates, sizes = spread(rate, len(pairs)), x.shape[1:-1]
    begun = [low % step for (low, _), step in zip(pairs, rates, strict=True)]
    whole = [-(-(start + size) // step) * step for start, size, step in zip(begun, sizes, rates, strict=True)]
    ends = [full - start - size for full, start, size in zip(whole, begun, sizes, strict=True)]
    mixed = _mixed(pad_zeros(x, tuple(zip(begun, ends, strict=True))), weight, rates)
    rest = tuple((low - start, high - end) for (low, high), start, end in zip(pairs, begun, ends, strict=True))
    return convolve(mixed, kernel, rest, rates)


def identity_group_interaction(rate: Rate, ndim: int) -> jax.Array:
    """The group interaction weight of the identity (Eq. 6): the initial value of the layer.

    Args:
      rate: dilation rate in pixels, an int >= 1 or one per axis; then their product replaces `rate**ndim`.
      ndim: number of spatial axes d, 1, 2 or 3.

    Returns:
      The identity matrix `[rate**ndim, rate**ndim]` of JAX's default float type.

    Raises:
      ValueError: rate or ndim is invalid.

    Example:
      >>> from smoothjax import ops
      >>> ops.identity_group_interaction(2, 2).shape
      (4, 4)

    References:
      Wang & Ji, KDD 2018, Eq. 6.
    """
    return jnp.eye(math.prod(check_by_axis("rate", rate, check_ndim(ndim))))


def _check_weight(weight: ArrayLike, groups: int, dtype: jnp.dtype) -> jax.Array:
    return check_parameter(
        "weight",
        weight,
        shape=(groups, groups),
        layout="[rate**d, rate**d], one row for each output group",
        dtype=dtype,
    )
