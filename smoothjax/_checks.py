"""Argument checks for all packages: each error names the argument, the rule, the value and the remedy.

Structure (rank, dtype) is asserted with chex and raises `AssertionError`; meaning (rates, sizes, padding) raises
`ValueError`. Everything checked here is static, so the checks run once, while JAX traces.
"""

import operator
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import SupportsIndex, TypeAlias, TypeGuard, cast

import chex
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.typing import ArrayLike, DTypeLike

DTYPES = (jnp.float32, jnp.bfloat16, jnp.float16, jnp.float64)

Padding: TypeAlias = str | Sequence[tuple[int, int]]
"""Zero-padding of a convolution: `"SAME"`, `"VALID"`, or one pair `(low, high)` of pixels per axis."""

Rate: TypeAlias = int | Sequence[int]
"""A dilation rate in pixels, one for all spatial axes or one per axis."""

Pairs: TypeAlias = tuple[tuple[int, int], ...]
"""Resolved padding: `(low, high)` of every axis."""


def is_linen(model: object) -> bool:
    """Whether this is a module of Flax Linen, which whoever has made one has imported."""
    linen = sys.modules.get("flax.linen")
    return linen is not None and isinstance(model, linen.Module)


def is_unbound_linen(model: object) -> bool:
    """Whether this is a module of Flax Linen without variables, which cannot be called."""
    return is_linen(model) and getattr(model, "scope", None) is None


def check_structure(message: str, assertion: Callable[..., None], *arguments: object) -> None:
    """Runs a chex assertion; its failure begins with our message and keeps that of chex as its cause."""
    try:
        assertion(*arguments)
    except AssertionError as error:
        raise AssertionError(message) from error


def check_int(name: str, value: object, *, minimum: int = 1, remedy: str = "pass one Python int") -> int:
    """Returns `value` as a Python int of at least `minimum`, or raises ValueError."""
    if isinstance(value, Tracer):
        raise ValueError(f"{name} must be known while JAX traces, got {value}: mark it static (static_argnames)")
    rule = f"{name} must be an int >= {minimum}, got"
    if not is_int(value):
        raise ValueError(f"{rule} {value!r} of type {type(value).__name__}: {remedy}")
    if operator.index(value) < minimum:
        raise ValueError(f"{rule} {value}: {remedy}")
    return operator.index(value)


def check_by_axis(name: str, value: object, ndim: int, *, remedy: str = "pass one Python int") -> tuple[int, ...]:
    """Returns an int >= 1, or one for each spatial axis, as a tuple by axis."""
    if isinstance(value, (tuple, list)):
        if len(value) != ndim:
            raise ValueError(
                f"{name} must be an int >= 1 or {ndim} ints, one for each spatial axis, got {value!r}: {remedy}"
            )
        return tuple(check_int(name, one, remedy=remedy) for one in value)
    return (check_int(name, value, remedy=remedy),) * ndim


def check_factor(factor: object, ndim: int) -> tuple[int, ...]:
    """Returns an up-sampling factor by axis, from an int >= 2, or one int >= 1 per axis with at least one above 1."""
    if not isinstance(factor, (tuple, list)):
        return (check_int("factor", factor, minimum=2),) * ndim
    factors = check_by_axis("factor", factor, ndim)
    if max(factors) == 1:
        raise ValueError(f"factor must be >= 2 along at least one axis, got {factor!r}: use a convolution for factor 1")
    return factors


def spread(rate: Rate, ndim: int) -> tuple[int, ...]:
    """The rate of each axis, from a checked rate."""
    return (rate,) * ndim if isinstance(rate, int) else tuple(rate)


def is_int(value: object) -> TypeGuard[int]:
    """Whether a value is an integer of Python or NumPy; booleans are not."""
    if isinstance(value, (bool, jax.Array)) or not isinstance(value, SupportsIndex):
        return False
    try:
        operator.index(value)
    except TypeError:
        return False
    return True


