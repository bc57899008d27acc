"""Pictures of known difficulty, drawn on the device: a few shapes and wires in noise."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from .config import Objects

#: The classes, and the mean colour of each; noise requires several pixels to distinguish them.
CLASSES = ("background", "massive", "wire")
THIN = CLASSES.index("wire")
_COLORS = ((0.0, 0.0, 0.0), (0.9, 0.6, 0.0), (0.0, 0.6, 0.9))
_OBJECTS = 6
#: The share of objects that are wires.
_WIRES: dict[Objects, float] = {"both": 0.5, "thin": 1.0, "massive": 0.0}


class Pictures(NamedTuple):
    """Images `[N, S, S, 3]` float32, and their labels `[N, S, S]` int32."""

    images: jax.Array
    labels: jax.Array


def draw(key: jax.Array, count: int, size: int, *, noise: float, objects: Objects) -> Pictures:
    """Draws pictures of six objects, placed and turned at random, later ones covering earlier ones.

    Disks and squares, one class, are 8 to 18 pixels wide; wires, waves of two to four times that length, 1.2 to 2.4
    pixels. Classes differ in colour by less than the noise of a pixel, so it takes several pixels to distinguish them.
    The task measures where a network puts shapes, not whether it recognises them.

    `smoothjax.data.ShapesSource` draws richer pictures, by class in textures, one at a time on the host. Here noise and
    kind of the objects are arguments of one compiled program, and a thousand pictures take a second.
    """
    return _draw(key, noise, _WIRES[objects], count, size)


@jax.jit(static_argnums=(3, 4))
def _draw(key: jax.Array, noise: float, wires: float, count: int, size: int) -> Pictures:
    keys = jax.random.split(key, 7)
    each = (count, _OBJECTS, 1, 1)

    def between(index: int, low: float, high: float) -> jax.Array:
        return jax.random.uniform(keys[index], each, minval=low, maxval=high)

    y, x = jnp.mgrid[:size, :size].astype(jnp.float32)[:, None, None]
    down, right = (axis - size * jax.random.uniform(k, each) for axis, k in zip((y, x), keys[:2], strict=True))
    angle, radius, half_width = between(2, 0, 2 * jnp.pi), between(3, 4, 9), between(4, 0.6, 1.2)
    u, v = jnp.cos(angle) * right + jnp.sin(angle) * down, jnp.cos(angle) * down - jnp.sin(angle) * right
    kind = between(5, 0, 1)  # below `wires` a wire; the rest is halved between disks and squares
    is_wire, is_disk = kind < wires, kind < (1 + wires) / 2
    wire = jnp.maximum(jnp.abs(v + 2 * jnp.sin(u / 5)) - half_width, jnp.abs(u) - 3 * radius)
    disk, square = jnp.hypot(u, v) - radius, jnp.maximum(jnp.abs(u), jnp.abs(v)) - 0.85 * radius
    inside = jnp.where(is_wire, wire, jnp.where(is_disk, disk, square)) < 0
    classes = jnp.where(is_wire, THIN, CLASSES.index("massive"))
    # The last object that covers a pixel is visible.
    order = jnp.where(inside, jnp.arange(1, _OBJECTS + 1)[None, :, None, None], 0).argmax(1)
    covered = inside.any(1)
    seen = jnp.take_along_axis(classes[:, :, 0, 0], order.reshape(count, -1), 1).reshape(order.shape)
    labels = jnp.where(covered, seen, 0)
    images = jnp.asarray(_COLORS)[labels] + noise * jax.random.normal(keys[6], (count, size, size, 3))
    return Pictures(images, labels)
