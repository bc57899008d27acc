"""Values of a wrong type for the switches and choices of every public function and layer."""

import inspect
from functools import partial
from typing import Any, Literal, get_origin

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


#: Every public name with a switch or a choice: a call that lacks nothing but one of them.
_CALLS: dict[str, Any] = {
    "nn.CausalDilatedConv": lambda **options: nn.CausalDilatedConv(2, 2, 3, rate=2, rngs=nnx.Rngs(0), **options),
    "nn.DilatedConv": lambda **options: nn.DilatedConv(2, 2, (3,), rate=2, rngs=nnx.Rngs(0), **options),
    "nn.LargeKernelAttention": _with_rngs(nn.LargeKernelAttention, 4),
    "nn.UpConv": lambda **options: _with_rngs(nn.UpConv, 4, 4)(**{"method": "dcl", **options}),
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
    "models.TemporalConvNet": partial(_with_rngs(models.TemporalConvNet), in_features=2, out_features=2),
    "models.UNet": partial(_with_rngs(models.UNet), num_classes=3),
    "models.downsample_labels": partial(models.downsample_labels, jnp.zeros((1, 16, 16), jnp.int32)),
    "models.gcanet_image": partial(models.gcanet_image, _IMAGES, _IMAGES),
    "models.segment": partial(models.segment, lambda x: x, np.zeros((20, 20, 3), np.uint8)),
    "models.upsample_logits": partial(models.upsample_logits, _X, (16, 16)),
    "ops.dilated_conv": partial(ops.dilated_conv, _X, _KERNEL),
    "ops.transposed_conv": partial(ops.transposed_conv, _X, _KERNEL),
}
#: What functions return is made by nobody else.
_RETURNED = {"nn.Smoother"}
_SWITCH, _CHOICE = ("yes", 1, None), ("nothing", ["none"], np.ones(2))


def _arguments():
    """Package, name, argument and wrong values for every argument annotated as bool or as a single Literal."""
    for package, module in (("nn", nn), ("models", models), ("ops", ops)):
        for name, value in sorted(vars(module).items()):
            function = value.__init__ if inspect.isclass(value) else value
            if name[0] != "_" and f"{package}.{name}" not in _RETURNED and inspect.isfunction(function):
                for argument, parameter in inspect.signature(function).parameters.items():
                    is_choice = get_origin(parameter.annotation) is Literal
                    if parameter.annotation is bool or is_choice:
                        yield f"{package}.{name}", argument, _CHOICE if is_choice else _SWITCH


def test_every_switch_and_choice_is_tried():
    assert {name for name, _, _ in _arguments()} == set(_CALLS)


@pytest.mark.parametrize(
    ("name", "argument", "values"), [pytest.param(*each, id=".".join(each[:2])) for each in _arguments()]
)
def test_is_refused_by_name(name, argument, values):
    """Otherwise text would count as True, or a library would raise an obscure TypeError."""
    for value in values:
        with pytest.raises(ValueError, match=rf"^{argument} must be (True or False|one of )"):
            _CALLS[name](**{argument: value})
