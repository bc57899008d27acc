"""Helpers that several test files share."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from tensorboardX.proto import event_pb2

from smoothjax import nn

Model = TypeVar("Model")

#: "Relative" error is max|error| / max|reference|.
TOLERANCE = {"float32": 1e-5, "bfloat16": 2e-2, "float64": 1e-12}


def assert_close(actual: Any, reference: Any, tolerance: float | None = None) -> None:
    """Asserts equal shapes and a relative error below ``tolerance`` (by default that of the actual dtype)."""
    if tolerance is None:
        tolerance = TOLERANCE[str(actual.dtype)]
    actual, reference = np.asarray(actual, np.float64), np.asarray(reference, np.float64)
    scale = max(float(np.max(np.abs(reference), initial=0.0)), np.finfo(np.float64).tiny)
    chex.assert_trees_all_close(actual / scale, reference / scale, rtol=0.0, atol=tolerance)


def random(seed: int, *shape: int, dtype: Any = jnp.float32) -> jnp.ndarray:
    """Standard normal values that are the same on every platform."""
    return jax.device_put(np.asarray(np.random.default_rng(seed).standard_normal(shape), dtype))  # compiles nothing


def build(make: Callable[[nnx.Rngs], Model]) -> Model:
    """Initialises a model in one compiled program, with random bits that compile several times faster on CPU."""
    return nnx.jit(lambda: make(nn.traced_rngs(jax.random.key(0, impl="rbg"))))()


def board_values(run: Path) -> Iterator[tuple[int, Any]]:
    """Steps and values in a run's TensorBoard file: records of an 8-byte length, a checksum, an event, a checksum."""
    for path in sorted((run / "tensorboard").iterdir()):
        content = path.read_bytes()
        while content:
            length = int.from_bytes(content[:8], "little")
            event = event_pb2.Event.FromString(content[12 : 12 + length])  # pyright: ignore[reportAttributeAccessIssue]
            yield from ((event.step, value) for value in event.summary.value)
            content = content[16 + length :]
