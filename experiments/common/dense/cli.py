"""The commands `evaluate` and `predict`; imports JAX only once it is needed."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import tyro

from ..cli import Command, Evaluate, Program


@dataclass(frozen=True)
class Predict:
    """Segments images of any size and mode: coloured masks and overlays."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Folder of the run."""
    images: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="IMAGES...")] = ()
    """Image files; at least one."""
    out: Path = field(default=Path("predictions"))
    """Folder for NAME_mask.png (class indices, with a palette) and NAME_overlay.png."""
    checkpoint: Literal["best", "latest"] = "latest"
    """Best on the validation split, or latest."""


def commands(scored: str) -> dict[str, Command]:
    """The commands of a study of semantic segmentation; `scored` says at what size it compares with the labels."""
    return {
        "evaluate": Command(Evaluate, "RUN", _evaluate, f"Scores a run on a split {scored}, class by class."),
        "predict": Command(Predict, "RUN IMAGES...", _predict),
    }


def _evaluate(program: Program, options: Evaluate) -> None:
    from .runs import evaluate

    study = cast(Any, program.load())
    result = evaluate(study, options.run, options.split, options.checkpoint, options.data_root)
    for name, iou in result["iou"].items():
        print(f"{name:>20}  {'absent' if iou is None else f'{100 * iou:5.1f}'}")
    print(
        f"{'mean IoU %':>20}  {100 * result['mean_iou']:5.1f}\n{'pixel accuracy %':>20}  "
        f"{100 * result['pixel_accuracy']:5.1f}\n{result['images']} images of {options.split}, step {result['step']}; "
        f"written to {options.run}/evaluation-{options.split}.json"
    )


def _predict(program: Program, options: Predict) -> None:
    if not options.images:
        raise ValueError(f"name the images: {program.name} predict RUN IMAGES... --out DIR")
    from .runs import predict

    for path in predict(cast(Any, program.load()), options.run, options.images, options.out, options.checkpoint):
        print(path)
