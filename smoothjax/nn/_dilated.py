"""The dilated convolutional layer, with a choice of smoothing."""

from collections.abc import Callable, Sequence
from typing import Any, get_args

import jax
import jax.numpy as jnp
from flax import nnx
from flax.nnx.nn.dtypes import promote_dtype
from jax import lax
from jax.typing import DTypeLike

from .. import ops
from .._checks import Rate, check_bool, check_choice, check_kernel_size, is_int, spread
from ..names import Smoothing
from ._conv_like import ConvLike, OptionalParam, OutSharding, with_one_batch_axis
from ._convolution import (
    ConvPadding,
    as_option,
    check_convolution_like,
    check_groups_of_channels,
    check_layer,
    convolve,
    filtered,
    interacting,
)
from ._filters import (
    AGGREGATED,
    aggregated_filter,
    average_filter,
    circulant_filter,
    gaussian_filter,
    identity_circulant,
)
from ._smoothers import SmoothedLayer, Smoother, SmootherKind

SMOOTHINGS: tuple[Smoothing, ...] = get_args(Smoothing)
"""All values of `Smoothing`, the plain convolution first."""


_FIXED_FILTERS = {"average_filter": average_filter, "gaussian_filter": gaussian_filter}
_KERNEL_INIT = nnx.initializers.lecun_normal()  # as in flax.nnx.Conv


