"""Up-sampling layers: the deconvolutional layer, its cures, and common alternatives."""

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
from .._checks import (
    Pairs,
    Rate,
    check_bool,
    check_choice,
    check_factor,
    check_kernel_size,
    spread,
)
from .._meshes import keeps_split_batch
from .._programs import one_program
from ..names import Interpolation, PhaseOrder, Upsampling
from ._content import (
    check_content_options,
    draw_carafe,
    draw_dysample,
    predicted_kernels,
    predicted_offsets,
    shuffled,
)
from ._conv_like import OptionalParam, OutSharding, with_one_batch_axis
from ._convolution import as_option, check_layer
from ._margins import check_margins, with_margins
from ._up_kernels import check_kernels, default_kernel_size, draw_kernels

UPSAMPLINGS: tuple[Upsampling, ...] = get_args(Upsampling)
"""All values of `Upsampling`, the transposed convolution first."""

Precision: TypeAlias = str | lax.Precision | None
"""A precision of products for both operands, as `jax.lax.Precision` takes it."""

_KERNEL_INIT = nnx.initializers.lecun_normal()  # as in flax.nnx


class UpConv(nnx.Module):
    """Up-samples by an integer factor with a choice of methods (Gao et al., 2017, and its usual rivals).

    Every method maps `[N, *S, in_features]` to `[N, *(factor * S), out_features]`, so methods are interchangeable. With
    the default `kernel_init`, white noise of variance 1 initially comes out with variance 1 in every phase, in the mean
    over kernels and away from the border. There are two exceptions. Methods that start by averaging give less: bilinear
    interpolation, `"sub_pixel_blur"`, `"carafe"` and `"dysample"`. For `"dcl"` the variance is 1 in the mean over all
    phases if the factor does not divide the kernel size. Then phases see different numbers of taps, the uneven overlap
    of Odena et al.: at factor 2 the phases of a 3x3 kernel see 4, 2, 2 and 1 taps, and start with 16/9, 8/9, 8/9 and
    4/9.

    Args:
      in_features: number of input channels.
      out_features: number of output channels.
      method: `"dcl"`, a transposed convolution; `"ipixel_dcl"` and `"pixel_dcl"`, phases made in sequence (Eqs. 2 and
        3); `"fast_pixel_dcl"`, the form of Fig. 6, called PixelDCL in the paper's experiments; `"resize_conv"`,
        interpolation and then a convolution at high resolution; `"sub_pixel"`, a convolution to `factor**d` times the
        channels and periodic shuffling; `"sub_pixel_blur"`, the same and then the mean over `factor` pixels along each
        axis, which removes every pattern that repeats with the factor; `"carafe"`, a kernel predicted for every pixel
        of the output (`ops.carafe`); `"dysample"`, a point predicted for every pixel of the output, at which the input
        is interpolated (`ops.dysample`).
      factor: up-sampling factor, an int >= 2, or one int >= 1 per axis, whose product then replaces `factor**d`; 2 for
        `"fast_pixel_dcl"`.
      kernel_size: taps along each spatial axis, of every kernel of the layer; a tuple whose length is the number of
        spatial axes. By default two axes, `3 * factor` taps for `"dcl"` (6x6 in the paper) and 3 for the others. Odd
        and not 1x1 for `"fast_pixel_dcl"`.
      order: order of the phases of `"ipixel_dcl"` and `"pixel_dcl"`: `"figure"`, `"equations"` or your own stages, see
        `ops.pixel_order`.
      interpolation: `"nearest"` or `"bilinear"`, of `"resize_conv"`.
      compressed_features: channels from which `"carafe"` predicts its kernels, 64 by default.
      groups: groups of channels of `"dysample"`, each with its own points; by default 4, or the next smaller number
        that divides out_features.
      dynamic_scope: whether `"dysample"` also predicts how far each point may move (DySample+).
      margins: one pair `(low, high)` per axis, the pixels of the output beyond `factor * S` at either end, made from
        zeros around the input; negative numbers crop. Needed to replace transposed convolutions whose padding is not
        `"SAME"`.
      use_bias: whether a bias is added.
      dtype: dtype of the computation, float32, bfloat16, float16 or float64; by default the common one of input and
        parameters.
      precision: precision of the products, `None`, a name or a `jax.lax.Precision`, as in `flax.nnx.ConvTranspose`.
      preferred_element_type: dtype of the result, as in `flax.nnx.ConvTranspose`; if wider than `dtype`, also the dtype
        of the computation.
      param_dtype: dtype of the parameters.
      kernel_init: initializer of the kernels. With `"sub_pixel"` it draws one kernel for all phases (ICNR), so that the
        layer starts as nearest interpolation of a convolution, without a checkerboard. The kernels that predict have
        the initializers of their papers: `"carafe"` starts as nearest interpolation of box-filtered maps, almost, and
        `"dysample"` as bilinear interpolation.
      bias_init: initializer of the bias.
      rngs: source of randomness.

    Attributes:
      kernel: `nnx.Param` `[*K, in_features, channels]` of the methods with one kernel, else None. Of `"carafe"` and
        `"dysample"`, which keep the channels as published, it is a 1x1 convolution before them, and None where
        in_features and out_features are the same.
      kernels: `nnx.List` of `nnx.Param` of the pixel methods, as `ops.ipixel_deconv`, `ops.pixel_deconv` or
        `ops.fast_pixel_deconv` (first, second, cross) take them; compressor and encoder of `"carafe"`; of
        `"dysample"`, what predicts the offsets and, with dynamic_scope, their scope; empty for the others.
      biases: `nnx.List` of `nnx.Param`, one for each of the kernels that predict; empty for the others.
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
      (resize convolution); Shi et al., 2016 (sub-pixel convolution); Aitken et al., 2017 (ICNR); Sugawara et al.,
      Super-Resolution Using Convolutional Neural Networks Without Any Checkerboard Artifacts, 2018 (its blur, in
      fastai's form: the border repeated before); Wang et al., CARAFE, ICCV 2019; Liu et al., Learning to Upsample by
      Learning to Sample, ICCV 2023 (DySample; the variant LP with static scope is the default of its public code).
    """

    kernel: OptionalParam
    bias: OptionalParam
    kernels: nnx.List[nnx.Param[jax.Array]]
    biases: nnx.List[nnx.Param[jax.Array]]
    method: Upsampling
    factor: int | tuple[int, ...]
    order: ops.Stages | None
    kernel_size: tuple[int, ...]
    interpolation: Interpolation
    compressed_features: int | None
    groups: int | None
    dynamic_scope: bool
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
        compressed_features: int | None = None,
        groups: int | None = None,
        dynamic_scope: bool = False,
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
        in_features, out_features = check_layer(
            in_features, out_features, rngs, dtype, param_dtype, preferred_element_type
        )
        check_upsampling(method)
        check_choice("interpolation", interpolation, get_args(Interpolation))
        use_bias, dynamic_scope = check_bool("use_bias", use_bias), check_bool("dynamic_scope", dynamic_scope)
        if order is not None and method not in ("ipixel_dcl", "pixel_dcl"):
            raise ValueError(
                f"order is an option of only ipixel_dcl and pixel_dcl, got {order!r} with {method!r}: leave it out"
            )
        if kernel_size is None:
            ndim = len(factor) if isinstance(factor, (tuple, list)) else 2
            kernel_size = default_kernel_size(method, check_factor(factor, ndim))
        kernel_size = check_kernel_size(kernel_size)
        ndim = len(kernel_size)
        factors = check_factor(factor, ndim)
        check_kernels(method, factors, kernel_size)
        compressed_features, groups = check_content_options(
            method, out_features, compressed_features, groups, dynamic_scope
        )
        in_sequence = method in ("ipixel_dcl", "pixel_dcl")
        stages = ops.pixel_order(factors, ndim, order=order) if in_sequence else None
        self.method, self.factor, self.order = method, as_option(factors), stages
        self.kernel_size, self.in_features, self.out_features = kernel_size, in_features, out_features
        self.interpolation, self.dtype, self.param_dtype = interpolation, dtype, param_dtype
        self.compressed_features, self.groups, self.dynamic_scope = compressed_features, groups, dynamic_scope
        self.margins = check_margins(margins, ndim)
        self.precision, self.preferred_element_type = check_precision(precision), preferred_element_type

        def draw(shape: tuple[int, ...], init: nnx.Initializer = kernel_init) -> jax.Array:
            return init(rngs.params(), shape, param_dtype)

        biases: list[jax.Array] = []
        if compressed_features is not None:
            kernels, biases = draw_carafe(in_features, kernel_size, factors, compressed_features, draw, param_dtype)
        elif groups is not None:
            kernels, biases = draw_dysample(in_features, kernel_size, factors, groups, dynamic_scope, draw, param_dtype)
        else:
            kernels = draw_kernels(
                method,
                (in_features, out_features),
                factors,
                kernel_size,
                stages,
                draw,
                fair=kernel_init is _KERNEL_INIT,
                dtype=param_dtype,
            )
        single = None
        if biases and in_features != out_features:
            single = draw((*(1,) * ndim, in_features, out_features))
        elif len(kernels) == 1 and not biases:
            single, kernels = kernels[0], []
        self.kernel = nnx.data(None if single is None else nnx.Param(single))
        self.kernels = nnx.List([nnx.Param(kernel) for kernel in kernels])
        self.biases = nnx.List([nnx.Param(bias) for bias in biases])
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
        bias, kernel = (None if value is None else value[...] for value in (self.bias, self.kernel))
        several = [value[...] for value in (*self.kernels, *self.biases)]
        inputs, bias, kernel, *several = promote_dtype((inputs, bias, kernel, *several), dtype=self.dtype)
        wanted = self.preferred_element_type or inputs.dtype
        inputs = inputs.astype(jnp.promote_types(inputs.dtype, wanted))

        def layer(x: jax.Array) -> jax.Array:
            factors = spread(self.factor, x.ndim - 2)
            y = with_margins(lambda x: self._upsample(x, kernel, several), x, self.margins, factors)
            y = y.astype(wanted)
            return y if bias is None else y + bias.reshape((1,) * (y.ndim - 1) + bias.shape)

        # The products of the operations name no precision of their own, and take this one when they are traced.
        precise = contextlib.nullcontext()
        if self.precision is not None:
            precise = jax.default_matmul_precision(lax.Precision(self.precision).name.lower())
        with precise:
            return with_one_batch_axis(layer, inputs, len(self.kernel_size), out_sharding)

    def _upsample(self, x: jax.Array, kernel: jax.Array | None, several: list[jax.Array]) -> jax.Array:
        """The method, with its one kernel, or its kernels and then what biases these have."""
        factors = spread(self.factor, x.ndim - 2)
        if self.biases:
            kernels, biases = several[: -len(self.biases)], several[-len(self.biases) :]
            values = x if kernel is None else ops.dilated_conv(x, kernel)
            if self.groups is None:
                return ops.carafe(
                    values, predicted_kernels(x, kernels, biases, self.kernel_size, factors), factor=factors
                )
            return ops.dysample(values, predicted_offsets(x, kernels, biases, self.groups, factors), factor=factors)
        if kernel is None:
            match self.method:
                case "ipixel_dcl":
                    return ops.ipixel_deconv(x, several, factor=factors, order=self.order)
                case "pixel_dcl":
                    return ops.pixel_deconv(x, several, factor=factors, order=self.order)
                case _:  # fast_pixel_dcl
                    return ops.fast_pixel_deconv(x, *several)
        match self.method:
            case "dcl":
                return ops.transposed_conv(x, kernel, factor=factors)
            case "resize_conv":
                return ops.dilated_conv(_resize(x, factors, self.interpolation), kernel)
            case _:  # sub_pixel, sub_pixel_blur
                y = shuffled(ops.dilated_conv(x, kernel), factors)
                return _blurred(y, factors) if self.method == "sub_pixel_blur" else y


