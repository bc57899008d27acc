"""One training step: a pure function, and its compiled form."""

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ._accumulate import add_up, check_accumulate, split_rows
from ._mesh import check_rows
from ._state import TrainState, Tree, average_weights


class LossOutput(NamedTuple):
    """The result of a loss function: sums, which devices can add, not means.

    Attributes:
      loss_sum: The loss summed over the batch, a scalar, differentiated.
      valid_count: The divisor of the loss: the number of valid pixels, or the sum of their weights.
      model_state: The new model state, with the structure, shapes and dtypes of the old one.
      metrics: Other sums to log, by name; also divided by `valid_count`.
    """

    loss_sum: jax.Array
    valid_count: jax.Array
    model_state: Tree
    metrics: Mapping[str, jax.Array] = {}


LossFn = Callable[[Tree, Tree, Tree], LossOutput]
"""`loss_fn(params, model_state, batch)`.

It chooses its own precision: a bfloat16 model casts inside, while the parameters and the sums stay float32. Randomness
must come from the batch or from `model_state`.
"""

Step = Callable[[TrainState, Tree], tuple[TrainState, dict[str, jax.Array]]]
"""The result of `compile_step`: a function from a state and a batch to the next state and the metrics."""


def train_step(
    state: TrainState,
    batch: Tree,
    *,
    loss_fn: LossFn,
    optimizer: optax.GradientTransformation,
    axis_name: str | tuple[str, ...] | None = None,
    accumulate: int = 1,
    average: float | None = None,
) -> tuple[TrainState, dict[str, jax.Array]]:
    """One update of the parameters; a pure function that checks and prints no values.

    The gradient is that of `loss_sum / valid_count`, both over the whole global batch. Under `jax.jit` with a batch
    sharded over a mesh this holds directly; under `jax.pmap` or `jax.shard_map`, `axis_name` sums over the devices, and
    the floating-point model state is averaged over the devices.

    Args:
      state: The state before.
      batch: Tree of arrays `[N, ...]`, passed to `loss_fn` as it is.
      loss_fn: Maps `(params, model_state, batch)` to a `LossOutput`.
      optimizer: The optimiser whose state is in `state`.
      axis_name: The mapped axis of `pmap` or `shard_map`; None under plain `jit`.
      accumulate: Number of parts that the batch is split into, one after the other, to save memory: row i belongs to
        part `i % accumulate`. Sums and gradients of the parts are added and divided by the count of the whole batch, so
      the step equals that of the whole batch up to rounding. The model state goes from part to part: batch
      normalisation normalises each part separately and updates its running statistics once per part; frozen, it makes
      no difference. average: Decay of the state's exponential average of the weights, see `average_weights`; None
        leaves the average unchanged.

    Returns:
      The state after, and the metrics `loss`, `grad_norm` and those of the loss function, scalars. A batch without
      valid pixels (`valid_count == 0`) gives loss 0.

    Raises:
      AssertionError: The new model state has another structure, shape or dtype than the old one.
      ValueError: A metric of the loss function is named `loss` or `grad_norm`, or the batch has a number of rows that
        `accumulate` does not divide; or `accumulate` is less than 1, or used with `axis_name`.

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
    check_accumulate("train_step", accumulate)
    if accumulate > 1 and axis_name is not None:
        raise ValueError("train_step: accumulate goes with jit over a mesh, not with axis_name; use compile_step")

    # Cast to vary over the devices, the parameters get each device's own gradient; `shard_map` would already sum the
    # gradient of replicated parameters, and the sum below would count it twice.
    params = state.params if axis_name is None else jax.lax.pcast(state.params, axis_name, to="varying")

    def sums_of(model_state: Tree, part: Tree) -> tuple[Tree, tuple[Tree, dict[str, jax.Array], jax.Array]]:
        """The model state after a part of the batch; its gradients, metrics and count."""

        def differentiated(params: Tree) -> tuple[jax.Array, LossOutput]:
            output = LossOutput(*loss_fn(params, model_state, part))
            return output.loss_sum, output

        gradients, output = jax.grad(differentiated, has_aux=True)(params)
        chex.assert_trees_all_equal_shapes_and_dtypes(model_state, output.model_state)
        reserved = {"loss", "grad_norm"} & set(output.metrics)
        if reserved:
            raise ValueError(
                f"train_step: the metrics {sorted(reserved)} of the loss function are reserved; rename them"
            )
        sums = {"loss": output.loss_sum, **output.metrics}
        return output.model_state, (gradients, sums, jnp.asarray(output.valid_count))

    if accumulate == 1:
        model_state, (gradients, sums, count) = sums_of(state.model_state, batch)
    else:
        parts = jax.tree.map(functools.partial(split_rows, count=accumulate), batch)
        (gradients, sums, count), model_state = add_up(sums_of, state.model_state, parts)
    if axis_name is not None:
        gradients, sums, count = jax.lax.psum((gradients, sums, count), axis_name)
        model_state = jax.tree.map(functools.partial(_mean_if_inexact, axis_name=axis_name), model_state)
    # Not max(count, 1): class weights may add to less than one.
    scale = 1 / jnp.where(count == 0, 1, count)
    gradients = jax.tree.map(lambda gradient: gradient * scale.astype(gradient.dtype), gradients)
    metrics = {name: value * scale for name, value in sums.items()}
    metrics["grad_norm"] = optax.tree.norm(gradients)

    updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    kept = state.average if average is None else average_weights(state, params, average)
    return TrainState(state.step + 1, params, model_state, opt_state, kept), metrics


def compile_step(
    loss_fn: LossFn,
    optimizer: optax.GradientTransformation,
    mesh: Mesh,
    *,
    accumulate: int = 1,
    average: float | None = None,
) -> Step:
    """`train_step` jitted over a mesh: state replicated and donated, batch split along its leading axis.

    Args:
      loss_fn: See `train_step`.
      optimizer: See `train_step`.
      mesh: From `data_mesh`.
      accumulate: See `train_step`. Every device takes its share of every part.
      average: See `train_step`.

    Returns:
      `step(state, batch) -> (state, metrics)`. The given state is donated, so do not use it afterwards. Raises
      ValueError if the devices and parts do not divide the batch.

    Raises:
      ValueError: `accumulate` is less than 1.
    """
    check_accumulate("compile_step", accumulate)
    replicated, split = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec(mesh.axis_names))

    def step(state: TrainState, batch: Tree) -> tuple[TrainState, dict[str, jax.Array]]:
        rows = jax.tree.leaves(batch)[0].shape[0]
        check_rows("train_step: the rows of the batch", rows, devices=mesh.size, parts=accumulate)
        return train_step(state, batch, loss_fn=loss_fn, optimizer=optimizer, accumulate=accumulate, average=average)

    return jax.jit(
        step,
        in_shardings=(replicated, split),
        out_shardings=replicated,
        donate_argnums=0,
    )


def _mean_if_inexact(leaf: jax.Array, axis_name: str | tuple[str, ...]) -> jax.Array:
    # Counters and keys are the same on every device and have no mean.
    return jax.lax.pmean(leaf, axis_name) if jnp.issubdtype(leaf.dtype, jnp.inexact) else leaf