class DilatedConv(ConvLike, SmoothedLayer):
    """Dilated convolution, smoothed or not (Wang & Ji, KDD 2018, Sec. 3).

    With group interaction, circulant or not, and SS convolution, smoothing starts as the exact identity, so a published
    network can be smoothed and fine-tuned; the filters of Ziegler et al. change outputs at once. The bias is added
    last, after the smoothing.

    Args:
      in_features: number of input channels.
      out_features: number of output channels.
      kernel_size: taps along each spatial axis; a tuple whose length is the number of spatial axes, or an int for one
        axis, as in `flax.nnx.Conv`.
      rate: dilation rate in pixels, an int >= 1 or one per axis; then their product replaces `rate**d`.
      smoothing: `"none"`; `"group_interaction"`, an SS block-wise fully-connected layer after the convolution (method
        1, `rate**2d` parameters); `"ss_conv"`, an SS convolution before it (method 2, `(2 * rate - 1)**d` parameters);
        `"circulant_group_interaction"`, group interaction whose weights depend only on the difference of phases, the
        same at every shift of the grid (`rate**d` parameters), as a filter before the convolution, see
        `circulant_filter`; `"average_filter"` or `"gaussian_filter"`, a fixed filter before it, with no parameters;
        `"aggregated_filters"`, a learned weighted sum of no filter, these two and an SS filter (`(2 * rate - 1)**d + 4`
        parameters), see `aggregated_filter`.
      padding: padding of the convolution itself, as in `flax.nnx.Conv`: `"SAME"`, `"SAME_LOWER"`, `"VALID"`,
        `"CIRCULAR"`, `"REFLECT"` in any case, an int, or an int or a pair `(low, high)` an axis. The smoothing pads
        with zeros, or circularly or by reflection if the convolution does.
      strides: pixels between two outputs, an int >= 1 or one per axis. A filter comes before a strided convolution;
        group interaction requires an unstrided one.
      feature_group_count: groups of channels; `in_features` for a depthwise convolution.
      precision, preferred_element_type: as in `jax.lax.conv_general_dilated`.
      use_bias: whether a bias is added.
      before: an additional operation on the input, e.g. `nn.SSBlockFC(rate, 2, rngs=rngs)`: Sec. 3.4 combines SS
        operations and dilated convolutions freely.
      after: an additional operation on the output, before the bias, e.g. `nn.SSConv((3, 3), rngs=rngs)`.
      dtype: dtype of the computation, float32, bfloat16, float16 or float64; by default the common one of input and
        parameters, as in `flax.nnx.Conv`.
      param_dtype: dtype of the parameters.
      kernel_init: initializer of the kernel.
      bias_init: initializer of the bias.
      rngs: source of randomness; the smoothing draws nothing, so every choice starts from the same kernel.

    Attributes:
      kernel: `nnx.Param` of shape `[*kernel_size, in_features / feature_group_count, out_features]`.
      bias: `nnx.Param` of shape `[out_features]`, or None.
      smoother: `nnx.Param`: `[rate**d, rate**d]`, `(2 * rate - 1,) * d` or `(rate,) * d` by method, or None.
      aggregation: `nnx.Param` of shape `[4]`, the logits of the weights of aggregated filters, or None.

    Raises:
      ValueError: kernel_size is not a tuple of one to three ints, another option is malformed, smoothing is unknown, or
          it is group interaction of a strided convolution.

    Example:
      >>> import jax.numpy as jnp
      >>> from flax import nnx
      >>> from smoothjax import nn
      >>> layer = nn.DilatedConv(3, 8, (3, 3), rate=2, smoothing="ss_conv", rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((1, 9, 9, 3))).shape, layer.smoother.shape
      ((1, 9, 9, 8), (3, 3))

    References:
      Wang & Ji, Smoothed Dilated Convolutions for Improved Dense Prediction, KDD 2018, Sec. 3; Ziegler et al.,
      Efficient Smoothing of Dilated Convolutions for Image Segmentation, arXiv 1903.07992, 2019.
    """

    kernel: nnx.Param[jax.Array]
    bias: OptionalParam
    smoother: OptionalParam
    aggregation: OptionalParam
    before: Callable[[jax.Array], jax.Array] | None
    after: Callable[[jax.Array], jax.Array] | None
    in_features: int
    out_features: int
    kernel_size: tuple[int, ...]
    rate: int | tuple[int, ...]
    strides: int | tuple[int, ...]
    smoothing: Smoothing
    padding: str | tuple[tuple[int, int], ...]
    feature_group_count: int
    precision: lax.PrecisionLike
    preferred_element_type: DTypeLike | None
    dtype: DTypeLike | None
    param_dtype: DTypeLike

    def __init__(
        self,
        in_features: int,
        out_features: int,
        kernel_size: int | Sequence[int],
        *,
        rate: Rate,
        smoothing: Smoothing = "none",
        padding: ConvPadding = "SAME",
        strides: int | Sequence[int] = 1,
        feature_group_count: int = 1,
        precision: lax.PrecisionLike = None,
        preferred_element_type: DTypeLike | None = None,
        use_bias: bool = True,
        before: Callable[[jax.Array], jax.Array] | None = None,
        after: Callable[[jax.Array], jax.Array] | None = None,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        kernel_init: nnx.Initializer = _KERNEL_INIT,
        bias_init: nnx.Initializer = nnx.initializers.zeros,
        rngs: nnx.Rngs,
    ):
        in_features, out_features = check_layer(
            in_features, out_features, rngs, dtype, param_dtype, preferred_element_type
        )
        kernel_size = check_kernel_size((kernel_size,) if is_int(kernel_size) else kernel_size)
        check_smoothing(smoothing)
        how = check_convolution_like(
            kernel_size, rate, strides, padding, feature_group_count, precision, preferred_element_type
        )
        check_groups_of_channels(in_features, out_features, how.groups)
        check_strided(smoothing, how.strides)
        use_bias = check_bool("use_bias", use_bias)
        smoother, aggregation = _initial(smoothing, how.rates, param_dtype)
        shape = (*kernel_size, in_features // how.groups, out_features)
        self.kernel = nnx.Param(kernel_init(rngs.params(), shape, param_dtype))
        self.bias = nnx.data(nnx.Param(bias_init(rngs.params(), (out_features,), param_dtype)) if use_bias else None)
        self.smoother, self.aggregation = smoother, aggregation
        # Flax finds modules among these; functions are static.
        self.before, self.after = before, after
        self.in_features, self.out_features, self.kernel_size = in_features, out_features, kernel_size
        self.rate, self.smoothing, self.padding = as_option(how.rates), smoothing, how.padding
        self.strides, self.feature_group_count = as_option(how.strides), how.groups
        self.precision, self.preferred_element_type = precision, preferred_element_type
        self.dtype, self.param_dtype = dtype, param_dtype

    def __call__(self, inputs: jax.Array, out_sharding: OutSharding = None) -> jax.Array:
        """Maps `[..., *S, in_features]` to `[..., *S', out_features]`; leading axes are batch axes.

        The arguments are those of `flax.nnx.Conv`.
        """
        parameters = [None if p is None else p[...] for p in (self.kernel, self.bias, self.smoother)]
        inputs, kernel, bias, smoother = promote_dtype((inputs, *parameters), dtype=self.dtype)

        def layer(x: jax.Array) -> jax.Array:
            y = self._convolve(x if self.before is None else self.before(x), kernel, smoother)
            y = y if self.after is None else self.after(y)
            return y if bias is None else y + bias.reshape((1,) * (y.ndim - 1) + bias.shape)

        return with_one_batch_axis(layer, inputs, len(self.kernel_size), out_sharding)

    def _convolve(self, x: jax.Array, kernel: Any, smoother: Any) -> jax.Array:
        how = self.convolution()
        if self.smoothing == "group_interaction":
            return interacting(x, kernel, smoother, how)
        smoother = filter_before(self, smoother)
        return convolve(x if smoother is None else filtered(x, smoother, how), kernel, how)

    def smoothers(self) -> dict[str, Smoother]:
        """See `smoothers`."""
        initial = identity_smoothing(self.smoothing, self.rate, len(self.kernel_size))
        if initial is None:
            return {}
        kind: SmootherKind = "ss_conv"
        if self.smoothing == "group_interaction" or self.smoothing == "circulant_group_interaction":
            kind = self.smoothing
        start = jnp.broadcast_to(initial, self.smoother.shape)
        found = {"smoother": Smoother(kind, self.smoother, start, initial.ndim)}
        if self.aggregation is not None:
            found["aggregation"] = Smoother("aggregation", self.aggregation, jnp.zeros(self.aggregation.shape), 1)
        return found


def filter_before(layer: DilatedConv, smoother: Any) -> Any:
    """The filter before the convolution, of a smoother in the dtype of the computation; None if there is none.

    The weight of group interaction is a filter only at rate 1.
    """
    # Computed from the parameters themselves and rounded to bfloat16 once, as a sum.
    if layer.smoothing == "aggregated_filters":
        return aggregated_filter(layer.smoother[...], layer.aggregation[...], layer.rate)
    if layer.smoothing == "circulant_group_interaction":
        return circulant_filter(layer.smoother[...])
    if layer.smoothing in _FIXED_FILTERS:
        return _FIXED_FILTERS[layer.smoothing](layer.rate, len(layer.kernel_size))
    return smoother


def set_smoothing(layer: DilatedConv, smoothing: Smoothing) -> None:
    """Gives a layer a smoothing with new parameters; all other parameters stay."""
    ndim = len(layer.kernel_size)
    layer.smoothing = smoothing
    stack = layer.kernel.shape[: -ndim - 2]
    layer.smoother, layer.aggregation = _initial(smoothing, spread(layer.rate, ndim), layer.kernel.dtype, stack)


def _initial(
    smoothing: str, rates: tuple[int, ...], dtype: DTypeLike | None, stack: tuple[int, ...] = ()
) -> tuple[OptionalParam, OptionalParam]:
    """The attributes `smoother` and `aggregation`, of each layer of a stack."""
    logits = jnp.zeros(AGGREGATED) if smoothing == "aggregated_filters" else None
    smoother, aggregation = (
        nnx.data(None if value is None else nnx.Param(jnp.broadcast_to(value, (*stack, *value.shape)).astype(dtype)))
        for value in (identity_smoothing(smoothing, rates, len(rates)), logits)
    )
    return smoother, aggregation


def check_strided(smoothing: str, strides: tuple[int, ...]) -> None:
    """Refuses group interaction of a strided convolution: its outputs are not in the phases of the rate."""
    if smoothing == "group_interaction" and max(strides) > 1:
        raise ValueError(
            f"group_interaction mixes the phases of an unstrided dilated convolution, got strides {strides}: use "
            "ss_conv, whose filter comes before the convolution"
        )


def check_smoothing(smoothing: object) -> None:
    """Refuses an unknown smoothing of a dilated convolution."""
    check_choice("smoothing", smoothing, SMOOTHINGS)


def identity_smoothing(smoothing: str, rate: Rate, ndim: int) -> jax.Array | None:
    """The initial smoothing parameter of a dilated convolution: the identity of its method (Eqs. 6 and 7).

    Args:
      smoothing: a smoothing of `DilatedConv`.
      rate: dilation rate in pixels, or one per axis.
      ndim: number of spatial axes.

    Returns:
      `[rate**ndim, rate**ndim]` for group interaction, `(rate,) * ndim` for the circulant one, `(2 * rate - 1,) * ndim`
      for SS convolution and the SS filter of aggregated filters, None for the rest.

    Raises:
      ValueError: smoothing is unknown, rate is not an int >= 1, or ndim is not 1, 2 or 3.

    Example:
      >>> from smoothjax import nn
      >>> nn.identity_smoothing("ss_conv", 2, 1).tolist()
      [0.0, 1.0, 0.0]
    """
    check_smoothing(smoothing)
    if smoothing == "group_interaction":
        return ops.identity_group_interaction(rate, ndim)
    if smoothing == "circulant_group_interaction":
        return identity_circulant(rate, ndim)
    return ops.identity_smoother(rate, ndim) if smoothing in ("ss_conv", "aggregated_filters") else None
