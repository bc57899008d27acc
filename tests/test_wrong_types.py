"""Values of a wrong type for the switches, choices, numbers, dtypes and keys of every public function and layer."""

import inspect
from collections.abc import Iterator, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.typing import DTypeLike

from smoothjax import models, nn, ops

_X, _KERNEL = jnp.ones((1, 8, 8, 4)), jnp.ones((3, 3, 4, 4))
_IMAGES = jnp.ones((1, 16, 16, 3))


#: The method of `nn.UpConv` that takes an option.
_METHODS = {"order": "pixel_dcl", "compressed_features": "carafe", "groups": "dysample"}
_CONV = {"in_features": 2, "out_features": 2}
_NORM = {"momentum": 0.9, "epsilon": 1e-3}
#: Every public name with one of them: the arguments of a call that lacks nothing but one of them.
_CALLS: dict[str, dict[str, Any]] = {
    "nn.CausalDilatedConv": {**_CONV, "kernel_size": 3, "rate": 2},
    "nn.DilatedConv": {**_CONV, "kernel_size": (3,), "rate": 2},
    "nn.FrequencySelection": {"features": 2},
    "nn.LargeKernelAttention": {"features": 4},
    "nn.GroupInteraction": {"rate": 2, "ndim": 2},
    "nn.SSBlockFC": {"rate": 2, "ndim": 2},
    "nn.SSConv": {"kernel_size": (3, 3)},
    "nn.UpConv": {"in_features": 4, "out_features": 4, "method": "dcl"},
    "nn.aggregated_filter": {"smoother": jnp.ones((3, 3)), "aggregation": jnp.ones((3, 3))},
    "nn.average_filter": {"rate": 2, "ndim": 2},
    "nn.gaussian_filter": {"rate": 2, "ndim": 2},
    "nn.identity_smoothing": {"smoothing": "ss_conv", "rate": 2, "ndim": 2},
    "nn.replace_upsampling": {"model": nnx.Dict(), "method": "dcl"},
    "nn.smooth": {"model": nnx.Dict(), "smoothing": "ss_conv"},
    "models.Averaging": {},
    "models.BatchNorm": {"num_features": 4, **_NORM, "mode": "trained"},
    "models.ConvVAE": {},
    "models.DeepLab": {"num_classes": 3},
    "models.DeepLabUpsampled": {"deeplab": None},  # refused before that is looked at
    "models.DegriddingLayers": {"in_features": 2, "features": 2, "rates": (2, 1)},
    "models.DenseUpsamplingHead": {"in_features": 2, "num_classes": 2},
    "models.DilatedDenoiser": {},
    "models.DilatedStackEncoder": {},
    "models.EfficientNetLiteEncoder": {"variant": "0"},
    "models.GCANet": {"task": "dehaze"},
    "models.ResNetEncoder": {"depth": 18},
    "models.SummedHead": {"in_features": 2, "num_classes": 2, "rates": (2,)},
    "models.TemporalConvNet": {"in_features": 2, "out_features": 2},
    "models.UNet": {"num_classes": 3},
    "models.downsample_labels": {"labels": jnp.zeros((1, 16, 16), jnp.int32)},
    "models.gcanet_image": {"output": _IMAGES, "images": _IMAGES},
    "models.segment": {"model": lambda x: x, "image": np.zeros((20, 20, 3), np.uint8)},
    "models.upsample_logits": {"logits": _X, "spatial_shape": (16, 16)},
    "ops.carafe": {"x": _X, "kernels": jnp.ones((1, 16, 16, 3, 3))},
    "ops.depthwise_conv": {"x": _X, "kernel": jnp.ones((3, 3, 4))},
    "ops.dilated_conv": {"x": _X, "kernel": _KERNEL},
    "ops.dysample": {"x": _X, "offsets": jnp.ones((1, 16, 16, 4, 2))},
    "ops.group_interaction_dilated_conv": {"x": _X, "kernel": _KERNEL, "weight": jnp.eye(4), "rate": 2},
    "ops.identity_group_interaction": {"rate": 2, "ndim": 2},
    "ops.identity_smoother": {"rate": 2, "ndim": 2},
    "ops.ipixel_deconv": {"x": _X, "kernels": [_KERNEL]},
    "ops.multigrid_rates": {"rate": 2, "depth": 3},
    "ops.periodic_subsample": {"x": _X},
    "ops.pixel_deconv": {"x": _X, "kernels": [_KERNEL]},
    "ops.pixel_order": {"factor": 2, "ndim": 2},
    "ops.reinterlace": {"groups": _X[None].repeat(4, 0), "rate": 2},
    "ops.ss_block_fc": {"x": _X, "weight": jnp.eye(4)},
    "ops.ss_conv": {"x": _X, "kernel": jnp.ones((3, 3))},
    "ops.ss_dilated_conv": {"x": _X, "kernel": _KERNEL, "smoother": jnp.ones((3, 3)), "rate": 2},
    "ops.transposed_conv": {"x": _X, "kernel": _KERNEL},
}
#: Users do not construct the results of functions; JAX itself checks arguments that are passed on to it.
_LEFT_OUT = {"nn.Smoother", "ops.conv_general_dilated"}
#: Taken for uniformity with other layers, and not looked at.
_UNUSED = {("rngs", f"nn.{name}") for name in ("FrequencySelection", "GroupInteraction", "SSBlockFC", "SSConv")}
_SWITCH, _CHOICE, _SIZES = ("yes", 1), ("nothing", ["none"], np.ones(2)), ("two", 2.5, ["two"])
_DTYPES, _NUMBER, _RNGS = ("bf16", jnp.int32, 16), ("two", 2.5, True, np.ones(2)), (0, "key", None)


