"""Reading one image or one mask, of any kind that Pillow knows."""

import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
"""Suffixes of the image files that a folder data set may hold."""

_SIXTEEN_BITS = ("I", "I;16", "I;16L", "I;16B", "I;16N")
_ON_ITS_SIDE = (5, 6, 7, 8)
# Where the right border of a stored image does not stay on the right or at the bottom, and so for its lower border.
_FROM_THE_RIGHT, _FROM_BELOW = (2, 3, 6, 7), (3, 4, 7, 8)


class Decoded(NamedTuple):
    """An image as a decoder gave it.

    Attributes:
      pixels: uint8 `[H, W, 3]`.
      size: height and width that the upright image has in the file.
      box: left, upper, right and lower border of the picture in `pixels`, where it does not fill them: a decoder that
        makes an image smaller rounds its size up, so that up to 7/8 of the last pixels is not of the picture.
    """

    pixels: np.ndarray
    size: tuple[int, int]
    box: tuple[float, float, float, float] | None = None

    def entries(self) -> dict[str, np.ndarray]:
        """The entries of a record: `"image"`, and `"box"` float64 `[4]` where there is one."""
        return {"image": self.pixels} | ({} if self.box is None else {"box": np.array(self.box)})


def read_image(path: str | Path, at_least: tuple[int, int] | None = None) -> np.ndarray:
    """Reads an image of any mode as RGB, upright.

    Grey, palette, CMYK and 16-bit images are converted, transparency is dropped, and the orientation that a camera
    wrote into the EXIF data is applied.

    Args:
      path: a file that Pillow reads.
      at_least: height and width that suffice, in pixels of the upright image. A JPEG is then decoded at 1/2, 1/4 or 1/8
        of its size where that keeps both, which takes a fraction of the time; any other file is read at full size.

    Returns:
      uint8 `[H, W, 3]`; with `at_least`, H and W are the smallest that the decoder offers, rounded up where 2, 4 or 8
      does not divide the size: `read_view` tells where the picture lies in them.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file is no image, is truncated, or holds floating-point values, or `at_least` is not positive.

    Example:
      >>> import pathlib, tempfile
      >>> from PIL import Image
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = pathlib.Path(folder, "grey.png")
      ...     Image.new("L", (4, 3), 7).save(path)
      ...     read_image(path).shape
      (3, 4, 3)
    """
    return decode_image(existing(path), str(path), at_least)


def read_view(path: str | Path, at_least: tuple[int, int] | None = None) -> dict[str, np.ndarray]:
    """`read_image` as entries of a record, from which `resize` makes the very view of the whole image.

    Args:
      path: a file that Pillow reads.
      at_least: height and width that suffice, see `read_image`.

    Returns:
      `"image"` uint8 `[H, W, 3]`, and `"box"` float64 `[4]` where the picture does not fill it: its left, upper, right
      and lower border in pixels of the image. A JPEG of 9 pixels decoded at 1/8 has 2 pixels, the picture 9/8 of them.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: as from `read_image`.

    Example:
      >>> import pathlib, tempfile
      >>> from PIL import Image
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = pathlib.Path(folder, "grey.jpg")
      ...     Image.new("L", (9, 16), 7).save(path)
      ...     view = read_view(path, at_least=(2, 1))
      >>> view["image"].shape, view["box"].tolist()
      ((2, 2, 3), [0.0, 0.0, 1.125, 2.0])
    """
    return decode_view(existing(path), str(path), at_least).entries()


def read_mask(path: str | Path) -> np.ndarray:
    """Reads a mask as class indices, never as colours.

    Args:
      path: a grey or palette image of at most 8 bits; the numbers stored are the labels, a palette is ignored.

    Returns:
      uint8 `[H, W]`.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file is no image, is truncated, has more than 8 bits, or is of another mode, such as a coloured
        mask.

    Example:
      >>> import pathlib, tempfile
      >>> from PIL import Image
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = pathlib.Path(folder, "mask.png")
      ...     Image.new("L", (2, 1), 5).save(path)
      ...     read_mask(path).tolist()
      [[5, 5]]
    """
    return decode_mask(existing(path), str(path))


