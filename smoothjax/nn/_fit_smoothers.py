"""Fitting the smoothers of a trained network without labels and without gradients."""

import itertools
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeGuard

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import ArrayLike

from .._checks import spread
from ._dilated import DilatedConv, identity_smoothing
from ._surgery import Path

#: Share of the mean of the diagonal to add to it, towards the identity, in case maps have no energy.
_RIDGE = 1e-3


def fit_smoothers(model: nnx.Module, images: ArrayLike, *, preserve: float = 1000.0) -> dict[Path, float]:
    r"""Fits the SS filters of a trained network to images, without labels, gradients or a change to its weights.

    The phases of a dilated convolution of rate r are computed separately. If they disagree, its output y has energy at
    and around the frequencies $m / r$, $m \ne 0$: a copy of low frequencies that alternates from phase to phase. A
    filter w before the convolution, equivalent to one after it except at the borders, should remove this energy and
    preserve low frequencies:

    $$\min_w \sum_{m \ne 0} \big\|L\,(e^{2 \pi i\,m \cdot x / r}\,(w * y))\big\|^2
    + \lambda\,\big\|L\,(w * y - y)\big\|^2$$

    where L is the triangular filter of $2 r - 1$ taps that passes low frequencies and is 0 at all $m / r$. The problem
    is linear least squares in w: the normal equations only need the power spectrum of y, which a forward pass gives for
    every layer. Layers are fitted in the order of their calls, each with the earlier ones in place. Filters are
    symmetric and sum to 1.

    It helps only if there is gridding: see the measurements in the guide "When does degridding help?". Training with
    smoothers helps more.

    Args:
      model: a network whose `DilatedConv` layers have an SS filter, such as a trained one after `nn.smooth(model,
        "ss_conv", rngs=...)`; their smoothers start anew. Strided, stacked and causal layers, and other smoothings,
        stay unchanged. The model runs in evaluation mode and is otherwise unchanged.
      images: some of its inputs, `[N, *S, C]`, without labels; each layer takes one pass over them.
      preserve: $\lambda$, above 0; larger values stay closer to the identity. The default was best in the guide.

    Returns:
      For each fitted layer, by its path and in the order of calls, the share of the energy around $m / r$ that its
      filter leaves, in [0, 1] up to rounding.

    Raises:
      ValueError: model is not a module that can be called, calls no such layer, or one inside a transformation such as
        `nnx.remat`, preserve is not above 0 and finite, or images are empty or lead to NaN or infinity. The model is
        then as it was.

    Example:
      >>> import jax.numpy as jnp
      >>> from flax import nnx
      >>> from smoothjax import nn
      >>> model = nnx.Sequential(nn.DilatedConv(1, 1, (3,), rate=2, smoothing="ss_conv", rngs=nnx.Rngs(0)))
      >>> x = jnp.arange(64.0)
      >>> signal = jnp.sin(x / 9) + (-1) ** x  # the phases disagree
      >>> {path: round(left, 1) for path, left in nn.fit_smoothers(model, signal[None, :, None], preserve=10).items()}
      {('layers', 0): 0.0}
    """
    if not (isinstance(model, nnx.Module) and callable(model)):
        raise ValueError(f"model must be a Flax NNX module that can be called, got {type(model).__name__}: pass one")
    if not 0 < preserve < math.inf:
        raise ValueError(f"preserve must be above 0 and finite, got {preserve}: 1000 changes little, 10 smooths much")
    given = jnp.asarray(images)
    if not given.size:
        raise ValueError(f"images must hold at least one input, got shape {given.shape}: some sixteen are enough")
    layers: dict[Path, DilatedConv] = {path: each for path, each in nnx.iter_modules(model) if _can_be_fitted(each)}
    if not layers:
        raise ValueError(
            'model must hold a DilatedConv with smoothing="ss_conv", unstrided and not stacked (a CausalDilatedConv or '
            'another smoothing is not fitted): give an unsmoothed model to nn.smooth(model, "ss_conv", rngs=...) first'
        )
    before = [jnp.copy(_smoother(layer)[...]) for layer in layers.values()]
    try:
        return _fit(model, layers, given, preserve)
    except BaseException:  # nothing is half done
        for layer, smoother in zip(layers.values(), before, strict=True):
            _smoother(layer)[...] = smoother
        raise


