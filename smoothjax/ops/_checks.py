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


def check_int(name: str, value: Any, *, minimum: int = 1, remedy: str = "pass one Python int") -> int:
    """Returns `value` as a Python int of at least `minimum`, or says why it is none."""
    if isinstance(value, Tracer):
        raise ValueError(f"{name} must be known while JAX traces, got {value}: mark it static (static_argnames)")
    rule = f"{name} must be an int >= {minimum}, got"
    if not is_int(value):
        raise ValueError(f"{rule} {value!r} of type {type(value).__name__}: {remedy}")
    if operator.index(value) < minimum:
        raise ValueError(f"{rule} {value}: {remedy}")
    return operator.index(value)


def is_int(value: Any) -> bool:
    """Whether a value counts: Python's and NumPy's integers do, True does not."""
    if isinstance(value, (bool, jax.Array)):
        return False
    try:
        operator.index(value)
    except TypeError:
        return False
    return True


def check_array(name: str, value: Any, *, ranks: Sequence[int], layout: str) -> jax.Array:
    """Returns `value` as an array whose rank is one of `ranks` and whose dtype is supported."""
    try:
        array = jnp.asarray(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be an array, {layout}, got {type(value).__name__}: {error}") from error
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


def check_groups(groups: Any) -> jax.Array:
    """Returns `groups` as an array of the phases of maps, `[rate**d, N, *S, C]`."""
    groups = check_array(
        "groups", groups, ranks=(4, 5, 6), layout="[rate**d, N, *S, C] with one, two or three spatial axes S"
    )
    ndim = groups.ndim - 3
    if round(groups.shape[0] ** (1 / ndim)) ** ndim != groups.shape[0]:
        raise ValueError(
            f"groups must hold rate**{ndim} phases on its first axis, got shape {groups.shape}: pass the result of "
            "periodic_subsample"
        )
    return groups
