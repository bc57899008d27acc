"""The commands `evaluate`, `predict` and `export`; imports JAX only once it is needed."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import tyro

from ..cli import Command, Evaluate, Program
from ..config import Size

#: Of boundary IoU (Cheng et al. 2021), as a fraction of the image's diagonal.
PUBLISHED_DISTANCE = 0.02


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
    """Best on the whole validation split, or latest."""


@dataclass(frozen=True)
class Looks:
    """How the network looks at an image."""

    tile: Size = None
    """Height and width of overlapping windows in pixels, for images that do not fit into memory as a whole."""
    scales: tuple[float, ...] = (1.0,)
    """Factors of the image's size over which probabilities are averaged, e.g. 0.75 1 1.25; as many as follow, so name
    run and images before it."""
    flip: bool = False
    """Whether to average with the mirror image, too."""


@dataclass(frozen=True)
class EvaluateDense(Evaluate):
    """Scores a run on a split."""

    boundary: bool = False
    """Whether to score the pixels near contours, too: boundary IoU, and IoU in a trimap."""
    boundary_distance: float | None = None
    """How near, as a fraction of the image's diagonal; by default 0.02, as published for boundary IoU."""


@dataclass(frozen=True)
class EvaluateAveraged(Looks, EvaluateDense):
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
    size: Size = None
    """Height and width of the images in pixels, where one size is enough; by default any."""
    checkpoint: Literal["best", "latest"] = "latest"
    """Best on the whole validation split, or latest."""


def commands(scored: str, *, any_size: bool) -> dict[str, Command]:
    """The commands of a study of semantic segmentation.

    Args:
      scored: says at what size it compares with the labels.
      any_size: whether the network takes images of any size, so that it can look at tiles and at several scales.
    """
    evaluate, predict = (EvaluateAveraged, PredictAveraged) if any_size else (EvaluateDense, Predict)
    return {
        "evaluate": Command(evaluate, "RUN", _evaluate, f"Scores a run on a split {scored}, class by class."),
        "predict": Command(predict, "RUN IMAGES...", _predict),
        "export": Command(Export, "RUN", _export),
    }


def _averaging(options: Any) -> Any:
    from .averaging import Averaging

    looks = options if isinstance(options, Looks) else Looks()
    return Averaging(looks.tile, looks.scales, looks.flip)


def _evaluate(program: Program, options: EvaluateDense) -> None:
    distance = _boundary_distance(options)
    from .predict import evaluate, setting

    averaging, study = _averaging(options), cast(Any, program.load())
    scored = evaluate(study, options.run, options.split, options.checkpoint, options.data_root, averaging, distance)
    result, before = scored.result, scored.before
    print(
        f"{_table(result)}\n{result['images']} images of {options.split}; {setting(result)}\nwritten to {scored.path}"
    )
    if before is not None and setting(before) != setting(result):
        print(f"it replaces the scores of {setting(before)}")
    if scored.note is not None:
        print(scored.note)


def _boundary_distance(options: EvaluateDense) -> float | None:
    """How near to contours the pixels are that are scored separately; None where none are."""
    distance = options.boundary_distance
    if distance is not None and not options.boundary:
        raise ValueError(
            f"--boundary-distance {distance:g} is used with --boundary alone: add --boundary, or leave it out"
        )
    if distance is not None and not 0 < distance < 1:
        raise ValueError(
            f"--boundary-distance must be a fraction of the image's diagonal between 0 and 1, got {distance:g}: "
            f"{PUBLISHED_DISTANCE:g} is the published one"
        )
    return (PUBLISHED_DISTANCE if distance is None else distance) if options.boundary else None


def _table(result: dict[str, Any]) -> str:
    """The scores of each class and their means, and where they are there, beside them those near contours."""
    columns: dict[str, dict[str, float | None]] = {"IoU %": result["iou"]}
    means: dict[str, list[float | None]] = {
        "mean IoU %": [result["mean_iou"]],
        "pixel accuracy %": [result["pixel_accuracy"]],
    }
    near, lines = result.get("boundary"), []
    if near is not None:
        columns |= {"boundary IoU %": near["boundary_iou"], "trimap IoU %": near["trimap_iou"]}
        means["mean IoU %"] += [near["mean_boundary_iou"], near["trimap_mean_iou"]]
        lines.append("  ".join([" " * 20, *columns]))
    rows = {name: [column[name] for column in columns.values()] for name in result["iou"]} | means
    for name, values in rows.items():
        cells = ["absent" if value is None else f"{100 * value:.1f}" for value in values]
        padded = (cell.rjust(len(head)) for cell, head in zip(cells, columns, strict=False))
        lines.append("  ".join([name.rjust(20), *padded]))
    if near is not None:
        lines.append(
            f"boundary and trimap: pixels within {100 * near['distance']:g} % of the image's diagonal of a contour"
        )
    return "\n".join(lines)


def _predict(program: Program, options: Predict) -> None:
    if not options.images:
        raise ValueError(f"name the images: {program.name} predict RUN IMAGES... --out DIR")
    from .predict import predict

    averaging, study = _averaging(options), cast(Any, program.load())
    predicted = predict(study, options.run, options.images, options.out, options.checkpoint, averaging)
    for path in predicted.written:
        print(path)
    if predicted.padded:
        print(
            f"note: {predicted.padded} of {len(options.images)} images were padded, since the images have more sizes "
            "than the network is compiled for: their masks can differ a little from those of each image alone; name "
            "images of at most eight sizes at once to avoid it",
            file=sys.stderr,
        )


def _export(program: Program, options: Export) -> None:
    from .export import export

    study = cast(Any, program.load())
    print(export(study, options.run, options.out, options.checkpoint, options.size))
