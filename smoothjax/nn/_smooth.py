"""Plug and play: smooths every dilated convolution of an existing model (the main claim of Wang & Ji, Sec. 1)."""

from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx
from flax.nnx.nn.dtypes import promote_dtype

from .. import ops
from .._checks import DTYPES, check_rngs
from ._causal import CAUSAL_SMOOTHINGS, CausalDilatedConv
from ._convolution import Convolution, as_option, check_convolution_like
from ._dilated import DilatedConv, Smoothing, check_smoothing, check_strided, identity_smoothing, set_smoothing
from ._flax_conv import check_subclass, own_attributes, stack_of
from ._selection import Changes, RefusedError, Selection, choose
from ._surgery import common_value, normalised_parts, replace_modules

Model = TypeVar("Model")


def smooth(
    model: Model,
    smoothing: Smoothing,
    *,
    only: Selection = ...,
    skip: Selection = None,
    strict: bool = True,
    rngs: nnx.Rngs,
) -> tuple[Model, Changes]:
    """Replaces every `nnx.Conv` of rate > 1 in a model by a smoothed layer of the same weights.

    Changes the model in place. Only smoothing parameters are new. With group interaction, circulant or not, and SS
    convolution they start as the identity, so outputs stay the same until they are trained. The filters of Ziegler et
    al. are low-pass from the start: outputs change at once, and the network needs fine-tuning.

    A convolution becomes a `DilatedConv` with the same options: groups, also depthwise; strides (an SS filter comes
    before the strides; group interaction is refused); rates that differ by axis; all paddings of Flax, of which the
    smoothing also uses `"CIRCULAR"` and `"REFLECT"`; precision and element type. Layers stacked by `nnx.vmap`, for
    `nnx.vmap` or `nnx.scan` to run, get one smoother each. A convolution over time that sees no later step, with
    padding `"CAUSAL"` or `((taps - 1) * rate, 0)`, becomes a `CausalDilatedConv`, which stays causal whatever it
    learns. A network made causal by hand, by `jnp.pad` before a convolution of padding `"VALID"`, is not recognised:
    its smoothed layers look ahead. A subclass of `nnx.Conv` is replaced if it defines only a constructor; attributes
    that the constructor sets are kept.

    Unsmoothed `DilatedConv` layers are smoothed as well, including those in the output layers of
    `smoothjax.models.DeepLab`, whose own option smooths only the encoder, as in the paper. All other layers stay
    unchanged and are not among the paths: layers of rate 1, already smoothed layers, and every `CausalDilatedConv`,
    which has its own option, like `smoothjax.models.TemporalConvNet`. Layers that only a closure holds, such as that of
    a lambda in an `nnx.Sequential`, are not found, and a layer whose parameters other code reads without calling it is
    smoothed in vain: `analysis.certify` of the result shows both. Every layer is checked before the first is
    replaced, so on an error the model is unchanged.

    Args:
      model: any Flax NNX module, or a list, tuple or dict of modules. A layer used in two places stays one layer.
      smoothing: `"group_interaction"`, `"ss_conv"`, `"circulant_group_interaction"`, `"average_filter"`,
        `"gaussian_filter"` or `"aggregated_filters"`, see `DilatedConv`; for causal layers one of the first two, which
        have a causal form. `"none"` turns the layers into plain DilatedConv.
      only: the layers to smooth, by default all: a path such as `"encoder.blocks"` or `("encoder", "blocks")`, with
        everything below it; a type, for its instances and everything in them; a predicate `f(path, layer)`, such as
        Flax's `nnx.PathContains("aspp")`; or a list of these.
      skip: the layers to leave unchanged, in the same forms; overrides `only`.
      strict: whether a layer that cannot be smoothed is an error. With False it stays unchanged, and the result gives
        the reason.
      rngs: source of randomness for the new layers; the smoothing draws nothing.

    Returns:
      The model (a new layer if the model itself was the convolution), and the list of the paths of the replaced layers,
      whose `skipped` and `refused` hold the paths of the others with the reasons.

    Raises:
      ValueError: smoothing is unknown, `only` or `skip` names no part of the model, or strict holds and a chosen layer
        of rate > 1 is masked, dilates its input, lies in an `nnx.SpectralNorm` or in an `nnx.WeightNorm` of more than
        kernels, computes in its own way, or smoothing has no causal form and a layer is causal; with its path.

    Example:
      >>> from flax import nnx
      >>> from smoothjax import nn
      >>> conv = lambda rate: nnx.Conv(4, 4, (3, 3), kernel_dilation=rate, rngs=nnx.Rngs(0))
      >>> model = nnx.Sequential(conv(1), conv(2), conv(4), conv(8))
      >>> model, paths = nn.smooth(model, "ss_conv", skip="layers.3", rngs=nnx.Rngs(0))
      >>> paths, paths.skipped
      ([('layers', 1), ('layers', 2)], {('layers', 3): 'skip names it'})
    """
    check_smoothing(smoothing)
    check_rngs(rngs)
    learns = identity_smoothing(smoothing, 2, 1) is not None
    normalised = normalised_parts(model, adding="smoother") if learns else dict[int, str]()
    ready, changes = choose(
        model,
        _is_to_smooth,
        lambda layer: _arguments(layer, smoothing, normalised.get(id(layer))),
        only=only,
        skip=skip,
        strict=strict,
        what=("smooth", "convolution"),
    )
    new: dict[int, Any] = {}
    for key, (layer, arguments) in ready.items():
        if isinstance(layer, DilatedConv) and "padding" in arguments:
            set_smoothing(layer, smoothing)
        else:
            new[key] = _replacement(layer, smoothing, arguments, rngs)
    return replace_modules(model, new), changes


