"""Scores of a split, from one confusion matrix."""

import numpy as np

from smoothjax import metrics


def scores(confusion: np.ndarray) -> dict[str, float]:
    """The scores of a split."""
    return {
        "mean_iou": float(metrics.mean_iou(confusion)),
        "pixel_accuracy": float(metrics.pixel_accuracy(confusion)),
        "mean_class_accuracy": float(metrics.mean_class_accuracy(confusion)),
    }


def majority_scores(confusion: np.ndarray) -> dict[str, float]:
    """The scores of always answering the most frequent class of the split."""
    pixels = confusion.sum(1)
    constant = np.zeros_like(confusion)
    constant[:, pixels.argmax()] = pixels
    return scores(constant)