def file_size(path: Path) -> int:
    """The size of a file in bytes; -1 for none, of which reading it tells."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def read_mask_size(path: str | Path) -> tuple[int, int]:
    """Height and width of an image in pixels, from its header."""
    with Image.open(path) as image:
        return image.height, image.width


def decode_image(file: Path | bytes, name: str, at_least: tuple[int, int] | None = None) -> np.ndarray:
    """`read_image` of a file or of its content; `name` stands in the errors."""
    return decode_view(file, name, at_least).pixels


def decode_view(file: Path | bytes, name: str, at_least: tuple[int, int] | None = None) -> Decoded:
    """`decode_image`, its full size, and where the picture lies in it."""
    if at_least is not None and (len(at_least) != 2 or min(at_least) < 1):
        raise ValueError(f"at_least must be a positive height and width in pixels, got {tuple(at_least)}")
    image, size, box = _open(file, name, at_least, upright=True)
    return Decoded(np.array(to_rgb(image, name)), size, box)


def decode_mask(file: Path | bytes, name: str) -> np.ndarray:
    """`read_mask` of a file or of its content; `name` stands in the errors."""
    return decode_mask_and_palette(file, name)[0]


def decode_mask_and_palette(file: Path | bytes, name: str) -> tuple[np.ndarray, list[int] | None]:
    """`decode_mask`, and the colours of a palette image, red, green and blue of each label in turn."""
    image = open_image(file, name, upright=False)
    if image.mode in _SIXTEEN_BITS:
        raise ValueError(
            f"{name}: a mask must have 8 bits a pixel, this one has 16 or more (mode {image.mode}); its labels must be "
            "0 .. 255: store them as an 8-bit grey PNG"
        )
    if image.mode not in ("1", "L", "P"):
        raise ValueError(
            f"{name}: a mask must be an 8-bit grey (L) or palette (P) image whose pixels are class indices, "
            f"this one has mode {image.mode}; convert its colours to indices and store it as PNG"
        )
    label = np.array(image, np.uint8)
    if image.mode == "L" and (bits := _bits(file, image)) in (2, 4):
        # Pillow stretches grey to 0 .. 255.
        label //= 255 // (2**bits - 1)
    return label, image.getpalette()


def _bits(file: Path | bytes, image: Image.Image) -> int:
    """How many bits a grey pixel has in the file."""
    if image.format == "PNG":
        # Pillow does not tell; the header comes first in every PNG, with the bits at this place.
        if isinstance(file, Path):
            with file.open("rb") as opened:
                file = opened.read(25)
        return file[24]
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (8,))[0]
    return 8


def is_plain(image: Image.Image) -> bool:
    """Whether every reader of the file sees what `read_image` sees: JPEG or PNG, RGB, stored upright."""
    # Pillow calls a JPEG with a preview image inside MPO.
    return image.format in ("JPEG", "MPO", "PNG") and image.mode == "RGB" and _orientation(image) == 1


def open_image(file: Path | bytes, name: str, *, upright: bool = True) -> Image.Image:
    """The decoded image, turned as its EXIF data say if it is to be upright.

    An image that need not be turned is the file's own, with its `format`.
    """
    return _open(file, name, None, upright=upright)[0]


def _open(
    file: Path | bytes, name: str, at_least: tuple[int, int] | None, *, upright: bool
) -> tuple[Image.Image, tuple[int, int], tuple[float, float, float, float] | None]:
    """`open_image`, perhaps smaller, height and width at full size, and the box of the picture, see `Decoded`."""
    try:
        with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file) as image:
            stored, drafted = image.size, None
            orientation = _orientation(image) if upright else 1
            on_its_side = orientation in _ON_ITS_SIDE
            if at_least is not None:
                drafted = image.draft(None, (at_least[0], at_least[1]) if on_its_side else (at_least[1], at_least[0]))
            image.load()
            turned = ImageOps.exif_transpose(image) if orientation != 1 else image
            # The header is asked only where it must be: Pillow turns a TIFF on its own.
            width, height = turned.size if drafted is None else stored[::-1] if on_its_side else stored
            box = None if drafted is None else _box(drafted[1][2:], turned.size, orientation)
            return turned, (height, width), box
    # Pillow's decoders raise OSError, SyntaxError, ValueError, zlib and struct errors for a damaged file.
    except Exception as error:
        reason = "not of a kind that Pillow knows" if isinstance(error, UnidentifiedImageError) else error
        raise ValueError(f"{name}: cannot be read as an image ({reason}); replace or remove the file") from error


def _box(
    picture: tuple[float, float], size: tuple[int, int], orientation: int
) -> tuple[float, float, float, float] | None:
    """Where a picture of this width and height, as stored, lies in the upright image; None where it fills it."""
    across, down = picture[::-1] if orientation in _ON_ITS_SIDE else picture
    if (across, down) == size:
        return None
    left = size[0] - across if orientation in _FROM_THE_RIGHT else 0.0
    upper = size[1] - down if orientation in _FROM_BELOW else 0.0
    return left, upper, left + across, upper + down


def existing(path: str | Path) -> Path:
    """The path of a file that is there."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    return path


def _orientation(image: Image.Image) -> int:
    """How a camera says that the image is to be turned, 2 .. 8; 1 for not at all."""
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    return orientation if orientation in range(2, 9) else 1


def to_rgb(image: Image.Image, name: str) -> Image.Image:
    """The image in mode RGB."""
    if image.mode == "F":
        raise ValueError(f"{name}: pixels are floating-point numbers of unknown range; store 8-bit RGB")
    if image.mode in _SIXTEEN_BITS:
        # Pillow's own conversion clips at 255, which turns such images white.
        return Image.fromarray((np.clip(np.asarray(image), 0, 65535) // 256).astype(np.uint8)).convert("RGB")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")
