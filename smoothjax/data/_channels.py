"""Images whose channels are not red, green and blue: bands of a file, pages of a TIFF, NumPy arrays."""

from pathlib import Path
from typing import TypeGuard

import numpy as np
from PIL import UnidentifiedImageError

from ._depth import check_upper_bits, of_eight_bits
from ._numbers import stored_bits
from ._open import (
    MAX_PIXELS,
    Decoded,
    OpenedImage,
    Size,
    SizeDiffersError,
    full_pages,
    open_image,
    opened,
    orientation_of,
)

ARRAY_SUFFIX = ".npy"
"""Suffix of NumPy arrays, which hold images whose channels are not red, green and blue."""

MAX_CHANNELS = 256
# Modes with one plain number per band; palettes, YCbCr, LAB and HSV do not qualify.
_BANDS = ("LA", "RGBA", "RGBX", "CMYK")


def check_channels(channels: int) -> None:
    """Raises ValueError unless images can have this number of channels."""
    if not 1 <= channels <= MAX_CHANNELS:
        raise ValueError(f"channels must be 1 .. {MAX_CHANNELS}, got {channels}; 3 is RGB, 1 is grey")


def is_array(file: Path | bytes) -> TypeGuard[Path]:
    """Whether the name of a file is that of a NumPy array."""
    return isinstance(file, Path) and file.suffix.lower() == ARRAY_SUFFIX


def array_size(path: Path, name: str, *, large: bool) -> Size:
    """Height and width of an image in a NumPy array, without reading it."""
    height, width = _opened_array(path, name, large).shape[:2]
    return height, width


def decode_array(
    path: Path, name: str, channels: int, *, expected: Size | None, white: int | None, large: bool
) -> Decoded:
    """An image in a NumPy array `[H, W, C]` of uint8 or uint16, or `[H, W]` for one channel."""
    array = _opened_array(path, name, large)
    values = array[..., None] if array.ndim == 2 else array
    size = (values.shape[0], values.shape[1])
    if expected is not None and size != expected:
        raise SizeDiffersError(name, size, expected)
    if values.shape[-1] != channels:
        raise _other_channels(name, f"an array of shape {list(array.shape)}", channels)
    read = np.array(values)
    return Decoded(read if read.dtype == np.uint8 else of_eight_bits(read, name, white), size)


def decode_channels(
    file: Path | bytes, name: str, channels: int, *, expected: Size | None, white: int | None, large: bool
) -> Decoded:
    """An image with exactly this number of bands, or a TIFF with this number of grey pages of one size as channels."""
    try:
        pages = _decode_pages(file, name, channels, expected, white, large)
    except ValueError as error:
        if not isinstance(error.__cause__, UnidentifiedImageError):
            raise
        raise ValueError(
            f"{name}: not of a kind that Pillow knows, nor are TIFFs of several numbers a pixel other than colours; "
            f"store it as an array [H, W, {channels}] of uint8, NAME{ARRAY_SUFFIX}, or a grey page for each channel"
        ) from error
    if pages is not None:
        return pages
    image = open_image(file, name, expected=expected, large=large)
    bands = image.pixels.getbands()
    if image.pixels.mode not in _BANDS or len(bands) != channels:
        raise _other_channels(name, f"an image of mode {image.pixels.mode} ({', '.join(bands)})", channels)
    if image.bits > 8:
        check_upper_bits(image.pixels, name, white)
    return Decoded(np.array(image.pixels), image.size)


def _opened_array(path: Path, name: str, large: bool) -> np.ndarray:
    """The array, checked, with its values still in the file."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    # A damaged header makes the reader raise errors of many types.
    except Exception as error:
        raise ValueError(f"{name}: cannot be read as a NumPy array ({error}); replace or remove the file") from error
    if not isinstance(array, np.ndarray) or array.ndim not in (2, 3) or 0 in array.shape:
        raise ValueError(f"{name}: must be one array [H, W] or [H, W, C]; store channels as the last axis")
    if array.dtype not in (np.uint8, np.uint16):
        raise ValueError(
            f"{name}: an array must be of uint8 or uint16, this one is of {array.dtype}; scale its values to 0 .. 255 "
            "in the same way in all files, and store them as uint8"
        )
    if not large and array.shape[0] * array.shape[1] > MAX_PIXELS:
        raise ValueError(
            f"{name}: its {array.shape[1]} x {array.shape[0]} pixels are more than the {MAX_PIXELS:,} of an image of a "
            "data set; replace or remove the file"
        )
    return array


def _decode_pages(
    file: Path | bytes, name: str, channels: int, expected: Size | None, white: int | None, large: bool
) -> Decoded | None:
    """The pages of a TIFF as channels; None for a file with a single image."""
    with opened(file, name, large=large) as image:
        if image.format != "TIFF":
            return None
        places = full_pages(image, most=channels + 1)
        if len(places) == 1:
            return None
        size = (image.height, image.width)
        if expected is not None and size != expected:
            raise SizeDiffersError(name, size, expected)
        pages: list[OpenedImage] = []
        for place in places:
            image.seek(place)
            if (image.height, image.width) != size or orientation_of(image) != 1:
                raise ValueError("pages that are channels must be stored upright, all of one size")
            bits = stored_bits(file, image)
            image.load()
            if image.mode not in ("1", "L") and not image.mode.startswith("I"):
                raise ValueError(f"a page that is a channel must be grey, this one has mode {image.mode}")
            pages.append(OpenedImage(name, image.copy(), size, None, bits))
    if len(pages) != channels:
        count = f"more than {channels}" if len(pages) > channels else str(len(pages))
        raise _other_channels(name, f"a TIFF of {count} pages", channels)
    return Decoded(np.stack([np.asarray(page.grey(white)) for page in pages], -1), size)


def _other_channels(name: str, found: str, channels: int) -> ValueError:
    return ValueError(
        f"{name}: {found}, not of {channels} channels; state the number that all images have (--data.channels, "
        f"channels= in Python), or store it as an array [H, W, {channels}] of uint8, NAME{ARRAY_SUFFIX}"
    )
