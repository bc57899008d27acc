"""A network: pure trees of parameters between the steps, and the model built from them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from smoothjax import nn

Tree: TypeAlias = Any
"""Nested dict of arrays."""
M = TypeVar("M", bound=nnx.Module)


class Variables(Protocol):
    """The variables of a model: a `Network` at its start, a `training.TrainState` afterwards."""

    @property
    def params(self) -> Tree:
        """Nested dict of the parameters."""
        ...

    @property
    def model_state(self) -> Tree:
        """Nested dict of the batch statistics."""
        ...


class Trees(NamedTuple):
    """Only parameters and batch statistics."""

    params: Tree
    model_state: Tree

    @classmethod
    def of(cls, variables: Variables) -> "Trees":
        """The variables of a network, or of a training state without its optimiser."""
        return cls(variables.params, variables.model_state)


@dataclass(frozen=True)
class Network(Generic[M]):
    """The initial network.

    Attributes:
      params, model_state: see `Variables`.
      train_graph, eval_graph: the two modes of the model.
    """

    params: Tree
    model_state: Tree
    train_graph: nnx.GraphDef[M]
    eval_graph: nnx.GraphDef[M]

    @classmethod
    def of(cls, model: M) -> "Network[M]":
        """The network of a model in evaluation mode; consumes the model."""
        eval_graph, params, model_state = nnx.split(model, nnx.Param, ...)
        model.train()
        return cls(nnx.to_pure_dict(params), nnx.to_pure_dict(model_state), nnx.graphdef(model), eval_graph)

    @property
    def graphs(self) -> "Network[M]":
        """The same without its variables, for programs that receive them as arguments."""
        return Network({}, {}, self.train_graph, self.eval_graph)

    def model(self, variables: Variables | None = None, *, training: bool = False) -> M:
        """The model with these variables, by default the initial ones; costs nothing, inside `jax.jit` too."""
        given = self if variables is None else variables
        return nnx.merge(self.train_graph if training else self.eval_graph, given.params, given.model_state)


def build_network(make: Callable[[nnx.Rngs], M], seed: int) -> Network[M]:
    """Initialises a network, in one compiled program."""
    return initialized(initializer(make), seed)


def initializer(make: Callable[[nnx.Rngs], M]) -> Callable[[jax.Array], M]:
    """The program that makes a model from a key."""
    return nnx.jit(lambda key: make(nn.traced_rngs(key)))


def initialized(make: Callable[[jax.Array], M], seed: int) -> Network[M]:
    """The network that a program makes from a seed."""
    # The compiler takes several times longer for JAX's default random bits on CPU.
    return Network.of(make(jax.random.key(seed, impl="rbg")))


def model_state_of(model: nnx.Module) -> Tree:
    """The variables that a forward pass changes, as a nested dict."""
    return nnx.to_pure_dict(nnx.state(model, nnx.Not(nnx.Param)))


def compute_dtype(precision: str) -> DTypeLike | None:
    """The `dtype` argument of the models; parameters stay float32."""
    return None if precision == "float32" else jnp.bfloat16
