"""Plug and play: smooths every dilated convolution of an existing model (Wang & Ji's main claim, Sec. 1)."""

from collections.abc import Sequence
from typing import Any, TypeVar

import jax
from flax import nnx
from flax.nnx.nn.dtypes import promote_dtype

from .. import ops
from .._checks import DTYPES, Padding
from ._causal import CAUSAL_SMOOTHINGS, CausalDilatedConv
from ._dilated import DilatedConv, Smoothing, check_smoothing, identity_smoothing, set_smoothing
from ._surgery import Path, common_value, find_modules, replace_modules, under_spectral_norm, where

Model = TypeVar("Model")


def smooth(model: Model, smoothing: Smoothing, *, rngs: nnx.Rngs) -> tuple[Model, list[Path]]:
    """Replaces every `nnx.Conv` of rate > 1 in a model by a smoothed layer of the same weights.

    The model is changed in place. With group interaction and SS convolution its outputs stay the same until the
    smoothing parameters, which start as the identity, are trained; only they are new. The filters of Ziegler et al. are
    low-pass from the start: outputs change at once, and the network is to be fine-tuned.

    A convolution becomes a `DilatedConv`. One over time that sees no later step, of padding `"CAUSAL"` or
    `((taps - 1) * rate, 0)`, becomes a `CausalDilatedConv` where it is smoothed, which stays causal whatever is
    learnt. A network that is made causal by hand, by `jnp.pad` before a convolution of padding `"VALID"`, is not
    recognised: its smoothed layers look ahead.

    Unsmoothed `DilatedConv` layers are smoothed too, and so are those of the output layers of
    `smoothjax.models.DeepLab`, whose own option smooths only the encoder, as the paper does. All other layers stay as
    they are and are not among the paths: those of rate 1, those already smoothed, and every `CausalDilatedConv`, which
    has an option of its own as has `smoothjax.models.TemporalConvNet`. Every layer is checked before the first is
    replaced: where one cannot be, nothing has changed.

    Args:
      model: any Flax NNX module, or a list, tuple or dict of modules. A layer used in two places stays one layer.
      smoothing: `"group_interaction"`, `"ss_conv"`, `"average_filter"`, `"gaussian_filter"` or `"aggregated_filters"`,
        see `DilatedConv`; for causal layers one of the first two, which have a causal form. `"none"` turns the
        layers into plain DilatedConv.
      rngs: source of randomness for the new layers; the smoothing draws nothing.

    Returns:
      The model (a new layer where the model itself was the convolution), and the paths of the replaced layers.

    Raises:
      ValueError: smoothing is unknown, or a layer of rate > 1 is strided, grouped, masked, circular, reflecting, of
        different rates along its axes, in an `nnx.SpectralNorm`, or otherwise no plain dilated convolution, or
        smoothing has no causal form and a layer is causal; with its path.

    Example:
      >>> from flax import nnx
      >>> from smoothjax import nn
      >>> conv = lambda rate: nnx.Conv(4, 4, (3, 3), kernel_dilation=rate, rngs=nnx.Rngs(0))
      >>> model, paths = nn.smooth(nnx.Sequential(conv(1), conv(2), conv(4)), "ss_conv", rngs=nnx.Rngs(0))
      >>> paths
      [('layers', 1), ('layers', 2)]
    """
    check_smoothing(smoothing)
    found = find_modules(model, _is_to_smooth)
    if identity_smoothing(smoothing, 2, 1) is not None:
        normalised = under_spectral_norm(model)
        for key, (_, path) in found.items():
            if key in normalised:
                raise ValueError(
                    f"cannot smooth the convolution at {where(path)}: it lies in an nnx.SpectralNorm, which would "
                    "divide the smoothing parameters, too: smooth the layer first and normalise its kernel yourself"
                )
    arguments = {key: _arguments(layer, path, smoothing) for key, (layer, path) in found.items()}
    new: dict[int, Any] = {}
    for key, (layer, _) in found.items():
        if isinstance(layer, DilatedConv) and "padding" in arguments[key]:
            set_smoothing(layer, smoothing)
        else:
            new[key] = _replacement(layer, smoothing, arguments[key], rngs)
    return replace_modules(model, new), [path for _, path in found.values()]


def _is_to_smooth(node: object) -> bool:
    if isinstance(node, DilatedConv):
        return node.rate > 1 and node.smoothing == "none"
    return isinstance(node, nnx.Conv) and common_value(node.kernel_dilation) != 1


