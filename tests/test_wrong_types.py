"""Values of a wrong type for the switches and choices of every public function and layer."""

import inspect
from collections.abc import Iterator, Sequence
from functools import partial
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from smoothjax import models, nn, ops

_X, _KERNEL = jnp.ones((1, 8, 8, 4)), jnp.ones((3, 3, 4, 4))
_IMAGES = jnp.ones((1, 16, 16, 3))


def _with_rngs(layer, *arguments):
    """Fresh keys for each call, since a refused call may have used some."""
    return lambda **options: layer(*arguments, rngs=nnx.Rngs(0), **options)


#: The method of `nn.UpConv` that takes an option.
_METHODS = {"order": "pixel_dcl", "compressed_features": "carafe", "groups": "dysample"}
#: Every public name with a switch or a choice: a call that lacks nothing but one of them.
_CALLS: dict[str, Any] = {
    "nn.CausalDilatedConv": lambda **options: nn.CausalDilatedConv(2, 2, 3, rate=2, rngs=nnx.Rngs(0), **options),
    "nn.DilatedConv": lambda **options: _with_rngs(nn.DilatedConv, 2, 2)(**{"kernel_size": (3,), "rate": 2, **options}),
    "nn.LargeKernelAttention": _with_rngs(nn.LargeKernelAttention, 4),
    "nn.GroupInteraction": lambda **options: _with_rngs(nn.GroupInteraction)(**{"rate": 2, "ndim": 2, **options}),
    "nn.SSBlockFC": lambda **options: _with_rngs(nn.SSBlockFC)(**{"rate": 2, "ndim": 2, **options}),
    "nn.SSConv": _with_rngs(nn.SSConv, (3, 3)),
    "nn.UpConv": lambda **options: _with_rngs(nn.UpConv, 4, 4)(
        **{"method": _METHODS.get(next(iter(options)), "dcl"), **options}
    ),
    "nn.aggregated_filter": partial(nn.aggregated_filter, jnp.ones((3, 3)), jnp.ones((3, 3))),
    "nn.average_filter": partial(nn.average_filter, ndim=2),
    "nn.gaussian_filter": partial(nn.gaussian_filter, ndim=2),
    "nn.identity_smoothing": partial(nn.identity_smoothing, "ss_conv", ndim=2),
    "nn.replace_upsampling": lambda **options: _with_rngs(nn.replace_upsampling, nnx.Dict())(
        **{"method": "dcl", **options}
    ),
    "nn.smooth": lambda **options: _with_rngs(nn.smooth, nnx.Dict())(**{"smoothing": "ss_conv", **options}),
    "models.Averaging": models.Averaging,
    "models.BatchNorm": lambda **options: models.BatchNorm(
        4, momentum=0.9, epsilon=1e-3, rngs=nnx.Rngs(0), **{"mode": "trained", **options}
    ),
    "models.ConvVAE": _with_rngs(models.ConvVAE),
    "models.DeepLab": partial(_with_rngs(models.DeepLab), num_classes=3),
    "models.DeepLabUpsampled": _with_rngs(models.DeepLabUpsampled, None),  # refused before that is looked at
    "models.DegriddingLayers": partial(_with_rngs(models.DegriddingLayers, 2, 2), rates=(2, 1)),
    "models.DilatedStackEncoder": _with_rngs(models.DilatedStackEncoder),
    "models.EfficientNetLiteEncoder": lambda **options: _with_rngs(models.EfficientNetLiteEncoder)(
        **{"variant": "0", **options}
    ),
    "models.GCANet": lambda **options: _with_rngs(models.GCANet)(**{"task": "dehaze", **options}),
    "models.ResNetEncoder": lambda **options: _with_rngs(models.ResNetEncoder)(**{"depth": 18, **options}),
    "models.TemporalConvNet": lambda **options: _with_rngs(models.TemporalConvNet)(
        **({} if "vocabulary" in options else {"in_features": 2}) | {"out_features": 2, **options}
    ),
    "models.UNet": partial(_with_rngs(models.UNet), num_classes=3),
    "models.downsample_labels": partial(models.downsample_labels, jnp.zeros((1, 16, 16), jnp.int32)),
    "models.gcanet_image": partial(models.gcanet_image, _IMAGES, _IMAGES),
    "models.segment": partial(models.segment, lambda x: x, np.zeros((20, 20, 3), np.uint8)),
    "models.upsample_logits": partial(models.upsample_logits, _X, (16, 16)),
    "ops.carafe": partial(ops.carafe, _X, jnp.ones((1, 16, 16, 3, 3))),
    "ops.depthwise_conv": partial(ops.depthwise_conv, _X, jnp.ones((3, 3, 4))),
    "ops.dilated_conv": partial(ops.dilated_conv, _X, _KERNEL),
    "ops.dysample": partial(ops.dysample, _X, jnp.ones((1, 16, 16, 4, 2))),
    "ops.group_interaction_dilated_conv": lambda **options: ops.group_interaction_dilated_conv(
        _X, _KERNEL, jnp.eye(4), **{"rate": 2, **options}
    ),
    "ops.identity_group_interaction": partial(ops.identity_group_interaction, ndim=2),
    "ops.identity_smoother": partial(ops.identity_smoother, ndim=2),
    "ops.ipixel_deconv": partial(ops.ipixel_deconv, _X, [_KERNEL]),
    "ops.periodic_subsample": partial(ops.periodic_subsample, _X),
    "ops.pixel_deconv": partial(ops.pixel_deconv, _X, [_KERNEL]),
    "ops.pixel_order": lambda **options: ops.pixel_order(**{"factor": 2, "ndim": 2, **options}),
    "ops.reinterlace": lambda **options: ops.reinterlace(_X[None].repeat(4, 0), **{"rate": 2, **options}),
    "ops.ss_block_fc": partial(ops.ss_block_fc, _X, jnp.eye(4)),
    "ops.ss_conv": partial(ops.ss_conv, _X, jnp.ones((3, 3))),
    "ops.ss_dilated_conv": lambda **options: ops.ss_dilated_conv(
        _X, _KERNEL, jnp.ones((3, 3)), **{"rate": 2, **options}
    ),
    "ops.transposed_conv": partial(ops.transposed_conv, _X, _KERNEL),
}
#: Users do not construct the results of functions; JAX itself checks arguments that are passed on to it.
_LEFT_OUT = {"nn.Smoother", "ops.conv_general_dilated"}
_SWITCH, _CHOICE, _SIZES = ("yes", 1), ("nothing", ["none"], np.ones(2)), ("two", 2.5, ["two"])
_NUMBER = ("two", 2.5, True, np.ones(2))


