"""Scores of a split, from confusion matrices."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from smoothjax import metrics

from ..run_files import Json

Matrix = jax.Array | np.ndarray
"""Scores: counted on the devices for a batch, summarised on the host for a split."""


class Counts(NamedTuple):
    """Matrices that add up over the batches of a split.

    Attributes:
      pixels: confusion matrix of all pixels, `[K, K]`.
      isolated: number of outputs that agree with none of their neighbours, and of all, see `metrics.isolated_pixels`.
      boundary, trimap: confusion matrices of pixels near contours, see `metrics.boundary_confusion_matrix` and
        `metrics.trimap_confusion_matrix`; None if not counted.
      calibration: counts of all pixels by their probability; None if not counted.
    """

    pixels: Matrix
    isolated: Matrix | None = None
    boundary: Matrix | None = None
    trimap: Matrix | None = None
    calibration: metrics.Calibration | None = None


def count(
    labels: jax.Array,
    masks: jax.Array,
    sizes: jax.Array,
    *,
    num_classes: int,
    boundary: float | None = None,
    cell: int = 1,
) -> Counts:
    """Counts a batch `[N, H, W]`.

    Args:
      labels, masks, sizes: true classes, predicted classes, and the size of each image without padding.
      num_classes: number of classes.
      boundary: distance from contours, as a fraction of an image's diagonal.
      cell: pixels between two outputs of the network; classes between them are interpolated and never isolated.
    """
    pixels = metrics.confusion_matrix(labels, masks, num_classes=num_classes)
    isolated = metrics.isolated_pixels(labels[:, ::cell, ::cell], masks[:, ::cell, ::cell])
    if boundary is None:
        return Counts(pixels, isolated)
    near = {"num_classes": num_classes, "distance": boundary, "sizes": sizes}
    return Counts(
        pixels,
        isolated,
        metrics.boundary_confusion_matrix(labels, masks, **near),
        metrics.trimap_confusion_matrix(labels, masks, **near),
    )


def boundary_scores(counts: Counts, distance: float, names: Sequence[str]) -> Json:
    """The scores of a split near contours, overall and by class; None if there is nothing to score."""
    assert counts.boundary is not None  # counted with a distance
    assert counts.trimap is not None
    return {
        "distance": distance,
        "mean_boundary_iou": _defined(metrics.mean_boundary_iou(counts.boundary)),
        "trimap_mean_iou": _defined(metrics.mean_iou(counts.trimap)),
        "boundary_iou": by_class(names, metrics.boundary_iou_per_class(counts.boundary)),
        "trimap_iou": by_class(names, metrics.iou_per_class(counts.trimap)),
    }


def calibration_scores(counts: Counts) -> Json:
    """The calibration error of a split."""
    assert counts.calibration is not None  # counted
    error = metrics.expected_calibration_error(counts.calibration)
    return {"error": _defined(error), "bins": len(np.asarray(counts.calibration.pixels))}


def by_class(names: Sequence[str], values: np.ndarray) -> dict[str, float | None]:
    """A number for each class; None for a class that does not occur."""
    return {name: _defined(value) for name, value in zip(names, values, strict=True)}


def _defined(value: np.floating) -> float | None:
    return None if np.isnan(value) else float(value)


def scores(confusion: np.ndarray) -> dict[str, float]:
    """The scores of a split."""
    return {
        "mean_iou": float(metrics.mean_iou(confusion)),
        "mean_dice": float(metrics.mean_dice(confusion)),
        "pixel_accuracy": float(metrics.pixel_accuracy(confusion)),
        "mean_class_accuracy": float(metrics.mean_class_accuracy(confusion)),
    }


def isolated_share(isolated: Matrix | None) -> dict[str, float]:
    """The share of isolated outputs; nothing if they are not counted."""
    if isolated is None:
        return {}
    alone, counted = np.asarray(isolated).tolist()
    return {"isolated_pixels": alone / counted if counted else float("nan")}


def majority_scores(confusion: np.ndarray) -> dict[str, float]:
    """The scores of always predicting the most frequent class of the split."""
    pixels = confusion.sum(1)
    constant = np.zeros_like(confusion)
    constant[:, pixels.argmax()] = pixels
    return scores(constant)
