"""The convolution inside a layer, with all options of `flax.nnx.Conv` that a smoothed layer keeps."""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, TypeAlias, get_args

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

from .. import ops
from .._checks import Pairs, check_by_axis, check_dtypes, check_int, check_rngs, effective_size, is_int
from .._meshes import keeps_split_batch
from .._programs import one_program

PaddingName = Literal["SAME", "SAME_LOWER", "VALID", "CIRCULAR", "REFLECT"]
ConvPadding: TypeAlias = PaddingName | str | int | Sequence[int | tuple[int, int]]
"""Padding as in `flax.nnx.Conv`."""

#: Modes of `jax.numpy.pad` for the paddings other than zeros.
_MODES = {"CIRCULAR": "wrap", "REFLECT": "reflect"}


class Convolution(NamedTuple):
    """The geometry of a convolution of channels-last maps, by axis; hashable."""

    kernel_size: tuple[int, ...]
    rates: tuple[int, ...]
    strides: tuple[int, ...]
    padding: PaddingName | Pairs
    groups: int = 1
    precision: lax.PrecisionLike = None
    preferred_element_type: DTypeLike | None = None

    @property
    def mode(self) -> str | None:
        """The mode of `jax.numpy.pad`, unless padding is by zeros."""
        return _MODES.get(self.padding) if isinstance(self.padding, str) else None

    @property
    def is_plain(self) -> bool:
        """Whether the operations of `smoothjax.ops` compute it directly."""
        as_it_comes = self.precision is None and self.preferred_element_type is None
        return as_it_comes and self.mode is None and self.groups == max(self.strides) == 1

    @property
    def zeros(self) -> str | Pairs:
        """The padding of a plain convolution, for `smoothjax.ops`."""
        return self.pairs if self.padding == "SAME_LOWER" else self.padding

    @property
    def pairs(self) -> Pairs:
        """The padding by axis without strides, so independent of the size of the maps."""
        if not isinstance(self.padding, str):
            return self.padding
        totals = [effective_size(taps, rate) - 1 for taps, rate in zip(self.kernel_size, self.rates, strict=True)]
        if self.padding == "VALID":
            return ((0, 0),) * len(totals)
        less = [(total // 2, total - total // 2) for total in totals]
        return tuple((high, low) if self.padding == "SAME_LOWER" else (low, high) for low, high in less)


def check_padding(padding: object, kernel_size: Sequence[int], rates: Sequence[int]) -> PaddingName | Pairs:
    """Returns a padding by its name in capitals, or as pairs `(low, high)` by axis.

    Flax compares and hashes the options of a layer, and lists and arrays have no hash.
    """
    ndim = len(kernel_size)
    if isinstance(padding, str):
        if padding.upper() == "CAUSAL" and ndim == 1:
            return ((effective_size(kernel_size[0], rates[0]) - 1, 0),)
        for name in get_args(PaddingName):
            if padding.upper() == name:
                return name
    sides = [padding] * ndim if is_int(padding) else padding
    if isinstance(sides, Iterable) and not isinstance(sides, str):
        pairs = [(side, side) if is_int(side) else side for side in sides]
        whole = [tuple(pair) for pair in pairs if isinstance(pair, Iterable)]
        counts = all(len(pair) == 2 and all(is_int(side) and side >= 0 for side in pair) for pair in whole)
        if len(whole) == len(pairs) == ndim and counts:
            return tuple((int(low), int(high)) for low, high in whole)
    names = ", ".join(map(repr, (*get_args(PaddingName), "CAUSAL")[: None if ndim == 1 else -1]))
    raise ValueError(
        f"padding must be one of {names}, an int >= 0, or one int or pair (low, high) of ints >= 0 for each of the "
        f"{ndim} spatial axes, got {padding!r}: use 'SAME' to keep the size"
    )


def check_convolution_like(
    kernel_size: tuple[int, ...],
    rate: object,
    strides: object,
    padding: object,
    feature_group_count: object,
    precision: lax.PrecisionLike,
    preferred_element_type: DTypeLike | None,
) -> Convolution:
    """The convolution described by the options of a layer; refuses malformed options."""
    ndim = len(kernel_size)
    rates = check_by_axis("rate", rate, ndim, remedy="pass one Python int, or one for each spatial axis")
    steps = check_by_axis("strides", strides, ndim, remedy="use 1 to keep the size")
    groups = check_int("feature_group_count", feature_group_count)
    pads = check_padding(padding, kernel_size, rates)
    return Convolution(kernel_size, rates, steps, pads, groups, precision, preferred_element_type)


def check_layer(
    in_features: object,
    out_features: object,
    rngs: object,
    dtype: object,
    param_dtype: object,
    preferred_element_type: object,
) -> tuple[int, int]:
    """Refuses bad values of the arguments that all layers share; returns the channels as Python ints."""
    check_rngs(rngs)
    check_dtypes(dtype=dtype, param_dtype=param_dtype, preferred_element_type=preferred_element_type)
    return (
        check_int("in_features", in_features, remedy="count the channels of the inputs"),
        check_int("out_features", out_features, remedy="count the channels of the outputs"),
    )


def check_groups_of_channels(in_features: int, out_features: int, groups: int) -> None:
    """Refuses a number of groups that does not divide the channels."""
    if in_features % groups or out_features % groups:
        raise ValueError(
            f"feature_group_count must divide in_features and out_features, got {groups} with {in_features} and "
            f"{out_features}: use 1, or {in_features} for a depthwise convolution"
        )


def as_option(values: tuple[int, ...]) -> int | tuple[int, ...]:
    """One value if all axes have the same, else the tuple."""
    return values[0] if len(set(values)) == 1 else values


def filtered(x: jax.Array, smoother: jax.Array, how: Convolution) -> jax.Array:
    """Maps `[N, *S, C]` filtered by an SS filter before a convolution, padded as that convolution pads them."""
    if how.mode is None:
        return ops.ss_conv(x, smoother)
    sides = tuple((taps // 2, taps // 2) for taps in smoother.shape)
    return ops.ss_conv(_padded(x, sides, how.mode), smoother, padding="VALID")


def convolve(x: jax.Array, kernel: jax.Array, how: Convolution) -> jax.Array:
    """The convolution, without smoothing."""
    if how.is_plain:
        return ops.dilated_conv(x, kernel, rate=how.rates, padding=how.zeros)
    if how.mode is not None:
        x, how = _padded(x, how.pairs, how.mode), how._replace(padding="VALID")
    return _general(x, kernel, how)


def interacting(x: jax.Array, kernel: jax.Array, weight: jax.Array, how: Convolution) -> jax.Array:
    """The convolution, unstrided, and then group interaction of the phases of its output.

    The input is padded at its end, in the mode of the convolution, until the last blocks of the output are complete.
    """
    if how.is_plain:
        return ops.group_interaction_dilated_conv(x, kernel, weight, rate=how.rates, padding=how.zeros)
    sizes = [
        size + low + high + 1 - effective_size(taps, rate)
        for size, (low, high), taps, rate in zip(x.shape[1:-1], how.pairs, how.kernel_size, how.rates, strict=True)
    ]
    completed = tuple(
        (low, high - size + -(-size // rate) * rate)
        for (low, high), size, rate in zip(how.pairs, sizes, how.rates, strict=True)
    )
    if how.mode is not None or any(map(jax.export.is_symbolic_dim, x.shape)):
        # The completion of blocks of a symbolic size (jax.export) is symbolic as well, which a convolution does not
        # accept.
        x, completed = _padded(x, completed, how.mode), ((0, 0),) * len(sizes)
    y = ops.ss_block_fc(_general(x, kernel, how._replace(padding=completed)), weight, rate=how.rates)
    return y[(slice(None), *map(slice, sizes))]


@one_program
@keeps_split_batch()
def _padded(x: jax.Array, pairs: Pairs, mode: str | None) -> jax.Array:
    """Padded as `jax.numpy.pad` does in a mode, or with zeros."""
    if mode is None:
        return lax.pad(x, x.dtype.type(0), [(0, 0, 0), *((low, high, 0) for low, high in pairs), (0, 0, 0)])
    return jnp.pad(x, ((0, 0), *pairs, (0, 0)), mode=mode)


@one_program
@keeps_split_batch()
def _general(x: jax.Array, kernel: jax.Array, how: Convolution) -> jax.Array:
    channels = how.groups * kernel.shape[-2]
    if x.shape[-1] != channels:
        raise ValueError(
            f"inputs must have the {channels} channels of this layer on their last axis, got shape {x.shape}: pass "
            "channels-last maps with this number of channels"
        )
    spatial = "DHW"[-len(how.rates) :]
    return ops.conv_general_dilated(
        x,
        kernel,
        how.strides,
        how.padding,
        rhs_dilation=how.rates,
        dimension_numbers=(f"N{spatial}C", f"{spatial}IO", f"N{spatial}C"),
        feature_group_count=how.groups,
        precision=how.precision,
        preferred_element_type=how.preferred_element_type,
    )
