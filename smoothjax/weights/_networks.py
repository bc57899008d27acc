"""Our networks by name, and the arguments of a constructor, read from the network that it made."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias, get_args

import jax.numpy as jnp
import numpy as np
from flax import nnx

from .. import nn, ops
from .._checks import DTYPES
from ..models import (
    DEGRIDDING_RATES,
    BatchNorm,
    ConvVAE,
    DeepLab,
    DeepLabUpsampled,
    DenseEncoder,
    DenseUpsamplingHead,
    DilatedDenoiser,
    DilatedStackEncoder,
    EfficientNetLiteEncoder,
    EncoderOptions,
    GCANet,
    ResNetEncoder,
    TemporalConvNet,
    UNet,
)
from ..names import PhaseOrder
from ._assign import Path, dotted, shapes_of

Arguments: TypeAlias = dict[str, object]
"""Arguments of a constructor by name, in JSON: a dtype by its name, a tuple as a list."""

_DTYPES = {jnp.dtype(dtype).name: dtype for dtype in DTYPES}
# Limits that no constructor checks; a file may state anything.
_UNCHECKED = {"momentum": float, "epsilon": float, "remat": bool, "classifier": bool}
# Larger numbers belong to no network, and would only take time and memory before that shows.
_LARGEST, _DEEPEST, _LONGEST = 2**20, 152, 64
_MODE = "use_running_average"  # of batch normalisation: every network is loaded in evaluation mode


@dataclass(frozen=True)
class Network:
    """A network that a file may hold.

    Attributes:
      kind: its class.
      arguments: reads the arguments from a network.
      build: makes a network from the arguments.
    """

    kind: type[nnx.Module]
    arguments: Callable[[Any], Mapping[str, object]]
    build: Callable[..., nnx.Module]


def network_of(model: nnx.Module) -> tuple[str, Arguments]:
    """The name of a network, and the arguments that make an equal one.

    Raises:
      ValueError: the model is not one of our networks, or was changed after it was made.
    """
    found = [(name, network) for name, network in NETWORKS.items() if type(model) is network.kind]
    if not found:
        raise ValueError(
            f"model must be one of {', '.join(NETWORKS)}, got {type(model).__name__}: for another model, save the "
            "arrays of nnx.state by name, with safetensors.numpy.save_file"
        )
    ((name, network),) = found
    arguments = {argument: _plain(value) for argument, value in network.arguments(model).items()}
    changed = _changes(model, build(name, arguments))
    if changed:
        raise ValueError(
            f"model must be a {name} as its constructor makes it, got one changed in {', '.join(changed[:3])}"
            f"{', ...' * (len(changed) > 3)}: a file holds the arguments of a constructor, so choose smoothing and "
            "up-sampling by its arguments, not by nn.smooth or nn.replace_upsampling, and save it before nn.fold"
        )
    return name, arguments


def build(name: str, arguments: Mapping[str, object]) -> nnx.Module:
    """The abstract network of untrusted arguments, which are checked.

    Raises:
      ValueError: the name or an argument is unknown, or a value makes no network.
    """
    if name not in NETWORKS:
        raise ValueError(f"its network must be one of {', '.join(NETWORKS)}, got {name[:60]!r}")
    make = NETWORKS[name].build
    given = {argument: _checked(argument, value) for argument, value in arguments.items()}
    try:
        return nnx.eval_shape(lambda: make(**given, rngs=nn.traced_rngs(0)))
    except Exception as error:  # constructors raise various errors for invalid arguments
        raise ValueError(f"its arguments make no {name} ({str(error) or type(error).__name__})") from error


def _plain(value: Any) -> object:
    """A value for JSON; anything but a plain value is a dtype."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.number | np.bool_):
        return value.item()
    return value if value is None or isinstance(value, bool | int | float | str) else jnp.dtype(value).name


def _checked(name: str, value: object) -> object:
    """A value from JSON for a constructor."""
    if name == "dtype":
        if value is not None and (not isinstance(value, str) or value not in _DTYPES):
            raise ValueError(f"its dtype must be None or one of {', '.join(_DTYPES)}, got {str(value)[:60]!r}")
        return None if value is None else _DTYPES[value]
    kind = _UNCHECKED.get(name)
    if kind is float and type(value) is int:
        value = float(value)
    if kind is not None and type(value) is not kind:
        raise ValueError(f"its argument {name} must be of type {kind.__name__}, got {str(value)[:60]!r}")
    if isinstance(value, list):
        if len(value) > _LONGEST:
            raise ValueError(f"its argument {name} must have at most {_LONGEST} values, got {len(value)}")
        return tuple(_checked(name, item) for item in value)
    limit = _DEEPEST if name == "depth" else _LARGEST
    if isinstance(value, int | float) and not abs(value) <= limit:
        raise ValueError(f"its argument {name} must be at most {limit:,}, got {value}")
    return value


def _changes(model: nnx.Module, made: nnx.Module) -> list[str]:
    """The differences of a model from one with the same arguments: parameters, and plain attributes of its modules."""
    shapes, expected = shapes_of(model), shapes_of(made)
    paths = [path for path in dict.fromkeys((*shapes, *expected)) if shapes.get(path) != expected.get(path)]
    changed = [dotted(path) for path in paths]
    here, there = _attributes(model), _attributes(made)
    places = [place for place in dict.fromkeys((*here, *there)) if here.get(place) != there.get(place)]
    return changed or [dotted(place) for place in places]


