"""Interleaved measurements."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

Run = Callable[[], Any]

# Seconds. Runs shorter than the first are measured after others of the same, for as long as the second: before that,
# threads of the other library spin on the cores (PyTorch's), those of ours sleep, and the caches hold the other's data.
_SHORT, _WARM = 0.1, 0.03


@dataclass(frozen=True)
class Peer:
    """One of the things compared.

    Attributes:
      runs: by part ("forward", "forward + backward", "train step", ...), what to measure; each returns when it is done.
    """

    runs: Mapping[str, Run]


@dataclass(frozen=True)
class Case:
    """A comparison.

    Attributes:
      title: what is compared with what.
      size: of the data.
      ours: makes what is measured; called when the case begins, so that one case at a time holds memory.
      reference: makes what it is divided by.
      published: the ratio in the paper by part, where it has one.
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
      title, size: of the case.
      part: what was run.
      ours, reference: medians in milliseconds.
      ratio: median of the ratios of runs side by side.
      published: the ratio in the paper, or None.
    """

    title: str
    size: str
    part: str
    ours: float
    reference: float
    ratio: float
    published: float | None


def random_array(seed: int, *shape: int, scale: float = 1.0) -> jax.Array:
    """Normal values."""
    return jax.numpy.asarray(scale * np.random.default_rng(seed).standard_normal(shape), jax.numpy.float32)


def jax_peer(function: Callable[..., jax.Array], *arguments: jax.Array) -> Peer:
    """A function of JAX arrays: its value; and the gradients of all arguments for a random cotangent, nothing else.

    What the gradients do not need is not computed: of a linear layer, the value.
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
    """Runs both peers in turn: a change of the machine's speed meets both."""
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
    """Measures case by case, and says so; gives the rows of each case once it is done."""
    for index, case in enumerate(cases):
        say(f"[{index + 1}/{len(cases)}] {case.title}, {case.size}")
        yield measure(case, repeats)


def _seconds(run: Run, *, warm: bool = False) -> float:
    """Of one run, or of the last of some."""
    begin = time.perf_counter()
    while warm and time.perf_counter() - begin < _WARM:
        run()
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
