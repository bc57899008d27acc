"""What published weights expect of an image; it belongs to the weights."""

from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class Preprocessing:
    """How the images of published weights were prepared: order of the channels, minus mean, over standard deviation.

    Calling it prepares an image: RGB of 0 .. 255, `[..., 3]`, to float32.

    Attributes:
      mean: mean of each channel, of values in 0 .. 255, in the order of `channel_order`.
      std: standard deviation of each channel, in the same units and order.
      channel_order: `"RGB"` or `"BGR"`, as the network takes them.

    Raises:
      ValueError: a mean or standard deviation is not of three numbers, a standard deviation is not positive, the order
        is invalid; when called, an image has other than three channels.

    Example:
      >>> import numpy as np
      >>> from smoothjax import weights
      >>> weights.Preprocessing(mean=(1.0, 2.0, 3.0), channel_order="BGR")(np.array([10, 20, 30])).tolist()
      [29.0, 18.0, 7.0]
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    channel_order: Literal["RGB", "BGR"] = "RGB"

    def __post_init__(self) -> None:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != 3:
                raise ValueError(f"{name} must be three numbers, one a channel, got {values!r}")
        if min(self.std) <= 0:
            raise ValueError(f"std must be positive, got {self.std!r}: use 1.0 for a channel that is not divided")
        if self.channel_order not in ("RGB", "BGR"):
            raise ValueError(f"channel_order must be 'RGB' or 'BGR', got {self.channel_order!r}: pick one of them")

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Prepares RGB values of 0 .. 255, `[..., 3]`: float32, in the order of `channel_order`."""
        if image.shape[-1:] != (3,):
            raise ValueError(f"image must be RGB, [..., 3], got shape {image.shape}: convert it to three channels")
        ordered = image if self.channel_order == "RGB" else image[..., ::-1]
        return (ordered.astype(np.float32) - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)


CAFFE_PREPROCESSING = Preprocessing(mean=(104.00698793, 116.66876762, 122.67891434), channel_order="BGR")
"""DeepLab converted from Caffe, and all networks that the authors of smoothed dilated convolutions trained."""

SLIM_PREPROCESSING = Preprocessing(mean=(123.68, 116.78, 103.94))
"""TF-slim's `resnet_v1`."""

TORCHVISION_PREPROCESSING = Preprocessing(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
"""torchvision, whose mean and standard deviation are of images in 0 .. 1; these are of images in 0 .. 255."""
