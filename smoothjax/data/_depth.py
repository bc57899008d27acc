"""Conversion of 16-bit images to 8 bits: right pixels, or an error.

Such files often hold numbers of 10, 12 or 14 bits, which look nearly black if they are read as 16.
"""

import numpy as np
from PIL import Image

# A 16-bit image whose numbers need no more than this many bits may hold data of fewer bits.
_FEW_BITS = 14


def grey_of_eight_bits(image: Image.Image, name: str, bits: int, white: int | None) -> Image.Image:
    """Grey of up to 16 bits in mode L. Pillow's own conversion clips at 255, which turns such images white."""
    if white is None and 8 < bits < 16:
        white = 2**bits - 1
    if white is None and image.format == "PPM":
        white = 65535  # the file states its range, and Pillow stretches it
    return Image.fromarray(of_eight_bits(np.asarray(image), name, white))


def of_eight_bits(values: np.ndarray, name: str, white: int | None) -> np.ndarray:
    """Converts numbers of up to 16 bits to uint8: 0 stays 0, and `white` becomes 255.

    Raises:
      ValueError: they lie outside 0 .. `white`, or use so few of 16 bits that `white` must be stated.
    """
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > (65535 if white is None else white):
        raise ValueError(
            f"{name}: its numbers go from {low} to {high}, outside 0 .. {65535 if white is None else white}; give the "
            "white point (--data.white, white= in Python), or store 8-bit RGB"
        )
    if white is None and 0 < high < 2**_FEW_BITS:
        used = max(high.bit_length(), 8)
        raise ValueError(
            f"{name}: the largest of its 16-bit numbers is {high} of 65535, as of data with {used} bits; state what is "
            f"white: --data.white {2**used - 1} (white= in Python), or 65535 if the image is as dark as that"
        )
    white = 65535 if white is None else white
    wide = values.astype(np.uint32)
    # Where there are fewer numbers than 256, each would begin a step of 8 bits, and white would not be 255.
    scaled = wide * 256 // (white + 1) if white >= 255 else (wide * 255 + white // 2) // white
    return scaled.astype(np.uint8)


def check_upper_bits(image: Image.Image, name: str, white: int | None) -> None:
    """Refuses 16-bit colours that do not use the full range, since Pillow keeps only the upper eight bits."""
    if white is not None and white != 65535:
        raise ValueError(
            f"{name}: 16-bit colours can be read with a white point of 65535 only, got {white}; store 8-bit RGB"
        )
    high = int(np.asarray(image.convert("RGB")).max())
    if white is None and high < 2 ** (_FEW_BITS - 8):
        raise ValueError(
            f"{name}: its 16-bit colours are all below {256 * (high + 1)} of 65535, as of data with fewer "
            "bits; store 8-bit RGB, or state that 65535 is white (--data.white 65535, white= in Python)"
        )
