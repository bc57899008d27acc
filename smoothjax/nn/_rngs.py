"""Random keys for networks that are initialised while JAX traces."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

# Keys made at once: a ResNet-18 needs 64.
_KEYS = 64


class _Keys:
    """The keys of an `nnx.RngStream`, many at once.

    Made one by one, each key is traced and compiled separately. Flax also asks the traced count for its sharding, and
    JAX searches everything traced before for the reason why there is none.
    """

    def __init__(self, key: jax.Array):
        self._key, self._count = key, 0
        self._ready: list[jax.Array] = []

    def __call__(self) -> jax.Array:
        block, row = divmod(self._count, _KEYS)
        if block == len(self._ready):
            numbers = jnp.arange(block * _KEYS, (block + 1) * _KEYS, dtype=jnp.uint32)
            self._ready.append(jax.vmap(jax.random.fold_in, (None, 0))(self._key, numbers))
        self._count += 1
        return jax.lax.index_in_dim(self._ready[block], row, keepdims=False)


def traced_rngs(key: jax.Array | int) -> nnx.Rngs:
    """`flax.nnx.Rngs(key)` for a network that is initialised under `jax.jit`, `nnx.jit` or `nnx.eval_shape`.

    It gives the same keys, so the weights are the same, but tracing and compiling the initial weights of a ResNet-18
    takes half as long. It serves only one trace: create it inside, and do not keep it in a model, as `nnx.Dropout`
    would.

    Args:
      key: a seed, or a key such as `jax.random.key(0, impl="rbg")`, whose bits compile sooner on CPU.

    Returns:
      The source of randomness, for the argument `rngs` of layers and models.

    Example:
      >>> from flax import nnx
      >>> from smoothjax import models, nn
      >>> make = lambda: models.ResNetEncoder(101, rngs=nn.traced_rngs(0))
      >>> nnx.eval_shape(make).out_features
      2048
    """
    rngs: Any = nnx.Rngs(key)
    start = rngs.default.key[...]
    # With this generator, keys made together differ from those made one by one.
    if str(jax.random.key_impl(start)) != "unsafe_rbg":
        rngs.default = _Keys(start)
    return rngs
