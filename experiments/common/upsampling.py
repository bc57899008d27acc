"""The up-sampling layers that studies compare; imports no JAX."""

import math
from typing import Any, Literal

Upsampling = Literal["dcl", "ipixel_dcl", "pixel_dcl", "fast_pixel_dcl", "resize_conv", "sub_pixel"]
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
