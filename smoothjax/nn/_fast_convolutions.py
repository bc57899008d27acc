"""Plug and play: fast convolutions on CPU, in any existing model."""

import jax
from flax import nnx

from .. import ops
from ._surgery import Path, find_modules


def use_fast_convolutions(model: object) -> list[Path]:
    """Lets every `nnx.Conv` of a model compute with `smoothjax.ops.conv_general_dilated`.

    The model is changed in place; parameters, outputs and gradients stay the same, and so do computations on other
    platforms. Layers with a custom convolution function keep it; `nnx.ConvTranspose` has no choice of one.

    Args:
      model: any Flax NNX module, or a list, tuple or dict of modules.

    Returns:
      The paths of the changed layers.

    Raises:
      ValueError: model is neither a module nor a container of modules.

    Example:
      >>> from flax import nnx
      >>> from smoothjax import nn
      >>> model = nnx.Sequential(nnx.Conv(3, 8, (3, 3), rngs=nnx.Rngs(0)), nnx.relu)
      >>> nn.use_fast_convolutions(model)
      [('layers', 0)]
    """
    found = find_modules(model, _has_the_default)
    for layer, _ in found.values():
        layer.conv_general_dilated = ops.conv_general_dilated
    return [path for _, path in found.values()]


def _has_the_default(node: object) -> bool:
    return isinstance(node, nnx.Conv) and node.conv_general_dilated is jax.lax.conv_general_dilated
