"""Predictions averaged over scales and mirror images, and made window by window for large images."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .._checks import check_bool, is_int

Logits = Callable[[jax.Array], jax.Array]
"""A function of images `[N, h, w, C]`, ready for a network, to logits `[N, h', w', K]` of any size over the image."""

_SMALLEST_TILE = 16


@dataclass(frozen=True)
class Averaging:
    """The views of an image in `segment` and `average_logits`.

    Attributes:
      tile: height and width of overlapping windows in pixels, or None for the whole image at once.
      scales: factors of the image's size, each seen once.
      flip: whether each is also seen mirrored.
      independent: whether the probability of each class is the sigmoid of its logit, as after binary cross entropy; by
        default it is the softmax.

    Raises:
      ValueError: a tile is smaller than 16 pixels, or the scales are not positive, or there is none.

    Example:
      >>> Averaging(tile=(513, 513), scales=(0.75, 1.0, 1.25)).views()
      [(0.75, False), (1.0, False), (1.25, False)]
    """

    tile: tuple[int, int] | None = None
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    independent: bool = False

    def __post_init__(self) -> None:
        check_bool("flip", self.flip)
        check_bool("independent", self.independent)
        if self.tile is not None and not _is_tile(self.tile):
            got = " ".join(map(str, self.tile)) if isinstance(self.tile, (tuple, list)) else repr(self.tile)
            raise ValueError(f"tile must be at least {_SMALLEST_TILE} {_SMALLEST_TILE} pixels, got {got}: try 513 513")
        if not _are_scales(self.scales):
            raise ValueError(f"scales must be positive numbers, at least one, got {self.scales}: try 0.75 1 1.25")

    def views(self) -> list[tuple[float, bool]]:
        """The scale of every view, and whether it is mirrored."""
        return [(scale, mirrored) for scale in self.scales for mirrored in (False, True)[: 1 + self.flip]]


def _are_scales(scales: object) -> bool:
    if not isinstance(scales, (tuple, list)) or not scales:
        return False
    return all(isinstance(scale, (int, float, np.number)) and np.isfinite(scale) and scale > 0 for scale in scales)


def _is_tile(tile: object) -> bool:
    if not isinstance(tile, (tuple, list)) or len(tile) != 2:
        return False
    return all(is_int(size) and size >= _SMALLEST_TILE for size in tile)


def average_logits(
    logits: Logits, images: jax.Array, size: tuple[int, int], averaging: Averaging | None = None
) -> jax.Array:
    """Logits of images, or equivalent logits of mean probabilities.

    Probabilities are averaged at the final size, over scales and mirror images. The result is their logarithms for a
    softmax, and `log(p / (1 - p))` for independent classes; with the default views it is `logits(images)`, resampled to
    the size. It can be traced, also with symbolic sizes of an exported program, unless there are tiles or scales other
    than 1. See `segment` for images whose logits do not fit into memory.

    Args:
      logits: maps images `[N, h, w, C]` to logits `[N, h', w', K]`, which are resampled linearly to the required size.
      images: `[N, H, W, C]`, ready for the network.
      size: height and width of the result in pixels.
      averaging: the views. A tile smaller than the image is a window that moves over it, overlapping by a third or
        more, with more weight at its centre than at its borders, where the network sees padding. Besides the result, it
        needs the memory of one window.

    Returns:
      `[N, *size, K]`.

    Example:
      >>> import jax.numpy as jnp
      >>> from smoothjax import models
      >>> images = jnp.arange(6.0).reshape(1, 1, 3, 2)
      >>> mean = models.average_logits(lambda x: x, images, (1, 3), models.Averaging(flip=True))
      >>> jnp.exp(mean).sum(-1).round(4).tolist()
      [[[1.0, 1.0, 1.0]]]
    """
    averaging = averaging or Averaging()
    apply = logits if averaging.tile is None else _tiled(logits, averaging.tile)
    views = averaging.views()
    if views == [(1.0, False)]:
        return resample(apply(images), size)
    total: Any = 0
    logarithm = _log_odds if averaging.independent else jnp.log
    for scale, mirrored in views:
        height, width = (scaled_length(length, scale) for length in images.shape[1:3])
        seen = resample(images[:, :, ::-1] if mirrored else images, (height, width))
        probabilities = resample(_both(apply(seen)) if averaging.independent else jax.nn.softmax(apply(seen)), size)
        total = total + (probabilities[:, :, ::-1] if mirrored else probabilities)
    return logarithm(total / len(views))


def _both(logits: jax.Array) -> jax.Array:
    """The probability of every class and of its absence, `[..., 2 K]`; computing one as 1 minus the other would round
    to 0."""
    return jnp.concatenate([jax.nn.sigmoid(logits), jax.nn.sigmoid(-logits)], -1)


def _log_odds(both: jax.Array) -> jax.Array:
    present, absent = jnp.split(both, 2, -1)
    return jnp.log(present) - jnp.log(absent)


def resample(images: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Images resampled linearly to a size, antialiased if they shrink; unchanged if they have that size.

    Args:
      images: `[N, H, W, C]`, floating point.
      size: new height and width in pixels.

    Returns:
      `[N, *size, C]`.

    Example:
      >>> import jax.numpy as jnp
      >>> resample(jnp.array([0.0, 4.0]).reshape(1, 1, 2, 1), (1, 4)).ravel().tolist()
      [0.0, 1.0, 3.0, 4.0]
    """
    if images.shape[1:3] == tuple(size):
        return images
    return jax.image.resize(images, (images.shape[0], *size, images.shape[-1]), "linear")


