"""Predictions averaged over scales and mirror images, and made tile by tile where an image is too large at once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Logits = Callable[[jax.Array], jax.Array]


@dataclass(frozen=True)
class Averaging:
    """How an image is seen.

    Attributes:
      tile: height and width of overlapping windows in pixels, or None for the whole image at once.
      scales: factors of the image's size, each seen once.
      flip: whether each is also seen mirrored.
    """

    tile: tuple[int, int] | None = None
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False

    def __post_init__(self):
        if self.tile is not None and min(self.tile) < 16:
            raise ValueError(f"--tile must be at least 16 16 pixels, got {self.tile[0]} {self.tile[1]}: try 513 513")
        if not self.scales or not all(np.isfinite(scale) and scale > 0 for scale in self.scales):
            raise ValueError(f"--scales must be positive numbers, at least one, got {self.scales}: try 0.75 1 1.25")

    def words(self) -> list[str]:
        """For the name of a file; none of the plain way."""
        words = [] if self.tile is None else ["tile-{}x{}".format(*self.tile)]
        if self.scales != (1.0,):
            words.append("-".join(["scales", *(f"{scale:.6g}" for scale in sorted(self.scales))]))
        return [*words, *(["flip"] if self.flip else [])]


#: The whole image, once, as it is.
PLAIN = Averaging()


def averaged(logits: Logits, images: jax.Array, size: tuple[int, int], averaging: Averaging) -> jax.Array:
    """Logits, or the logarithms of mean probabilities, of images `[N, H, W, 3]`: `[N, *size, K]`.

    Probabilities are averaged at the final size, over scales and mirror images. With the default, the result is
    `logits(images)`, resampled to the size.
    """
    apply = logits if averaging.tile is None else _tiled(logits, averaging.tile)
    views = [(scale, mirrored) for scale in averaging.scales for mirrored in (False, True)[: 1 + averaging.flip]]
    if views == [(1.0, False)]:
        return resized(apply(images), size)
    total: Any = 0
    for scale, mirrored in views:
        height, width = (max(1, round(length * scale)) for length in images.shape[1:3])
        seen = resized(images[:, :, ::-1] if mirrored else images, (height, width))
        probabilities = resized(jax.nn.softmax(apply(seen)), size)
        total = total + (probabilities[:, :, ::-1] if mirrored else probabilities)
    return jnp.log(total / len(views))


def resized(images: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Images `[N, H, W, C]` resampled linearly to a size, or as they are if they have it."""
    if images.shape[1:3] == tuple(size):
        return images
    return jax.image.resize(images, (images.shape[0], *size, images.shape[-1]), "linear")


def _tiled(logits: Logits, tile: tuple[int, int]) -> Logits:
    """The logits of windows that overlap by a third, one window at a time, averaged with more weight at the centre.

    Apart from the result, it needs the memory of one window. An image smaller than the window is seen whole.
    """

    def apply(images: jax.Array) -> jax.Array:
        window = [min(length, wanted) for length, wanted in zip(images.shape[1:3], tile, strict=True)]
        if window == list(images.shape[1:3]):
            return logits(images)
        corners = jnp.array([(y, x) for y in starts(images.shape[1], window[0])
                             for x in starts(images.shape[2], window[1])])  # fmt: skip
        weights = (tent(window[0])[:, None] * tent(window[1])[None, :])[None, :, :, None]
        classes = jax.eval_shape(logits, jax.ShapeDtypeStruct((1, *window, 3), images.dtype)).shape[-1]

        def add(total: jax.Array, start: jax.Array) -> tuple[jax.Array, None]:
            y, x = start
            part = lax.dynamic_slice(images, (0, y, x, 0), (images.shape[0], *window, images.shape[-1]))
            part = resized(logits(part), (window[0], window[1])) * weights
            # Weights travel as one more channel, so that one pass adds both.
            part = jnp.concatenate([part, jnp.broadcast_to(weights, (*part.shape[:-1], 1))], -1)
            before = lax.dynamic_slice(total, (0, y, x, 0), part.shape)
            return lax.dynamic_update_slice(total, before + part, (0, y, x, 0)), None

        total, _ = lax.scan(add, jnp.zeros((*images.shape[:3], classes + 1), images.dtype), corners)
        return total[..., :-1] / total[..., -1:]

    return apply


def starts(length: int, window: int) -> list[int]:
    """Where windows begin: evenly, so that the last ends with the image and two overlap by a third or more."""
    count = 1 + -(-(length - window) * 3 // (2 * window)) if length > window else 1
    return [round(i * (length - window) / max(1, count - 1)) for i in range(count)]


def tent(length: int) -> jax.Array:
    """Weights that fall from the centre of a window to its borders, where the network sees padding; above 0."""
    position = (jnp.arange(length) + 0.5) / length
    return jnp.minimum(position, 1 - position) + 1e-3