@one_program
@keeps_split_batch()
def _blurred(x: jax.Array, factors: tuple[int, ...]) -> jax.Array:
    """The mean over a block of a period along each axis that ends at the pixel; the first row and column repeated."""
    if 0 in x.shape:
        return x
    for axis, step in enumerate(factors, 1):
        first = lax.slice_in_dim(x, 0, 1, axis=axis)
        x = jnp.concatenate([*[first] * (step - 1), x], axis)
    return ops.ss_conv(x, jnp.full(factors, 1 / math.prod(factors), x.dtype), padding="VALID")


def check_precision(precision: object) -> Precision:
    """Returns a precision for both operands; refuses one for each, and anything else."""
    try:
        return None if precision is None else lax.Precision(precision)
    except ValueError:
        raise ValueError(
            f"precision must be None, a name or a jax.lax.Precision, one for both operands, got {precision!r}: use "
            "e.g. 'highest'"
        ) from None


def check_upsampling(method: object) -> None:
    """Refuses a method that is not one of `UPSAMPLINGS`."""
    check_choice("method", method, UPSAMPLINGS)


def _resize(x: jax.Array, factors: tuple[int, ...], interpolation: str) -> jax.Array:
    """Interpolates the spatial axes; nearest by repetition, which is exact and cheap to differentiate."""
    if interpolation == "nearest":
        for axis, factor in enumerate(factors, 1):
            x = jnp.repeat(x, factor, axis)
        return x
    sizes = [factor * size for factor, size in zip(factors, x.shape[1:-1], strict=True)]
    return jax.image.resize(x, (x.shape[0], *sizes, x.shape[-1]), "linear")
