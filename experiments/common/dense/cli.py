"""The commands `evaluate`, `predict` and `export`; imports JAX only once it is needed."""

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


@dataclass(frozen=True)
class Looks:
    """How the network looks at an image."""

    tile: tuple[int, int] | None = None
    """Height and width of overlapping windows in pixels, for images that do not fit into memory as a whole."""
    scales: tuple[float, ...] = (1.0,)
    """Factors of the image's size over which probabilities are averaged, e.g. 0.75 1 1.25."""
    flip: bool = False
    """Whether to average with the mirror image, too."""


@dataclass(frozen=True)
class EvaluateAveraged(Looks, Evaluate):
    """Scores a run on a split."""


@dataclass(frozen=True)
class PredictAveraged(Looks, Predict):
    """Segments images of any size and mode: coloured masks and overlays."""


@dataclass(frozen=True)
class Export:
    """Writes the network of a run as one StableHLO file, which JAX alone runs: masks of uint8 images."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Folder of the run."""
    out: Path = field(default=Path("model.stablehlo"))
    """File to write."""
    size: tuple[int, int] | None = None
    """Height and width of the images in pixels, where one size is enough; by default any."""
    checkpoint: Literal["best", "latest"] = "latest"
    """Best on the validation split, or latest."""


def commands(scored: str, *, any_size: bool) -> dict[str, Command]:
    """The commands of a study of semantic segmentation.

    Args:
      scored: says at what size it compares with the labels.
      any_size: whether the network takes images of any size, so that it can look at tiles and at several scales.
    """
    evaluate, predict = (EvaluateAveraged, PredictAveraged) if any_size else (Evaluate, Predict)
    return {
        "evaluate": Command(evaluate, "RUN", _evaluate, f"Scores a run on a split {scored}, class by class."),
        "predict": Command(predict, "RUN IMAGES...", _predict),
        "export": Command(Export, "RUN", _export),
    }


def _averaging(options: Any) -> Any:
    from .averaging import Averaging

    looks = options if isinstance(options, Looks) else Looks()
    return Averaging(looks.tile, looks.scales, looks.flip)


def _evaluate(program: Program, options: Evaluate) -> None:
    from .runs import evaluate

    averaging, study = _averaging(options), cast(Any, program.load())
    result = evaluate(study, options.run, options.split, options.checkpoint, options.data_root, averaging)
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

    averaging, study = _averaging(options), cast(Any, program.load())
    for path in predict(study, options.run, options.images, options.out, options.checkpoint, averaging):
        print(path)


def _export(program: Program, options: Export) -> None:
    from .export import export

    study = cast(Any, program.load())
    print(export(study, options.run, options.out, options.checkpoint, options.size))
