"""Plug and play: replaces every transposed convolution of an existing model (Gao et al., Sec. 2.3)."""

import math
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx
from flax.nnx.nn.dtypes import promote_dtype
from flax.typing import PaddingLike

from .._checks import DTYPES, Pairs, check_rngs, spread
from ._flax_conv import check_subclass, own_attributes, stack_of
from ._selection import Changes, RefusedError, Selection, choose
from ._surgery import common_value, normalised_parts, replace_modules
from ._up_conv import UpConv, Upsampling, check_precision, check_upsampling
from ._up_kernels import default_kernel_size

Model = TypeVar("Model")


def replace_upsampling(
    model: Model,
    method: Upsampling,
    *,
    only: Selection = ...,
    skip: Selection = None,
    strict: bool = True,
    rngs: nnx.Rngs,
) -> tuple[Model, Changes]:
    """Replaces every up-sampling `nnx.ConvTranspose` in a model by an `UpConv` of another method, with new weights.

    Changes the model in place. All shapes between layers stay, also if padding is not `"SAME"`: an `nnx.ConvTranspose`
    of kernel 4, stride 2 and `padding=1` gives two pixels less than twice its input (PyTorch counts padding differently
    and gives twice), and `"VALID"` with a kernel longer than the stride gives more. The new layer has the same pixels
    in the same places, see `margins` of `UpConv`. `"dcl"` keeps the size of each kernel; the other methods use that of
    their papers: 5 taps along each axis for `"carafe"`, 1 for `"dysample"` and 3 for the rest. Precision and element
    type stay. Layers stacked by `nnx.vmap`, for `nnx.vmap` or `nnx.scan` to run, become a stack of layers with their
    own weights. A subclass is replaced if it defines only a constructor; attributes that the constructor sets are kept.
    Transposed convolutions of stride 1 do not up-sample and stay unchanged. Every layer is checked before the first is
    replaced, so on an error the model is unchanged.

    Args:
      model: any Flax NNX module, or a list, tuple or dict of modules. A layer used in two places stays one layer.
      method: one of `UPSAMPLINGS`; see `UpConv`.
      only: the layers to replace, by default all: a path, a type, a predicate or a list of these, see `smooth`.
      skip: the layers to leave unchanged, in the same forms; overrides `only`.
      strict: whether a layer that cannot be replaced is an error. With False it stays unchanged, and the result gives
        the reason.
      rngs: source of randomness for the new weights.

    Returns:
      The model (a new layer if the model itself was the convolution), and the list of the paths of the replaced layers,
      whose `skipped` and `refused` hold the paths of the others with the reasons.

    Raises:
      ValueError: method is unknown, `only` or `skip` names no part of the model, or strict holds and a chosen layer is
        dilated, masked, circular, lies in an `nnx.SpectralNorm` or `nnx.WeightNorm`, computes in its own way, or has a
        factor that the method does not support; the message has its path.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from flax import nnx
      >>> from smoothjax import nn
      >>> decoder = nnx.Sequential(
      ...     nnx.ConvTranspose(8, 4, (4, 4), strides=2, rngs=nnx.Rngs(0)),
      ...     nnx.relu,
      ...     nnx.ConvTranspose(4, 3, (4, 4), strides=2, rngs=nnx.Rngs(0)),
      ... )
      >>> decoder, paths = nn.replace_upsampling(decoder, "fast_pixel_dcl", rngs=nnx.Rngs(1))
      >>> paths, jax.eval_shape(decoder, jnp.ones((1, 8, 8, 8))).shape
      ([('layers', 0), ('layers', 2)], (1, 32, 32, 3))
    """
    check_upsampling(method)
    check_rngs(rngs)
    normalised = normalised_parts(model)
    ready, changes = choose(
        model,
        _upsamples,
        lambda layer: _examined(layer, method, normalised.get(id(layer))),
        only=only,
        skip=skip,
        strict=strict,
        what=("replace", "transposed convolution"),
    )
    new: dict[int, Any] = {key: _replacement(layer, method, stack, rngs) for key, (layer, stack) in ready.items()}
    return replace_modules(model, new), changes


