"""Measures pairs of functions in turn."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

Run = Callable[[], Any]

# Seconds. A run shorter than the first is repeated for as long as the second before it is measured: until then threads
# of the other library spin on the cores (PyTorch's), ours sleep, and the caches hold the other's data.
_SHORT, _WARM = 0.1, 0.03


@dataclass(frozen=True)
class Peer:
    """One side of a comparison.

    Attributes:
      runs: the function to measure for each part ("forward", "forward + backward", "training step", ...); it returns
        when its result is ready.
    """

    runs: Mapping[str, Run]


@dataclass(frozen=True)
class Case:
    """A comparison.

    Attributes:
      title: names of both sides.
      size: size of the data.
      ours: makes the measured side; called when the case begins, so that only one case at a time holds memory.
      reference: makes the side to divide by.
      published: the paper's ratios by part, or None.
    """

    title: str
    size: str
    ours: Callable[[], Peer]
    reference: Callable[[], Peer]
    published: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Row:
    """A measured part of a case.

    Attributes:
      title, size: those of the case.
      part: the name of the part.
      ours, reference: medians in milliseconds.
      ratio: median of the ratios of consecutive runs.
      published: the paper's ratio, or None.
    """

    title: str
    size: str
    part: str
    ours: float
    reference: float
    ratio: float
    published: float | None


def random_array(seed: int, *shape: int, scale: float = 1.0) -> jax.Array:
    """An array of normal values."""
    return jax.numpy.asarray(scale * np.random.default_rng(seed).standard_normal(shape), jax.numpy.float32)


def jax_peer(function: Callable[..., jax.Array], *arguments: jax.Array) -> Peer:
    """A function of JAX arrays: its value, and the gradients of all arguments for a random cotangent.

    The second program omits everything that the gradients do not need, such as the value of a linear layer.
    """
    forward = jax.jit(function)
    cotangent = random_array(99, *jax.eval_shape(function, *arguments).shape)
    backward = jax.jit(lambda cotangent, *arguments: jax.vjp(function, *arguments)[1](cotangent))
    return Peer(
        {
            "forward": lambda: jax.block_until_ready(forward(*arguments)),
            "forward + backward": lambda: jax.block_until_ready(backward(cotangent, *arguments)),
        }
    )


def measure(case: Case, repeats: int) -> list[Row]:
    """Runs both peers in turn, so that a change of the machine's speed affects both."""
    ours, reference = case.ours(), case.reference()
    rows = []
    for part in ours.runs:
        pair = (ours.runs[part], reference.runs[part])
        for run in pair * 2:  # compiles, then warms up
            run()
        peers = [(run, _seconds(run) < _SHORT) for run in pair]
        seconds = np.array([[_seconds(run, warm=short) for run, short in peers] for _ in range(repeats)])
        times = 1e3 * np.median(seconds, 0)
        ratio = float(np.median(seconds[:, 0] / seconds[:, 1]))
        rows.append(Row(case.title, case.size, part, times[0], times[1], ratio, (case.published or {}).get(part)))
    return rows


def measure_all(cases: Sequence[Case], repeats: int, *, say: Callable[[str], None]) -> Iterator[list[Row]]:
    """Measures case by case and announces each with `say`; yields the rows of a case when it is done."""
    for index, case in enumerate(cases):
        say(f"[{index + 1}/{len(cases)}] {case.title}, {case.size}")
        yield measure(case, repeats)


def _seconds(run: Run, *, warm: bool = False) -> float:
    """Seconds of one run; with `warm`, of one that follows others."""
    begin = time.perf_counter()
    while warm and time.perf_counter() - begin < _WARM:
        run()
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
