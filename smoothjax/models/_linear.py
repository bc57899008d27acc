"""Linear resampling on the host, of parts of an array: the numbers of `jax.image.resize`."""

from collections.abc import Iterable, Iterator

import numpy as np

# For this many rows or columns at once, few entries of their matrix are zero.
PORTION = 64


def linear_weights(length: int, new: int, begin: int, end: int) -> tuple[int, np.ndarray]:
    """The sources of the entries `begin .. end - 1` of an axis of `new` entries.

    Returns:
      The first needed entry of the axis of `length`, and the weights of the n entries from there on, float32 `[end -
      begin, n]`.
    """
    width = max(1.0, length / new)  # a smaller array is antialiased
    position = (np.arange(begin, end) + 0.5) * (length / new) - 0.5
    first, last = max(0, int(np.ceil(position[0] - width))), min(length - 1, int(np.floor(position[-1] + width)))
    weights = np.maximum(0, 1 - np.abs(position[:, None] - np.arange(first, last + 1)) / width)
    return first, (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def resampled_columns(rows: np.ndarray, new: int) -> np.ndarray:
    """`[h, W, K]` to `[h, new, K]`."""
    length = rows.shape[1]
    if length == new:
        return rows
    found = np.empty((rows.shape[0], new, rows.shape[2]), np.float32)
    for begin in range(0, new, PORTION):
        end = min(begin + PORTION, new)
        first, weights = linear_weights(length, new, begin, end)
        found[:, begin:end] = np.matmul(weights, rows[:, first : first + weights.shape[1]])
    return found


def resampled_rows(portions: Iterable[np.ndarray], length: int, new: int) -> Iterator[np.ndarray]:
    """`new` rows in portions that depend on `new` only, from `length` rows `[h, W, K]` in any portions."""
    held, top, begin = None, 0, 0
    for portion in portions:
        held = portion if held is None else np.concatenate([held, portion])
        while begin < new:
            end = min(begin + PORTION, new)
            first, weights = linear_weights(length, new, begin, end)
            if first + weights.shape[1] > top + len(held):
                break
            held, top = held[first - top :], first
            yield np.tensordot(weights, held[: weights.shape[1]], 1)
            begin = end
