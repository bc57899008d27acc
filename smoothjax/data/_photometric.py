"""Transforms of the colours of an image, which leave its label as it is.

They take uint8 `[H, W, C]`, compute in floating-point numbers, and round once. Brightness, contrast, gamma and blur
take any channels, each by itself. Saturation and hue are of RGB: an image of one channel has none and stays as it is,
another number of channels is refused. JPEG takes RGB or grey.
"""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

from ..augmentation import BEST_JPEG, Strengths
from ._arrays import check_bytes, check_finite, check_image

# Luma of ITU-R BT.601, and two axes of colour at right angles, in one plane around the axis of greys.
_YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
_RGB = np.linalg.inv(_YIQ)


def adjust_tone(image: np.ndarray, *, brightness: float = 1.0, contrast: float = 1.0, gamma: float = 1.0) -> np.ndarray:
    r"""Multiplies by `brightness`, then the distance from the mean grey by `contrast`, then takes the power `gamma`.

    $$x \to 255\,(v / 255)^\gamma, \quad v = \bar{g} + \text{contrast}\,(\text{brightness}\,x - \bar{g})$$

    with the mean grey $\bar g$ of the image after the first step: its luma (BT.601), or the mean over other channels
    than three. Between the steps values are cut off at 0 and 255.

    Args:
      image: uint8 `[H, W, C]`.
      brightness: factor; 0 is black, 1 changes nothing.
      contrast: factor; 0 is grey, 1 changes nothing.
      gamma: positive exponent; below 1 is lighter, 1 changes nothing.

    Returns:
      uint8 `[H, W, C]`.

    Raises:
      ValueError: the image is not uint8 `[H, W, C]`, a factor is not finite, or `gamma` is not positive.

    Example:
      >>> import numpy as np
      >>> adjust_tone(np.array([[[100], [200]]], np.uint8), brightness=0.5, contrast=2.0).ravel().tolist()
      [25, 125]
    """
    check_image(image)
    check_bytes("varied", image=image)
    check_finite(brightness=brightness, contrast=contrast, gamma=gamma)
    if gamma <= 0:
        raise ValueError(f"gamma must be positive, got {gamma}; 1 changes nothing, below 1 is lighter")
    table = np.clip(np.arange(256) * brightness, 0, 255)
    if contrast != 1:
        channels = image.shape[-1]
        # Means from counts, since there are only 256 values.
        means = [np.bincount(image[..., c].ravel(), minlength=256) @ table for c in range(channels)]
        grey = np.average(means, weights=_YIQ[0] if channels == 3 else None) / (image.shape[0] * image.shape[1])
        table = np.clip(grey + contrast * (table - grey), 0, 255)
    if gamma != 1:
        table = 255 * (table / 255) ** gamma
    return np.rint(table).astype(np.uint8)[image]


def adjust_colors(image: np.ndarray, *, saturation: float = 1.0, turn: float = 0.0) -> np.ndarray:
    """Multiplies the distance of each colour from grey, and turns colours about the axis of greys.

    Both are one linear map in YIQ. The luma of a pixel stays, except for clipping at 0 and 255, and greys stay as they
    are. Other libraries turn the hue of HSV, which keeps the largest channel instead of the luma.

    Args:
      image: uint8 `[H, W, 3]`; of one channel it is returned as it is.
      saturation: factor; 0 is grey, 1 changes nothing.
      turn: angle in full turns.

    Returns:
      uint8 `[H, W, 3]`.

    Raises:
      ValueError: the image has another number of channels or is not uint8, or an argument is not finite.

    Example:
      >>> import numpy as np
      >>> adjust_colors(np.array([[[200, 100, 50]]], np.uint8), saturation=0.0).ravel().tolist()
      [124, 124, 124]
    """
    check_image(image)
    check_bytes("varied", image=image)
    check_finite(saturation=saturation, turn=turn)
    if image.shape[-1] == 1:
        return image
    if image.shape[-1] != 3:
        raise ValueError(f"image must have 3 channels to have colours, or 1, got {image.shape[-1]}: leave colours out")
    cosine, sine = saturation * np.cos(2 * np.pi * turn), saturation * np.sin(2 * np.pi * turn)
    matrix = _RGB @ np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]]) @ _YIQ
    return _rounded(image.reshape(-1, 3).astype(np.float32) @ matrix.T.astype(np.float32)).reshape(image.shape)