def _attributes(model: nnx.Module) -> dict[Path, object]:
    """Attributes that determine what a network computes, except its mode and functions, which cannot be compared."""
    return {
        (*path, name): _plain(value)
        for path, module in nnx.iter_modules(model)
        for name, value in vars(module).items()
        if name in ("dtype", "param_dtype") or (isinstance(value, bool | int | float | str | tuple) and name != _MODE)
    }


def _of_resnet(encoder: ResNetEncoder) -> dict[str, object]:
    return {"depth": encoder.depth, "smoothing": encoder.smoothing, **_options(encoder)}


def _of_lite(encoder: EfficientNetLiteEncoder) -> dict[str, object]:
    own = {"variant": encoder.variant, "smoothing": encoder.smoothing, "classifier": encoder.classifier is not None}
    return {**own, **_options(encoder)}


def _of_stack(encoder: DilatedStackEncoder) -> dict[str, object]:
    return {"rates": encoder.rates, "smoothing": encoder.smoothing, **_options(encoder)}


def _of_denoiser(model: DilatedDenoiser) -> dict[str, object]:
    names = ("stem", "rates", "smoothing", "width", "in_features", "dtype")
    return {name: getattr(model.encoder, name) for name in names}


def _options(encoder: DenseEncoder) -> dict[str, object]:
    fixed = {"output_stride"} if isinstance(encoder, DilatedStackEncoder) else set[str]()
    names = [name for name in EncoderOptions.__annotations__ if name not in fixed]
    return {name: getattr(encoder, name) for name in names if hasattr(encoder, name)}


def _of_deeplab(model: DeepLab) -> dict[str, object]:
    # A head with several summed convolutions is an ASPP, for any rates.
    rates = None if isinstance(model.head, DenseUpsamplingHead) else tuple(b.rate for b in model.head.branches)
    return {
        "encoder": model.encoder.name,
        "head": "duc" if rates is None else "large_fov" if len(rates) == 1 else "aspp",
        "num_classes": model.num_classes,
        "smoothing": _degridding(model),
        "head_rates": rates,
        **_options(model.encoder),
    }


def _degridding(model: DeepLab) -> str:
    if model.degridding is None:
        return model.encoder.smoothing
    found = tuple(conv.rate for conv in model.degridding.convs)
    largest = 32 // model.output_stride
    return next(name for name, rates in DEGRIDDING_RATES.items() if tuple(r for r in rates if r <= largest) == found)


def _of_upsampled(model: DeepLabUpsampled) -> dict[str, object]:
    return {**_of_deeplab(model.deeplab), **_of_upsampling(model.upsampling[0])}


def _upsampled(
    *, upsampling: nn.Upsampling, order: PhaseOrder | None, rngs: nnx.Rngs, **options: Any
) -> DeepLabUpsampled:
    return DeepLabUpsampled(DeepLab(**options, rngs=rngs), upsampling=upsampling, order=order, rngs=rngs)


def _of_upsampling(layer: nn.UpConv) -> dict[str, object]:
    orders = () if layer.order is None else get_args(PhaseOrder)
    order = next((name for name in orders if ops.pixel_order(layer.factor, 2, order=name) == layer.order), None)
    return {"upsampling": layer.method, "order": order}


def _of_unet(model: UNet) -> dict[str, object]:
    block = model.down[0]
    return {
        "num_classes": model.num_classes,
        **_of_upsampling(model.upsampling[0]),
        "depth": model.depth,
        "width": block.conv1.out_features,
        "in_features": model.in_features,
        "batch_norm": block.bn1.mode,
        **_of_norm(block.bn1),
        "dtype": block.conv1.dtype,
    }


def _of_norm(norm: BatchNorm) -> dict[str, object]:
    return {"momentum": norm.momentum, "epsilon": norm.epsilon}


def _of_vae(model: ConvVAE) -> dict[str, object]:
    own = {name: getattr(model, name) for name in ("latent_features", "width", "likelihood", "dtype")}
    return {**_of_upsampling(model.up[0]), **own, **_of_norm(model.up_norms[0])}


def _of_gcanet(model: GCANet) -> dict[str, object]:
    width, dtype = model.conv1.out_features, model.conv1.dtype
    return {"task": model.task, "smoothing": model.smoothing, "width": width, "dtype": dtype}


def _of_temporal(model: TemporalConvNet) -> dict[str, object]:
    names = ("out_features", "vocabulary", "in_features", "width", "kernel_size", "smoothing", "dtype")
    return {**{name: getattr(model, name) for name in names}, "depth": len(model.rates)}


#: The networks that a file may name; no other class is ever called.
NETWORKS: Mapping[str, Network] = MappingProxyType(
    {
        network.kind.__name__: network
        for network in (
            Network(DeepLab, _of_deeplab, DeepLab),
            Network(DeepLabUpsampled, _of_upsampled, _upsampled),
            Network(UNet, _of_unet, UNet),
            Network(ResNetEncoder, _of_resnet, ResNetEncoder),
            Network(EfficientNetLiteEncoder, _of_lite, EfficientNetLiteEncoder),
            Network(DilatedStackEncoder, _of_stack, DilatedStackEncoder),
            Network(ConvVAE, _of_vae, ConvVAE),
            Network(GCANet, _of_gcanet, GCANet),
            Network(DilatedDenoiser, _of_denoiser, DilatedDenoiser),
            Network(TemporalConvNet, _of_temporal, TemporalConvNet),
        )
    }
)
