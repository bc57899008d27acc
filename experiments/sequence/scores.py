"""Scores of sequences, and batches for them."""

from collections.abc import Iterator, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax

from .tasks import Example


def sums(outputs: jax.Array, batch: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """Sums over the scored steps of a batch.

    Args:
      outputs: `[N, T, K]`: logits, or with real targets numbers, K = 1.
      batch: target and weight `[N, T]`.

    Returns:
      `"steps"`, their number; `"loss"`, nats or squared errors; `"score"`, bits or squared errors; for symbols
      `"accuracy"`, the number of right ones.
    """
    target, weight = batch["target"], batch["weight"]
    if jnp.issubdtype(target.dtype, jnp.floating):
        loss = jnp.sum(weight * (outputs[..., 0] - target) ** 2)
        return {"steps": weight.sum(), "loss": loss, "score": loss}
    loss = jnp.sum(weight * optax.softmax_cross_entropy_with_integer_labels(outputs, target))
    right = jnp.sum(weight * (outputs.argmax(-1) == target))
    return {"steps": weight.sum(), "loss": loss, "score": loss / jnp.log(2.0), "accuracy": right}


def spread_over(examples: Sequence[Example], limit: int | None) -> list[Example]:
    """`limit` examples, spread evenly; by default all."""
    count = len(examples) if limit is None else min(limit, len(examples))
    return [examples[i * len(examples) // count] for i in range(count)]


def batches(examples: Sequence[Example], size: int) -> Iterator[Example]:
    """This process's share of the batches; sequences of weight 0 fill up the last one."""
    share = size // jax.process_count()
    first = jax.process_index() * share
    for start in range(0, len(examples), size):
        batch = list(examples[start : start + size])
        batch += [{**batch[0], "weight": np.zeros_like(batch[0]["weight"])}] * (size - len(batch))
        mine = batch[first : first + share]
        index = np.where(np.arange(start, start + size) < len(examples), np.arange(start, start + size), -1)
        arrays = {name: np.stack([example[name] for example in mine]) for name in mine[0]}
        yield {**arrays, "index": index[first : first + share].astype(np.int32)}
