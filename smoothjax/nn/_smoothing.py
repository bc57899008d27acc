"""The SS operations as separate layers: each starts as the identity and composes with any other layer."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from .. import ops
from .._checks import (
    Padding,
    Rate,
    check_by_axis,
    check_convolution,
    check_dtypes,
    check_kernel_size,
    check_ndim,
    spread,
)
from ._conv_like import with_one_batch_axis
from ._convolution import as_option
from ._smoothers import SmoothedLayer, Smoother


class SSConv(SmoothedLayer):
    """Separable and shared convolution: one filter for all channels (Wang & Ji, KDD 2018, Sec. 3.3, Eq. 7).

    It starts as the identity: `SAME` output equals the input; with less padding it equals the middle of the input.

    Args:
      kernel_size: taps along each spatial axis; a tuple whose length is the number of spatial axes.
      rate: dilation rate of the filter in pixels, one for all axes or one per axis.
      padding: `"SAME"`, `"VALID"` or pairs `(low, high)` of zeros in pixels.
      param_dtype: dtype of the filter.
      rngs: taken for uniformity with other layers; the identity draws nothing.

    Attributes:
      smoother: `nnx.Param` of shape `kernel_size`.

    Raises:
      ValueError: kernel_size is not a tuple of one to three ints, or no filter of this size is the identity under
        `padding`.

    Example:
      >>> import jax.numpy as jnp
      >>> from flax import nnx
      >>> from smoothjax import nn
      >>> layer, x = nn.SSConv((3, 3), rngs=nnx.Rngs(0)), jnp.arange(18.0).reshape(1, 3, 3, 2)
      >>> bool((layer(x) == x).all())
      True
    """

    smoother: nnx.Param[jax.Array]
    kernel_size: tuple[int, ...]
    rate: int | tuple[int, ...]
    padding: Padding

    def __init__(
        self,
        kernel_size: Sequence[int],
        *,
        rate: Rate = 1,
        padding: Padding = "SAME",
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        del rngs
        check_dtypes(param_dtype=param_dtype)
        kernel_size = check_kernel_size(kernel_size)
        rates = check_by_axis("rate", rate, len(kernel_size))
        padding = check_convolution(kernel_size, rates, padding)
        self.kernel_size, self.rate, self.padding = kernel_size, as_option(rates), padding
        self.smoother = nnx.Param(_identity_filter(kernel_size, rates, padding).astype(param_dtype))

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[..., *S, C]` to `[..., *S', C]`, leading axes being batch axes; see `smoothjax.ops.ss_conv`."""
        operation = partial(ops.ss_conv, kernel=self.smoother[...], rate=self.rate, padding=self.padding)
        return with_one_batch_axis(operation, x, len(self.kernel_size), name="x")

    def smoothers(self) -> dict[str, Smoother]:
        """See `smoothers`."""
        rates = spread(self.rate, len(self.kernel_size))
        initial = _identity_filter(self.kernel_size, rates, self.padding)
        return {
            "smoother": Smoother("ss_conv", self.smoother, jnp.broadcast_to(initial, self.smoother.shape), initial.ndim)
        }


class _Interaction(SmoothedLayer):
    """The parameter of group interaction, the same in both views."""

    smoother: nnx.Param[jax.Array]
    rate: int | tuple[int, ...]
    ndim: int

    def __init__(self, rate: Rate, ndim: int, *, param_dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs):
        del rngs
        check_dtypes(param_dtype=param_dtype)
        self.ndim = check_ndim(ndim)
        self.rate = as_option(check_by_axis("rate", rate, self.ndim))
        self.smoother = nnx.Param(ops.identity_group_interaction(self.rate, ndim).astype(param_dtype))

    def smoothers(self) -> dict[str, Smoother]:
        """See `smoothers`."""
        initial = ops.identity_group_interaction(self.rate, self.ndim)
        return {
            "smoother": Smoother("group_interaction", self.smoother, jnp.broadcast_to(initial, self.smoother.shape), 2)
        }


