"""Up-sampling layers: the deconvolutional layer, its cures, and the alternatives that users compare them with."""

import contextlib
import math
from collections.abc import Sequence
from typing import TypeAlias, get_args

import jax
import jax.numpy as jnp
from flax import nnx
from flax.nnx.nn.dtypes import promote_dtype
from jax import lax
from jax.typing import DTypeLike

from .. import ops
from .._checks import Pairs, Rate, check_factor, check_kernel_size, is_int, spread
from .._meshes import keeps_split_batch
from ..names import Interpolation, PhaseOrder, Upsampling
from ._conv_like import OptionalParam, OutSharding, with_one_batch_axis
from ._convolution import as_option

UPSAMPLINGS: tuple[Upsampling, ...] = get_args(Upsampling)
"""All values of `Upsampling`, the transposed convolution first."""

Precision: TypeAlias = str | lax.Precision | None
"""A precision of products for both operands, as `jax.lax.Precision` takes it."""

_KERNEL_INIT = nnx.initializers.lecun_normal()  # as in flax.nnx


class UpConv(nnx.Module):
    """Up-samples by an integer factor with the method of choice (Gao et al., 2017, and its usual rivals).

    Every method maps `[N, *S, in_features]` to `[N, *(factor * S), out_features]`, so one replaces the other. With the
    default `kernel_init`, each starts such that white noise of variance 1 comes out with variance 1 in every phase, in
    the mean over kernels and away from the border. There are two exceptions: bilinear interpolation gives less, and
    with `"dcl"` it is the mean over all phases where the factor does not divide the kernel size. There a phase sees
    more taps than another one, the uneven overlap of Odena et al.: of a 3x3 kernel at factor 2 they see 4, 2, 2 and 1,
    and start with 16/9, 8/9, 8/9 and 4/9.

    Args:
      in_features: number of input channels.
      out_features: number of output channels.
      method: `"dcl"`, a transposed convolution; `"ipixel_dcl"` and `"pixel_dcl"`, phases made in sequence (Eqs. 2 and
        3); `"fast_pixel_dcl"`, the latter as in Fig. 6, which is what the paper's experiments call PixelDCL;
        `"resize_conv"`, interpolation and then a convolution at high resolution; `"sub_pixel"`, a convolution to
        `factor**d` times the channels and periodic shuffling.
      factor: up-sampling factor, an int >= 2, or one int >= 1 an axis, whose product then stands for `factor**d`; 2 for
        `"fast_pixel_dcl"`.
      kernel_size: taps along each spatial axis, of every kernel of the layer; a tuple whose length is the number of
        spatial axes. By default two axes, `3 * factor` taps for `"dcl"` (6x6 in the paper) and 3 for the others. Odd
        and not 1x1 for `"fast_pixel_dcl"`.
      order: sequence of the phases of `"ipixel_dcl"` and `"pixel_dcl"`: `"figure"`, `"equations"` or stages of your
        own, see `ops.pixel_order`.
      interpolation: `"nearest"` or `"bilinear"`, of `"resize_conv"`.
      margins: one pair `(low, high)` an axis, the pixels that the output has beyond `factor * S` at either end, made
        from zeros around the input; negative ones are cut off. Transposed convolutions of another padding than
        `"SAME"` have them.
      use_bias: whether a bias is added.
      dtype: dtype of the computation, float32, bfloat16, float16 or float64; by default the common one of input and
        parameters.
      precision: of the products, `None`, a name or a `jax.lax.Precision`, as in `flax.nnx.ConvTranspose`.
      preferred_element_type: dtype of the result, likewise; a wider one than `dtype` is also that of the computation.
      param_dtype: dtype of the parameters.
      kernel_init: initializer of the kernels. With `"sub_pixel"` it draws one kernel for all phases (ICNR), so that the
        layer starts as nearest interpolation of a convolution, without a checkerboard.
      bias_init: initializer of the bias.
      rngs: source of randomness.

    Attributes:
      kernel: `nnx.Param` `[*K, in_features, channels]` of the methods with one kernel, else None.
      kernels: `nnx.List` of `nnx.Param` of the pixel methods, as `ops.ipixel_deconv`, `ops.pixel_deconv` or
        `ops.fast_pixel_deconv` (first, second, cross) take them; empty for the others.
      bias: `nnx.Param` `[out_features]`, or None.

    Raises:
      ValueError: an option is invalid, or the method does not know this factor, kernel size or number of
        axes.

    Example:
      >>> import jax.numpy as jnp
      >>> from flax import nnx
      >>> from smoothjax import nn
      >>> layer = nn.UpConv(8, 4, method="fast_pixel_dcl", rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((1, 5, 6, 8))).shape, [kernel.shape for kernel in layer.kernels]
      ((1, 10, 12, 4), [(3, 3, 8, 4), (3, 3, 4, 4), (3, 3, 4, 4)])

    References:
      Gao et al., Pixel Deconvolutional Networks, 2017; Odena et al., Deconvolution and Checkerboard Artifacts, 2016
      (resize convolution); Shi et al., 2016 (sub-pixel convolution); Aitken et al., 2017 (ICNR).
    """

    kernel: OptionalParam
    bias: OptionalParam
    kernels: nnx.List[nnx.Param[jax.Array]]
    method: Upsampling
    factor: int | tuple[int, ...]
    order: ops.Stages | None
    kernel_size: tuple[int, ...]
    interpolation: Interpolation
    margins: Pairs | None
    in_features: int
    out_features: int
    dtype: DTypeLike | None
    param_dtype: DTypeLike
    precision: Precision
    preferred_element_type: DTypeLike | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        method: Upsampling,
        factor: Rate = 2,
        kernel_size: Sequence[int] | None = None,
        order: PhaseOrder | ops.Stages | None = None,
        interpolation: Interpolation = "nearest",
        margins: Sequence[tuple[int, int]] | None = None,
        use_bias: bool = True,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        precision: Precision = None,
        preferred_element_type: DTypeLike | None = None,
        kernel_init: nnx.Initializer = _KERNEL_INIT,
        bias_init: nnx.Initializer = nnx.initializers.zeros,
        rngs: nnx.Rngs,
    ):
        check_upsampling(method)
        if interpolation not in get_args(Interpolation):
            raise ValueError(f"interpolation must be 'nearest' or 'bilinear', got {interpolation!r}: pick one of them")
        if order is not None and method not in ("ipixel_dcl", "pixel_dcl"):
            raise ValueError(
                f"order is an option of only ipixel_dcl and pixel_dcl, got {order!r} with {method!r}: leave it out"
            )
        if kernel_size is None:
            ndim = len(factor) if isinstance(factor, (tuple, list)) else 2
            kernel_size = tuple(3 * step if method == "dcl" else 3 for step in check_factor(factor, ndim))
        kernel_size = check_kernel_size(kernel_size)
        ndim = len(kernel_size)
        factors = check_factor(factor, ndim)
        if method == "fast_pixel_dcl":
            _check_fast(factors, kernel_size)
        in_sequence = method in ("ipixel_dcl", "pixel_dcl")
        stages = ops.pixel_order(factors, ndim, order=order) if in_sequence else None
        self.method, self.factor, self.order = method, as_option(factors), stages
        self.kernel_size, self.in_features, self.out_features = kernel_size, in_features, out_features
        self.interpolation, self.dtype, self.param_dtype = interpolation, dtype, param_dtype
        self.margins = _check_margins(margins, ndim)
        self.precision, self.preferred_element_type = check_precision(precision), preferred_element_type

        def draw(c_in: int, c_out: int) -> jax.Array:
            return kernel_init(rngs.params(), (*kernel_size, c_in, c_out), param_dtype)

        kernels = [draw(*channels) for channels in _kernel_channels(method, in_features, out_features, stages)]
        if method == "dcl" and kernel_init is _KERNEL_INIT:
            # An output pixel of a transposed convolution sees one tap of r**d: without the gain it starts r**d weaker.
            kernels = [kernels[0] * jnp.asarray(math.prod(factors) ** 0.5, param_dtype)]
        elif method == "fast_pixel_dcl" and kernel_init is _KERNEL_INIT:
            # Of the taps of the cross, only every other one is live; without the gain its phases start weaker.
            gain = (math.prod(kernel_size) / _live_taps(*kernel_size)) ** 0.5
            kernels[2] = kernels[2] * jnp.asarray(gain, param_dtype)
        elif method == "sub_pixel":
            kernels = [jnp.tile(kernels[0], math.prod(factors))]
        parameters = [nnx.Param(kernel) for kernel in kernels]
        self.kernel = nnx.data(parameters[0] if len(parameters) == 1 else None)
        self.kernels = nnx.List(parameters if len(parameters) > 1 else [])
        self.bias = nnx.data(nnx.Param(bias_init(rngs.params(), (out_features,), param_dtype)) if use_bias else None)

    @property
    def strides(self) -> tuple[int, ...]:
        """The factor by axis, as the strides of a `flax.nnx.ConvTranspose`."""
        return spread(self.factor, len(self.kernel_size))

    @property
    def use_bias(self) -> bool:
        """Whether a bias is added."""
        return self.bias is not None

    def __call__(self, inputs: jax.Array, out_sharding: OutSharding = None) -> jax.Array:
        """Maps `[..., *S, in_features]` to `[..., *(factor * S), out_features]`; leading axes are batch axes.

        Margins add to these sizes. The arguments are those of `flax.nnx.ConvTranspose`.
        """
        bias = None if self.bias is None else self.bias[...]
        single = [] if self.kernel is None else [self.kernel]
        parameters = [kernel[...] for kernel in (*single, *self.kernels)]
        inputs, bias, *kernels = promote_dtype((inputs, bias, *parameters), dtype=self.dtype)
        wanted = self.preferred_element_type or inputs.dtype
        inputs = inputs.astype(jnp.promote_types(inputs.dtype, wanted))

        def layer(x: jax.Array) -> jax.Array:
            if self.margins is None:
                y = self._upsample(x, kernels)
            else:
                # Zeros around the input for whole pixels of it, and of what comes out the margins alone.
                factors = spread(self.factor, len(self.margins))
                axes = list(zip(self.margins, factors, strict=True))
                added = [tuple(max(0, -(-side // step)) for side in pair) for pair, step in axes]
                cut = [
                    (pair[0] - step * n[0], pair[1] - step * n[1]) for (pair, step), n in zip(axes, added, strict=True)
                ]
                y = _bordered(self._upsample(_bordered(x, added), kernels), cut)
            y = y.astype(wanted)
            return y if bias is None else y + bias.reshape((1,) * (y.ndim - 1) + bias.shape)

        # The products of the operations name no precision of their own, and take this one when they are traced.
        precise = contextlib.nullcontext()
        if self.precision is not None:
            precise = jax.default_matmul_precision(lax.Precision(self.precision).name.lower())
        with precise:
            return with_one_batch_axis(layer, inputs, len(self.kernel_size), out_sharding)

    def _upsample(self, x: jax.Array, kernels: list[jax.Array]) -> jax.Array:
        match self.method:
            case "dcl":
                return ops.transposed_conv(x, kernels[0], factor=self.factor)
            case "ipixel_dcl":
                return ops.ipixel_deconv(x, kernels, factor=self.factor, order=self.order)
            case "pixel_dcl":
                return ops.pixel_deconv(x, kernels, factor=self.factor, order=self.order)
            case "fast_pixel_dcl":
                return ops.fast_pixel_deconv(x, *kernels)
            case "resize_conv":
                return ops.dilated_conv(_resize(x, spread(self.factor, x.ndim - 2), self.interpolation), kernels[0])
            case _:  # sub_pixel
                count = math.prod(spread(self.factor, x.ndim - 2))
                phases = ops.dilated_conv(x, kernels[0]).reshape(*x.shape[:-1], count, self.out_features)
                return ops.reinterlace(jnp.moveaxis(phases, -2, 0), rate=self.factor)


def _check_margins(margins: object, ndim: int) -> Pairs | None:
    """The margins as tuples, which Flax can hash; None where there are none."""
    if margins is None:
        return None
    pairs = list(margins) if isinstance(margins, Sequence) else []
    well_formed = all(isinstance(pair, Sequence) and len(pair) == 2 and all(map(is_int, pair)) for pair in pairs)
    if len(pairs) != ndim or not well_formed:
        raise ValueError(
            f"margins must be {ndim} pairs (low, high) of ints, one for each spatial axis, got {margins!r}: leave it "
            "out for an output of factor * S"
        )
    whole = tuple((int(pair[0]), int(pair[1])) for pair in pairs)
    return whole if any(map(any, whole)) else None


@keeps_split_batch()
def _bordered(x: jax.Array, sides: Sequence[tuple[int, ...]]) -> jax.Array:
    """Zeros around the spatial axes of `[N, *S, C]`; a negative side takes pixels away."""
    return lax.pad(x, x.dtype.type(0), [(0, 0, 0), *((low, high, 0) for low, high in sides), (0, 0, 0)])


def check_precision(precision: object) -> Precision:
    """Returns a precision for both operands; refuses one for each, and what is none."""
    try:
        return None if precision is None else lax.Precision(precision)
    except ValueError:
        raise ValueError(
            f"precision must be None, a name or a jax.lax.Precision, one for both operands, got {precision!r}: use "
            "e.g. 'highest'"
        ) from None


def check_upsampling(method: object) -> None:
    """Refuses a method that is none of `UPSAMPLINGS`."""
    if method not in UPSAMPLINGS:
        raise ValueError(f"method must be one of {', '.join(UPSAMPLINGS)}, got {method!r}: pick one of them")


def _check_fast(factors: tuple[int, ...], kernel_size: tuple[int, ...]) -> None:
    if factors != (2, 2):
        raise ValueError(
            f"fast_pixel_dcl is factor 2 in two dimensions (Fig. 6), got factor {as_option(factors)} and kernel_size "
            f"{kernel_size}: use pixel_dcl, which takes every factor and one to three axes"
        )
    if any(size % 2 == 0 for size in kernel_size):
        raise ValueError(f"kernel_size of fast_pixel_dcl must be odd for its cross to have a centre, got {kernel_size}")
    if not _live_taps(*kernel_size):
        raise ValueError(
            f"kernel_size of fast_pixel_dcl must leave its cross a tap besides the centre, got {kernel_size}: two of "
            "the four phases would always be 0; use (3, 3), or pixel_dcl, which takes every size"
        )


def _live_taps(height: int, width: int) -> int:
    """The taps of the cross whose offsets from the centre add to an odd number."""
    return sum((row - height // 2 + column - width // 2) % 2 for row in range(height) for column in range(width))


def _kernel_channels(method: Upsampling, c_in: int, c_out: int, order: ops.Stages | None) -> list[tuple[int, int]]:
    """Input and output channels of each kernel to draw."""
    if method == "fast_pixel_dcl":
        return [(c_in, c_out), (c_out, c_out), (c_out, c_out)]
    if order is None:
        return [(c_in, c_out)]
    sizes, earlier = [], 0
    for stage in order:
        sees_input = method == "ipixel_dcl" or not earlier
        sizes += [(c_in * sees_input + earlier * c_out, c_out)] * len(stage)
        earlier += len(stage)
    return sizes


def _resize(x: jax.Array, factors: tuple[int, ...], interpolation: str) -> jax.Array:
    """Interpolates the spatial axes; nearest by repetition, which is exact and cheap to differentiate."""
    if interpolation == "nearest":
        for axis, factor in enumerate(factors, 1):
            x = jnp.repeat(x, factor, axis)
        return x
    sizes = [factor * size for factor, size in zip(factors, x.shape[1:-1], strict=True)]
    return jax.image.resize(x, (x.shape[0], *sizes, x.shape[-1]), "linear")
