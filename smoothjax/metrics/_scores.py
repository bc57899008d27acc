"""Scores from a confusion matrix, on the host, in double precision."""

import numpy as np
import numpy.typing as npt


def iou_per_class(confusion: npt.ArrayLike) -> np.ndarray:
    r"""Intersection over union of every class.

    $$\text{IoU}_c = \frac{tp_c}{tp_c + fp_c + fn_c}$$

    Args:
      confusion: `[K, K]` pixel counts, labels in rows and predictions in columns, NumPy or JAX.

    Returns:
      float64 `[K]` in 0 .. 1; NaN for a class that neither the labels nor the predictions contain.

    Raises:
      ValueError: `confusion` is not a square matrix, or has a negative count.

    Example:
      >>> print(iou_per_class([[3, 1, 0], [0, 4, 0], [0, 0, 0]]))
      [0.75 0.8   nan]

    References:
      Wang and Ji, "Smoothed Dilated Convolutions for Improved Dense Prediction", 2018, Eq. 4.
    """
    return _iou(_counts(confusion))


def mean_iou(confusion: npt.ArrayLike) -> np.float64:
    """Mean of the intersection over union, over the classes that occur.

    Args:
      confusion: `[K, K]` pixel counts, labels in rows and predictions in columns, NumPy or JAX.

    Returns:
      The mean of `iou_per_class` without its NaNs, 0 .. 1; NaN for an empty matrix.

    Raises:
      ValueError: `confusion` is not a square matrix, or has a negative count.

    Example:
      >>> print(mean_iou([[3, 1, 0], [0, 4, 0], [0, 0, 0]]))
      0.775
    """
    return _mean_of_defined(iou_per_class(confusion))


def dice_per_class(confusion: npt.ArrayLike) -> np.ndarray:
    r"""Dice coefficient of every class, which is its F1 score.

    $$\text{Dice}_c = \frac{2\,tp_c}{2\,tp_c + fp_c + fn_c} = \frac{2\,\text{IoU}_c}{1 + \text{IoU}_c}$$

    It is the harmonic mean of precision and recall, and ranks predictions of one class as the IoU does.

    Args:
      confusion: `[K, K]` pixel counts, labels in rows and predictions in columns, NumPy or JAX.

    Returns:
      float64 `[K]` in 0 .. 1; NaN for a class that neither the labels nor the predictions contain.

    Raises:
      ValueError: `confusion` is not a square matrix, or has a negative count.

    Example:
      >>> print(dice_per_class([[3, 1, 0], [0, 4, 0], [0, 0, 0]]).round(3))
      [0.857 0.889   nan]

    References:
      Dice, Measures of the Amount of Ecologic Association Between Species, 1945; Müller et al., Towards a Guideline for
      Evaluation Metrics in Medical Image Segmentation, 2022.
    """
    counts = _counts(confusion)
    return _ratio(2 * np.diag(counts), counts.sum(axis=0) + counts.sum(axis=1))


def mean_dice(confusion: npt.ArrayLike) -> np.float64:
    """Mean of the Dice coefficient, over the classes that occur.

    Args:
      confusion: `[K, K]` pixel counts, labels in rows and predictions in columns, NumPy or JAX.

    Returns:
      The mean of `dice_per_class` without its NaNs, 0 .. 1; NaN for an empty matrix.

    Raises:
      ValueError: `confusion` is not a square matrix, or has a negative count.

    Example:
      >>> print(mean_dice([[3, 1, 0], [0, 4, 0], [0, 0, 0]]).round(3))
      0.873
    """
    return _mean_of_defined(dice_per_class(confusion))


def pixel_accuracy(confusion: npt.ArrayLike) -> np.float64:
    """Fraction of the counted pixels whose class was predicted.

    Args:
      confusion: `[K, K]` pixel counts, labels in rows and predictions in columns, NumPy or JAX.

    Returns:
      The fraction, 0 .. 1; NaN for an empty matrix.

    Raises:
      ValueError: `confusion` is not a square matrix, or has a negative count.

    Example:
      >>> print(pixel_accuracy([[3, 1], [0, 4]]))
      0.875
    """
    counts = _counts(confusion)
    return np.float64(_ratio(np.trace(counts), counts.sum()))


