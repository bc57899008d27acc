"""What a study supplies for training: data, model, loss and optimiser."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache, partial
from typing import Generic, NamedTuple, TypeVar

import jax
import numpy as np
import optax
from flax import nnx

from smoothjax import data, training

from .comparison import C
from .network import M, Network, Tree, Trees, initialized, initializer, model_state_of
from .run_files import Json

T = TypeVar("T")
"""What the network must know of the data, such as the classes; None where it need not know anything."""
S = TypeVar("S", bound=data.Examples[data.Record])
"""A split of the data."""


Augment = Callable[[data.Record, np.random.Generator], data.Record]
"""Makes a training example of one that was read; whatever is random comes from the generator."""


class Loss(NamedTuple):
    """Sums over a batch, see `training.LossOutput`."""

    loss_sum: jax.Array
    valid_count: jax.Array
    metrics: Mapping[str, jax.Array] = {}


@lru_cache(maxsize=4)
def _initializer(learner: "Learner[C, T, S, M]", config: C, target: T) -> Callable[[jax.Array], M]:
    """One program for all seeds: that of a small network takes longer to compile than to train for some steps."""
    return initializer(partial(learner.make_model, config, target))


class Learner(ABC, Generic[C, T, S, M]):
    """What learns: `train.prepare` makes a run of it."""

    def completed(self, config: C) -> C:
        """The configuration with what has to be found in the data before a run is described, such as statistics."""
        return config

    @abstractmethod
    def open_split(self, config: C, split: str, target: T | None = None) -> S:
        """A split of the data, read as `target` says where it is that of a run; says what is missing."""

    @abstractmethod
    def target(self, config: C, source: S) -> T:
        """What the network must know of the training split; refuses a configuration that does not fit it."""

    @abstractmethod
    def augmentation(self, config: C, target: T) -> Augment:
        """How training examples are varied."""

    def training_augmentation(self, config: C, target: T, source: S) -> Augment:
        """`augmentation` with what has to be found in the training split."""
        del source
        return self.augmentation(config, target)

    def training_split(self, config: C) -> str:
        """The name of the split to train on."""
        return "train"

    def training_examples(self, config: C, source: S) -> data.Examples[data.Record]:
        """What training batches are made of."""
        return source

    def measured(self, config: C, source: S, kept: Json, *, progress: bool) -> tuple[C, Json]:
        """The configuration with what is measured on the training split in place of the rules that name it.

        Args:
          config: of the run.
          source: the training split.
          kept: what the run folder has of it, `{}` at the first start; then nothing is measured again.
          progress: whether to show a bar.

        Returns:
          The configuration that the loss is made of, and what the run folder is to keep; `{}` for nothing.
        """
        del source, kept, progress  # most studies measure nothing
        return config, {}

    def check_training_data(self, config: C, source: S, validation: S, *, progress: bool) -> None:
        """Reports whatever is wrong with the data, before anything is compiled or written."""

    @abstractmethod
    def make_model(self, config: C, target: T, rngs: nnx.Rngs) -> M:
        """The model, initialised at random."""

    @abstractmethod
    def loss(self, config: C, model: M, batch: Mapping[str, jax.Array]) -> Loss:
        """The loss of a training batch."""

    @abstractmethod
    def make_optimizer(self, config: C, params: Tree) -> tuple[optax.GradientTransformation, optax.Schedule]:
        """The optimiser, and the rate that it was made with."""

    def average_decay(self, config: C) -> float | None:
        """Decay of the exponential average of the weights, see `training.average_weights`; None for none."""
        return None  # most studies keep none

    def with_weights(self, config: C, network: Network[M]) -> Network[M]:
        """The network with published weights, if the configuration names some."""
        return network

    def build_network(self, config: C, target: T) -> Network[M]:
        """The network of a configuration, initialised at random."""
        return initialized(_initializer(self, replace(config, seed=0), target), config.seed)

    def make_loss(self, config: C, network: Network[M]) -> training.LossFn:
        """The loss as a pure function of the trees that the step differentiates."""

        def loss_fn(params: Tree, model_state: Tree, batch: Mapping[str, jax.Array]) -> training.LossOutput:
            model = network.model(Trees(params, model_state), training=True)
            loss = self.loss(config, model, batch)
            return training.LossOutput(loss.loss_sum, loss.valid_count, model_state_of(model), loss.metrics)

        return loss_fn