def scaled_length(length: int, scale: float) -> int:
    """The length of an axis of a view in pixels."""
    return length if scale == 1 else max(1, round(length * scale))  # also a symbolic one


def window_starts(length: int, window: int) -> list[int]:
    """The starts of windows: evenly spaced, so that the last ends with the image and neighbours overlap by a third or
    more."""
    count = 1 + -(-(length - window) * 3 // (2 * window)) if length > window else 1
    return [round(i * (length - window) / max(1, count - 1)) for i in range(count)]


def tent(length: int) -> jax.Array:
    """Weights that fall from the centre of a window to its borders, where the network sees padding; above 0."""
    position = (jnp.arange(length) + 0.5) / length
    return jnp.minimum(position, 1 - position) + 1e-3


def _tiled(logits: Logits, tile: tuple[int, int]) -> Logits:
    """The logits of windows, one window at a time; an image smaller than the window is seen whole."""

    def apply(images: jax.Array) -> jax.Array:
        window = [min(length, wanted) for length, wanted in zip(images.shape[1:3], tile, strict=True)]
        if window == list(images.shape[1:3]):
            return logits(images)
        corners = jnp.array([(y, x) for y in window_starts(images.shape[1], window[0])
                             for x in window_starts(images.shape[2], window[1])])  # fmt: skip
        weights = (tent(window[0])[:, None] * tent(window[1])[None, :])[None, :, :, None]

        def weighted(seen: jax.Array) -> jax.Array:
            part = resample(logits(seen), (window[0], window[1])) * weights
            # Weights are an additional channel, so one pass adds both.
            return jnp.concatenate([part, jnp.broadcast_to(weights, (*part.shape[:-1], 1))], -1)

        def add(total: jax.Array, start: jax.Array) -> tuple[jax.Array, None]:
            y, x = start
            seen = lax.dynamic_slice(images, (0, y, x, 0), (images.shape[0], *window, images.shape[-1]))
            part = weighted(seen)
            before = lax.dynamic_slice(total, (0, y, x, 0), part.shape)
            return lax.dynamic_update_slice(total, before + part, (0, y, x, 0)), None

        # The dtype is that of the logits, not of the images.
        part = jax.eval_shape(weighted, jax.ShapeDtypeStruct((1, *window, images.shape[-1]), images.dtype))
        total, _ = lax.scan(add, jnp.zeros((*images.shape[:3], part.shape[-1]), part.dtype), corners)
        return total[..., :-1] / total[..., -1:]

    return apply
