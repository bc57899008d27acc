"""Checks of arguments that the networks share."""

import operator
from typing import Any

import jax
import jax.numpy as jnp

from ..ops._checks import is_int


def check_choice(name: str, value: Any, choices: tuple[Any, ...]) -> None:
    """Refuses a value that is none of the choices."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(str, choices))}, got {value!r}: pick one of them")


def check_rates(name: str, rates: Any, remedy: str) -> tuple[int, ...]:
    """Returns the dilation rates of one or several layers as Python ints, or says why they are none."""
    if not isinstance(rates, tuple) or not rates or not all(is_int(rate) and rate > 0 for rate in rates):
        raise ValueError(f"{name} must be a tuple of ints >= 1, got {rates!r}: {remedy}")
    return tuple(map(operator.index, rates))


def check_images(images: jax.Array) -> None:
    """Refuses what is no batch of colour images."""
    if images.ndim != 4 or images.shape[-1] != 3 or not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(
            f"images must be [N, H, W, 3] of a float dtype, got {images.dtype}{list(images.shape)}: normalise them "
            "as in training (smoothjax.data.normalize), and add the batch axis"
        )