def _fit(
    model: nnx.Module, layers: Mapping[Path, DilatedConv], images: jax.Array, preserve: float
) -> dict[Path, float]:
    """Fits the smoothers of these layers, in the order of calls: see `fit_smoothers`."""
    for layer in layers.values():
        _set(layer, identity_smoothing("ss_conv", layer.rate, len(layer.kernel_size)))
    graph, paths = nnx.split(model)[0], tuple(layers)
    left = dict[Path, float]()
    for number in range(len(layers)):
        try:
            spectra = _spectra(nnx.state(model), images, graph=graph, paths=paths)
        except jax.errors.UnexpectedTracerError as error:
            raise ValueError(
                "model must call the layers to fit outside of transformations such as nnx.remat, nnx.jit and nnx.scan, "
                "which keep what is inside: fit the model without them"
            ) from error
        if number == len(spectra):
            break  # the others are not called
        path, spectrum = list(spectra.items())[number]
        if not jnp.isfinite(spectrum).all():
            raise ValueError(f"images must give finite outputs, got NaN or infinity in the layer {path}: check images")
        smoother, share = _fitted(spectrum, preserve, rates=spread(layers[path].rate, spectrum.ndim))
        _set(layers[path], smoother)
        left[path] = float(share)
    if not left:
        raise ValueError("model must call a DilatedConv with an SS filter, and calls none: pass the part that does")
    return left


@partial(jax.jit, static_argnames=("graph", "paths"))
def _spectra(
    state: nnx.State, images: jax.Array, *, graph: nnx.GraphDef[Any], paths: tuple[Path, ...]
) -> OrderedDict[Path, jax.Array]:
    """The power spectra of the outputs of some layers' convolutions, in the order of their calls."""
    model = nnx.merge(graph, state)
    model.eval()
    found = OrderedDict[Path, jax.Array]()
    for path, layer in nnx.iter_modules(model):
        # What a rematerialised layer records is out of reach; turning it off changes no result.
        if getattr(layer, "remat", False):
            setattr(layer, "remat", False)  # noqa: B010 (a Module does not declare it)
        if path in paths and isinstance(layer, DilatedConv):
            layer.after = _watched(layer, path, found)
    model(images)
    return found


def _can_be_fitted(layer: object) -> TypeGuard[DilatedConv]:
    if not isinstance(layer, DilatedConv) or layer.smoothing != "ss_conv" or layer.smoother is None:
        return False
    return layer.smoother.ndim == len(layer.kernel_size) and max(spread(layer.strides, layer.smoother.ndim)) == 1


def _smoother(layer: DilatedConv) -> nnx.Param[jax.Array]:
    assert layer.smoother is not None
    return layer.smoother


def _set(layer: DilatedConv, smoother: jax.Array | None) -> None:
    assert smoother is not None
    _smoother(layer)[...] = jnp.asarray(smoother, _smoother(layer).dtype)


def _watched(layer: DilatedConv, path: Path, found: dict[Path, jax.Array]) -> Callable[[jax.Array], jax.Array]:
    """The operation after the convolution, extended to record its input."""
    after, rates = layer.after, spread(layer.rate, len(layer.kernel_size))

    def look(y: jax.Array) -> jax.Array:
        power = _power(y, rates)
        # A layer called several times gets the energy of all calls, if their maps have one size.
        found[path] = power + found[path] if path in found and found[path].shape == power.shape else power
        return y if after is None else after(y)

    return look


