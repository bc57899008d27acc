"""The preprocessing of images that published weights require."""

from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class Preprocessing:
    """Preprocessing of images for published weights: order of the channels, minus mean, over standard deviation.

    Calling it preprocesses an image, RGB of 0 .. 255, `[..., 3]`, or with other channels, `[..., C]`, to float32.

    Attributes:
      mean: mean of each channel, of values in 0 .. 255, in the order of `channel_order`.
      std: standard deviation of each channel, in the same units and order.
      channel_order: `"RGB"` or `"BGR"`, the order of the network's input; use `"RGB"` for channels that are not
        colours, which keep their order.

    Raises:
      ValueError: mean and std differ in length or are not finite numbers, a standard deviation is not positive, the
        order is invalid, or `"BGR"` is given without exactly three channels; when called, an image has other channels.

    Example:
      >>> import numpy as np
      >>> from smoothjax import weights
      >>> weights.Preprocessing(mean=(1.0, 2.0, 3.0), channel_order="BGR")(np.array([10, 20, 30])).tolist()
      [29.0, 18.0, 7.0]
    """

    mean: tuple[float, ...]
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    channel_order: Literal["RGB", "BGR"] = "RGB"

    def __post_init__(self) -> None:
        if not len(self.mean) == len(self.std) >= 1:
            raise ValueError(
                f"mean and std must have a number for each channel, three for RGB, got {self.mean!r} and {self.std!r}"
            )
        for name in ("mean", "std"):
            values = getattr(self, name)
            if not all(isinstance(value, (int, float, np.number)) and np.isfinite(value) for value in values):
                raise ValueError(f"{name} must hold finite numbers, got {values!r}: give one for each channel")
            object.__setattr__(self, name, tuple(float(value) for value in values))  # also of an array
        if min(self.std) <= 0:
            raise ValueError(f"std must be positive, got {self.std!r}: use 1.0 for a channel that is not divided")
        if self.channel_order not in ("RGB", "BGR"):
            raise ValueError(f"channel_order must be 'RGB' or 'BGR', got {self.channel_order!r}: choose one of these")
        if self.channel_order == "BGR" and len(self.mean) != 3:
            raise ValueError(
                f"channel_order 'BGR' is of three channels, got {len(self.mean)} numbers as mean: leave it 'RGB'"
            )

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Preprocesses values of 0 .. 255, RGB `[..., 3]` or other channels, to float32 in the order of
        `channel_order`."""
        channels = len(self.mean)
        if image.shape[-1:] != (channels,):
            kind = "RGB, " if channels == 3 else ""
            raise ValueError(
                f"image must be {kind}[..., {channels}], got shape {image.shape}: convert it to {channels} channels"
            )
        ordered = image if self.channel_order == "RGB" else image[..., ::-1]
        return (ordered.astype(np.float32) - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)


CAFFE_PREPROCESSING = Preprocessing(mean=(104.00698793, 116.66876762, 122.67891434), channel_order="BGR")
"""DeepLab converted from Caffe, and all networks that the authors of smoothed dilated convolutions trained."""

SLIM_PREPROCESSING = Preprocessing(mean=(123.68, 116.78, 103.94))
"""TF-slim's `resnet_v1`."""

TORCHVISION_PREPROCESSING = Preprocessing(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
"""torchvision, with its mean and standard deviation of images in 0 .. 1 converted to 0 .. 255."""

EFFICIENTNET_LITE_PREPROCESSING = Preprocessing(mean=(127.0, 127.0, 127.0), std=(128.0, 128.0, 128.0))
"""EfficientNet-Lite, the same for all channels."""
