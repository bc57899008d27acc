"""Opening one image with limits: the header first, pixels only on request.

Files of a data set are limited in pixels and formats; an image that the user names may be larger. Pillow's own limit is
one number for the whole process, so we check ours here.
"""

import io
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps, TiffImagePlugin, UnidentifiedImageError

from ..files import explain
from ._depth import check_upper_bits, grey_of_eight_bits
from ._numbers import AS_IT_IS, SIXTEEN_BITS, GreyCoding, grey_coding, is_planar, stored_bits
from ._png import is_of_text, read_late_exif, without_text

MAX_PIXELS = 178_956_970
"""Largest number of pixels of an image or a mask of a data set, as in Pillow."""

# Pillow's other formats may run programs (EPS), or hold no photographs.
_FORMATS = ("JPEG", "MPO", "PNG", "BMP", "DIB", "WEBP", "TIFF", "GIF", "AVIF", "JPEG2000", "PPM", "TGA", "PCX", "SGI")
# The kind of a TIFF page: bit 0 marks a reduced version of another page, bit 2 a mask of one.
_SUBFILE_TYPE, _REDUCED_OR_MASK = 254, 0b101
_ON_ITS_SIDE = (5, 6, 7, 8)
# Formats that hold films; an MPO holds other views of its photograph.
_FILMS = ("PNG", "GIF", "WEBP", "AVIF")
# Orientations that move the right border of a stored image to the left or top, and the same for its lower border.
_FROM_THE_RIGHT, _FROM_BELOW = (2, 3, 6, 7), (3, 4, 7, 8)

Size = tuple[int, int]


class SizeDiffersError(ValueError):
    """The sizes of an image and its label map differ; nothing was decoded.

    Attributes:
      size: height and width of the upright image.
    """

    def __init__(self, name: str, size: Size, expected: Size):
        super().__init__(f"{name}: is {size[0]} x {size[1]} pixels high and wide, not {expected[0]} x {expected[1]}")
        self.size = size


class Decoded(NamedTuple):
    """An image from a decoder.

    Attributes:
      pixels: uint8 `[H, W, C]`, RGB unless other channels were asked for.
      size: height and width of the upright image in the file.
      box: left, upper, right and lower border of the picture in `pixels`, where it does not fill them: a decoder that
        makes an image smaller rounds its size up, so that up to 7/8 of the last pixels is not of the picture.
    """

    pixels: np.ndarray
    size: tuple[int, int]
    box: tuple[float, float, float, float] | None = None

    def entries(self) -> dict[str, np.ndarray]:
        """The entries of a record: `"image"`, and `"box"` float64 `[4]` if there is one."""
        return {"image": self.pixels} | ({} if self.box is None else {"box": np.array(self.box)})


@dataclass(frozen=True)
class OpenedImage:
    """A decoded image, turned upright by its EXIF data on request.

    Attributes:
      name: its name in errors.
      pixels: the image; if it was not turned, Pillow's own image of the file, with its `format`.
      size: height and width that the image has in the file.
      box: left, upper, right and lower border of the picture in `pixels`, where it does not fill them.
      bits: bits per number in the file.
      grey_coding: how the file stores the numbers of a grey image.
    """

    name: str
    pixels: Image.Image
    size: Size
    box: tuple[float, float, float, float] | None
    bits: int
    grey_coding: GreyCoding = AS_IT_IS

    @property
    def is_plain(self) -> bool:
        """Whether every reader of the file sees what `read_image` sees: JPEG or PNG, 8-bit RGB, stored upright."""
        # Pillow calls a JPEG with a preview image inside MPO.
        image = self.pixels
        plain = image.format in ("JPEG", "MPO", "PNG") and image.mode == "RGB" and self.bits == 8
        return plain and orientation_of(image) == 1

    def rgb(self, white: int | None = None) -> Image.Image:
        """The image in mode RGB; `white` is the largest number of a 16-bit image, see `read_image`.

        Raises:
          ValueError: the image holds floating-point numbers, or 16-bit numbers of unknown or another range.
        """
        return self._of_eight_bits(white).convert("RGB")

    def grey(self, white: int | None = None) -> Image.Image:
        """The image in mode L, colours by their luminance; otherwise as `rgb`."""
        image = self._of_eight_bits(white)
        return image if image.mode == "L" else image.convert("RGB").convert("L")

    def _of_eight_bits(self, white: int | None) -> Image.Image:
        image = self.pixels
        if image.mode == "F":
            raise ValueError(f"{self.name}: pixels are floating-point numbers of unknown range; store 8-bit RGB")
        if image.mode in SIXTEEN_BITS:
            return grey_of_eight_bits(image, self.name, self.bits, white)
        if self.bits > 8:
            check_upper_bits(image, self.name, white)
        if image.mode == "P" and "transparency" in image.info:
            image = image.convert("RGBA")
        return image