def _members(annotation: Any) -> list[Any]:
    """The types in a union, which may be nested; any other annotation as it is."""
    if get_origin(annotation) in (Union, UnionType):
        return [member for part in get_args(annotation) for member in _members(part)]
    return [annotation]


def _wrong_values(annotation: Any) -> tuple[Any, ...]:
    """Wrong values for a switch, a choice, a number or sizes, alone or in a union, and for dtypes and keys.

    A choice may be annotated as text or a sequence, such as `"SAME"` or pairs. Unions with arrays
    or classes, which JAX checks, have none.
    """
    members = _members(annotation)
    origins = {get_origin(member) or member for member in members} - {NoneType}
    none = () if NoneType in members else (None,)
    if origins == {bool}:
        return _SWITCH + none
    if Literal in origins or origins == {str, Sequence}:
        return _CHOICE + none
    if annotation in (DTypeLike, DTypeLike | None):
        return _DTYPES
    if origins == {int}:
        return _NUMBER + none
    if origins == {nnx.Rngs}:
        return _RNGS
    if len(members) == 1 and get_args(annotation) in ((int,), (int, ...)):
        return _SIZES + none
    if len(members) == 1 or origins - {int, tuple, Sequence}:
        return ()
    return _NUMBER if int in origins else _SIZES


def _signed(value: Any) -> Any:
    """The function that has the arguments of a call; the class of a layer hides them."""
    return value.__init__ if inspect.isclass(value) else value


def _arguments() -> Iterator[tuple[str, str, tuple[Any, ...]]]:
    """Package, name, argument and wrong values for every argument that has any."""
    for package, module in (("nn", nn), ("models", models), ("ops", ops)):
        for name, value in sorted(vars(module).items()):
            function = _signed(value)
            if name[0] != "_" and f"{package}.{name}" not in _LEFT_OUT and inspect.isfunction(function):
                for argument, parameter in inspect.signature(function).parameters.items():
                    if (argument, f"{package}.{name}") in _UNUSED:
                        continue
                    if values := _wrong_values(parameter.annotation):
                        yield f"{package}.{name}", argument, values


def test_every_switch_and_choice_is_tried():
    assert {name for name, _, _ in _arguments()} == set(_CALLS)


@pytest.mark.parametrize(
    ("name", "argument", "values"), [pytest.param(*each, id=".".join(each[:2])) for each in _arguments()]
)
def test_is_refused_by_name(name, argument, values):
    """Otherwise text would count as True, or a library would raise an obscure TypeError."""
    package, _, last = name.partition(".")
    call, given = getattr({"nn": nn, "models": models, "ops": ops}[package], last), dict(_CALLS[name])
    if name == "nn.UpConv":
        given["method"] = _METHODS.get(argument, "dcl")
    if argument == "vocabulary":
        del given["in_features"]
    for value in values:
        # Fresh keys for each call, since a refused call may have used some.
        rngs = {"rngs": nnx.Rngs(0)} if "rngs" in inspect.signature(_signed(call)).parameters else {}
        with pytest.raises(ValueError, match=rf"^{argument} must be "):
            call(**{**given, **rngs, argument: value})
