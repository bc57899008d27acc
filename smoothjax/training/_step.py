"""One training step: a pure function, and its compiled form."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ._state import TrainState


class LossOutput(NamedTuple):
    """What a loss function returns: sums, which devices can add, not means.

    Attributes:
      loss_sum: The loss summed over the batch, a scalar, differentiated.
      valid_count: What it is divided by: the number of valid pixels, or the sum of their weights.
      model_state: The new model state, of the structure, shapes and dtypes of the old one.
      metrics: Further sums to log, by name; divided by `valid_count` as well.
    """

    loss_sum: jax.Array
    valid_count: jax.Array
    model_state: Any
    metrics: Mapping[str, jax.Array] = {}


LossFn = Callable[[Any, Any, Any], LossOutput]
"""`loss_fn(params, model_state, batch)`.

The precision of the computation is its own business: a bfloat16 model casts inside, while the parameters and the sums
stay float32. What it needs of randomness comes from the batch or from `model_state`.
"""


def train_step(
    state: TrainState,
    batch: Any,
    *,
    loss_fn: LossFn,
    optimizer: optax.GradientTransformation,
    axis_name: str | tuple[str, ...] | None = None,
) -> tuple[TrainState, dict[str, jax.Array]]:
    """One update of the parameters; pure, nothing is checked or printed inside.

    The gradient is of `loss_sum / valid_count`, both over the whole global batch. Under `jax.jit` with a batch sharded
    over a mesh that is what the code says; under `jax.pmap` or `jax.shard_map`, `axis_name` sums over the devices.
    There the floating-point model state is averaged over the devices.

    Args:
      state: The state before.
      batch: Tree of arrays `[N, ...]`, passed to `loss_fn` as it is.
      loss_fn: From `(params, model_state, batch)` to a `LossOutput`.
      optimizer: The optimiser whose state is in `state`.
      axis_name: The mapped axis of `pmap` or `shard_map`; None under plain `jit`.

    Returns:
      The state after, and the metrics `loss`, `grad_norm` and those of the loss function, scalars. A batch that has
      nothing to count (`valid_count == 0`) gives loss 0.

    Raises:
      AssertionError: The new model state has another structure, shape or dtype than the old one.
      ValueError: A metric of the loss function is named `loss` or `grad_norm`.

    Example:
      >>> def loss_fn(params, model_state, batch):
      ...     return LossOutput(jnp.sum((params["w"] * batch) ** 2), jnp.asarray(batch.size), model_state)
      >>> from smoothjax.training import create_state
      >>> optimizer = optax.sgd(0.25)
      >>> state = create_state({"w": jnp.ones(())}, {}, optimizer)
      >>> state, metrics = train_step(state, jnp.ones(4), loss_fn=loss_fn, optimizer=optimizer)
      >>> int(state.step), float(state.params["w"]), float(metrics["loss"]), float(metrics["grad_norm"])
      (1, 0.5, 1.0, 2.0)
    """

    def differentiated(params: Any) -> tuple[jax.Array, LossOutput]:
        output = LossOutput(*loss_fn(params, state.model_state, batch))
        return output.loss_sum, output

    # Seen as varying over the devices, the parameters get each device's own gradient; `shard_map` would sum the
    # gradient of replicated ones by itself, and the sum below would count it twice.
    params = state.params if axis_name is None else jax.lax.pcast(state.params, axis_name, to="varying")
    gradients, output = jax.grad(differentiated, has_aux=True)(params)
    chex.assert_trees_all_equal_shapes_and_dtypes(state.model_state, output.model_state)
    reserved = {"loss", "grad_norm"} & set(output.metrics)
    if reserved:
        raise ValueError(f"train_step: the metrics {sorted(reserved)} of the loss function are reserved; rename them")

    sums = {"loss": output.loss_sum, **output.metrics}
    count, model_state = output.valid_count, output.model_state
    if axis_name is not None:
        gradients, sums, count = jax.lax.psum((gradients, sums, count), axis_name)
        model_state = jax.tree.map(functools.partial(_mean_if_inexact, axis_name=axis_name), model_state)
    # Not max(count, 1): class weights may add to less than one.
    scale = 1 / jnp.where(count > 0, count, 1)
    gradients = jax.tree.map(lambda gradient: gradient * scale.astype(gradient.dtype), gradients)
    metrics = {name: value * scale for name, value in sums.items()}
    metrics["grad_norm"] = optax.tree.norm(gradients)

    updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    return TrainState(state.step + 1, params, model_state, opt_state), metrics


def compile_step(
    loss_fn: LossFn, optimizer: optax.GradientTransformation, mesh: Mesh
) -> Callable[[TrainState, Any], tuple[TrainState, dict[str, jax.Array]]]:
    """`train_step` jitted over a mesh: state replicated and donated, batch split along its leading axis.

    Args:
      loss_fn: See `train_step`.
      optimizer: See `train_step`.
      mesh: From `data_mesh`.

    Returns:
      `step(state, batch) -> (state, metrics)`. The given state's buffers are reused: it is gone afterwards.
    """
    replicated, split = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec(mesh.axis_names))
    return jax.jit(
        functools.partial(train_step, loss_fn=loss_fn, optimizer=optimizer),
        in_shardings=(replicated, split),
        out_shardings=replicated,
        donate_argnums=0,
    )


def _mean_if_inexact(leaf: jax.Array, axis_name: str | tuple[str, ...]) -> jax.Array:
    # Counters and keys are the same on every device and have no mean.
    return jax.lax.pmean(leaf, axis_name) if jnp.issubdtype(leaf.dtype, jnp.inexact) else leaf
