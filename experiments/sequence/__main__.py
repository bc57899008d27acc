"""The command line of the study; imports JAX only once it is needed."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import tyro

from ..common import cli
from .config import PRESETS, Config, Method


@dataclass(frozen=True)
class Evaluate:
    """Scores a run on a split, and measures its gridding."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Folder of the run."""
    split: str = "val"
    """Split: train, val or test; a text has train and val."""
    checkpoint: Literal["best", "latest"] = "latest"
    """Best on the whole validation split, or latest."""
    data_file: Path | None = None
    """Where the text lies since it has moved; or another text, of which the part of --split is scored: for val the last
    tenth (the run's --data.val-share), for train what is before it. Scores of another text have a file of their own."""


@dataclass(frozen=True)
class Sample:
    """Writes text on from a beginning."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Folder of a run that has learnt a text."""
    prompt: str
    """The beginning; at least one character."""
    length: int = 400
    """Characters to add."""
    temperature: float = 0.8
    """Of the distribution of the next character: 1 as it was learnt, 0 always the likeliest."""
    seed: int = 0
    """Of the choice."""
    checkpoint: Literal["best", "latest"] = "latest"
    """Best on the whole validation split, or latest."""


def _load() -> Any:
    from .study import STUDY

    return STUDY


def _evaluate(program: cli.Program, options: Evaluate) -> None:
    from .sample import evaluate

    scored = evaluate(options.run, options.split, options.checkpoint, options.data_file)
    result = scored.result
    accuracy = {"accuracy (%)": f"{100 * result['accuracy']:.1f}"} if "accuracy" in result else {}
    lines = {
        result["unit"]: f"{result['score']:.4f}",
        **accuracy,
        f"trivial: {result['trivial']['name']}": f"{result['trivial']['score']:.4f}",
        f"gridding of the block of rate {result['gridding_rate']}": f"{result['gridding']:.4f}",
        "gridding of the network": f"{result['gridding_network']:.4f}",
        "steps with half of the receptive field": f"{result['half_of_field']}",
    }
    for name, value in lines.items():
        print(f"{name:>40}  {value:>10}")
    print(f"{result['sequences']} sequences of {options.split}, step {result['step']}; written to {scored.path}")
    if scored.note is not None:
        print(scored.note)


def _sample(program: cli.Program, options: Sample) -> None:
    from .sample import sample

    print(sample(options.run, options.prompt, options.length, options.temperature, options.seed, options.checkpoint))


PROGRAM = cli.Program(
    config=Config,
    load=_load,
    summary="Smoothed dilated convolutions over time: a causal network on a memory task, or on your own text.",
    presets=PRESETS,
    method=Method,
    methods=("none", "group_interaction", "ss_conv"),
    commands={
        "evaluate": cli.Command(Evaluate, "RUN", cast(Any, _evaluate)),
        "sample": cli.Command(Sample, "RUN --prompt ...", cast(Any, _sample)),
    },
    examples=(
        "",
        "compare text --data.file book.txt --methods none ss_conv --seeds 0 1 2",
        "train demo --model.smoothing ss_conv --data.delay 100 --model.depth 7",
        "evaluate runs/sequence/demo/ss_conv-seed0 --split test",
        "sample runs/sequence/text/ss_conv-seed0 --prompt 'Once upon'",
    ),
    afterwards="evaluate {run}",
)


def main(arguments: Sequence[str]) -> int:
    """Runs a command; returns the exit status."""
    return cli.main(PROGRAM, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
