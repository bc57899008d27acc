"""Smoothers fitted without labels to trained baselines, beside a fixed filter of the same form.

`python -m experiments.gridding.unlabelled` trains baselines behind a 1x1 and a 3x3 stem, fits SS filters to pictures
without labels (`nn.fit_smoothers`), and scores every network before and after on the test pictures of its seed. Two
parameters are chosen behind the 1x1 stem, by mean IoU on other pictures of four seeds: how much the fit preserves, and
the strength of the fixed filter, a triangle of `2 * rate - 1` taps mixed with the identity.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
from flax import nnx

from smoothjax import nn, training

from ..common.config import require
from ..common.parsing import parse
from ..common.statistics import paired_difference
from ..common.status import status_of
from .config import Case, Training
from .network import DilatedStack
from .pictures import Pictures, draw
from .training import pictures_of, programs_of, score, train

#: The candidates, for the fit and for the fixed filter.
CHOICES: Mapping[str, Sequence[float]] = {"fitted": (300.0, 1000.0, 3000.0), "fixed": (0.05, 0.1, 0.2, 0.3)}
CASES = (Case(stem=1), Case(stem=3))
_SCORES = {"mean_iou": "mean IoU", "boundary_iou": "boundary IoU", "isolated": "isolated pixels, %"}
_HOW = Training()
#: Seeds whose other pictures are used to choose.
_CHOOSING = 4
#: Numbers of the sets of pictures of a seed; 0 is for training, 1 for testing.
_FURTHER, _UNLABELLED = 2, 3


@dataclass(frozen=True)
class Options:
    """Fits smoothers without labels to trained baselines, and scores them before and after."""

    seeds: int = 10
    """Number of seeds, 0, 1, ...: each has its own pictures, initial weights and test."""
    pictures: int = 16
    """Number of pictures without labels for fitting the smoothers of a network."""


def main(arguments: Sequence[str]) -> int:
    """Runs the comparison; returns the exit status."""
    options = parse(Options, arguments, "python -m experiments.gridding.unlabelled")
    return status_of(lambda: print(run(options)))


def run(options: Options, how: Training = _HOW) -> str:
    """The table, as text."""
    require(options.seeds >= 2, f"--seeds must be at least 2, got {options.seeds}: one pair has no interval")
    require(options.pictures >= 1, f"--pictures must be at least 1, got {options.pictures}: try 16")
    lines: list[str] = []
    chosen: dict[str, float] = {}
    for case in CASES:
        trained = {seed: _trained(case, seed, how) for seed in range(options.seeds)}
        if not chosen:
            some = dict(list(trained.items())[:_CHOOSING])
            chosen = {method: _best(case, some, method, options.pictures, how) for method in CHOICES}
            lines.append(", ".join(f"{method}: {value:g}" for method, value in chosen.items()) + ", chosen behind 1x1")
        before = {seed: _scored(case, state, pictures_of(case, seed, how)[1], how) for seed, state in trained.items()}
        means = ", ".join(f"{label} {_mean(before, name):.2f}" for name, label in _SCORES.items())
        lines.append(f"{case.front} before {case.condition}: baseline {means}")
        for method, value in chosen.items():
            after = {
                seed: _scored(
                    case, _changed(case, seed, state, method, value, options.pictures, how),
                    pictures_of(case, seed, how)[1], how,
                )
                for seed, state in trained.items()
            }  # fmt: skip
            words = []
            for name, label in _SCORES.items():
                pair = ({seed: scores[name] for seed, scores in some.items()} for some in (after, before))
                difference = paired_difference(*pair)
                words.append(f"{label} {'-' if difference is None else difference.text(2)}")
            lines.append(f"  {method}: {', '.join(words)}")
    return "\n".join(lines)


def _trained(case: Case, seed: int, how: Training) -> training.TrainState:
    programs = programs_of(case, "none", how)
    state = train(programs, seed, pictures_of(case, seed, how)[0], how.steps)
    # The new SS filters are still the identity.
    return _with_smoothers(case, state, lambda model: None, how, smooth=True)


def _best(case: Case, trained: Mapping[int, training.TrainState], method: str, pictures: int, how: Training) -> float:
    def mean(value: float) -> float:
        scores = {
            seed: _scored(
                case, _changed(case, seed, state, method, value, pictures, how),
                _drawn(case, seed, _FURTHER, how.test_pictures, how), how,
            )
            for seed, state in trained.items()
        }  # fmt: skip
        return _mean(scores, "mean_iou")

    return max(CHOICES[method], key=mean)


def _changed(
    case: Case, seed: int, state: training.TrainState, method: str, value: float, pictures: int, how: Training
) -> training.TrainState:
    """A network with the smoothers of a method."""

    def fit(model: DilatedStack) -> None:
        images = _drawn(case, seed, _UNLABELLED, pictures, how).images
        nn.fit_smoothers(model, images, preserve=value)

    def fix(model: DilatedStack) -> None:
        for smoother in nn.smoothers(model).values():
            rate = (smoother.initial.shape[0] + 1) // 2
            box = jnp.ones(rate) / rate
            triangle = jnp.convolve(box, box)
            smoother.parameter[...] = (1 - value) * smoother.initial + value * jnp.outer(triangle, triangle)

    return _with_smoothers(case, state, fit if method == "fitted" else fix, how)


def _with_smoothers(
    case: Case,
    state: training.TrainState,
    change: Callable[[DilatedStack], None],
    how: Training,
    *,
    smooth: bool = False,
) -> training.TrainState:
    method = "none" if smooth else "ss_conv"
    graph, _ = nnx.split(nnx.eval_shape(lambda: DilatedStack(case, method, how.width, nnx.Rngs(0))))
    model = nnx.merge(graph, state.params, state.model_state)
    if smooth:
        nn.smooth(model, "ss_conv", rngs=nnx.Rngs(0))
    change(model)
    _, params, rest = nnx.split(model, nnx.Param, ...)
    return replace(state, params=nnx.to_pure_dict(params), model_state=nnx.to_pure_dict(rest))


def _drawn(case: Case, seed: int, part: int, count: int, how: Training) -> Pictures:
    """Other pictures of a seed, used for neither training nor testing."""
    key = jax.random.fold_in(jax.random.key(seed, impl="rbg"), part)
    return draw(key, count, how.size, noise=case.noise, objects=case.objects)


def _scored(case: Case, state: training.TrainState, test: Pictures, how: Training) -> dict[str, float]:
    found = score(programs_of(case, "ss_conv", how).tally(state, test), case)
    return {name: float(found[name]) for name in _SCORES}


def _mean(scores: Mapping[int, Mapping[str, float]], name: str) -> float:
    return sum(each[name] for each in scores.values()) / len(scores)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
