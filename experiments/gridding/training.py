"""Trains the networks of a case, and scores them."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from flax import nnx

from smoothjax import analysis, metrics, training
from smoothjax.names import Smoothing

from ..common.dense.fields import box
from ..common.network import Network, Tree, Trees, model_state_of
from ..common.run_files import Json
from .config import BASELINE, Case, Training
from .network import DilatedStack
from .pictures import CLASSES, THIN, Pictures, draw

#: Number of test pictures that receptive fields are averaged over.
_FIELDS = 8


class Counts(NamedTuple):
    """Integer counts on the test pictures, and the receptive field `[S, S]` of the central output."""

    confusion: jax.Array
    boundary: jax.Array
    isolated: jax.Array
    field: jax.Array


class Programs(NamedTuple):
    """The programs compiled once for a method and a shape of the network.

    Attributes:
      start: maps a key to the state before the first step.
      step: maps a state and a batch to the next state; the old state is donated.
      tally: maps a state and the test pictures to counts, with a confusion matrix for every picture.
    """

    start: Callable[[jax.Array], training.TrainState]
    step: Callable[[training.TrainState, Pictures], training.TrainState]
    tally: Callable[[training.TrainState, Pictures], Counts]


# The loop below is the study's own, the only one beside `training.fit`: that one keeps a folder, checkpoints and a log
# for each run, and here a run is a few seconds. Loss, step and optimiser are the library's. Seeds follow each other in
# one compiled step: under `vmap` the convolutions of several networks are a grouped one, which XLA runs 25 to 40 times
# slower on a CPU, and in a `scan` over steps each convolution takes 6 to 14 times as long.
def train(programs: Programs, seed: int, pictures: Pictures, steps: int) -> training.TrainState:
    """Trains a network on pictures that are seen once, in their order."""
    state = programs.start(_key(seed))
    size = len(pictures.images) // steps
    for step in range(steps):
        state = programs.step(state, Pictures(*(part[step * size : (step + 1) * size] for part in pictures)))
    return state


def pictures_of(case: Case, seed: int, how: Training) -> tuple[Pictures, Pictures]:
    """The pictures that a seed trains on, and those of its test; the same for all methods."""
    key = _key(seed)
    counts = how.steps * how.batch_size, how.test_pictures
    first, second = (
        draw(jax.random.fold_in(key, part), count, how.size, noise=case.noise, objects=case.objects)
        for part, count in enumerate(counts)
    )
    # Slices of an array on the host need no compiled program.
    return jax.device_get(first), jax.device_get(second)


def _key(seed: int) -> jax.Array:
    # The compiler takes several times longer for JAX's default random bits on CPU.
    return jax.random.key(seed, impl="rbg")


def programs_of(case: Case, method: Smoothing, how: Training) -> Programs:
    """The programs of a network; cases that differ only in noise and objects share them."""
    return _programs(case.stem, case.stride, case.rates, method, how)


@cache
def _programs(stem: Any, stride: Any, rates: tuple[int, ...], method: Smoothing, how: Training) -> Programs:
    shape = Case(stem, stride, rates)

    graphs = shapes_of(shape, method, how).graphs
    schedule = optax.cosine_decay_schedule(how.learning_rate, how.steps)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))

    def loss(params: Tree, model_state: Tree, batch: Pictures) -> training.LossOutput:
        model = graphs.model(Trees(params, model_state), training=True)
        total, count = training.cross_entropy(model(batch.images), batch.labels)
        return training.LossOutput(total, count, model_state_of(model))

    def start(key: jax.Array) -> training.TrainState:
        network = Network.of(DilatedStack(shape, method, how.width, nnx.Rngs(key)))
        return training.create_state(network.params, network.model_state, optimizer)

    def step(state: training.TrainState, batch: Pictures) -> training.TrainState:
        return training.train_step(state, batch, loss_fn=loss, optimizer=optimizer)[0]

    def tally(state: training.TrainState, test: Pictures) -> Counts:
        model = graphs.model(state)
        predictions = model(test.images).argmax(-1)
        classes = len(CLASSES)
        return Counts(
            jax.vmap(lambda a, b: metrics.confusion_matrix(a, b, num_classes=classes))(test.labels, predictions),
            metrics.boundary_confusion_matrix(test.labels, predictions, num_classes=classes, distance=1),
            metrics.isolated_pixels(test.labels, predictions),
            _field(model, test.images[:_FIELDS]),
        )

    return Programs(jax.jit(start), jax.jit(step, donate_argnums=0), jax.jit(tally))


def _field(model: DilatedStack, images: jax.Array) -> jax.Array:
    """The effective receptive field of the central output.

    Like `analysis.effective_receptive_field`, which compiles again for every network; here all seeds share a program.
    """
    centre = (slice(None), *(size // 2 for size in images.shape[1:3]))
    gradient = jax.grad(lambda x: model(x)[centre].sum())(images)
    return abs(gradient).sum((0, -1)) / len(images)


def score(counts: Counts, case: Case) -> Json:
    """The scores of a network, in percent except the phase imbalance; null for classes that do not occur.

    The receptive field of a dead network, which sees nothing, has no zeros to count and no phases.
    """
    confusion, boundary = np.asarray(counts.confusion).sum(0), np.asarray(counts.boundary)
    field = np.asarray(counts.field, np.float64)
    isolated, counted = np.asarray(counts.isolated).tolist()
    return {
        "mean_iou": mean_iou(confusion),
        "thin_iou": 100 * float(metrics.iou_per_class(confusion)[THIN]) if _drawn(confusion)[THIN] else None,
        "boundary_iou": 100 * float(metrics.boundary_iou_per_class(boundary)[_drawn(confusion)].mean()),
        "isolated": 100 * isolated / counted,
        "zeros": 100 * _zeros(field) if field.any() else None,
        "imbalance": analysis.phase_imbalance(field, rate=2 * case.stride) if field.any() else None,
    }


def mean_iou(confusion: np.ndarray) -> float:
    """Mean IoU in percent, over the drawn classes: a stray pixel of another class must not count as a third of it."""
    return 100 * float(metrics.iou_per_class(confusion)[_drawn(confusion)].mean())


def _drawn(confusion: np.ndarray) -> np.ndarray:
    return confusion.sum(1) > 0


def _zeros(field: np.ndarray) -> float:
    """Share of zeros in the smallest rectangle that holds all of a receptive field."""
    return float((field[box(field)] == 0).mean())


def extra_parameters(case: Case, method: Smoothing, how: Training) -> int:
    """Parameters that a method adds to the baseline."""
    sizes = [
        sum(leaf.size for leaf in jax.tree.leaves(shapes_of(case, name, how).params)) for name in (method, BASELINE)
    ]
    return sizes[0] - sizes[1]


def shapes_of(case: Case, method: Smoothing, how: Training) -> Network[DilatedStack]:
    """The network of a case without values: its variables are shapes."""
    return Network.of(nnx.eval_shape(lambda: DilatedStack(case, method, how.width, nnx.Rngs(0))))
