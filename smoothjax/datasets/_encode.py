"""One example of a data set, checked, and encoded as it is stored."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..data import (
    IGNORE_LABEL,
    Classes,
    InvalidDataError,
    LabelCounts,
    is_plain,
    label_problems,
    open_image,
    to_rgb,
)
from .builders import Example, File


@dataclass(frozen=True)
class Encoded:
    """What is stored of an example.

    Attributes:
      name: of the example.
      image: JPEG or PNG, upright RGB.
      label: PNG of mode L.
      size: height and width in pixels.
      counts: how often each class occurs.
      attributes: uint8 `[A]`, if the data set has attributes.
    """

    name: str
    image: bytes
    label: bytes
    size: tuple[int, int]
    counts: LabelCounts
    attributes: np.ndarray | None


def encode(example: Example, classes: Classes) -> Encoded:
    """Reads image and label map of an example. Raises InvalidDataError with everything wrong with them."""
    problems: list[str] = []
    image = label = None
    try:
        image = encode_image(example.image)
    except Exception as error:
        problems += _told(error, example.image.path)
    try:
        if example.mask is not None:
            label = example.mask.read()
            problems += label_problems(label, classes, example.mask.path)
    # A builder's own reader may raise anything; the report must still cover the other examples.
    except Exception as error:
        problems += _told(error, example.mask.path if example.mask else "")
    if example.mask and image is not None and label is not None and image[1] != label.shape:
        problems.append(
            f"{example.mask.path}: the mask is {label.shape[0]} x {label.shape[1]} pixels high and wide, its image, "
            f"upright, {image[1][0]} x {image[1][1]}; make them the same"
        )
    if problems or image is None:
        raise InvalidDataError(tuple(problems))
    content, size = image
    if label is None:
        label = np.full(size, IGNORE_LABEL, np.uint8)
    counts = LabelCounts.of(label, len(classes))
    return Encoded(example.name, content, _png(Image.fromarray(label)), size, counts, example.attributes)


def encode_image(file: File) -> tuple[bytes, tuple[int, int]]:
    """The content of an image as it is stored, and its height and width.

    The file's own if every reader sees the same in it; else what `read_image` sees, as PNG.
    """
    content = file.read()
    image = open_image(content, file.path)
    if not is_plain(image):
        image = to_rgb(image, file.path)
        content = _png(image)
    return content, (image.height, image.width)


def _png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    # What came with the pixels, such as a colour profile, a transparent colour or EXIF data, is not passed on.
    Image.fromarray(np.asarray(image)).save(out, "PNG")
    return out.getvalue()


def _told(error: Exception, name: str) -> tuple[str, ...]:
    """An error in lines for the report; what is raised on purpose names its file already."""
    if isinstance(error, InvalidDataError):
        return error.problems
    if type(error) in (ValueError, FileNotFoundError):
        return (str(error),)
    return (f"{name}: {type(error).__name__}: {error}",)
