"""Arguments that several layers share."""

from collections.abc import Sequence
from typing import Any

Padding = str | Sequence[tuple[int, int]]


def check_kernel_size(kernel_size: Any) -> tuple[int, ...]:
    """Returns the kernel size as a tuple; its length says how many spatial axes the layer has."""
    rule = "kernel_size must be a tuple with one size >= 1 for each of the one to three spatial axes"
    if isinstance(kernel_size, str) or not isinstance(kernel_size, Sequence):
        raise ValueError(f"{rule}, got {kernel_size!r}: write e.g. (3, 3) for a 3x3 kernel on images")
    sizes = tuple(kernel_size)
    if not 1 <= len(sizes) <= 3 or any(isinstance(s, bool) or not isinstance(s, int) or s < 1 for s in sizes):
        raise ValueError(f"{rule}, got {sizes}: write e.g. (3, 3) for a 3x3 kernel on images")
    return sizes
