"""Folding for inference: merges a filter and the dilated convolution after it into one, where that is faster."""

import itertools
import math
from typing import Any, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx

from .._checks import accumulation_dtype
from ._causal import CausalDilatedConv
from ._convolution import Convolution
from ._dilated import DilatedConv, filter_before
from ._selection import Changes, RefusedError, Selection, choose
from ._surgery import normalised_parts

Model = TypeVar("Model")
_Smoothed: TypeAlias = DilatedConv | CausalDilatedConv


def fold(model: Model, *, only: Selection = ..., skip: Selection = None) -> tuple[Model, Changes]:
    r"""Merges smoothing and dilated convolution into one convolution without smoothing, where that is faster.

    For inference. Changes the model in place; its outputs stay the same up to rounding. A filter of $2r - 1$ taps
    before a kernel of K taps at rate r is a dense kernel of $(K + 1)\,r - 1$ taps along each axis,

    $$D[rs + u] \mathrel{+}= k[s]\,v[u],$$

    which is no longer dilated. It saves a pass over the map, but has more taps: 49 instead of 9 for 3x3 at rate 2, 225
    at rate 4, each for every pair of channels. So only few layers are folded: layers of rate 1, where the filter is a
    factor; and, if the dense kernel multiplies no more often than filter and kernel together, depthwise layers along
    several axes up to rate 3 and layers along one axis to one channel. All others stay unchanged, and the result
    gives the reasons.

    Borders are also exact. Filter and convolution pad separately: beyond the border the convolution reads zeros, not
    filtered values. The dense kernel reproduces this for convolutions without padding or with circular padding, and
    for causal layers, since nothing precedes the first step; layers with other padding stay unchanged.

    Args:
      model: any Flax NNX module, or a list, tuple or dict of modules. Its smoothed `DilatedConv` and
        `CausalDilatedConv` layers are candidates: all filters, and group interaction of rate 1, which is a factor.
      only, skip: see `smooth`.

    Returns:
      The model, and the list of the paths of the folded layers, whose `skipped` and `refused` hold the paths of the
      others with the reasons. A folded layer has smoothing `"none"`, rate 1 and a larger kernel, which
      `smoothjax.weights.save` cannot store: save the network first, and fold the network that `load` returns.

    Raises:
      ValueError: model is neither a module nor a container of modules, or `only` or `skip` names no part of it.

    Example:
      >>> from flax import nnx
      >>> from smoothjax import nn
      >>> conv = lambda rate: nn.DilatedConv(4, 4, (3, 3), rate=rate, smoothing="ss_conv", rngs=nnx.Rngs(0))
      >>> model, paths = nn.fold(nnx.Sequential(conv(1), conv(2)))
      >>> paths, paths.refused
      ([('layers', 0)], {('layers', 1): 'a dense kernel multiplies 4.4 times as often'})
    """
    normalised = normalised_parts(model)
    ready, changes = choose(
        model,
        lambda node: isinstance(node, _Smoothed) and node.smoothing != "none",
        lambda layer: _folded(layer, normalised.get(id(layer))),
        only=only,
        skip=skip,
        strict=False,
        what=("fold", "smoothed convolution"),
    )
    for layer, how in ready.values():
        _set(layer, how)
    return model, changes


def _folded(layer: _Smoothed, wrapper: str | None) -> Convolution:
    """The convolution that a layer becomes; refuses if it is slower or not equivalent."""
    if wrapper or type(layer) not in (DilatedConv, CausalDilatedConv):
        raise RefusedError(f"it lies in an {wrapper}" if wrapper else f"it is a {type(layer).__name__}")
    how = layer.convolution()
    if max(how.rates) == 1:
        return how
    if layer.smoothing == "group_interaction":
        raise RefusedError("group interaction depends on the place in a block, and is not a convolution")
    # CPU seconds of the dense kernel relative to filter and kernel, on one core, 2x64x64 maps or 2x4096 steps: 3x3 at
    # rate 2, 9.1 (64 -> 64 channels), 3.3 (16 -> 16), 3.1 (64 -> 1), 3.5 (64, depthwise); at rate 4, 31.9 (64 -> 64),
    # 3.1 (depthwise); 1x1, 64 -> 1, 1.5 at rate 2 and 2.1 at rate 4, though it multiplies less; depthwise 1x1, 0.8 to
    # 1.0 at rate 2, 1.2 at rate 4; along one axis, 32 -> 1, 0.8 to 0.9, depthwise 0.3 to 1.0. Of rate 1, 0.8 to 1.0 (4
    # -> 4: 1.4).
    filters, dense = _sizes(how)
    outputs = layer.out_features // how.groups
    before = math.prod(filters) + math.prod(how.kernel_size) * outputs
    after = math.prod(dense) * outputs
    if after > before:
        raise RefusedError(f"a dense kernel multiplies {after / before:.1f} times as often")
    if len(dense) > 1 and (how.groups < layer.in_features or max(how.rates) > 3):
        raise RefusedError("a dense kernel takes longer, though it multiplies no more often")
    folded = how._replace(kernel_size=dense, rates=(1,) * len(dense))
    if how.padding == "CIRCULAR" or isinstance(layer, CausalDilatedConv):
        return folded
    if how.mode is not None or any(map(any, how.pairs)):
        raise RefusedError("its convolution pads a filtered map, which a dense kernel does not")
    return folded._replace(padding=tuple((rate - 1, rate - 1) for rate in how.rates))


def _sizes(how: Convolution) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Taps along each axis of a filter, and of the dense kernel."""
    filters = tuple(2 * rate - 1 for rate in how.rates)
    dense = tuple((taps - 1) * rate + f for taps, rate, f in zip(how.kernel_size, how.rates, filters, strict=True))
    return filters, dense


def _set(layer: _Smoothed, how: Convolution) -> None:
    make: Any = _dense_kernel
    for _ in layer.kernel.shape[: -len(layer.kernel_size) - 2]:  # a stack of layers, made by nnx.vmap
        make = nnx.vmap(make)
    layer.kernel, layer.smoother = nnx.Param(make(layer)), nnx.data(None)
    layer.kernel_size, layer.rate, layer.smoothing = how.kernel_size, 1, "none"
    if isinstance(layer, DilatedConv):
        layer.padding, layer.aggregation = how.padding, nnx.data(None)


def _dense_kernel(layer: _Smoothed) -> jax.Array:
    """`[*D, C_in, C_out]`, summed in float32 or wider and rounded once."""
    kernel, ndim = layer.kernel[...], len(layer.kernel_size)
    dtype = accumulation_dtype(kernel.dtype)
    how, taps = layer.convolution(), None if layer.smoother is None else layer.smoother[...]
    taps = jnp.asarray(filter_before(layer, taps) if isinstance(layer, DilatedConv) else taps)
    filters, dense_size = _sizes(how)
    taps, kernel = taps.reshape((*filters, 1, 1)).astype(dtype), kernel.astype(dtype)
    dense = jnp.zeros((*dense_size, *kernel.shape[ndim:]), dtype)
    for place in itertools.product(*map(range, how.kernel_size)):
        window = tuple(slice(i * rate, i * rate + f) for i, rate, f in zip(place, how.rates, filters, strict=True))
        dense = dense.at[window].add(taps * jnp.expand_dims(kernel[place], range(ndim)))
    return dense.astype(layer.kernel.dtype)
