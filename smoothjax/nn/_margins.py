"""Margins: pixels of an up-sampling layer's output beyond a whole multiple of its input, or missing from it."""

from collections.abc import Callable, Sequence

import jax
from jax import lax

from .._checks import Pairs, is_int
from .._meshes import keeps_split_batch
from .._programs import one_program


def check_margins(margins: object, ndim: int) -> Pairs | None:
    """The margins as tuples, which Flax can hash; None if there are none."""
    if margins is None:
        return None
    pairs = list(margins) if isinstance(margins, Sequence) else []
    well_formed = all(isinstance(pair, Sequence) and len(pair) == 2 and all(map(is_int, pair)) for pair in pairs)
    if len(pairs) != ndim or not well_formed:
        raise ValueError(
            f"margins must be {ndim} pairs (low, high) of ints, one for each spatial axis, got {margins!r}: leave it "
            "out for an output of factor * S"
        )
    whole = tuple((int(pair[0]), int(pair[1])) for pair in pairs)
    return whole if any(map(any, whole)) else None


def with_margins(
    upsample: Callable[[jax.Array], jax.Array], x: jax.Array, margins: Pairs | None, factors: tuple[int, ...]
) -> jax.Array:
    """Up-samples maps `[N, *S, C]` with margins: pads whole pixels of zeros, then crops the output."""
    if margins is None:
        return upsample(x)
    axes = list(zip(margins, factors, strict=True))
    added = [tuple(max(0, -(-side // step)) for side in pair) for pair, step in axes]
    cut = [(pair[0] - step * n[0], pair[1] - step * n[1]) for (pair, step), n in zip(axes, added, strict=True)]
    return _bordered(upsample(_bordered(x, added)), cut)


@one_program
@keeps_split_batch()
def _bordered(x: jax.Array, sides: Sequence[tuple[int, ...]]) -> jax.Array:
    """Zeros around the spatial axes of `[N, *S, C]`; a negative side removes pixels."""
    return lax.pad(x, x.dtype.type(0), [(0, 0, 0), *((low, high, 0) for low, high in sides), (0, 0, 0)])