@contextmanager
def opened(file: Path | bytes, name: str, *, large: bool = False) -> Iterator[Image.Image]:
    """The image with its header read but not its pixels.

    Args:
      file: its path or its content.
      name: its name in errors.
      large: whether it may have more than `MAX_PIXELS`: a user has named it.

    Raises:
      ValueError: it is not an image, or too large, or fails to decode inside the block.
    """
    try:
        with ExitStack() as stack:
            stream = stack.enter_context(io.BytesIO(file) if isinstance(file, bytes) else file.open("rb"))
            image = stack.enter_context(_identified(stream))
            if not large and image.width * image.height > MAX_PIXELS:
                raise ValueError(
                    f"its {image.width} x {image.height} pixels are more than the {MAX_PIXELS:,} of an image of a data "
                    "set"
                )
            yield image
    except SizeDiffersError:
        raise
    # Pillow's decoders raise OSError, SyntaxError, ValueError, zlib and struct errors for a damaged file.
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:  # of the file system, not of the content
            raise ValueError(explain(error)) from error
        reason = "not in a format that Pillow supports" if isinstance(error, UnidentifiedImageError) else error
        raise ValueError(f"{name}: cannot be read as an image ({reason}); replace or remove the file") from error


def header_size(file: Path | bytes, name: str, *, upright: bool = True, large: bool = False) -> Size:
    """Height and width of an image, upright or as stored, from its header.

    Args:
      file: its path or its content.
      name: its name in errors.
      upright: whether it is turned as its EXIF data say; masks are not.
      large: whether it may have more than `MAX_PIXELS`: a user has named it.

    Returns:
      Height and width in pixels.

    Raises:
      ValueError: the file is not an image, or too large.

    Example:
      >>> import io
      >>> content = io.BytesIO()
      >>> Image.new("L", (4, 3)).save(content, "PNG")
      >>> header_size(content.getvalue(), "grey.png")
      (3, 4)
    """
    try:
        with opened(file, name, large=large) as image:
            return _upright(image, orientation_of(image) if upright else 1)
    except ValueError as error:
        if not is_of_text(error):
            raise
    return header_size(without_text(file), name, upright=upright, large=large)


