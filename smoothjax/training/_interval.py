"""The metrics of running steps, and the guard against values that are not finite."""

import math
import time
from collections import deque

import jax
import jax.numpy as jnp
import numpy as np

from ._checkpoint import Checkpoints
from ._state import TrainState

# Steps dispatched before the host reads the metrics of an older one. With two, the device always has work while the
# host prepares a batch, a NaN is noticed two steps late, and at most three batches wait in its memory.
_IN_FLIGHT = 2


class Interval:
    """The metrics of the steps since the last log line, read two steps late."""

    def __init__(self, checkpoints: Checkpoints):
        self._checkpoints = checkpoints
        self._unread: deque[tuple[int, dict[str, jax.Array]]] = deque()
        self._read: list[dict[str, float]] = []
        self.started = time.perf_counter()

    def push(self, step: int, metrics: dict[str, jax.Array]) -> None:
        """Stores the metrics of a step just dispatched and reads those of an older one."""
        for value in metrics.values():
            value.copy_to_host_async()
        self._unread.append((step, metrics))
        while len(self._unread) > _IN_FLIGHT:
            self._read_one()

    def read_all(self) -> None:
        """Waits for the steps in flight."""
        while self._unread:
            self._read_one()

    def means(self) -> dict[str, float]:
        """The means over the interval, and its speed without evaluations and checkpoints; starts a new interval."""
        self.read_all()
        now, count = time.perf_counter(), len(self._read)
        names = ["loss", *(name for name in self._read[0] if name != "loss")]  # jit sorts dicts; the loss comes first
        means = {name: float(np.mean([values[name] for values in self._read])) for name in names}
        means["steps_per_second"] = count / max(now - self.started, 1e-9)
        self._read, self.started = [], now
        return means

    def _read_one(self) -> None:
        step, metrics = self._unread.popleft()
        values = {name: float(value) for name, value in jax.device_get(metrics).items()}
        for name, words in (("loss", "the loss"), ("grad_norm", "the norm of the gradient")):
            if not math.isfinite(values[name]):
                raise _not_finite(step, f"{words} is {values[name]} (loss {values['loss']:.4g})", self._checkpoints)
        self._read.append(values)


def check_finite(step: int, state: TrainState, checkpoints: Checkpoints) -> None:
    """Checks the state: loss and gradient were finite, but the update or a batch statistic may not be."""
    # On the host: a program over all leaves takes a second to compile, and a checkpoint copies the state anyway.
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        if jnp.issubdtype(leaf.dtype, jnp.inexact) and not np.isfinite(np.asarray(leaf)).all():
            what = f"state{jax.tree_util.keystr(path)} is no longer finite"
            raise _not_finite(step, what, checkpoints)


def _not_finite(step: int, what: str, checkpoints: Checkpoints) -> FloatingPointError:
    checkpoints.wait()
    saved = checkpoints.steps
    good = f"step {saved[-1]}, {checkpoints.path(saved[-1])}" if saved else "none was saved before"
    return FloatingPointError(
        f"step {step}: {what}; training stopped. Last good checkpoint: {good}. Lower the learning rate: the "
        "same command then continues from there. Or, in another folder, since a run keeps its other options and its "
        "data, compute in float32, or correct labels that are not a class"
    )
