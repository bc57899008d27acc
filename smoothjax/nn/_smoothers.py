"""The smoothing parameters of a model, described by its layers."""

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import jax
from flax import nnx

from ._surgery import Path

SmootherKind = Literal["ss_conv", "causal_ss_conv", "group_interaction", "circulant_group_interaction", "aggregation"]
"""The kinds of smoothing parameters."""

_NAMES = ("smoother", "aggregation")


@dataclass(frozen=True)
class Smoother:
    """A smoothing parameter of a layer.

    Attributes:
      kind: `"ss_conv"`, a filter of the same size along each spatial axis; `"causal_ss_conv"`, a filter over time whose
        last tap is the current step; `"group_interaction"`, a square matrix, row i for output group i;
        `"circulant_group_interaction"`, weights by the difference of phases, `rate` along each axis; or
        `"aggregation"`, the logits of aggregated filters.
      parameter: the variable of the layer.
      initial: the initial value, float32: the identity of the method (Eqs. 6 and 7), zeros for logits.
      ndim: number of trailing axes that belong to one layer; the axes of an `nnx.vmap` stack come before.
    """

    kind: SmootherKind
    parameter: nnx.Param[jax.Array]
    initial: jax.Array
    ndim: int


class SmoothedLayer(nnx.Module):
    """A layer that describes its own smoothing parameters."""

    @abc.abstractmethod
    def smoothers(self) -> Mapping[str, Smoother]:
        """The smoothing parameters of this layer, by attribute; empty if it is not smoothed."""


def smoothers(model: nnx.Module) -> dict[Path, Smoother]:
    """The smoothing parameters of a model, described by its layers.

    Args:
      model: any Flax NNX module, also from `nnx.eval_shape`.

    Returns:
      A description of each, by the path of the parameter as in `nnx.to_flat_state`; a layer used in two places is
      listed once.

    Raises:
      ValueError: model is not a module.

    Example:
      >>> from flax import nnx
      >>> from smoothjax import nn
      >>> layer = nn.DilatedConv(3, 8, (3, 3), rate=2, smoothing="ss_conv", rngs=nnx.Rngs(0))
      >>> {path: smoother.kind for path, smoother in nn.smoothers(nnx.List([layer])).items()}
      {(0, 'smoother'): 'ss_conv'}
    """
    if not isinstance(model, nnx.Module):
        raise ValueError(
            f"model must be a Flax NNX module, got {type(model).__name__}: parameters without their layers have no "
            "description"
        )
    return {
        (*path, name): smoother
        for path, layer in nnx.iter_modules(model)
        if isinstance(layer, SmoothedLayer)
        for name, smoother in layer.smoothers().items()
    }


def is_smoother(path: Sequence[object]) -> bool:
    """Whether a parameter's path, as in a pure dict of `nnx.split`, leads to a smoothing parameter.

    For trees of parameters without a model; `smoothers` asks the layers of a model. Smoothing filters start as the
    identity; weight decay would pull them to zero, so optimizers should exempt them.

    Args:
      path: keys from the model down to the parameter.

    Returns:
      True for the `smoother` and the `aggregation` of any layer of this package.

    Example:
      >>> from smoothjax import nn
      >>> nn.is_smoother(("encoder", "conv", "smoother")), nn.is_smoother(("encoder", "conv", "kernel"))
      (True, False)
    """
    return len(path) > 0 and path[-1] in _NAMES