def _power(y: jax.Array, rates: tuple[int, ...]) -> jax.Array:
    """The power spectrum of maps `[N, *S, C]`, under a Hann window, without their borders; padded by zeros."""
    y = y.astype(jnp.float32)
    for axis, rate in enumerate(rates, 1):
        margin = min(rate, y.shape[axis] // 6)
        y = jax.lax.slice_in_dim(y, margin, y.shape[axis] - margin, axis=axis)
    axes = tuple(range(1, y.ndim - 1))
    y = y - y.mean(axes, keepdims=True)
    for axis in axes:
        y = y * _along(jnp.hanning(y.shape[axis] + 2)[1:-1], axis, y.ndim)
    sizes = [y.shape[axis] + 4 * rate for axis, rate in enumerate(rates, 1)]
    return (jnp.abs(jnp.fft.fftn(y, s=sizes, axes=axes)) ** 2).mean((0, -1))


def _along(values: jax.Array, axis: int, ndim: int) -> jax.Array:
    """Values along one axis, to be broadcast."""
    return values.reshape([-1 if a == axis else 1 for a in range(ndim)])


@partial(jax.jit, static_argnames="rates")
def _fitted(power: jax.Array, preserve: float, *, rates: tuple[int, ...]) -> tuple[jax.Array, jax.Array]:
    """The filter, and the share of the energy around the frequencies of the grid that it leaves."""
    offsets = list(itertools.product(*(range(1 - rate, rate) for rate in rates)))
    at, count = jnp.array(offsets), len(offsets)
    shifts = jnp.moveaxis(at[:, None] - at[None], -1, 0)

    def gram(weight: jax.Array) -> jax.Array:
        return jnp.fft.ifftn(power * weight).real[tuple(shifts)]

    phases = list(itertools.product(*(range(rate) for rate in rates)))
    passed = [_passed(phase, rates, power.shape) for phase in phases]
    power = power / jnp.where(power.max() > 0, power.max(), 1)  # small and large powers would leave the range
    low, grid = gram(passed[0]), gram(jnp.stack(passed[1:]).sum(0))
    identity = jnp.array([float(not any(offset)) for offset in offsets])
    # Divided by the larger weight, so that no preserve leaves the range.
    share_of_grid, share_of_low = 1 / jnp.maximum(preserve, 1), preserve / jnp.maximum(preserve, 1)
    left = share_of_grid * grid + share_of_low * low
    ridge = _RIDGE * jnp.trace(left) / count
    left, right = left + ridge * jnp.eye(count), share_of_low * low @ identity + ridge * identity
    # Mirror images of a tap share its value, and so do axes of one rate.
    kinds = [_kind(offset, rates) for offset in offsets]
    basis = jnp.array([[float(kind == other) for other in dict.fromkeys(kinds)] for kind in kinds])
    taps = basis @ jnp.linalg.solve(basis.T @ left @ basis, basis.T @ right)
    # Maps of zeros give no information.
    taps = jnp.where(ridge > 0, taps / taps.sum(), identity)
    before = identity @ grid @ identity
    share = jnp.where(before > 0, taps @ grid @ taps / before, 1.0)
    return taps.reshape([2 * rate - 1 for rate in rates]), share


def _kind(offset: tuple[int, ...], rates: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """The kind of a tap; taps of one kind have the same value."""
    return tuple(
        tuple(sorted(abs(step) for step, other in zip(offset, rates, strict=True) if other == rate))
        for rate in sorted(set(rates))
    )


def _passed(phase: tuple[int, ...], rates: tuple[int, ...], sizes: tuple[int, ...]) -> jax.Array:
    """The power response of the low-pass filter, moved to a frequency of the grid."""
    result = jnp.ones((1,) * len(sizes))
    for axis, (step, rate, size) in enumerate(zip(phase, rates, sizes, strict=True)):
        turns = (jnp.fft.fftfreq(size) - step / rate)[:, None] * jnp.arange(rate)[None]
        box = jnp.exp(-2j * jnp.pi * turns).mean(1)
        result = result * _along(jnp.abs(box) ** 4, axis, len(sizes))
    return result
