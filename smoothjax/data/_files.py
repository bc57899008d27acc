"""Reading one image or one mask, in any format that Pillow supports."""

from pathlib import Path

import numpy as np

from ._channels import array_size, check_channels, decode_array, decode_channels, is_array
from ._open import Decoded, OpenedImage, Size, header_size, open_image

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"),
    *(
        ".jfif",
        ".jpe",
        ".apng",
        ".dib",
        ".gif",
        ".avif",
        ".jp2",
        ".j2k",
        ".jpx",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
        ".tga",
    ),
)
"""Suffixes of the image files that a folder data set may hold."""

OTHER_SUFFIXES = (
    *(".heic", ".heif", ".jxl", ".svg", ".psd", ".exr", ".hdr", ".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw"),
    *(".eps", ".npy", ".npz", ".mat", ".nii", ".dcm"),
)
"""Suffixes of image files that are not read; errors name such files among images."""

MASK_SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".gif")
"""Suffixes of masks for preparation; in a folder that is read directly masks are PNG."""


def read_image(
    path: str | Path,
    at_least: Size | None = None,
    *,
    white: int | None = None,
    large: bool = False,
    channels: int = 3,
) -> np.ndarray:
    """Reads an image of any mode as RGB, upright, or with another number of channels.

    Grey, palette, CMYK and 16-bit images are converted, transparency is dropped, and the EXIF orientation is applied.
    Files of 16 bits often hold numbers of 10, 12 or 14 bits, which would look black: an image whose largest number is
    far below 65535 is refused unless `white` states the range.

    With `channels=1` colours become grey by their luminance. Any other number must match the file: bands, such as the
    four of an RGBA image; grey pages of a TIFF; or the last axis of a NumPy array `[H, W, C]` of uint8 or uint16 in a
    file `.npy`. `channels=1` also takes arrays, and those of shape `[H, W]`.

    Args:
      path: a file that Pillow reads; with `channels` other than 3 also a NumPy array, `NAME.npy`.
      at_least: height and width that suffice, in pixels of the upright image. A JPEG is then decoded at 1/2, 1/4 or 1/8
        of its size where that keeps both, which takes a fraction of the time; any other file is read at full size.
      white: the largest number in a 16-bit image, such as 4095 for 12 bits; 8-bit images do not need it.
      large: whether the image may have more than `MAX_PIXELS`, because the user named it.
      channels: 3 for RGB, 1 for grey, or the number that the file has.

    Returns:
      uint8 `[H, W, channels]`; with `at_least`, H and W are the smallest that the decoder offers, rounded up if 2, 4 or
      8 does not divide the size; `read_view` also returns the place of the picture in them.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file is not an image, is truncated, is an animation, holds floating-point values or another
          number of channels, or `at_least` is not positive.

    Example:
      >>> import pathlib, tempfile
      >>> from PIL import Image
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = pathlib.Path(folder, "grey.png")
      ...     Image.new("L", (4, 3), 7).save(path)
      ...     read_image(path).shape
      (3, 4, 3)
    """
    return decode_view(existing(path), str(path), at_least, white=white, large=large, channels=channels).pixels


def read_view(
    path: str | Path,
    at_least: Size | None = None,
    *,
    white: int | None = None,
    large: bool = False,
    channels: int = 3,
) -> dict[str, np.ndarray]:
    """`read_image` as entries of a record, from which `resize` makes the same view as from the whole image.

    Takes the arguments of `read_image`, and raises the same errors.

    Returns:
      `"image"` uint8 `[H, W, channels]`, and `"box"` float64 `[4]` if the picture does not fill it: the left, upper,
      right and lower border of the picture in pixels of the image. A JPEG of 9 pixels decoded at 1/8 has 2 pixels, of
      which the picture fills 9/8.

    Example:
      >>> import tempfile
      >>> from PIL import Image
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     Image.new("L", (9, 16), 7).save(f"{folder}/grey.jpg")
      ...     view = read_view(f"{folder}/grey.jpg", at_least=(2, 1))
      >>> view["image"].shape, view["box"].tolist()
      ((2, 2, 3), [0.0, 0.0, 1.125, 2.0])
    """
    return decode_view(existing(path), str(path), at_least, white=white, large=large, channels=channels).entries()