def check_array(name: str, value: object, *, ranks: Sequence[int], layout: str) -> jax.Array:
    """Returns `value` as an array whose rank is one of `ranks` and whose dtype is supported."""
    try:
        array = jnp.asarray(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be an array, {layout}, got {type(value).__name__}: {error}") from error
    rank = f"{name} must be {layout}, got shape {array.shape}: add or remove axes"
    check_structure(rank, chex.assert_rank, array, set(ranks))
    remedy = f"cast it, e.g. {name}.astype(jnp.float32)"
    dtypes = f"{name} must be float32, bfloat16, float16 or float64, got {array.dtype}: {remedy}"
    check_structure(dtypes, chex.assert_equal, any(array.dtype == dtype for dtype in DTYPES), True)
    return array


def check_maps(name: str, value: object) -> jax.Array:
    """Returns `value` as channels-last maps `[N, *S, C]` of one to three spatial axes."""
    return check_array(name, value, ranks=(3, 4, 5), layout="[N, *S, C] with one, two or three spatial axes S")


def check_parameter(
    name: str,
    value: object,
    *,
    shape: Sequence[int | None],
    layout: str,
    dtype: DTypeLike,
    remedy_of: Callable[[tuple[int, ...]], str | None] = lambda _: None,
) -> jax.Array:
    """Returns `value` cast to `dtype`; its shape must fit `shape`, where `None` stands for any size above 0.

    `remedy_of` gives the remedy for a shape that does not, if it knows one.
    """
    array = check_array(name, value, ranks=(len(shape),), layout=layout)
    fits = all(size > 0 if wanted is None else size == wanted for size, wanted in zip(array.shape, shape, strict=True))
    if not fits:
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        remedy = remedy_of(array.shape) or "match it to the data"
        raise ValueError(f"{name} must be {layout}, here [{wanted}], got shape {array.shape}: {remedy}")
    return array.astype(dtype)


def check_dtypes(**dtypes: object) -> None:
    """Refuses what names no floating-point dtype, by the name of the argument; None stands for the layer's own."""
    for name, dtype in dtypes.items():
        try:
            floating = dtype is None or jnp.issubdtype(jnp.dtype(cast(DTypeLike, dtype)), jnp.floating)
        except TypeError:
            floating = False
        if not floating:
            raise ValueError(f"{name} must be a floating-point dtype, got {dtype!r}: pass e.g. jnp.bfloat16")


def check_rngs(rngs: object) -> None:
    """Refuses what is no `flax.nnx.Rngs`, such as a seed or a key."""
    if not callable(getattr(rngs, "params", None)):
        raise ValueError(
            f"rngs must be flax.nnx.Rngs, got {type(rngs).__name__}: write rngs=nnx.Rngs(0), or nnx.Rngs(key)"
        )


def check_ndim(ndim: object) -> int:
    """Returns `ndim` if the operations support that number of spatial axes."""
    ndim = check_int("ndim", ndim)
    if ndim > 3:
        raise ValueError(f"ndim must be 1, 2 or 3 spatial axes, got {ndim}: fold other axes into the batch")
    return ndim


def accumulation_dtype(dtype: DTypeLike) -> jnp.dtype:
    """The dtype to sum in: bfloat16 and float16 accumulate in float32 and round once at the end."""
    return jnp.promote_types(dtype, jnp.float32)


def check_groups(groups: ArrayLike) -> jax.Array:
    """Returns `groups` as an array of the phases of maps, `[rate**d, N, *S, C]`."""
    return check_array(
        "groups", groups, ranks=(4, 5, 6), layout="[rate**d, N, *S, C] with one, two or three spatial axes S"
    )


def effective_size(size: int, rate: int) -> int:
    """Extent of a dilated kernel along one axis: `size` taps with `rate - 1` holes between neighbours."""
    return (size - 1) * rate + 1


def resolve_padding(padding: object, kernel_size: Sequence[int], rate: Rate, spatial_shape: Sequence[int]) -> Pairs:
    """Turns `padding` into one `(low, high)` pair per axis and checks that some output is left."""
    rates = spread(rate, len(kernel_size))
    extents = list(map(effective_size, kernel_size, rates))
    if isinstance(padding, str) and padding == "SAME":
        # XLA's rule at stride 1, even kernels included: the low side gets the smaller half.
        pairs = tuple(((extent - 1) // 2, extent - 1 - (extent - 1) // 2) for extent in extents)
    elif isinstance(padding, str) and padding == "VALID":
        pairs = ((0, 0),) * len(extents)
    else:
        pairs = _check_pairs(padding, len(extents))
    for axis, (size, extent, (low, high)) in enumerate(zip(spatial_shape, extents, pairs, strict=True)):
        # A symbolic size (jax.export) cannot be compared; it is trusted.
        # An empty map stays empty if the padding keeps the size.
        if isinstance(size, int) and size + low + high < extent - (size == 0):
            raise ValueError(
                f"padding {padding!r} leaves no output on spatial axis {axis}: size {size} with padding {(low, high)} "
                f"is smaller than the kernel's extent {extent} (rate {rates[axis]}): use 'SAME', pad more, or enlarge x"
            )
    return pairs


def _check_pairs(padding: object, ndim: int) -> Pairs:
    problem = ValueError(
        f"padding must be 'SAME', 'VALID' or {ndim} pairs (low, high) of ints >= 0, one for each spatial axis of x, "
        f"got {padding!r}: use 'SAME' to keep the size"
    )
    if isinstance(padding, str) or not isinstance(padding, Iterable):
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


def check_kernel_size(kernel_size: object, *, name: str = "kernel_size") -> tuple[int, ...]:
    """Returns the kernel size as a tuple; its length is the number of spatial axes of the layer."""
    rule = f"{name} must be a tuple with one size >= 1 for each of the one to three spatial axes"
    if isinstance(kernel_size, str) or not isinstance(kernel_size, Sequence):
        raise ValueError(f"{rule}, got {kernel_size!r}: write e.g. (3, 3) for a 3x3 kernel on images")
    sizes = tuple(kernel_size)
    if not 1 <= len(sizes) <= 3 or not all(map(is_int, sizes)) or min(sizes) < 1:
        raise ValueError(f"{rule}, got {sizes}: write e.g. (3, 3) for a 3x3 kernel on images")
    return tuple(operator.index(size) for size in sizes)


def check_convolution(kernel_size: tuple[int, ...], rate: object, padding: object) -> str | tuple[tuple[int, int], ...]:
    """Returns the padding with its pairs as tuples of ints; refuses early what the operation would refuse when called.

    Flax compares and hashes the options of a layer, and lists and arrays have no hash.
    """
    rates = check_by_axis("rate", rate, len(kernel_size))
    pairs = resolve_padding(padding, kernel_size, rates, list(map(effective_size, kernel_size, rates)))
    return padding if isinstance(padding, str) else pairs


def check_bool(name: str, value: object, *, remedy: str = "pass one of them") -> bool:
    """Returns `value` if it is True or False; refuses other values that Python treats as true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False, got {value!r} of type {type(value).__name__}: {remedy}")
    return value


def check_choice(name: str, value: object, choices: Collection[object], *, remedy: str = "pick one of them") -> None:
    """Refuses a value that is not among the choices: None, text and whole numbers."""
    # An array would compare by its elements, and 8.0 would equal 8.
    if not (value is None or isinstance(value, str) or is_int(value)) or value not in choices:
        # For another type, quotes show the difference of "0" and 0.
        shown = str if isinstance(value, str) or value is None else repr
        raise ValueError(f"{name} must be one of {', '.join(map(shown, choices))}, got {value!r}: {remedy}")


def check_rates(name: str, rates: object, remedy: str) -> tuple[int, ...]:
    """Returns the dilation rates of one or several layers as Python ints, or raises ValueError."""
    if not isinstance(rates, tuple) or not rates or not all(is_int(rate) and rate > 0 for rate in rates):
        raise ValueError(f"{name} must be a tuple of ints >= 1, got {rates!r}: {remedy}")
    return tuple(map(operator.index, rates))


def check_images(images: jax.Array, channels: int = 3) -> None:
    """Refuses anything but a batch of images with this number of channels."""
    if images.ndim != 4 or images.shape[-1] != channels or not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(
            f"images must be [N, H, W, {channels}] of a float dtype, got {images.dtype}{list(images.shape)}: normalise "
            "them as in training (smoothjax.data.normalize), and add the batch axis"
        )
