"""Averaged weights beside the raw ones: their batch statistics, and which of the two is better."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import islice

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from smoothjax import training

from .comparison import C
from .learner import Learner, S, T
from .network import M, Network, Tree, Trees, model_state_of
from .study import Scored, Weights

#: Training batches from which batch statistics are estimated.
BATCHES = 32


def statistics_estimator(
    study: Learner[C, T, S, M],
    config: C,
    network: Network[M],
    mesh: Mesh,
    batches: Callable[[], Iterator[Tree]],
) -> Callable[[training.TrainState], training.TrainState]:
    """Estimates the batch statistics of averaged weights: the means over the same first batches of the training data.

    The statistics of the run follow its raw weights and do not fit their average.
    """
    everywhere, split = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((), ("data",)))

    def mean_with(trees: Trees, count: jax.Array, batch: Mapping[str, jax.Array]) -> Tree:
        model = network.model(trees, training=True)
        for _, module in nnx.iter_modules(model):
            if isinstance(module, nnx.BatchNorm):
                module.momentum = 0.0  # the statistics after the pass are those of the batch
        study.loss(config, model, batch)

        def mean(before: jax.Array, now: jax.Array) -> jax.Array:
            inexact = jnp.issubdtype(before.dtype, jnp.inexact)
            return before + (now - before) / count.astype(before.dtype) if inexact else before

        return jax.tree.map(mean, trees.model_state, model_state_of(model))

    compiled = jax.jit(mean_with, in_shardings=(everywhere, everywhere, split), out_shardings=everywhere)

    def estimate(state: training.TrainState) -> training.TrainState:
        average = state.average
        params, model_state = average["params"], average["model_state"]
        for number, batch in enumerate(islice(batches(), BATCHES), 1):
            model_state = compiled(Trees(params, model_state), np.float32(number), training.shard_batch(batch, mesh))
        step = jax.tree.map(jnp.copy, state.step)  # the next step takes both and reuses their memory
        return replace(state, average={"params": params, "model_state": model_state, "measured_at": step})

    return estimate


def score_better(
    score: Callable[[training.TrainState], Scored], state: training.TrainState, metric: str, mode: str
) -> Scored:
    """The scores of the better of raw and averaged weights, and of both; of the raw weights if there are no others."""
    if not state.average:
        return score(state)
    found: dict[Weights, Scored] = {"raw": score(state), "averaged": score(training.averaged_state(state))}
    values = {name: each.scores[metric] for name, each in found.items()}
    weights = better(values, mode)
    scores = {**found[weights].scores, **{f"{name}_{metric}": value for name, value in values.items()}}
    return replace(
        found[weights], scores=scores, weights=weights, by_weights={name: each.scores for name, each in found.items()}
    )


def better(values: Mapping[str, float], mode: str) -> Weights:
    """The weights with the better score; the raw weights if the scores are equal or one is unknown."""
    raw, averaged = (values.get(name, math.nan) for name in ("raw", "averaged"))
    return "averaged" if (averaged > raw if mode == "max" else averaged < raw) else "raw"