def mean_class_accuracy(confusion: npt.ArrayLike) -> np.float64:
    """Mean of the recall, over the classes that the labels contain.

    Args:
      confusion: `[K, K]` pixel counts, labels in rows and predictions in columns, NumPy or JAX.

    Returns:
      The mean, 0 .. 1; NaN for an empty matrix.

    Raises:
      ValueError: `confusion` is not a square matrix, or has a negative count.

    Example:
      >>> print(mean_class_accuracy([[3, 1], [0, 4]]))
      0.875
    """
    counts = _counts(confusion)
    return _mean_of_defined(_ratio(np.diag(counts), counts.sum(axis=1)))


def boundary_iou_per_class(counts: npt.ArrayLike) -> np.ndarray:
    r"""Boundary IoU of every class: intersection over union of the pixels near the contours.

    $$\text{BIoU}_c = \frac{|G_c^d \cap P_c^d|}{|G_c^d \cup P_c^d|}$$

    with the bands $G_c^d$ and $P_c^d$ of `boundary_confusion_matrix`. It is 1 for a perfect prediction and 0 if no
    pixel is near both contours, as for a missed class; with a distance beyond the size of the masks it equals the IoU.

    Args:
      counts: `[K + 1, K + 1]`, the sum of what `boundary_confusion_matrix` returns, NumPy or JAX.

    Returns:
      float64 `[K]` in 0 .. 1; NaN for a class that neither the labels nor the predictions contain.

    Raises:
      ValueError: `counts` is not a square matrix, or has a negative count.

    Example:
      >>> print(boundary_iou_per_class([[3, 0, 1], [0, 4, 0], [2, 0, 9]]))
      [0.5 1. ]

    References:
      Cheng et al., Boundary IoU: Improving Object-Centric Image Segmentation Evaluation, CVPR 2021, Sec. 4.
    """
    return _iou(_counts(counts, "counts", "K + 1", "boundary_confusion_matrix"))[:-1]


def mean_boundary_iou(counts: npt.ArrayLike) -> np.float64:
    """Mean of the boundary IoU, over the classes that occur.

    Args:
      counts: `[K + 1, K + 1]`, the sum of what `boundary_confusion_matrix` returns, NumPy or JAX.

    Returns:
      The mean of `boundary_iou_per_class` without its NaNs, 0 .. 1; NaN for an empty matrix.

    Raises:
      ValueError: `counts` is not a square matrix, or has a negative count.

    Example:
      >>> print(mean_boundary_iou([[3, 0, 1], [0, 4, 0], [2, 0, 9]]))
      0.75
    """
    return _mean_of_defined(boundary_iou_per_class(counts))


def _counts(
    matrix: npt.ArrayLike, name: str = "confusion", rows: str = "K", source: str = "confusion_matrix"
) -> np.ndarray:
    """The matrix in float64, which holds sums of pixels exactly up to 2^53; the rest is for the messages."""
    counts = np.asarray(matrix).astype(np.float64)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or not counts.size:
        raise ValueError(
            f"{name} must be a square matrix [{rows}, {rows}], got shape {counts.shape}; pass the sum of the matrices "
            f"that {source} returns"
        )
    if not np.isfinite(counts).all():
        raise ValueError(f"{name} must hold counts, got NaN or infinity: pass the sum of what {source} returns")
    if (counts < 0).any():
        raise ValueError(
            f"{name} must hold counts, got the negative value {counts.min():.0f}; "
            "32-bit sums overflow: add the matrices up in numpy.int64"
        )
    return counts


def _iou(counts: np.ndarray) -> np.ndarray:
    true_positives = np.diag(counts)
    return _ratio(true_positives, counts.sum(axis=0) + counts.sum(axis=1) - true_positives)


def _ratio(part: npt.ArrayLike, whole: npt.ArrayLike) -> np.ndarray:
    """`part / whole`, NaN where the whole is zero, without a warning."""
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    return np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)


def _mean_of_defined(values: np.ndarray) -> np.float64:
    defined = values[~np.isnan(values)]
    return np.float64(defined.mean() if defined.size else np.nan)