class SSBlockFC(_Interaction):
    """Separable and shared block-wise fully-connected layer, on arrays (Wang & Ji, KDD 2018, Sec. 3.4, Fig. 6).

    It starts as the identity.

    Args:
      rate: side of a block in pixels, one for all axes or one per axis.
      ndim: number of spatial axes.
      param_dtype: dtype of the weight.
      rngs: taken for uniformity with other layers; the identity draws nothing.

    Attributes:
      smoother: `nnx.Param` of shape `[rate**ndim, rate**ndim]`; with rates by axis their product stands for
        `rate**ndim`.

    Raises:
      ValueError: rate is neither an int >= 1 nor one per axis, or ndim is not 1, 2 or 3.

    Example:
      >>> import jax.numpy as jnp
      >>> from flax import nnx
      >>> from smoothjax import nn
      >>> layer, x = nn.SSBlockFC(2, 2, rngs=nnx.Rngs(0)), jnp.arange(18.0).reshape(1, 3, 3, 2)
      >>> bool((layer(x) == x).all())
      True
    """

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[..., *S, C]` to the same shape, leading axes being batch axes; see `smoothjax.ops.ss_block_fc`."""
        operation = partial(ops.ss_block_fc, weight=self.smoother[...], rate=self.rate)
        return with_one_batch_axis(operation, x, self.ndim, name="x")


class GroupInteraction(_Interaction):
    """Group interaction layer, on the groups of a decomposition (Wang & Ji, KDD 2018, Sec. 3.2, Eqs. 3 and 6).

    It starts as the identity.

    Args:
      rate: dilation rate of the decomposition in pixels, one for all axes or one per axis.
      ndim, param_dtype, rngs: as in `SSBlockFC`.

    Attributes:
      smoother: `nnx.Param` `[rate**ndim, rate**ndim]`, the weight of `smoothjax.ops.group_interaction`; with rates by
        axis their product stands for `rate**ndim`.

    Raises:
      ValueError: rate is neither an int >= 1 nor one per axis, or ndim is not 1, 2 or 3.

    Example:
      >>> import jax.numpy as jnp
      >>> from flax import nnx
      >>> from smoothjax import nn, ops
      >>> layer = nn.GroupInteraction(2, 2, rngs=nnx.Rngs(0))
      >>> groups = ops.periodic_subsample(jnp.arange(18.0).reshape(1, 3, 3, 2), rate=2)
      >>> bool((layer(groups) == groups).all())
      True
    """

    def __call__(self, groups: jax.Array) -> jax.Array:
        """Maps `[rate**ndim, N, *S, C]` to the same shape; see `smoothjax.ops.group_interaction`."""
        return ops.group_interaction(groups, self.smoother[...])


def _identity_filter(kernel_size: tuple[int, ...], rates: tuple[int, ...], padding: Padding) -> jax.Array:
    """1 at the tap that sees the input at the output's own position, or in the middle if the output is smaller."""
    reach = [(taps - 1) * rate for taps, rate in zip(kernel_size, rates, strict=True)]
    if isinstance(padding, str):
        pairs = [(0, 0) if padding == "VALID" else (r // 2, r - r // 2) for r in reach]
    else:
        pairs = padding
    # Missing padding crops the output evenly on both sides.
    starts = [low + max(r - low - high, 0) // 2 for (low, high), r in zip(pairs, reach, strict=True)]
    full = [low + high >= r for (low, high), r in zip(pairs, reach, strict=True)]
    places = zip(full, starts, rates, reach, strict=True)
    if any(f and (start % rate or start > r) for f, start, rate, r in places):
        raise ValueError(
            f"no filter of kernel_size {kernel_size} at rate {as_option(rates)} is the identity under padding "
            f"{padding!r}: use odd sizes with 'SAME', or one pair per axis whose low side is a multiple of the rate "
            "within the filter"
        )
    middle = tuple(start // rate for start, rate in zip(starts, rates, strict=True))
    return jnp.zeros(kernel_size).at[middle].set(1.0)