def _is_to_smooth(node: object) -> bool:
    if isinstance(node, DilatedConv):
        return node.rate != 1 and node.smoothing == "none"
    return isinstance(node, nnx.Conv) and common_value(node.kernel_dilation) != 1


def _arguments(conv: nnx.Conv | DilatedConv, smoothing: Smoothing, wrapper: str | None) -> dict[str, Any]:
    """The arguments of a DilatedConv equivalent to `conv`; refuses if there is none.

    Without a padding they are arguments of a CausalDilatedConv.
    """
    if wrapper:
        raise RefusedError(
            f"it lies in an {wrapper}, which would also normalise the smoothing parameters; smooth the layer first and "
            "normalise its kernel alone"
        )
    how = _convolution(conv)
    one_kernel = (*how.kernel_size, conv.in_features // how.groups, conv.out_features)
    stack_of(conv, len(how.kernel_size), one_kernel)
    try:
        check_strided(smoothing, how.strides)
    except ValueError as error:
        raise RefusedError(f"it is strided; {error}") from None
    arguments: dict[str, Any] = {
        "rate": as_option(how.rates),
        "padding": how.padding,
        "strides": as_option(how.strides),
        "feature_group_count": how.groups,
        "precision": how.precision,
        "preferred_element_type": how.preferred_element_type,
    }
    if smoothing == "none" or not _sees_the_past_alone(how):
        return arguments
    if isinstance(conv, DilatedConv) and not (type(conv) is DilatedConv and conv.before is None and conv.after is None):
        raise RefusedError("it is causal, and more than a plain DilatedConv")
    if smoothing not in CAUSAL_SMOOTHINGS:
        knows = " and ".join(CAUSAL_SMOOTHINGS[1:])
        raise RefusedError(f"it is causal, and {smoothing} would look ahead; nn.CausalDilatedConv knows {knows}")
    del arguments["padding"]
    return arguments


def _convolution(conv: nnx.Conv | DilatedConv) -> Convolution:
    """The convolution of a layer; refuses a layer that computes something else or more."""
    if isinstance(conv, DilatedConv):
        return conv.convolution()
    check_subclass(conv, nnx.Conv, DilatedConv)
    if common_value(conv.input_dilation) != 1:
        raise RefusedError(f"it dilates its input, input_dilation={conv.input_dilation}")
    if conv.mask is not None:
        raise RefusedError("its kernel is masked")
    if conv.conv_general_dilated not in (jax.lax.conv_general_dilated, ops.conv_general_dilated):
        raise RefusedError("it uses a convolution function of its own")
    if conv.promote_dtype is not promote_dtype or conv.dtype not in (None, *DTYPES):
        raise RefusedError(f"it computes in a dtype of its own, dtype={conv.dtype}")
    if not 1 <= len(conv.kernel_size) <= 3:
        raise RefusedError(f"it has {len(conv.kernel_size)} spatial axes; smoothing knows one to three")
    try:
        return check_convolution_like(
            tuple(conv.kernel_size),
            common_value(conv.kernel_dilation),
            common_value(conv.strides),
            conv.padding,
            conv.feature_group_count,
            conv.precision,
            conv.preferred_element_type,
        )
    except ValueError as error:
        raise RefusedError(f"its padding is {conv.padding!r}; {error}") from None


def _sees_the_past_alone(how: Convolution) -> bool:
    """Whether the padding makes a convolution over time causal; a single tap needs none, so it gives no evidence."""
    reach = (how.kernel_size[0] - 1) * how.rates[0]
    return len(how.kernel_size) == 1 and reach > 0 and how.padding == ((reach, 0),)


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
        # The parameters may have been cast since.
        param_dtype=conv.kernel.dtype,
        rngs=rngs,
        **arguments,
    )
    # The same variable objects, so other references to them stay valid.
    stack = conv.kernel.shape[: -len(conv.kernel_size) - 2]
    layer.kernel, layer.bias = conv.kernel, conv.bias
    for smoother in layer.smoothers():
        one = getattr(layer, smoother)[...]
        setattr(layer, smoother, nnx.Param(jnp.broadcast_to(one, (*stack, *one.shape))))
    for name in [] if isinstance(conv, DilatedConv) else own_attributes(conv, nnx.Conv):
        setattr(layer, name, getattr(conv, name))
    return layer
