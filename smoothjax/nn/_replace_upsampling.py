"""Plug and play: other up-sampling for every transposed convolution of an existing model (Gao et al., Sec. 2.3)."""

from typing import TypeVar

from flax import nnx
from flax.typing import PaddingLike

from .._checks import DTYPES, Pairs, spread
from ._surgery import Path, common_value, find_modules, replace_modules, under_spectral_norm, where
from ._up_conv import UpConv, Upsampling, check_upsampling

Model = TypeVar("Model")


def replace_upsampling(model: Model, method: Upsampling, *, rngs: nnx.Rngs) -> tuple[Model, list[Path]]:
    """Replaces every up-sampling `nnx.ConvTranspose` in a model by an `UpConv` of another method, with new weights.

    The model is changed in place; all shapes between its layers stay, also where padding is not `"SAME"`: an
    `nnx.ConvTranspose` of kernel 4, stride 2 and `padding=1` gives two pixels less than twice its input (in PyTorch,
    which counts padding otherwise, it gives twice), `"VALID"` with a kernel longer than the stride gives more. The new
    layer has the same pixels in the same places, see `margins` of `UpConv`. `"dcl"` keeps the size of each kernel, the
    other methods get 3 taps along each axis. Transposed convolutions of stride 1 do not up-sample and stay as they are.
    Every layer is checked before the first is replaced: where one cannot be, nothing has changed.

    Args:
      model: any Flax NNX module, or a list, tuple or dict of modules. A layer used in two places stays one layer.
      method: one of `UPSAMPLINGS`; see `UpConv`.
      rngs: source of randomness for the new weights.

    Returns:
      The model (a new layer where the model itself was the convolution), and the paths of the replaced layers.

    Raises:
      ValueError: method is unknown, or a layer is circular or otherwise no plain transposed convolution; with its path.

    Example:
      >>> import jax.numpy as jnp
      >>> from flax import nnx
      >>> from smoothjax import nn
      >>> decoder = nnx.Sequential(
      ...     nnx.ConvTranspose(8, 4, (4, 4), strides=2, rngs=nnx.Rngs(0)),
      ...     nnx.relu,
      ...     nnx.ConvTranspose(4, 3, (4, 4), strides=2, rngs=nnx.Rngs(0)),
      ... )
      >>> decoder, paths = nn.replace_upsampling(decoder, "fast_pixel_dcl", rngs=nnx.Rngs(1))
      >>> paths, decoder(jnp.ones((1, 8, 8, 8))).shape
      ([('layers', 0), ('layers', 2)], (1, 32, 32, 3))
    """
    check_upsampling(method)
    found = find_modules(model, _upsamples)
    normalised = under_spectral_norm(model)
    for key, (layer, path) in found.items():
        _check(layer, path, method, key in normalised)
    new = {key: _replacement(layer, method, rngs) for key, (layer, _) in found.items()}
    return replace_modules(model, new), [path for _, path in found.values()]


def _upsamples(node: object) -> bool:
    return isinstance(node, nnx.ConvTranspose) and common_value(node.strides) != 1


def _check(conv: nnx.ConvTranspose, path: Path, method: Upsampling, normalised: bool) -> None:
    """Refuses what no UpConv can take the place of."""

    def refuse(what: str) -> ValueError:
        return ValueError(
            f"cannot replace the transposed convolution at {where(path)}: {what}; an UpConv replaces plain "
            "transposed convolutions: replace that layer by hand, or keep it out of the model meanwhile"
        )

    stride, ndim = common_value(conv.strides), len(conv.kernel_size)
    if type(conv) is not nnx.ConvTranspose:
        raise refuse(f"it is a {type(conv).__name__}, a subclass of nnx.ConvTranspose of unknown meaning")
    if len(conv.kernel.shape) != ndim + 2:
        raise refuse(f"its kernel of shape {conv.kernel.shape} is a stack of several layers")
    if common_value(conv.kernel_dilation) != 1:
        raise refuse(f"it is dilated, kernel_dilation={conv.kernel_dilation}")
    if conv.mask is not None:
        raise refuse("its kernel is masked")
    if normalised:
        raise refuse("it lies in an nnx.SpectralNorm, which knows no other weights")
    if conv.precision is not None or conv.preferred_element_type is not None:
        raise refuse("it asks for a precision of its own")
    if conv.dtype not in (None, *DTYPES):
        raise refuse(f"it computes in {conv.dtype}")
    if not 1 <= ndim <= 3:
        raise refuse(f"it has {ndim} spatial axes")
    if isinstance(conv.padding, str) and conv.padding not in ("SAME", "VALID"):
        raise refuse(f"it pads in another way than by zeros, padding={conv.padding!r}")
    if method == "fast_pixel_dcl" and (stride, ndim) != (2, 2):
        raise refuse(f"fast_pixel_dcl is factor 2 in two dimensions, it has factor {stride} in {ndim}; use pixel_dcl")


def _margins(padding: PaddingLike, kernel_size: tuple[int, ...], strides: tuple[int, ...]) -> Pairs | None:
    """What the output has at either end beyond that of SAME padding; None for nothing."""
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


def _replacement(conv: nnx.ConvTranspose, method: Upsampling, rngs: nnx.Rngs) -> UpConv:
    factor = common_value(conv.strides)
    return UpConv(
        conv.in_features,
        conv.out_features,
        method=method,
        factor=factor,
        kernel_size=conv.kernel_size if method == "dcl" else (3,) * len(conv.kernel_size),
        margins=_margins(conv.padding, conv.kernel_size, spread(factor, len(conv.kernel_size))),
        use_bias=conv.use_bias,
        dtype=conv.dtype,
        param_dtype=conv.param_dtype,
        rngs=rngs,
    )
