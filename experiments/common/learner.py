"""The part of a study that training needs: data, model, loss and optimiser."""

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
"""The part of the data that the network depends on, such as the classes; None if there is no such part."""
S = TypeVar("S", bound=data.Examples[data.Record])
"""A split of the data."""


Augment = Callable[[data.Record, np.random.Generator], data.Record]
"""Augments an example; all randomness comes from the generator."""


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
    """Data, model, loss and optimiser, from which `train.prepare` makes a run."""

    def completed(self, config: C) -> C:
        """The configuration with values measured on the data before a run is described, such as statistics."""
        return config

    @abstractmethod
    def open_split(self, config: C, split: str, target: T | None = None) -> S:
        """A split of the data, read with the `target` of a run if it is given; the error says what is missing."""

    @abstractmethod
    def target(self, config: C, source: S) -> T:
        """The part of the training split that the network depends on; refuses a configuration that does not fit."""

    @abstractmethod
    def augmentation(self, config: C, target: T) -> Augment:
        """The random variation of training examples."""

    def training_augmentation(self, config: C, target: T, source: S) -> Augment:
        """`augmentation` with values measured on the training split."""
        del source
        return self.augmentation(config, target)

    def training_split(self, config: C) -> str:
        """The name of the split to train on."""
        return "train"

    def training_examples(self, config: C, source: S) -> data.Examples[data.Record]:
        """The examples of training batches."""
        return source

    def measured(self, config: C, source: S, kept: Json, *, progress: bool) -> tuple[C, Json, str]:
        """The configuration with values measured on the training split in place of rules.

        Args:
          config: of the run.
          source: the training split.
          kept: the values stored in the run folder, which are not measured again; `{}` at the first start.
          progress: whether to show a bar.

        Returns:
          The configuration for the loss, the values to store in the run folder, `{}` for none, and lines about them
          to print, once for all runs of a comparison with the same values.
        """
        del source, kept, progress  # most studies measure nothing
        return config, {}, ""

    def check_training_data(self, config: C, source: S, validation: S, *, progress: bool) -> None:
        """Refuses faulty data, before anything is compiled or written."""

    @abstractmethod
    def make_model(self, config: C, target: T, rngs: nnx.Rngs) -> M:
        """The model, initialised at random."""

    @abstractmethod
    def loss(self, config: C, model: M, batch: Mapping[str, jax.Array]) -> Loss:
        """The loss of a training batch."""

    @abstractmethod
    def make_optimizer(self, config: C, params: Tree) -> tuple[optax.GradientTransformation, optax.Schedule]:
        """The optimiser and its learning rate."""

    def average_decay(self, config: C) -> float | None:
        """Decay of the exponential average of the weights, see `training.average_weights`; None for none."""
        return None  # most studies keep none

    def with_weights(self, config: C, network: Network[M]) -> Network[M]:
        """The network with published weights, if the configuration names any."""
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
