"""The causal dilated convolutional layer over time, with a choice of causal smoothings."""

from typing import Any, get_args

import jax
import jax.numpy as jnp
from flax import nnx
from flax.nnx.nn.dtypes import promote_dtype
from jax import lax
from jax.typing import DTypeLike

from .. import ops
from .._checks import check_bool, check_choice, check_int, check_kernel_size
from ..names import CausalSmoothing
from ._conv_like import ConvLike, OptionalParam, OutSharding, with_one_batch_axis
from ._convolution import check_groups_of_channels, check_layer, convolve, interacting
from ._dilated import check_strided
from ._smoothers import SmoothedLayer, Smoother

CAUSAL_SMOOTHINGS: tuple[CausalSmoothing, ...] = get_args(CausalSmoothing)
"""All values of `CausalSmoothing`, the plain convolution first."""


_KERNEL_INIT = nnx.initializers.lecun_normal()  # as in flax.nnx.Conv


class CausalDilatedConv(ConvLike, SmoothedLayer):
    r"""Causal dilated convolution over time, smoothed or not: an output sees only its own and earlier steps.

    $$y[t] = \sum_{s=0}^{K-1} \hat x[t - (K - 1 - s)\,r]\,w[s] + b$$

    Inputs before the first step are zero. WaveNet and ByteNet stack such layers with rates 1, 2, 4, ...; the paper
    leaves their smoothing to future work (Wang & Ji, KDD 2018, Sec. 5). Its two methods look ahead: the filter is
    centred at the current step, and a block is mixed as a whole. Here

    - `"ss_conv"` (method 2) takes all its taps from the current step and the `2 * rate - 2` before it, $\hat x[t] =
      \sum_s x[t - (2r - 2 - s)]\,v[s]$, so the identity is the last tap instead of the middle one;
    - `"group_interaction"` (method 1) lets phase i of a block of `rate` steps take inputs only from phases $j \le i$:
      $y[kr + i] = \sum_{j \le i} W_{ij}\,y'[kr + j]$. Blocks begin at multiples of the rate, counted from the first
      step, so these are the past steps of the block. The weight is a full matrix whose part above the diagonal is
      masked: it has no effect and gets no gradient. As in the paper the map depends on the position of a step in its
      block, so cut off the past only by multiples of the rate.

    A smoothed layer starts equal to the unsmoothed one. The bias is added last.

    Args:
      in_features: number of input channels.
      out_features: number of output channels.
      kernel_size: taps K of the kernel; WaveNet has 2, ByteNet 3.
      rate: dilation rate r in steps.
      smoothing: `"none"`, `"group_interaction"` (`rate * (rate + 1) / 2` effective parameters) or `"ss_conv"` (`2 *
        rate - 1` parameters).
      strides: steps between two outputs; must be 1 with group interaction.
      feature_group_count: groups of channels; `in_features` for a depthwise convolution.
      precision, preferred_element_type: as in `jax.lax.conv_general_dilated`.
      use_bias: whether a bias is added.
      dtype: dtype of the computation, float32, bfloat16, float16 or float64; by default the common one of input and
        parameters, as in `flax.nnx.Conv`.
      param_dtype: dtype of the parameters.
      kernel_init: initializer of the kernel.
      bias_init: initializer of the bias.
      rngs: source of randomness; the smoothing draws nothing, so every choice starts from the same kernel.

    Attributes:
      kernel: `nnx.Param` of shape `[kernel_size, in_features / feature_group_count, out_features]`.
      bias: `nnx.Param` of shape `[out_features]`, or None.
      smoother: `nnx.Param`: `[rate, rate]` or `[2 * rate - 1]` by method, or None.

    Raises:
      ValueError: kernel_size or rate is not an int >= 1, another option is malformed, or smoothing is unknown.

    Example:
      >>> import jax.numpy as jnp
      >>> from flax import nnx
      >>> from smoothjax import nn
      >>> layer = nn.CausalDilatedConv(1, 1, 2, rate=4, smoothing="ss_conv", rngs=nnx.Rngs(0))
      >>> layer.kernel[...], layer.smoother[...] = jnp.ones((2, 1, 1)), jnp.ones(7)
      >>> impulse = jnp.zeros((1, 16, 1)).at[0, 3].set(1.0)  # at step 3
      >>> layer(impulse).ravel().tolist()
      [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0]

    References:
      Wang & Ji, Smoothed Dilated Convolutions for Improved Dense Prediction, KDD 2018, Sec. 3.2, 3.3 and 5; van den
      Oord et al., WaveNet, 2016; Kalchbrenner et al., Neural Machine Translation in Linear Time, 2016 (ByteNet).
    """

    kernel: nnx.Param[jax.Array]
    bias: OptionalParam
    smoother: OptionalParam
    in_features: int
    out_features: int
    kernel_size: tuple[int, ...]
    rate: int
    strides: int
    smoothing: CausalSmoothing
    feature_group_count: int
    precision: lax.PrecisionLike
    preferred_element_type: DTypeLike | None
    dtype: DTypeLike | None
    param_dtype: DTypeLike

    #: The same as in an equivalent `nnx.Conv`.
    padding = "CAUSAL"

    def __init__(
        self,
        in_features: int,
        out_features: int,
        kernel_size: int,
        *,
        rate: int,
        smoothing: CausalSmoothing = "none",
        strides: int = 1,
        feature_group_count: int = 1,
        precision: lax.PrecisionLike = None,
        preferred_element_type: DTypeLike | None = None,
        use_bias: bool = True,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        kernel_init: nnx.Initializer = _KERNEL_INIT,
        bias_init: nnx.Initializer = nnx.initializers.zeros,
        rngs: nnx.Rngs,
    ):
        in_features, out_features = check_layer(
            in_features, out_features, rngs, dtype, param_dtype, preferred_element_type
        )
        taps, use_bias = check_kernel_size((kernel_size,)), check_bool("use_bias", use_bias)
        check_choice("smoothing", smoothing, CAUSAL_SMOOTHINGS)
        self.kernel_size, self.rate, self.smoothing = taps, check_int("rate", rate), smoothing
        self.strides, self.feature_group_count = check_int("strides", strides), feature_group_count
        self.precision, self.preferred_element_type = precision, preferred_element_type
        groups = self.convolution().groups
        check_groups_of_channels(in_features, out_features, groups)
        check_strided(smoothing, (self.strides,))
        smoother = _identity(smoothing, rate)
        shape = (*taps, in_features // groups, out_features)
        self.kernel = nnx.Param(kernel_init(rngs.params(), shape, param_dtype))
        self.bias = nnx.data(nnx.Param(bias_init(rngs.params(), (out_features,), param_dtype)) if use_bias else None)
        self.smoother = nnx.data(None if smoother is None else nnx.Param(smoother.astype(param_dtype)))
        self.in_features, self.out_features = in_features, out_features
        self.dtype, self.param_dtype = dtype, param_dtype

    def __call__(self, inputs: jax.Array, out_sharding: OutSharding = None) -> jax.Array:
        """Maps `[..., T, in_features]` to `[..., T, out_features]`; leading axes are batch axes.

        The arguments are those of `flax.nnx.Conv`.
        """
        parameters = [None if p is None else p[...] for p in (self.kernel, self.bias, self.smoother)]
        inputs, kernel, bias, smoother = promote_dtype((inputs, *parameters), dtype=self.dtype)

        def layer(x: jax.Array) -> jax.Array:
            y = self._convolve(x, kernel, smoother)
            return y if bias is None else y + bias.reshape(1, 1, -1)

        return with_one_batch_axis(layer, inputs, 1, out_sharding)

    def _convolve(self, x: jax.Array, kernel: Any, smoother: Any) -> jax.Array:
        if self.smoothing == "group_interaction":
            return interacting(x, kernel, jnp.tril(smoother), self.convolution())
        if self.smoothing == "ss_conv":
            x = ops.ss_conv(x, smoother, padding=((2 * self.rate - 2, 0),))
        return convolve(x, kernel, self.convolution())

    def smoothers(self) -> dict[str, Smoother]:
        """See `smoothers`."""
        initial = _identity(self.smoothing, self.rate)
        if initial is None:
            return {}
        kind = "causal_ss_conv" if self.smoothing == "ss_conv" else "group_interaction"
        start = jnp.broadcast_to(initial, self.smoother.shape)
        return {"smoother": Smoother(kind, self.smoother, start, initial.ndim)}


def _identity(smoothing: str, rate: int) -> jax.Array | None:
    """The smoothing parameter of the identity; for the filter, 1 at the tap of the current step."""
    if smoothing == "group_interaction":
        return ops.identity_group_interaction(rate, 1)
    return jnp.zeros(2 * rate - 1).at[-1].set(1.0) if smoothing == "ss_conv" else None