def blur(image: np.ndarray, std: float) -> np.ndarray:
    """Smooths by a Gaussian, approximated by three box filters; border pixels continue beyond the image.

    Args:
      image: uint8 `[H, W, C]`.
      std: standard deviation in pixels; 0 changes nothing.

    Returns:
      uint8 `[H, W, C]`.

    Raises:
      ValueError: the image is not uint8 `[H, W, C]`, or `std` is negative or not finite.

    Example:
      >>> import numpy as np
      >>> blur(np.full((4, 4, 3), 7, np.uint8), 2.0).max()
      np.uint8(7)
    """
    check_finite(std=std)
    if std < 0:
        raise ValueError(f"std must not be negative, got {std}; 0 changes nothing")
    check_image(image)
    check_bytes("varied", image=image)
    return by_picture(image, lambda picture: picture.filter(ImageFilter.GaussianBlur(std))) if std else image


def compress(image: np.ndarray, quality: int) -> np.ndarray:
    """Writes an image as a JPEG and reads it again.

    Args:
      image: uint8 `[H, W, 3]` or `[H, W, 1]`.
      quality: 1 .. 95, as Pillow counts it; colours are stored at half the resolution.

    Returns:
      uint8 of the same shape.

    Raises:
      ValueError: the image has another number of channels or is not uint8, or `quality` is out of range.

    Example:
      >>> import numpy as np
      >>> compress(np.full((8, 8, 1), 7, np.uint8), 90).shape
      (8, 8, 1)
    """
    check_image(image)
    check_bytes("varied", image=image)
    if quality not in range(1, BEST_JPEG + 1):
        raise ValueError(f"quality must be an int 1 .. {BEST_JPEG}, got {quality}; take {BEST_JPEG} to lose least")
    if image.shape[-1] not in (1, 3):
        raise ValueError(f"image must have 3 channels or 1 to be a JPEG, got {image.shape[-1]}: leave jpeg out")

    def compressed(picture: Image.Image) -> Image.Image:
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
        return Image.open(buffer)

    return by_picture(image, compressed)


def by_picture(image: np.ndarray, function: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    """Applies a function of Pillow, which takes three channels at once, or one."""
    if image.shape[-1] == 3:
        return np.asarray(function(Image.fromarray(image)))
    planes = [Image.fromarray(np.ascontiguousarray(image[..., channel])) for channel in range(image.shape[-1])]
    return np.stack([np.asarray(function(plane)) for plane in planes], -1)


def random_colors(image: np.ndarray, rng: np.random.Generator, strengths: Strengths) -> np.ndarray:
    """Applies brightness, contrast and gamma, then saturation and hue, blur, JPEG, with uniformly drawn strengths.

    A strength of 0 draws nothing and changes nothing.

    Args:
      image: uint8 `[H, W, C]`.
      rng: generator of every choice.
      strengths: the largest changes; rotation and crops are not applied here.

    Returns:
      uint8 `[H, W, C]`.

    Raises:
      ValueError: saturation, hue or JPEG of an image that is neither RGB nor grey.

    Example:
      >>> import numpy as np
      >>> image = np.full((2, 2, 3), 100, np.uint8)
      >>> random_colors(image, np.random.default_rng(0), Strengths(brightness=0.5))[0, 0].tolist()
      [114, 114, 114]
    """

    def factor(strength: float) -> float:
        return rng.uniform(1 - strength, 1 + strength) if strength else 1.0

    if strengths.brightness or strengths.contrast or strengths.gamma:
        brightness, contrast = factor(strengths.brightness), factor(strengths.contrast)
        gamma = (1 + strengths.gamma) ** rng.uniform(-1, 1) if strengths.gamma else 1.0
        image = adjust_tone(image, brightness=brightness, contrast=contrast, gamma=gamma)
    if strengths.saturation or strengths.hue:
        saturation = factor(strengths.saturation)
        turn = rng.uniform(-strengths.hue, strengths.hue) if strengths.hue else 0.0
        image = adjust_colors(image, saturation=saturation, turn=turn)
    if strengths.blur:
        image = blur(image, rng.uniform(0, strengths.blur))
    if strengths.jpeg is not None:
        image = compress(image, int(rng.integers(strengths.jpeg, BEST_JPEG, endpoint=True)))
    return image


def _rounded(values: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)
