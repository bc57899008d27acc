"""Scores of a trained network, compiled over a mesh."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from smoothjax import training

from ..common.network import Network
from .tasks import Example, Task


def sums(outputs: jax.Array, batch: Mapping[str, jax.Array], *, real: bool) -> dict[str, jax.Array]:
    """Sums over the scored steps of a batch.

    Args:
      outputs: `[N, T, K]`: logits, or where `real` numbers with K = 1.
      batch: target and weight `[N, T]`.
      real: whether numbers are asked for.

    Returns:
      `"steps"`, their number; `"loss"`, nats or squared errors; `"score"`, bits or squared errors; for symbols
      `"accuracy"`, the number of right ones.
    """
    target, weight = batch["target"], batch["weight"]
    if real:
        loss = jnp.sum(weight * (outputs[..., 0] - target) ** 2)
        return {"steps": weight.sum(), "loss": loss, "score": loss}
    loss = jnp.sum(weight * optax.softmax_cross_entropy_with_integer_labels(outputs, target))
    right = jnp.sum(weight * (outputs.argmax(-1) == target))
    return {"steps": weight.sum(), "loss": loss, "score": loss / jnp.log(2.0), "accuracy": right}


class Scorer:
    """Scores states of a network.

    Args:
      task: what it is to do.
      network: the network.
      batch_size: sequences scored together, over all devices.
      mesh: the devices.
    """

    def __init__(self, task: Task, network: Network, batch_size: int, mesh: Mesh):
        self._batch_size, self._mesh = batch_size, mesh

        def score(params: Any, model_state: Any, batch: Any) -> dict[str, jax.Array]:
            model = nnx.merge(network.eval_graph, params, model_state)
            return sums(model(batch["input"]), batch, real=task.real)

        self._score = jax.jit(score, out_shardings=NamedSharding(mesh, PartitionSpec()))

    def score(self, state: training.TrainState, examples: list[Example], limit: int | None = None) -> dict[str, float]:
        """Means over the scored steps of a split, or of so many of its sequences, spread evenly."""
        totals: dict[str, float] = {}
        for batch in _batches(spread_over(examples, limit), self._batch_size):
            found = self._score(state.params, state.model_state, training.shard_batch(batch, self._mesh))
            for name, value in found.items():
                totals[name] = totals.get(name, 0.0) + float(value)
        steps = totals.pop("steps")
        return {name: value / steps for name, value in totals.items()}


def spread_over(examples: list[Example], limit: int | None) -> list[Example]:
    """So many examples, spread evenly; by default all."""
    count = len(examples) if limit is None else min(limit, len(examples))
    return [examples[i * len(examples) // count] for i in range(count)]


def _batches(examples: list[Example], size: int) -> Iterator[Example]:
    """This process's share of the batches; the last one is filled up with sequences of weight 0."""
    share = size // jax.process_count()
    first = jax.process_index() * share
    for start in range(0, len(examples), size):
        batch = list(examples[start : start + size])
        batch += [{**batch[0], "weight": np.zeros_like(batch[0]["weight"])}] * (size - len(batch))
        mine = batch[first : first + share]
        yield {name: np.stack([example[name] for example in mine]) for name in mine[0]}
