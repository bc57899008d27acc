"""Zero-padding of stride-1 convolutions, as explicit pairs."""

from collections.abc import Sequence
from typing import Any

from ._checks import is_int

Padding = str | Sequence[tuple[int, int]]
#: Resolved: `(low, high)` of every axis.
Pairs = tuple[tuple[int, int], ...]


def effective_size(size: int, rate: int) -> int:
    """Extent of a dilated kernel along one axis: `size` taps, `rate - 1` holes between two of them."""
    return (size - 1) * rate + 1


def resolve_padding(padding: Any, kernel_size: Sequence[int], rate: int, spatial_shape: Sequence[int]) -> Pairs:
    """Turns `padding` into one `(low, high)` pair an axis and checks that some output is left."""
    extents = [effective_size(size, rate) for size in kernel_size]
    if isinstance(padding, str) and padding == "SAME":
        # XLA's rule at stride 1, even kernels included: the low side gets the smaller half.
        pairs = tuple(((extent - 1) // 2, extent - 1 - (extent - 1) // 2) for extent in extents)
    elif isinstance(padding, str) and padding == "VALID":
        pairs = ((0, 0),) * len(extents)
    else:
        pairs = _check_pairs(padding, len(extents))
    for axis, (size, extent, (low, high)) in enumerate(zip(spatial_shape, extents, pairs, strict=True)):
        # A symbolic size (jax.export) cannot be compared; it is trusted.
        if isinstance(size, int) and size + low + high < extent:
            raise ValueError(
                f"padding {padding!r} leaves no output on spatial axis {axis}: size {size} with padding {(low, high)} "
                f"is smaller than the kernel's extent {extent} (rate {rate}): use 'SAME', pad more, or enlarge x"
            )
    return pairs


def _check_pairs(padding: Any, ndim: int) -> Pairs:
    problem = ValueError(
        f"padding must be 'SAME', 'VALID' or {ndim} pairs (low, high) of ints >= 0, one for each spatial axis of x, "
        f"got {padding!r}: use 'SAME' to keep the size"
    )
    if isinstance(padding, str):
        raise problem
    try:
        pairs = tuple(tuple(pair) for pair in padding)
    except TypeError:
        raise problem from None
    sides = [side for pair in pairs for side in pair]
    well_formed = len(pairs) == ndim and all(len(pair) == 2 for pair in pairs)
    if not well_formed or not all(is_int(side) and side >= 0 for side in sides):
        raise problem
    return tuple((int(low), int(high)) for low, high in pairs)