def read_mask(path: str | Path) -> np.ndarray:
    """Reads a mask as class indices, never as colours.

    Args:
      path: a grey or palette image of at most 8 bits; its numbers are the labels, a palette is ignored. They are those
        in the file, whether white is its largest number or 0, and whatever its largest number is.

    Returns:
      uint8 `[H, W]`.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file is not an image, is truncated, is an animation, has more than 8 bits, or has another mode,
          such as a coloured mask.

    Example:
      >>> import tempfile
      >>> from PIL import Image
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     Image.new("L", (2, 1), 5).save(f"{folder}/mask.png")
      ...     read_mask(f"{folder}/mask.png").tolist()
      [[5, 5]]
    """
    return decode_mask(existing(path), str(path))


def file_size(path: Path) -> int:
    """The size of a file in bytes; -1 if there is none, in which case reading raises."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def read_size(path: str | Path, *, large: bool = False) -> Size:
    """Height and width of the upright image in pixels, from its header.

    Args:
      path: a file that Pillow reads, or a NumPy array, `NAME.npy`.
      large: see `read_image`.

    Returns:
      Height and width.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file is not an image, or too large.

    Example:
      >>> import tempfile
      >>> from PIL import Image
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     Image.new("RGB", (4, 3)).save(f"{folder}/street.png")
      ...     read_size(f"{folder}/street.png")
      (3, 4)
    """
    found = existing(path)
    return array_size(found, str(path), large=large) if is_array(found) else header_size(found, str(path), large=large)


def decode_image(file: Path | bytes, name: str, at_least: Size | None = None) -> np.ndarray:
    """`read_image` of a file or of its content; `name` is its name in errors."""
    return decode_view(file, name, at_least).pixels


def decode_view(
    file: Path | bytes,
    name: str,
    at_least: Size | None = None,
    *,
    expected: Size | None = None,
    white: int | None = None,
    large: bool = False,
    channels: int = 3,
) -> Decoded:
    """`decode_image` with the full size and the place of the picture; `expected` as in `open_image`."""
    check_channels(channels)
    if at_least is not None and (len(at_least) != 2 or min(at_least) < 1):
        raise ValueError(f"at_least must be a positive height and width in pixels, got {tuple(at_least)}")
    if white is not None and not 1 <= white <= 65535:
        raise ValueError(f"white must be 1 .. 65535, the largest number of a 16-bit image, got {white}")
    if is_array(file):
        if channels == 3:
            raise ValueError(
                f"{name}: an RGB image was expected, not a NumPy array; store it as PNG, or state the number of "
                "channels of all images (--data.channels of train, channels= in Python)"
            )
        return decode_array(file, name, channels, expected=expected, white=white, large=large)
    if channels not in (1, 3):
        return decode_channels(file, name, channels, expected=expected, white=white, large=large)
    image = open_image(file, name, at_least=at_least, expected=expected, large=large)
    pixels = np.array(image.rgb(white) if channels == 3 else image.grey(white))
    return Decoded(pixels if channels == 3 else pixels[..., None], image.size, image.box)


def decode_mask(file: Path | bytes, name: str) -> np.ndarray:
    """`read_mask` of a file or of its content; `name` is its name in errors."""
    return indices(open_image(file, name, upright=False))


def indices(mask: OpenedImage) -> np.ndarray:
    """The numbers stored in a grey or palette image, uint8 `[H, W]`. Raises ValueError for other images."""
    image, name = mask.pixels, mask.name
    if image.mode.startswith("I") or mask.bits > 8:
        raise ValueError(
            f"{name}: a mask must have 8 bits a pixel, this one has 16 or more (mode {image.mode}); its labels must be "
            "0 .. 255: store them as an 8-bit grey PNG"
        )
    if image.mode not in ("1", "L", "P"):
        raise ValueError(
            f"{name}: a mask must be an 8-bit grey (L) or palette (P) image whose pixels are class indices, "
            f"this one has mode {image.mode}; convert its colours to indices and store it as PNG"
        )
    return mask.grey_coding.stored(image)


def existing(path: str | Path) -> Path:
    """The path of an existing file."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    return path
