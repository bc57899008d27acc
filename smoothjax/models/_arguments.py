"""Checks of arguments that the networks share."""

from typing import Any

import jax
import jax.numpy as jnp


def check_choice(name: str, value: Any, choices: tuple[Any, ...]) -> None:
    """Refuses a value that is none of the choices."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(str, choices))}, got {value!r}: pick one of them")


def check_count(name: str, value: Any, minimum: int, remedy: str) -> None:
    """Refuses what is no int of at least `minimum`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
        raise ValueError(f"{name} must be an int >= {minimum}, got {value!r}: {remedy}")


def check_rates(name: str, rates: Any, remedy: str) -> None:
    """Refuses what are no dilation rates of one or several layers."""
    if not isinstance(rates, tuple) or not rates or not all(isinstance(rate, int) and rate > 0 for rate in rates):
        raise ValueError(f"{name} must be a tuple of ints >= 1, got {rates!r}: {remedy}")


def check_images(images: jax.Array) -> None:
    """Refuses what is no batch of colour images."""
    if images.ndim != 4 or images.shape[-1] != 3 or not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(
            f"images must be [N, H, W, 3] of a float dtype, got {images.dtype}{list(images.shape)}: normalise them "
            "as in training (smoothjax.data.normalize), and add the batch axis"
        )
