"""What several layers share."""

from collections.abc import Callable

import jax


def with_one_batch_axis(layer: Callable[[jax.Array], jax.Array], x: jax.Array, ndim: int) -> jax.Array:
    """Applies a layer of `ndim` spatial axes under any number of batch axes, also none, as `flax.nnx.Conv` does."""
    if x.ndim <= ndim:
        raise ValueError(
            f"x must be [..., *S, C] with the {ndim} spatial axes S of this layer, got shape {x.shape}: add axes, or "
            "make the layer for fewer"
        )
    batch = x.shape[: x.ndim - ndim - 1]
    if len(batch) == 1:
        return layer(x)
    y = layer(x.reshape(-1, *x.shape[len(batch) :]))
    return y.reshape(*batch, *y.shape[1:])
