"""A network as pure functions of nested dicts."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx


@dataclass(frozen=True)
class Network:
    """The network as pure functions of nested dicts.

    Attributes:
      params: initial parameters.
      model_state: initial batch statistics.
      train_graph, eval_graph: the two modes of the model, for `nnx.merge`.
    """

    params: Any
    model_state: Any
    train_graph: Any
    eval_graph: Any


def build_network(make: Callable[[nnx.Rngs], nnx.Module], seed: int) -> Network:
    """Initialises a network, in one compiled program."""
    # The compiler takes several times longer for JAX's default random bits on CPU.
    model = nnx.jit(lambda key: make(nnx.Rngs(key)))(jax.random.key(seed, impl="rbg"))
    eval_graph, params, model_state = nnx.split(model, nnx.Param, ...)
    model.train()
    return Network(nnx.to_pure_dict(params), nnx.to_pure_dict(model_state), nnx.graphdef(model), eval_graph)


def model_state_of(model: nnx.Module) -> Any:
    """What a forward pass has changed, as a nested dict."""
    return nnx.to_pure_dict(nnx.state(model, nnx.Not(nnx.Param)))


def compute_dtype(precision: str) -> Any:
    """The `dtype` argument of the models; parameters stay float32."""
    return None if precision == "float32" else jnp.bfloat16


def count(params: Any) -> int:
    """Number of parameters."""
    return int(sum(leaf.size for leaf in jax.tree.leaves(params)))
