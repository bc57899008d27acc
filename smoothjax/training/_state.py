"""What a step changes."""

import dataclasses
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import optax

Tree: TypeAlias = Any
"""A pytree, mostly a nested dict of arrays, whose structure only the model, the loss or the data know."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """Everything that a training step reads and writes, a pytree.

    Attributes:
      step: Number of updates done, int32 scalar.
      params: Nested dict of the parameters which the optimiser changes.
      model_state: Nested dict of what the forward pass changes: batch statistics, counters of random streams.
      opt_state: The optimiser's state.
    """

    step: jax.Array
    params: Tree
    model_state: Tree
    opt_state: optax.OptState


def create_state(params: Tree, model_state: Tree, optimizer: optax.GradientTransformation) -> TrainState:
    """The state before the first step.

    Args:
      params: Nested dict of parameters.
      model_state: Nested dict of the non-trainable state; `{}` where there is none.
      optimizer: The optimiser of the run.

    Returns:
      The state at step 0. It refers to the given arrays; `fit` copies before it donates.

    Example:
      >>> state = create_state({"w": jnp.ones(3)}, {}, optax.sgd(0.1))
      >>> int(state.step), sorted(state.params)
      (0, ['w'])
    """
    return TrainState(jnp.zeros((), jnp.int32), params, model_state, optimizer.init(params))


def to_save(state: TrainState) -> TrainState:
    """Host copies where one process has everything: Orbax takes half as long for them as for arrays on devices."""
    # On CPU these are views: JAX does not overwrite a buffer that a view refers to, even where it is donated. Typed
    # keys of random streams have no NumPy form; they stay on the device.
    return state if jax.process_count() > 1 else jax.device_get(state)


def to_restore(template: TrainState) -> TrainState:
    """Shapes, dtypes and places of a state, for Orbax; what has no place goes to the first device."""
    return jax.tree.map(_abstract, template)


def _abstract(leaf: jax.Array | jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
    sharding = leaf.sharding or jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
