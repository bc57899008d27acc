"""Checking one example of a data set, and encoding it for storage."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..data import (
    IGNORE_LABEL,
    Classes,
    InvalidDataError,
    LabelCounts,
    SizeDiffersError,
    header_size,
    label_problems,
    open_image,
)
from .builders import Example

# A mask of at most this many pixels costs little for any size of its image.
_SMALL = 2**24


@dataclass(frozen=True)
class Encoded:
    """A stored example.

    Attributes:
      name: name of the example.
      image: JPEG or PNG, upright RGB.
      label: PNG of mode L.
      size: height and width in pixels.
      counts: class counts.
      attributes: uint8 `[A]`, if the data set has attributes.
    """

    name: str
    image: bytes
    label: bytes
    size: tuple[int, int]
    counts: LabelCounts
    attributes: np.ndarray | None


def encode(example: Example, classes: Classes) -> Encoded:
    """Reads image and label map of an example. Raises InvalidDataError with all their problems."""
    problems: list[str] = []
    image = label = None
    try:
        if example.mask is not None:
            _check_pixels(example)
            label = example.mask.read()
            problems += label_problems(label, classes, example.mask.path)
    # A builder's reader may raise anything; the report must still cover the other examples.
    except Exception as error:
        problems += _lines(error, example.mask.path if example.mask else "")
    try:
        image = _encode_image(example, None if label is None else label.shape)
    except SizeDiffersError as error:
        assert example.mask is not None
        assert label is not None
        problems.append(_differing(example.mask.path, label.shape, error.size))
    except Exception as error:
        problems = [*_lines(error, example.image.path), *problems]
    if problems or image is None:
        raise InvalidDataError(tuple(problems))
    content, size = image
    if label is None:
        label = np.full(size, IGNORE_LABEL, np.uint8)
    counts = LabelCounts.of(label, len(classes))
    return Encoded(example.name, content, _png(Image.fromarray(label)), size, counts, example.attributes)


def _check_pixels(example: Example) -> None:
    """Refuses a mask that is far larger than its image before it is decoded."""
    mask = example.mask
    if mask is None or mask.file is None or not (content := mask.file.read()):
        return
    height, width = header_size(content, mask.path, upright=False)
    if height * width > _SMALL:
        size = header_size(example.image.read(), example.image.path)
        if size[0] * size[1] < height * width // 2:
            raise ValueError(_differing(mask.path, (height, width), size))


def _differing(path: str, mask: tuple[int, ...], image: tuple[int, ...]) -> str:
    return (
        f"{path}: the mask is {mask[0]} x {mask[1]} pixels high and wide, its image, upright, {image[0]} x {image[1]}; "
        "make them the same"
    )


def _encode_image(example: Example, expected: tuple[int, ...] | None) -> tuple[bytes, tuple[int, int]]:
    """The stored content of an image, with its height and width.

    The content of the file if all readers agree on it; otherwise the result of `read_image` as PNG.
    """
    content, name = example.image.read(), example.image.path
    image = open_image(content, name, expected=None if expected is None else (expected[0], expected[1]))
    if not image.is_plain:
        content = _png(image.rgb(example.white))
    return content, image.size


def _png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    # Metadata such as a colour profile, a transparent colour or EXIF data is dropped.
    Image.fromarray(np.asarray(image)).save(out, "PNG")
    return out.getvalue()


def _lines(error: Exception, name: str) -> tuple[str, ...]:
    """An error as lines for the report; our own errors name the file already."""
    if isinstance(error, InvalidDataError):
        return error.problems
    if type(error) in (ValueError, FileNotFoundError):
        return (str(error),)
    return (f"{name}: {type(error).__name__}: {error}",)