def _members(annotation: Any) -> list[Any]:
    """The types in a union, which may be nested; any other annotation as it is."""
    if get_origin(annotation) in (Union, UnionType):
        return [member for part in get_args(annotation) for member in _members(part)]
    return [annotation]


def _wrong_values(annotation: Any) -> tuple[Any, ...]:
    """Wrong values for a switch, for a choice, alone or in a union, and for a number or sizes in a union.

    A choice may be annotated as text or a sequence, such as `"SAME"` or pairs. Unions with arrays or types, which JAX
    checks, have none.
    """
    members = _members(annotation)
    origins = {get_origin(member) or member for member in members} - {NoneType}
    none = () if NoneType in members else (None,)
    if origins == {bool}:
        return _SWITCH + none
    if Literal in origins or origins == {str, Sequence}:
        return _CHOICE + none
    if len(members) == 1 or origins - {int, tuple, Sequence}:
        return ()
    return _NUMBER if int in origins else _SIZES


def _arguments() -> Iterator[tuple[str, str, tuple[Any, ...]]]:
    """Package, name, argument and wrong values for every argument that has any."""
    for package, module in (("nn", nn), ("models", models), ("ops", ops)):
        for name, value in sorted(vars(module).items()):
            function = value.__init__ if inspect.isclass(value) else value
            if name[0] != "_" and f"{package}.{name}" not in _LEFT_OUT and inspect.isfunction(function):
                for argument, parameter in inspect.signature(function).parameters.items():
                    if values := _wrong_values(parameter.annotation):
                        yield f"{package}.{name}", argument, values


def test_every_switch_and_choice_is_tried():
    assert {name for name, _, _ in _arguments()} == set(_CALLS)


@pytest.mark.parametrize(
    ("name", "argument", "values"), [pytest.param(*each, id=".".join(each[:2])) for each in _arguments()]
)
def test_is_refused_by_name(name, argument, values):
    """Otherwise text would count as True, or a library would raise an obscure TypeError."""
    for value in values:
        with pytest.raises(ValueError, match=rf"^{argument} must be "):
            _CALLS[name](**{argument: value})
