"""The numbers in an image file, of which Pillow makes others: it turns white around, and stretches grey to 255."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFile, TiffImagePlugin

SIXTEEN_BITS = ("I", "I;16", "I;16L", "I;16B", "I;16N")
"""Pillow's modes of grey of more than eight bits."""


class GreyCoding(NamedTuple):
    """How a file stores the numbers of a grey image.

    Attributes:
      inverted: whether 0 is white in the file; Pillow makes it the largest number.
      highest: the number in the file that Pillow stretches to 255.
    """

    inverted: bool = False
    highest: int = 255

    def stored(self, image: Image.Image) -> np.ndarray:
        """The numbers in the file of an image of mode 1, L or P, uint8 `[H, W]`."""
        numbers = np.array(image, np.uint8)
        if image.mode == "P":
            return numbers
        if self.inverted:
            numbers = (1 if image.mode == "1" else 255) - numbers
        if image.mode == "L" and self.highest < 255:
            # Exact, to the nearest: Pillow rounds by half at most, and its neighbours are more than 1 apart.
            numbers = ((numbers.astype(np.uint16) * self.highest + 127) // 255).astype(np.uint8)
        return numbers


AS_IT_IS = GreyCoding()
"""The numbers of the file are those of Pillow."""


def grey_coding(image: Image.Image, bits: int) -> GreyCoding:
    """How the file of an image that is not yet decoded, with these bits a number, stores grey."""
    if image.mode not in ("1", "L") or not isinstance(image, ImageFile.ImageFile) or not image.tile:
        return AS_IT_IS
    decoder, arguments = image.tile[0][0], image.tile[0][3]
    raw = arguments if isinstance(arguments, str) else str(arguments[0]) if arguments else ""
    highest = 2**bits - 1 if bits in (2, 4) else 255
    if decoder in ("ppm", "ppm_plain") and isinstance(arguments, tuple):
        highest = int(arguments[-1])
    return GreyCoding("I" in raw.partition(";")[2], highest)


def stored_bits(file: Path | bytes, image: Image.Image) -> int:
    """Bits per number in the file."""
    if image.format == "PNG":
        # Pillow does not give it; the header comes first in every PNG, with the bits at this place.
        return _head(file, 25)[24]
    if image.format == "SGI":
        return 8 * _head(file, 4)[3]
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return max(image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (8,)))
    return 16 if image.mode in SIXTEEN_BITS else 8


def is_planar(image: Image.Image) -> bool:
    """Whether a file holds one colour after another."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return False
    several = image.tag_v2.get(TiffImagePlugin.SAMPLESPERPIXEL, 1) > 1
    return several and image.tag_v2.get(TiffImagePlugin.PLANAR_CONFIGURATION, 1) == 2


def _head(file: Path | bytes, count: int) -> bytes:
    if isinstance(file, bytes):
        return file[:count]
    with file.open("rb") as stream:
        return stream.read(count)
