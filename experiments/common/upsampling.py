"""The up-sampling layers that studies compare; imports no JAX."""

import math
from typing import Any

from smoothjax.names import Upsampling as Upsampling

#: What tables and figures call them.
UPSAMPLING_LABELS: dict[str, str] = {
    "dcl": "DCL",
    "ipixel_dcl": "iPixelDCL",
    "fast_pixel_dcl": "PixelDCL (fast, Fig. 6)",
    "pixel_dcl": "PixelDCL (general)",
    "resize_conv": "resize convolution",
    "sub_pixel": "sub-pixel convolution",
}


def masked_taps(layers: Any) -> int:
    """Weights of layers of Fig. 6 that are never used: those of the cross kernel at an even distance."""
    total = 0
    for layer in layers.values():
        cross = layer["kernels"][2]
        taps = math.prod(cross.shape[:2])
        total += cross.size * (taps - taps // 2) // taps
    return total