def _arguments(conv: nnx.Conv | DilatedConv, path: Path, smoothing: Smoothing) -> dict[str, Any]:
    """The arguments of a DilatedConv that computes what `conv` does; refuses what it cannot.

    Without a padding they are those of a CausalDilatedConv.
    """

    def refuse(what: str, rule: str = "smoothing is defined for plain dilated convolutions of one rate") -> ValueError:
        return ValueError(
            f"cannot smooth the convolution at {where(path)}: {what}; {rule}: replace that layer, or keep it out of "
            "the model while smoothing"
        )

    def refuse_causal() -> ValueError:
        knows = " and ".join(CAUSAL_SMOOTHINGS[1:])
        return refuse(f"it is causal, and {smoothing} would look ahead", f"nn.CausalDilatedConv knows {knows}")

    if len(conv.kernel.shape) != len(conv.kernel_size) + 2:
        raise refuse(f"its kernel of shape {conv.kernel.shape} is a stack of several layers")
    if isinstance(conv, DilatedConv):
        if smoothing == "none" or not _sees_the_past_alone(conv.padding, conv.kernel_size, conv.rate):
            return {"rate": conv.rate, "padding": conv.padding}
        if type(conv) is not DilatedConv or conv.before is not None or conv.after is not None:
            raise refuse("it is causal, and more than a plain DilatedConv")
        if smoothing not in CAUSAL_SMOOTHINGS:
            raise refuse_causal()
        return {"rate": conv.rate}
    rate, ndim = common_value(conv.kernel_dilation), len(conv.kernel_size)
    if type(conv) is not nnx.Conv:
        raise refuse(f"it is a {type(conv).__name__}, a subclass of nnx.Conv of unknown meaning")
    if isinstance(rate, tuple):
        raise refuse(f"it has different rates along its axes, kernel_dilation={rate}")
    if common_value(conv.strides) != 1:
        raise refuse(f"it is strided, strides={conv.strides}")
    if common_value(conv.input_dilation) != 1:
        raise refuse(f"it dilates its input, input_dilation={conv.input_dilation}")
    if conv.feature_group_count != 1:
        raise refuse(f"it is grouped, feature_group_count={conv.feature_group_count}")
    if conv.mask is not None:
        raise refuse("its kernel is masked")
    if conv.precision is not None or conv.preferred_element_type is not None:
        raise refuse("it asks for a precision of its own")
    if conv.conv_general_dilated not in (jax.lax.conv_general_dilated, ops.conv_general_dilated):
        raise refuse("it uses a convolution function of its own")
    if conv.promote_dtype is not promote_dtype or conv.dtype not in (None, *DTYPES):
        raise refuse(f"it computes in a dtype of its own, dtype={conv.dtype}")
    padding = _padding(conv.padding, conv.kernel_size, rate)
    if padding is None:
        raise refuse(f"its padding is {conv.padding!r}")
    if not 1 <= ndim <= 3:
        raise refuse(f"it has {ndim} spatial axes")
    causal = conv.padding == "CAUSAL" or _sees_the_past_alone(padding, conv.kernel_size, rate)
    if smoothing == "none" or not causal:
        return {"rate": rate, "padding": padding}
    if smoothing not in CAUSAL_SMOOTHINGS:
        raise refuse_causal()
    return {"rate": rate}


def _sees_the_past_alone(padding: Padding, kernel_size: Sequence[int], rate: int) -> bool:
    """Whether the padding makes a convolution over time causal; one tap needs none, so that it shows nothing."""
    reach = (kernel_size[0] - 1) * rate
    return len(kernel_size) == 1 and reach > 0 and padding == ((reach, 0),)


def _padding(padding: Any, kernel_size: Sequence[int], rate: int) -> Padding | None:
    """The padding of a Flax convolution in our terms, or None where it is no zero-padding."""
    if padding in ("SAME", "VALID"):
        return padding
    if padding == "CAUSAL":
        return (((kernel_size[0] - 1) * rate, 0),)
    if isinstance(padding, int):
        padding = (padding,) * len(kernel_size)
    if isinstance(padding, str) or not isinstance(padding, Sequence):
        return None
    pairs = tuple((side, side) if isinstance(side, int) else (side[0], side[1]) for side in padding)
    return pairs if min(map(min, pairs)) >= 0 else None


def _replacement(
    conv: nnx.Conv | DilatedConv, smoothing: Smoothing, arguments: dict[str, Any], rngs: nnx.Rngs
) -> DilatedConv | CausalDilatedConv:
    causal = "padding" not in arguments
    make: Any = CausalDilatedConv if causal else DilatedConv
    layer = make(
        conv.in_features,
        conv.out_features,
        conv.kernel_size[0] if causal else conv.kernel_size,
        smoothing=smoothing,
        use_bias=conv.bias is not None,
        dtype=conv.dtype,
        param_dtype=conv.param_dtype,
        rngs=rngs,
        **arguments,
    )
    # The very same variables: whoever else refers to them still does.
    layer.kernel, layer.bias = conv.kernel, conv.bias
    return layer
