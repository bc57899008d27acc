"""The kernels of an up-sampling layer: their sizes, how many there are, and how they start."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from .. import ops
from ..names import Upsampling
from ._convolution import as_option

#: Default taps along each axis; three for the other methods, and three times the factor for `"dcl"`.
_TAPS = {"carafe": 5, "dysample": 1}


def default_kernel_size(method: Upsampling, factors: tuple[int, ...]) -> tuple[int, ...]:
    """The kernel size of a method, which every paper gives as its own."""
    return tuple(3 * step if method == "dcl" else _TAPS.get(method, 3) for step in factors)


def check_kernels(method: Upsampling, factors: tuple[int, ...], kernel_size: tuple[int, ...]) -> None:
    """Refuses factors and kernel sizes that a method does not know."""
    if method == "carafe" and any(taps % 2 == 0 for taps in kernel_size):
        raise ValueError(
            f"kernel_size of carafe must be odd for a neighbourhood to have a centre, got {kernel_size}: use (5, 5)"
        )
    if method != "fast_pixel_dcl":
        return
    if factors != (2, 2):
        raise ValueError(
            f"fast_pixel_dcl is factor 2 in two dimensions (Fig. 6), got factor {as_option(factors)} and kernel_size "
            f"{kernel_size}: use pixel_dcl, which takes every factor and one to three axes"
        )
    if any(size % 2 == 0 for size in kernel_size):
        raise ValueError(
            f"kernel_size of fast_pixel_dcl must be odd for its cross to have a centre, got {kernel_size}: use (3, 3), "
            "or pixel_dcl, which takes every size"
        )
    if not _live_taps(*kernel_size):
        raise ValueError(
            f"kernel_size of fast_pixel_dcl must leave its cross a tap besides the centre, got {kernel_size}: two of "
            "the four phases would always be 0; use (3, 3), or pixel_dcl, which takes every size"
        )


def draw_kernels(
    method: Upsampling,
    channels: tuple[int, int],
    factors: tuple[int, ...],
    kernel_size: tuple[int, ...],
    order: ops.Stages | None,
    draw: Callable[..., jax.Array],
    *,
    fair: bool,
    dtype: DTypeLike,
) -> list[jax.Array]:
    """The kernels of a method that predicts nothing, each by `draw(shape)`; `fair` has all keep the variance of noise.

    That is for the default initializer: those of users are taken as they are.
    """
    kernels = [draw((*kernel_size, *pair)) for pair in _kernel_channels(method, *channels, order)]
    if method == "dcl" and fair:
        # An output pixel of a transposed convolution sees one tap of r**d: without the gain it starts r**d weaker.
        return [kernels[0] * jnp.asarray(math.prod(factors) ** 0.5, dtype)]
    if method == "fast_pixel_dcl" and fair:
        # Of the taps of the cross, only every other one is live; without the gain its phases start weaker.
        gain = (math.prod(kernel_size) / _live_taps(*kernel_size)) ** 0.5
        return [*kernels[:2], kernels[2] * jnp.asarray(gain, dtype)]
    if method in ("sub_pixel", "sub_pixel_blur"):
        return [jnp.tile(kernels[0], math.prod(factors))]
    return kernels


def _live_taps(height: int, width: int) -> int:
    """The taps of the cross whose offsets from the centre add to an odd number."""
    return sum((row - height // 2 + column - width // 2) % 2 for row in range(height) for column in range(width))


def _kernel_channels(method: Upsampling, c_in: int, c_out: int, order: ops.Stages | None) -> list[tuple[int, int]]:
    """Input and output channels of each kernel to draw."""
    if method == "fast_pixel_dcl":
        return [(c_in, c_out), (c_out, c_out), (c_out, c_out)]
    if order is None:
        return [(c_in, c_out)]
    sizes, earlier = [], 0
    for stage in order:
        sees_input = method == "ipixel_dcl" or not earlier
        sizes += [(c_in * sees_input + earlier * c_out, c_out)] * len(stage)
        earlier += len(stage)
    return sizes
