"""The command line of the study; imports JAX only once it is needed."""

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from ..common import cli
from ..common.commands import EXPORTING, OfRun, score
from .config import PRESETS, Config, Method


@dataclass(frozen=True)
class Evaluate(OfRun):
    """Scores a run on a split, and measures its gridding."""

    split: str = "val"
    """Split: train, val or test; a text has train and val."""
    data_file: Path | None = None
    """New place of the text, or another text, of which the part of --split is scored: for val the last tenth (the run's
    --data.val-share), for train the rest. Scores of another text go into a separate file."""


@dataclass(frozen=True)
class Sample(OfRun):
    """Continues a text from a prompt."""

    prompt: str = tyro.MISSING
    """Beginning of the text; at least one character."""
    length: int = 400
    """Characters to add."""
    temperature: float = 0.8
    """Temperature of the distribution of the next character: 1 samples as learnt, 0 always takes the likeliest."""
    seed: int = 0
    """Seed of the samples."""


def _evaluate(program: cli.Program, options: Evaluate) -> None:
    score(program.load(), options, options.split, options.data_file)


def _sample(program: cli.Program, options: Sample) -> None:
    from .sample import sample

    print(sample(options.run, options.prompt, options.length, options.temperature, options.seed, options.checkpoint))


PROGRAM = cli.Program(
    cli.Compared(Config, PRESETS, Method, ("none", "group_interaction", "ss_conv")),
    summary="Smoothed dilated convolutions over time: a causal network on a memory task, or on your own text.",
    commands={
        "evaluate": cli.Command(Evaluate, "RUN", _evaluate),
        "export": EXPORTING,
        "sample": cli.Command(Sample, "RUN --prompt ...", _sample),
    },
    examples="""
compare text --data.file book.txt --methods none ss_conv --seeds 0 1 2
train demo --model.smoothing ss_conv --data.delay 100 --model.depth 7
evaluate runs/sequence/demo/ss_conv-seed0 --split test
sample runs/sequence/text/ss_conv-seed0 --prompt 'Once upon'
""",
    afterwards="evaluate {run}",
)
main = PROGRAM.main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
