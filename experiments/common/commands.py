"""Commands that work on a trained run; imports JAX only once it is needed."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from .cli import Command, Program

if TYPE_CHECKING:
    from .study import AnyStudy


@dataclass(frozen=True)
class OfRun:
    """A command that works on a trained run."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Folder of the run."""
    checkpoint: Literal["best", "latest"] = "latest"
    """Checkpoint: best on the whole validation split, or latest."""


@dataclass(frozen=True)
class Evaluate(OfRun):
    """Scores a run on a split."""

    split: str = "val"
    """Split of the data set: train, val or test."""
    data_root: Path | None = None
    """Folder of the data set, if it has moved since training; scores of another data set go into a separate file."""


@dataclass(frozen=True)
class ExportWeights(OfRun):
    """Writes the network of a run as one safetensors file, from which smoothjax.weights.load builds the same
    network."""

    format: Literal["safetensors"] = "safetensors"
    """Kind of the file."""
    out: Path = Path("model.safetensors")
    """File to write."""


def score(
    study: "AnyStudy",
    options: OfRun,
    split: str,
    data_root: Path | None,
    weights: Literal["better", "raw", "averaged"] = "better",
) -> None:
    """Scores a run on a split, and prints a table."""
    from .evaluate import evaluate

    result, path, before, note = evaluate(study, options.run, split, options.checkpoint, data_root, weights)
    setting = study.setting(result)
    print(study.score_table(result))
    print(f"{result[study.unit]} {study.unit} of {split}, {setting}\nwritten to {path}")
    if before is not None and study.setting(before) != setting:
        print(f"it replaces the scores of {study.setting(before)}")
    if note is not None:
        print(note)


def _evaluate(program: Program, options: Evaluate) -> None:
    score(program.load(), options, options.split, options.data_root)


def _export_weights(program: Program, options: ExportWeights) -> None:
    from .export import export_weights

    print(export_weights(program.load(), options.run, options.out, options.checkpoint))


EXPORTING: Command[ExportWeights] = Command(ExportWeights, "RUN", _export_weights)
"""The command `export` of a study that only writes weights."""


def evaluating(summary: str) -> Command[Evaluate]:
    """The command `evaluate`."""
    return Command(Evaluate, "RUN", _evaluate, summary)
