"""The training state."""

import dataclasses
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import optax

Tree: TypeAlias = Any
"""A pytree, mostly a nested dict of arrays, with a structure known only to the model, the loss or the data."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """Everything that a training step reads and writes, a pytree.

    Attributes:
      step: Number of updates done, int32 scalar.
      params: Nested dict of the parameters which the optimiser changes.
      model_state: Nested dict of variables that the forward pass changes: batch statistics, counters of random streams.
      opt_state: The optimiser's state.
      average: If the run averages its weights, a dict of `params`, their exponential average; `model_state`, the
        matching batch statistics; and `measured_at`, the step at which these were estimated, -1 for never. Otherwise
        `{}`. See `average_weights` and `averaged_state`.
    """

    step: jax.Array
    params: Tree
    model_state: Tree
    opt_state: optax.OptState
    average: Tree = dataclasses.field(default_factory=dict)


def create_state(
    params: Tree, model_state: Tree, optimizer: optax.GradientTransformation, *, average: bool = False
) -> TrainState:
    """The state before the first step.

    Args:
      params: Nested dict of parameters.
      model_state: Nested dict of the non-trainable state; `{}` where there is none.
      optimizer: The optimiser of the run.
      average: Whether the run averages its weights, see `train_step`.

    Returns:
      The state at step 0. It refers to the given arrays; `fit` copies before it donates.

    Example:
      >>> state = create_state({"w": jnp.ones(3)}, {}, optax.sgd(0.1))
      >>> int(state.step), sorted(state.params)
      (0, ['w'])
    """
    state = TrainState(jnp.zeros((), jnp.int32), params, model_state, optimizer.init(params))
    if not average:
        return state
    begun = {"params": params, "model_state": model_state, "measured_at": jnp.full((), -1, jnp.int32)}
    return dataclasses.replace(state, average=begun)


def average_weights(state: TrainState, params: Tree, decay: float) -> Tree:
    """The average after an update, `average + (1 - d) (params - average)`.

    The decay `d` of update t, counted from 0, is `min(decay, (1 + t) / (10 + t))`: so at first the average follows the
    weights closely and soon forgets the random initial ones.

    Args:
      state: The state before the update.
      params: The parameters after it.
      decay: In (0, 1).

    Returns:
      The new `params` of `TrainState.average`.

    Raises:
      ValueError: The decay is out of range, or the state holds no average.

    Example:
      >>> import optax
      >>> state = create_state({"w": jnp.zeros(())}, {}, optax.sgd(0.1), average=True)
      >>> float(average_weights(state, {"w": jnp.ones(())}, 0.999)["params"]["w"]).__round__(6)  # d = 1 / 10
      0.9
    """
    if not 0 < decay < 1:
        raise ValueError(f"average_weights: decay must be between 0 and 1, got {decay}; try 0.999")
    if not state.average:
        raise ValueError("average_weights: the state holds no average; make it with create_state(..., average=True)")
    step = state.step.astype(jnp.float32)
    share = 1 - jnp.minimum(decay, (1 + step) / (10 + step))
    averaged = jax.tree.map(lambda a, p: a + share.astype(a.dtype) * (p - a), state.average["params"], params)
    return {**state.average, "params": averaged}


def averaged_state(state: TrainState) -> TrainState:
    """The state with the averaged weights and their batch statistics in place of its own, for evaluation.

    Raises:
      ValueError: The state holds no average.
    """
    if not state.average:
        raise ValueError("averaged_state: the state holds no average; make it with create_state(..., average=True)")
    return dataclasses.replace(state, params=state.average["params"], model_state=state.average["model_state"])


def to_save(state: TrainState) -> TrainState:
    """Host copies if one process has everything: Orbax saves them in half the time of arrays on devices."""
    # On CPU these are views: JAX does not overwrite a buffer with a view, even if it is donated. Typed keys of random
    # streams have no NumPy form and stay on the device.
    return state if jax.process_count() > 1 else jax.device_get(state)


def to_restore(template: TrainState) -> TrainState:
    """Shapes, dtypes and shardings of a state, for Orbax; leaves without a sharding go to the first device."""
    return jax.tree.map(_abstract, template)


def _abstract(leaf: jax.Array | jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
    sharding = leaf.sharding or jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
