"""Reading one image or one mask, of any kind that Pillow knows."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

_SIXTEEN_BITS = ("I", "I;16", "I;16L", "I;16B", "I;16N")


def read_image(path: str | Path) -> np.ndarray:
    """Reads an image of any mode as RGB, upright.

    Grey, palette, CMYK and 16-bit images are converted, transparency is dropped, and the orientation that a camera
    wrote into the EXIF data is applied.

    Args:
      path: a file that Pillow reads.

    Returns:
      uint8 `[H, W, 3]`.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file is no image, is truncated, or holds floating-point values.

    Example:
      >>> import pathlib, tempfile
      >>> from PIL import Image
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = pathlib.Path(folder, "grey.png")
      ...     Image.new("L", (4, 3), 7).save(path)
      ...     read_image(path).shape
      (3, 4, 3)
    """
    path = Path(path)
    return np.array(_to_rgb(_open(path, upright=True), path))


def read_mask(path: str | Path) -> np.ndarray:
    """Reads a mask as class indices, never as colours.

    Args:
      path: an 8-bit grey or palette image; the numbers stored are the labels, a palette is ignored.

    Returns:
      uint8 `[H, W]`.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file is no image, is truncated, or is of another mode, such as a coloured mask.

    Example:
      >>> import pathlib, tempfile
      >>> from PIL import Image
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = pathlib.Path(folder, "mask.png")
      ...     Image.new("L", (2, 1), 5).save(path)
      ...     read_mask(path).tolist()
      [[5, 5]]
    """
    path = Path(path)
    image = _open(path)
    if image.mode not in ("L", "P"):
        raise ValueError(
            f"{path}: a mask must be an 8-bit grey (L) or palette (P) image whose pixels are class indices, "
            f"this one has mode {image.mode}; convert its colours to indices and store it as PNG"
        )
    return np.array(image)


def read_mask_size(path: str | Path) -> tuple[int, int]:
    """Height and width of an image in pixels, from its header."""
    with Image.open(path) as image:
        return image.height, image.width


def _open(path: Path, *, upright: bool = False) -> Image.Image:
    """The decoded image, turned as its EXIF data say if it is to be upright."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with Image.open(path) as image:
            image.load()
            return ImageOps.exif_transpose(image) if upright else image
    # Pillow's decoders raise OSError, SyntaxError, ValueError, zlib and struct errors for a damaged file.
    except Exception as error:
        raise ValueError(f"{path}: cannot be read as an image ({error}); replace or remove the file") from error


def _to_rgb(image: Image.Image, path: Path) -> Image.Image:
    if image.mode == "F":
        raise ValueError(f"{path}: pixels are floating-point numbers of unknown range; store 8-bit RGB")
    if image.mode in _SIXTEEN_BITS:
        # Pillow's own conversion clips at 255, which turns such images white.
        return Image.fromarray((np.clip(np.asarray(image), 0, 65535) // 256).astype(np.uint8)).convert("RGB")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")
