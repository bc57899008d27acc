"""Checks of what transforms take: NumPy cuts off, wraps or spreads numbers that do not fit, and says nothing."""

from collections.abc import Sequence

import numpy as np

from ._classes import IGNORE_LABEL


def check_image(image: np.ndarray) -> None:
    """Raises ValueError unless an image is `[H, W, C]` with at least one channel."""
    if image.ndim != 3 or image.shape[-1] == 0:
        raise ValueError(f"image must be [H, W, C], got shape {image.shape}; add the axis of the channels")


def check_together(image: np.ndarray, label: np.ndarray) -> None:
    """Raises ValueError unless an image `[H, W, C]` and a label `[H, W]` have the same height and width."""
    if image.ndim != 3 or image.shape[:2] != label.shape:
        raise ValueError(
            f"image of shape {image.shape} does not fit a label of shape {label.shape}; resize one of them"
        )


def check_bytes(done: str, **arrays: np.ndarray) -> None:
    """Raises ValueError unless the arrays are uint8; `done` is what happens to them, such as "resampled"."""
    if any(array.dtype != np.uint8 for array in arrays.values()):
        raise ValueError(
            f"{' and '.join(arrays)} must be uint8 to be {done}, got "
            f"{' and '.join(str(array.dtype) for array in arrays.values())}; normalize afterwards, and store numbers "
            "0 .. 255 as uint8"
        )


def check_label(label: np.ndarray, low: int, high: int) -> None:
    """Raises ValueError unless a label holds whole numbers from `low` to `high`."""
    if label.dtype.kind not in "bui":
        raise ValueError(f"label must be whole numbers, got {label.dtype}; store labels as uint8, 255 where ignored")
    if label.dtype.kind == "b" or not label.size:
        return
    held = np.iinfo(label.dtype)
    # Nearly all labels are uint8, and need no look at their numbers.
    if low <= held.min and held.max <= high:
        return
    if label.min() < low or label.max() > high:
        raise ValueError(
            f"label must be {low} .. {high}, got {label.dtype} from {label.min()} to {label.max()}; store labels as "
            f"uint8, {IGNORE_LABEL} where ignored"
        )


def check_finite(**numbers: float) -> None:
    """Raises ValueError for a number that is NaN or infinite."""
    for name, value in numbers.items():
        if not np.isfinite(value):
            raise ValueError(f"{name} must be a finite number, got {value}; look for a division by 0")


def check_statistics(mean: Sequence[float], std: Sequence[float]) -> None:
    """Raises ValueError unless these are statistics of the same number of channels."""
    if not len(mean) == len(std) >= 1 or not np.isfinite([*mean, *std]).all() or min(std) <= 0:
        raise ValueError(
            "mean and std must have a number for each channel, three for RGB, all finite, std positive, got "
            f"mean={tuple(mean)}, std={tuple(std)}; measure them with datasets.channel_statistics"
        )


def check_weights(name: str, weights: Sequence[float] | np.ndarray) -> None:
    """Raises ValueError unless these are weights of classes: finite, not negative, one for each class."""
    values = np.asarray(weights, float)
    if values.ndim != 1 or len(values) > IGNORE_LABEL:
        raise ValueError(
            f"{name} must be one number for each class, at most {IGNORE_LABEL}, got shape {values.shape}; leave out "
            "the weight of ignored pixels"
        )
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite, got {tuple(weights)}: 0 leaves a class out")
    if (values < 0).any():
        raise ValueError(f"{name} must not be negative, got {tuple(weights)}: 0 leaves a class out")


def by_channel(name: str, value: float | Sequence[float], channels: int) -> np.ndarray:
    """One number for all channels, or one per channel, as float64 `[C]`. Raises ValueError for another count."""
    values = np.asarray(value, float)
    if values.shape not in ((), (channels,)):
        raise ValueError(
            f"{name} must be one number, or one for each of the {channels} channels of the image, got {value}"
        )
    return np.broadcast_to(values, (channels,))


def holds(dtype: np.dtype, values: np.ndarray) -> bool:
    """Whether a type holds these numbers: whole ones exactly, others up to rounding."""
    with np.errstate(over="ignore", invalid="ignore"):
        held = values.astype(dtype)
    if dtype.kind == "f":
        return bool((np.isinf(held) == np.isinf(values)).all())
    return bool((held == values).all())
