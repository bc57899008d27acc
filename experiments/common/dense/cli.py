"""The commands `evaluate`, `predict` and `export`; imports JAX only once it is needed."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from ..cli import Command, Program
from ..commands import Evaluate, OfRun, score
from ..config import Size
from ..writing import check_out
from .config import PUBLISHED_DISTANCE

if TYPE_CHECKING:
    from .study import DenseStudy


@dataclass(frozen=True)
class OfAveragedRun(OfRun):
    """A command on a run that may have averaged weights."""

    network: Literal["better", "raw", "averaged"] = "better"
    """Network of a run with --optim.ema: averaged weights, raw weights, or the better of the two on val."""


@dataclass(frozen=True)
class Predict(OfAveragedRun):
    """Segments images of any size and mode: coloured masks and overlays."""

    images: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="IMAGES...")] = ()
    """Image files, folders of images, or patterns such as 'street/*.jpg'; at least one."""
    out: Path = Path("predictions")
    """Folder for NAME_mask.png (class indices, with a palette), NAME_overlay.png, and legend.png with the classes."""


@dataclass(frozen=True)
class AveragingOptions:
    """How the network sees an image."""

    tile: Size = None
    """Height and width in pixels of overlapping windows, for images that do not fit into memory as a whole."""
    scales: tuple[float, ...] = (1.0,)
    """Scales of the image over which probabilities are averaged, e.g. 0.75 1 1.25. Takes all numbers that follow, so
    put run and images before it."""
    flip: bool = False
    """Whether to also average with the mirror image."""


@dataclass(frozen=True)
class EvaluateDense(OfAveragedRun, Evaluate):
    """Scores a run on a split."""

    boundary: bool = False
    """Whether to also score the pixels near contours: boundary IoU, and IoU in a trimap."""
    boundary_distance: float | None = None
    """Largest distance to a contour, as a fraction of the image's diagonal; by default 0.02, as published for boundary
    IoU."""
    calibration: bool = False
    """Whether to measure the expected calibration error (ECE): how far probabilities and accuracy are apart."""


@dataclass(frozen=True)
class EvaluateAveraged(AveragingOptions, EvaluateDense):
    """Scores a run on a split."""


@dataclass(frozen=True)
class PredictAveraged(AveragingOptions, Predict):
    """Segments images of any size and mode: coloured masks and overlays."""


@dataclass(frozen=True)
class Export(OfAveragedRun):
    """Writes the network of a run as one file: a StableHLO program, or weights that smoothjax loads."""

    format: Literal["stablehlo", "safetensors"] = "stablehlo"
    """stablehlo is a program from uint8 images to masks that needs only JAX; safetensors holds the weights and all that
    smoothjax.weights.load needs to build the same network."""
    out: Path | None = None
    """File to write; by default model.stablehlo or model.safetensors."""
    size: Size = None
    """stablehlo: height and width of the images in pixels, to fix one size; by default any size."""


def commands(scored: str, *, any_size: bool) -> dict[str, Command[Any]]:
    """The commands of a study of semantic segmentation.

    Args:
      scored: a phrase for the help that says at which size predictions are compared with the labels.
      any_size: whether the network takes images of any size, as tiles and several scales require.
    """
    evaluate, predict = (EvaluateAveraged, PredictAveraged) if any_size else (EvaluateDense, Predict)
    return {
        "evaluate": Command(evaluate, "RUN", _evaluate, f"Scores a run on a split {scored}, class by class."),
        "predict": Command(predict, "RUN IMAGES...", _predict),
        "export": Command(Export, "RUN", _export),
    }


def _study(program: Program, options: OfRun) -> "DenseStudy[Any, Any]":
    """The study, with the views of an image that the options ask for."""
    from smoothjax.models import Averaging

    from .study import DenseStudy

    found = options if isinstance(options, AveragingOptions) else AveragingOptions()
    try:
        averaging = Averaging(found.tile, found.scales, found.flip)
    except ValueError as error:  # which begins with the name of the option
        raise ValueError(f"--{error}") from None
    study = program.load()
    assert isinstance(study, DenseStudy)  # whose commands these are
    return replace(study, averaging=averaging)


def _evaluate(program: Program, options: EvaluateDense) -> None:
    study = replace(_study(program, options), boundary=_boundary_distance(options), calibration=options.calibration)
    score(study, options, options.split, options.data_root, options.network)


def _boundary_distance(options: EvaluateDense) -> float | None:
    """The distance to contours within which pixels are scored separately; None if none are."""
    distance = options.boundary_distance
    if distance is not None and not options.boundary:
        raise ValueError(f"--boundary-distance {distance:g} needs --boundary: add it, or leave the distance out")
    if distance is not None and not 0 < distance < 1:
        raise ValueError(
            f"--boundary-distance must be a fraction of the image's diagonal between 0 and 1, got {distance:g}: "
            f"{PUBLISHED_DISTANCE:g} is the published one"
        )
    return (PUBLISHED_DISTANCE if distance is None else distance) if options.boundary else None


def _predict(program: Program, options: Predict) -> None:
    if not options.images:
        raise ValueError(f"name the images: {program.name} predict RUN IMAGES... --out DIR")
    check_out(options.out)
    from ..images import find_images
    from .predict import predict

    images = find_images(options.images)
    study = _study(program, options)
    for path in predict(study, options.run, images, options.out, options.checkpoint, options.network):
        print(path)


def _export(program: Program, options: Export) -> None:
    out = options.out or Path(f"model.{options.format}")
    if options.format == "safetensors":
        if options.size is not None:
            raise ValueError("--size is an option of --format stablehlo, weights take images of any size: leave it out")
        from ..export import export_weights

        print(export_weights(_study(program, options), options.run, out, options.checkpoint, options.network))
        return
    from .export import export

    print(export(_study(program, options), options.run, out, options.checkpoint, options.size, options.network))