def open_image(
    file: Path | bytes,
    name: str,
    *,
    at_least: Size | None = None,
    upright: bool = True,
    expected: Size | None = None,
    large: bool = False,
) -> OpenedImage:
    """Decodes an image.

    Args:
      file: its path or its content.
      name: its name in errors.
      at_least: height and width that suffice, see `read_image`.
      upright: whether it is turned as its EXIF data say.
      expected: required height and width; a wrong size is found before anything is decoded.
      large: whether it may have more than `MAX_PIXELS`: a user has named it.

    Returns:
      The image.

    Raises:
      SizeDiffersError: the size of the image is not `expected`.
      ValueError: the file is not an image, too large, damaged, an animation, or a TIFF of several pages.

    Example:
      >>> import io
      >>> content = io.BytesIO()
      >>> Image.new("L", (4, 3)).save(content, "PNG")
      >>> open_image(content.getvalue(), "grey.png").size
      (3, 4)
    """
    try:
        with opened(file, name, large=large) as image:
            orientation = orientation_of(image) if upright else 1
            size = _upright(image, orientation)
            if expected is not None and size != expected:
                raise SizeDiffersError(name, size, expected)
            if image.format == "TIFF" and len(full_pages(image, most=2)) > 1:
                raise ValueError(
                    "a TIFF of several pages, of which only the first would be read; store each page as a file, or, "
                    "where grey pages are channels, state their number: --data.channels, channels= in Python"
                )
            if image.format in _FILMS and getattr(image, "is_animated", False):
                raise ValueError("an animation, of which only the first frame would be read; store frames as files")
            bits = stored_bits(file, image)
            coding = grey_coding(image, bits)
            if bits > 8 and is_planar(image):
                # Pillow mixes up the bytes of the planes.
                raise ValueError("16-bit TIFF in planes; store the colours of a pixel together, or 8-bit PNG")
            drafted = None
            if at_least is not None:
                across, down = at_least if orientation in _ON_ITS_SIDE else at_least[::-1]
                drafted = image.draft(None, (across, down))
            image.load()
            turned = ImageOps.exif_transpose(image) if orientation != 1 else image
            box = None if drafted is None else _box(drafted[1][2:], turned.size, orientation)
            return OpenedImage(name, turned, size, box, bits, coding)
    except SizeDiffersError:
        raise
    except ValueError as error:
        if not is_of_text(error):
            raise
    return open_image(without_text(file), name, at_least=at_least, upright=upright, expected=expected, large=large)


def _identified(stream: io.BytesIO | io.BufferedReader) -> ImageFile.ImageFile:
    """What `Image.open` does, without the limit of pixels that is one number for the whole process."""
    prefix = stream.read(16)
    Image.init()
    for kind in _FORMATS:
        if kind not in Image.OPEN:
            continue
        factory, accepts = Image.OPEN[kind]
        try:
            # For a format that Pillow was built without, it returns a reason instead of True.
            if accepts is not None and accepts(prefix) is not True:
                continue
            stream.seek(0)
            return factory(stream, "")
        except (SyntaxError, IndexError, TypeError, struct.error):
            continue
    raise UnidentifiedImageError


def _upright(image: Image.Image, orientation: int) -> Size:
    height, width = image.height, image.width
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        # Pillow turns a TIFF when decoding it; the size that it states before depends on its version.
        tags = image.tag_v2
        height, width = tags[TiffImagePlugin.IMAGELENGTH], tags[TiffImagePlugin.IMAGEWIDTH]
    return (width, height) if orientation in _ON_ITS_SIDE else (height, width)


def full_pages(image: Image.Image, most: int | None = None) -> list[int]:
    """The places of a TIFF's pages, without thumbnails and masks of others; the image is at the first one afterwards.

    Args:
      image: the TIFF.
      most: where to stop.
    """
    found, place = list[int](), 0
    while most is None or len(found) < most:
        try:
            image.seek(place)
        except EOFError:
            break
        kind = image.tag_v2.get(_SUBFILE_TYPE, 0) if isinstance(image, TiffImagePlugin.TiffImageFile) else 0
        if not found or not kind & _REDUCED_OR_MASK:
            found.append(place)
        place += 1
    image.seek(0)
    return found


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation of an image, 2 .. 8; 1 for none. Decodes nothing."""
    if image.format == "PNG":
        if isinstance(image, ImageFile.ImageFile) and image.fp is not None and "exif" not in image.info:
            read_late_exif(image, image.fp)
        # Pillow's method for PNG decodes the image if it finds no EXIF data.
        exif = Image.Image.getexif(image)
    else:
        exif = image.getexif()
    orientation = exif.get(ExifTags.Base.Orientation, 1)
    return orientation if orientation in range(2, 9) else 1


def _box(picture: tuple[float, float], size: Size, orientation: int) -> tuple[float, float, float, float] | None:
    """The place in the upright image of a picture of this stored width and height; None if it fills the image."""
    across, down = picture[::-1] if orientation in _ON_ITS_SIDE else picture
    if (across, down) == size:
        return None
    left = size[0] - across if orientation in _FROM_THE_RIGHT else 0.0
    upper = size[1] - down if orientation in _FROM_BELOW else 0.0
    return left, upper, left + across, upper + down