def _upsamples(node: object) -> bool:
    return isinstance(node, nnx.ConvTranspose) and common_value(node.strides) != 1


def _examined(conv: nnx.ConvTranspose, method: Upsampling, wrapper: str | None) -> tuple[int, ...]:
    """The axes along which a layer is stacked; refuses layers that no UpConv can replace."""
    if wrapper:
        raise RefusedError(f"it lies in an {wrapper}, which knows no other weights")
    check_subclass(conv, nnx.ConvTranspose, UpConv)
    stride, ndim = common_value(conv.strides), len(conv.kernel_size)
    if not 1 <= ndim <= 3:
        raise RefusedError(f"it has {ndim} spatial axes; up-sampling knows one to three")
    channels = (conv.in_features, conv.out_features)
    stack = stack_of(conv, ndim, (*conv.kernel_size, *(channels[::-1] if conv.transpose_kernel else channels)))
    if common_value(conv.kernel_dilation) != 1:
        raise RefusedError(f"it is dilated, kernel_dilation={conv.kernel_dilation}")
    if conv.mask is not None:
        raise RefusedError("its kernel is masked")
    try:
        check_precision(conv.precision)
    except ValueError as error:
        raise RefusedError(str(error)) from None
    if conv.promote_dtype is not promote_dtype or conv.dtype not in (None, *DTYPES):
        raise RefusedError(f"it computes in a dtype of its own, dtype={conv.dtype}")
    if isinstance(conv.padding, str) and conv.padding not in ("SAME", "VALID"):
        raise RefusedError(f"it pads in another way than by zeros, padding={conv.padding!r}")
    if method == "fast_pixel_dcl" and (stride, ndim) != (2, 2):
        raise RefusedError(
            f"fast_pixel_dcl is factor 2 in two dimensions, it has factor {stride} in {ndim}; use pixel_dcl"
        )
    return stack


def _margins(padding: PaddingLike, kernel_size: tuple[int, ...], strides: tuple[int, ...]) -> Pairs | None:
    """Pixels of the output at either end beyond that of SAME padding; None for none."""
    if padding == "SAME":
        return None
    if isinstance(padding, str):  # VALID, as in jax.lax.conv_transpose
        pads = [(taps - 1, step - 1 + max(taps - step, 0)) for taps, step in zip(kernel_size, strides, strict=True)]
    else:
        sides = [padding] * len(kernel_size) if isinstance(padding, int) else padding
        pads = [(side, side) if isinstance(side, int) else side for side in sides]
    same = list(map(_same_padding_before, kernel_size, strides))
    return tuple(
        (low - before, high - (taps + step - 2 - before))
        for (low, high), before, taps, step in zip(pads, same, kernel_size, strides, strict=True)
    )


def _same_padding_before(taps: int, factor: int) -> int:
    """Zeros before the dilated input under the SAME rule of `jax.lax.conv_transpose`."""
    return taps - 1 if factor > taps - 1 else -(-(taps + factor - 2) // 2)


def _replacement(conv: nnx.ConvTranspose, method: Upsampling, stack: tuple[int, ...], rngs: nnx.Rngs) -> UpConv:
    factor = common_value(conv.strides)
    factors = spread(factor, len(conv.kernel_size))

    def make() -> UpConv:
        return UpConv(
            conv.in_features,
            conv.out_features,
            method=method,
            factor=factor,
            kernel_size=conv.kernel_size if method == "dcl" else default_kernel_size(method, factors),
            margins=_margins(conv.padding, conv.kernel_size, factors),
            use_bias=conv.bias is not None,
            dtype=conv.dtype,
            param_dtype=conv.kernel.dtype,
            precision=check_precision(conv.precision),
            preferred_element_type=conv.preferred_element_type,
            rngs=rngs,
        )

    layer = make()
    if stack:
        # Each layer of the stack draws its own weights.
        states = [nnx.state(layer), *(nnx.state(make()) for _ in range(math.prod(stack) - 1))]
        nnx.update(layer, jax.tree.map(lambda *values: jnp.stack(values).reshape(*stack, *values[0].shape), *states))
    for name in own_attributes(conv, nnx.ConvTranspose):
        setattr(layer, name, getattr(conv, name))
    return layer
