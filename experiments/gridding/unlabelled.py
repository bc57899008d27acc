"""Smoothers fitted without labels to trained baselines, beside a fixed filter of the same form.

`python -m experiments.gridding.unlabelled` trains baselines behind a 1x1 and a 3x3 stem, fits SS filters to pictures
without labels (`nn.fit_smoothers`), and scores every network before and after on the test pictures of its seed. Two
parameters are chosen behind the 1x1 stem, by mean IoU on other pictures of four seeds: how much the fit preserves, and
the strength of the fixed filter, a triangle of `2 * rate - 1` taps mixed with the identity.
"""

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import jax
import jax.numpy as jnp
from flax import nnx

from smoothjax import nn, training

from ..common.config import require
from ..common.environment import environment
from ..common.huge_pages import use_huge_pages
from ..common.network import Network
from ..common.parsing import parse
from ..common.run_files import Json
from ..common.statistics import paired_difference
from ..common.status import status_of
from ..common.table import align
from ..common.writing import check_file, write_json
from .config import Case, Training
from .network import DilatedStack
from .pictures import Pictures, draw
from .report import case_of, read_results
from .study import command_in, rounded
from .training import pictures_of, programs_of, score, shapes_of, train

#: The candidates, for the fit and for the fixed filter.
CHOICES: Mapping[str, Sequence[float]] = {"fitted": (300.0, 1000.0, 3000.0), "fixed": (0.05, 0.1, 0.2, 0.3)}
CASES = (Case(stem=1), Case(stem=3))
_BEFORE = "baseline"
_LABELS = {_BEFORE: "baseline", "fitted": "fitted", "fixed": "fixed filter"}
_SCORES = {"mean_iou": "mean IoU", "boundary_iou": "boundary IoU", "isolated": "isolated pixels, % of all"}
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
    out: Path = Path("unlabelled.json")
    """File of the scores. It is written behind each stem, and the same command continues it; a complete one is only
    printed."""


def main(arguments: Sequence[str]) -> int:
    """Runs the comparison; returns the exit status."""
    options = parse(Options, arguments, "python -m experiments.gridding.unlabelled")
    use_huge_pages()
    stopped = "stopped; the same command continues behind the first stem that the file lacks"
    return status_of(lambda: print("\n\n".join(tables_of(run(options)))), stopped)


def run(options: Options, how: Training = _HOW) -> Json:
    """The scores of all networks, by case, method and seed; those in the file are not measured again.

    Raises:
      ValueError: an option is out of range, or the file holds a comparison with other options.
    """
    require(options.seeds >= 2, f"--seeds must be at least 2, got {options.seeds}: one pair has no interval")
    require(options.pictures >= 1, f"--pictures must be at least 1, got {options.pictures}: try 16")
    content = _begun(options, how)
    chosen: dict[str, float] = content["chosen"]
    for case in CASES[len(content["rows"]) :]:
        trained = {seed: _trained(case, seed, how) for seed in range(options.seeds)}
        if not chosen:
            some = dict(list(trained.items())[:_CHOOSING])
            chosen |= {method: _best(case, some, method, options.pictures, how) for method in CHOICES}
        scores = {_BEFORE: [_scored(case, state, seed, how) for seed, state in trained.items()]}
        for method, value in chosen.items():
            changed = (
                (seed, _changed(case, seed, state, method, value, options.pictures, how))
                for seed, state in trained.items()
            )
            scores[method] = [_scored(case, state, seed, how) for seed, state in changed]
        by_score = {
            method: {name: [each[name] for each in found] for name in _SCORES} for method, found in scores.items()
        }
        content["rows"].append(rounded({"case": dataclasses.asdict(case), "scores": by_score}))
        write_json(options.out, content, indent=1)
    return content


def _begun(options: Options, how: Training) -> Json:
    """The content of the file, or what it begins with."""
    config = {"seeds": options.seeds, "pictures": options.pictures, "training": dataclasses.asdict(how)}
    if not options.out.exists():
        check_file("--out", options.out)
        where = environment("gridding.unlabelled")
        return {"environment": {**where, "command": command_in(where)}, "config": config, "chosen": {}, "rows": []}
    content = read_results(options.out)
    require(
        content.get("config") == config and {"chosen", "rows"} <= content.keys(),
        f"{options.out} holds no comparison with these options: name another file with --out, or the options that it "
        f"was made with ({content.get('config')})",
    )
    return content


def tables_of(content: Json) -> list[str]:
    """The table of a file, and the parameters that were chosen."""
    rows: list[list[str]] = []
    for row in content["rows"]:
        scores, front = row["scores"], case_of(row).front
        for method, label in _LABELS.items():
            cells = [
                _cell(scores[method][name], None if method == _BEFORE else scores[_BEFORE][name]) for name in _SCORES
            ]
            rows.append([front if method == _BEFORE else "", label, *cells])
    chosen = ", ".join(f"{_LABELS[method]} {value:g}" for method, value in content["chosen"].items())
    fitted = f"{content['config']['pictures']} pictures without labels, {content['config']['seeds']} seeds"
    return [
        align(["before the dilated layers", "", *_SCORES.values()], rows),
        f"Chosen behind 1x1: {chosen}. {fitted}.",
    ]


def _cell(values: Sequence[float], baseline: Sequence[float] | None) -> str:
    """A mean over seeds, or the paired difference to the baseline."""
    if baseline is None:
        return f"{fmean(values):.2f}"
    difference = paired_difference(dict(enumerate(values)), dict(enumerate(baseline)))
    assert difference is not None  # there are at least two seeds
    return difference.text(2)


def _trained(case: Case, seed: int, how: Training) -> training.TrainState:
    programs = programs_of(case, "none", how)
    state = train(programs, seed, pictures_of(case, seed, how)[0], how.steps)
    # The new SS filters are still the identity.
    return _with_smoothers(case, state, lambda model: None, how, smooth=True)


def _best(case: Case, trained: Mapping[int, training.TrainState], method: str, pictures: int, how: Training) -> float:
    def mean(value: float) -> float:
        return fmean(
            _scored(case, _changed(case, seed, state, method, value, pictures, how), seed, how, part=_FURTHER)[
                "mean_iou"
            ]
            for seed, state in trained.items()
        )

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
    model = shapes_of(case, method, how).model(state)
    if smooth:
        nn.smooth(model, "ss_conv", rngs=nnx.Rngs(0))
    change(model)
    network = Network.of(model)
    return replace(state, params=network.params, model_state=network.model_state)


def _drawn(case: Case, seed: int, part: int, count: int, how: Training) -> Pictures:
    """Other pictures of a seed, used for neither training nor testing."""
    key = jax.random.fold_in(jax.random.key(seed, impl="rbg"), part)
    return draw(key, count, how.size, noise=case.noise, objects=case.objects)


def _scored(
    case: Case, state: training.TrainState, seed: int, how: Training, *, part: int | None = None
) -> dict[str, float]:
    """Scores on the test pictures of a seed, or on another set of its pictures."""
    test = pictures_of(case, seed, how)[1] if part is None else _drawn(case, seed, part, how.test_pictures, how)
    found = score(programs_of(case, "ss_conv", how).tally(state, test), case)
    return {name: float(found[name]) for name in _SCORES}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
