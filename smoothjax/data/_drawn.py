"""Shared checks of the sources that draw their pictures."""

from ._open import MAX_PIXELS

SPLITS = ("train", "val", "test")


def check_drawn(*, length: int, size: tuple[int, int], seed: int, split: str, least: str, usual: int) -> None:
    """Refuses pictures that cannot be drawn; the random streams are keyed by words of 32 bits.

    Args:
      length, size, seed, split: see `ShapesSource`.
      least: the reason for at least 32 x 32 pixels, with a space before it, or nothing.
      usual: the side length that the message suggests.
    """
    # Larger numbers would spill into the next word.
    if not 1 <= length <= 2**32:
        raise ValueError(f"length must be 1 .. 2^32, got {length}")
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed must be 0 .. 2^32 - 1, got {seed}")
    if min(size) < 32 or size[0] * size[1] > MAX_PIXELS:
        raise ValueError(
            f"size must be at least 32 x 32 pixels{least}, got {size[0]} x {size[1]}; at most {MAX_PIXELS:,} pixels "
            f"fit, try {usual} x {usual}"
        )
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
