"""Argument checks shared by the operations: each error names the argument, the rule, the value and the remedy.

Structure (rank, dtype) is asserted with chex and raises `AssertionError`; meaning (rates, sizes, padding) raises
`ValueError`. Everything checked here is static, so the checks run once, while JAX traces.
"""

import operator
from collections.abc import Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp
from jax.core import Tracer

DTYPES = (jnp.float32, jnp.bfloat16, jnp.float64)


def check_int(name: str, value: Any, *, minimum: int = 1) -> int:
    """Returns `value` as a Python int, or says why it is none."""
    remedy = f"pass a Python int >= {minimum}"
    if isinstance(value, Tracer):
        raise ValueError(f"{name} must be known while JAX traces, got {value}: mark it static (static_argnames)")
    if isinstance(value, bool):
        raise ValueError(f"{name} must be an int, got {value!r}: {remedy}")
    try:
        value = operator.index(value)
    except TypeError:
        raise ValueError(
            f"{name} must be one int for all spatial axes, got {value!r} of type {type(value).__name__}: {remedy}"
        ) from None
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value}: {remedy}")
    return value


def check_array(name: str, value: Any, *, ranks: Sequence[int], layout: str) -> jax.Array:
    """Returns `value` as an array whose rank is one of `ranks` and whose dtype is supported."""
    array = jnp.asarray(value)
    chex.assert_rank(
        array,
        set(ranks),
        custom_message=f"{name} must be {layout}, got shape {array.shape}: add or remove axes",
    )
    chex.assert_equal(
        any(array.dtype == dtype for dtype in DTYPES),
        True,
        custom_message=(
            f"{name} must be float32, bfloat16 or float64, got {array.dtype}: cast it, e.g. {name}.astype(jnp.float32)"
        ),
    )
    return array


def check_maps(name: str, value: Any) -> jax.Array:
    """Returns `value` as channels-last maps `[N, *S, C]` of one to three spatial axes."""
    return check_array(name, value, ranks=(3, 4, 5), layout="[N, *S, C] with one, two or three spatial axes S")


def check_parameter(name: str, value: Any, *, shape: Sequence[int | None], layout: str, dtype: Any) -> jax.Array:
    """Returns `value` cast to `dtype` where its shape fits `shape` (`None` stands for any size above 0)."""
    array = check_array(name, value, ranks=(len(shape),), layout=layout)
    fits = all(size > 0 if wanted is None else size == wanted for size, wanted in zip(array.shape, shape, strict=True))
    if not fits:
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise ValueError(f"{name} must be {layout}, here [{wanted}], got shape {array.shape}: match it to the data")
    return array.astype(dtype)


def check_ndim(ndim: Any) -> int:
    """Returns `ndim` where it is a number of spatial axes that the operations know."""
    ndim = check_int("ndim", ndim)
    if ndim > 3:
        raise ValueError(f"ndim must be 1, 2 or 3 spatial axes, got {ndim}: fold further axes into the batch")
    return ndim


def accumulation_dtype(dtype: Any) -> Any:
    """The dtype to sum in: bfloat16 accumulates in float32 and rounds once at the end."""
    return jnp.float32 if dtype == jnp.bfloat16 else dtype
