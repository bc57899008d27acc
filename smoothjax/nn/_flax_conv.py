"""Examination of Flax layers before they are replaced: subclasses, and stacks made by `nnx.vmap`."""

import inspect
from typing import Any

from flax import nnx

from ._selection import RefusedError

#: Names that Python, Flax and a constructor add to a subclass that computes like its base.
_OF_ANY_CLASS = ("__init__", "__module__", "__qualname__", "__doc__", "__annotations__", "__abstractmethods__",
                 "__firstlineno__", "__static_attributes__", "__annotate__", "__annotate_func__",
                 "__annotations_cache__", "__orig_bases__", "__parameters__", "__dict__", "__weakref__")  # fmt: skip


def check_subclass(layer: nnx.Module, base: type[nnx.Module], replacement: type[nnx.Module]) -> None:
    """Raises RefusedError for a layer that may compute differently from `base`, or has attributes of its
    replacement."""
    kind, new = type(layer).__name__, replacement.__name__
    article = "an" if new[0] in "AEIOU" else "a"
    if names := _own_names(type(layer), base):
        raise RefusedError(
            f"it is a {kind}, a subclass of nnx.{base.__name__} of unknown meaning, which defines {', '.join(names)}"
        )
    if taken := sorted(name for name in own_attributes(layer, base) if name in replacement.__annotations__):
        raise RefusedError(f"it is a {kind} with attributes that {article} {new} also has, {', '.join(taken)}")


def own_attributes(layer: nnx.Module, base: type[nnx.Module]) -> list[str]:
    """Attributes that the constructor of a subclass sets besides those of a Flax convolution."""
    known = {"kernel", "bias", "kernel_shape", *inspect.signature(base.__init__).parameters}
    return [name for name in vars(layer) if name not in known and not name.startswith("_pytree__")]


def stack_of(conv: Any, ndim: int, kernel_shape: tuple[int, ...]) -> tuple[int, ...]:
    """The leading axes of parameters of layers stacked by `nnx.vmap`; empty for a single layer.

    Args:
      conv: the layer.
      ndim: number of its spatial axes.
      kernel_shape: shape of one layer's kernel; the bias has one number per output channel.

    Raises:
      RefusedError: a parameter is not such a stack.
    """
    stack = tuple(conv.kernel.shape[: -ndim - 2])
    for parameter, shape in ((conv.kernel, kernel_shape), (conv.bias, (conv.out_features,))):
        if parameter is not None and parameter.shape != (*stack, *shape):
            raise RefusedError(
                f"a parameter of shape {parameter.shape} is not a stack of {shape} along its first axes, where "
                "nnx.vmap puts the layers by default"
            )
    return stack


def _own_names(kind: type, base: type) -> list[str]:
    """Names that a subclass defines besides a constructor."""
    beyond = [cls for cls in kind.__mro__ if cls not in base.__mro__]
    names = {name for cls in beyond for name in vars(cls)} - set(_OF_ANY_CLASS)
    return sorted(name for name in names if not name.startswith(("_pytree__", "_abc_")))
