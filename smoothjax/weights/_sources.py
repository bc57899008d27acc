"""The kinds of published residual networks: their architecture, preprocessing, and what else lies in their files."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ..names import EncoderPadding, SourceName, StrideIn, StrideUnit
from ._names import Family
from ._preprocessing import CAFFE_PREPROCESSING, SLIM_PREPROCESSING, TORCHVISION_PREPROCESSING, Preprocessing

_TF_SLOTS = r"global_step|beta[12]_power(_\d+)?|.+/(Momentum|Adam|RMSProp)(_\d+)?"


@dataclass(frozen=True)
class Source:
    """Where the weights of a residual network come from.

    Attributes:
      families: how its checkpoints name their variables.
      preprocessing: of the images that it was trained on.
      stride_in, stride_unit, padding, epsilon: options of `models.ResNetEncoder` and `models.DeepLab` with which they
        compute what the published network does; see `architecture`.
      classifier: pattern of the variables behind the encoder.
      other: pattern of variables that belong to no network: slots of optimisers, counters.
    """

    families: tuple[Family, ...]
    preprocessing: Preprocessing
    stride_in: StrideIn
    stride_unit: StrideUnit
    padding: EncoderPadding
    epsilon: float
    classifier: str
    other: str

    @property
    def architecture(self) -> dict[str, Any]:
        """The options as keywords: `models.DeepLab(..., **source.architecture)`."""
        return {name: getattr(self, name) for name in ("stride_in", "stride_unit", "padding", "epsilon")}


SOURCES: Mapping[SourceName, Source] = MappingProxyType(
    {
        "deeplab": Source(
            families=("caffe", "slim"),
            preprocessing=CAFFE_PREPROCESSING,
            stride_in="1x1",
            stride_unit="first",
            padding="same",
            epsilon=1e-3,
            classifier=r"fc1_voc12_c\d/.+|decoder/.+",
            other=_TF_SLOTS,
        ),
        "slim": Source(
            families=("slim",),
            preprocessing=SLIM_PREPROCESSING,
            stride_in="3x3",
            stride_unit="last",
            padding="same_pool",
            epsilon=1e-5,
            classifier=r"(.*/)?logits/.+",
            other=rf"{_TF_SLOTS}|(.*/)?mean_rgb",
        ),
        "slim-as-authors": Source(
            families=("slim",),
            preprocessing=CAFFE_PREPROCESSING,
            stride_in="1x1",
            stride_unit="first",
            padding="same",
            epsilon=1e-3,
            classifier=r"(.*/)?logits/.+",
            other=rf"{_TF_SLOTS}|(.*/)?mean_rgb",
        ),
        "torchvision": Source(
            families=("torchvision",),
            preprocessing=TORCHVISION_PREPROCESSING,
            stride_in="3x3",
            stride_unit="first",
            padding="symmetric",
            epsilon=1e-5,
            classifier=r"fc\.(weight|bias)",
            other=r".+\.num_batches_tracked",
        ),
    }
)
"""The kinds by name: DeepLab with Caffe's or the authors' own names, TF-slim's `resnet_v1`, torchvision's `resnet`.

`"slim-as-authors"` loads a TF-slim checkpoint as the published code of smoothed dilated convolutions does by default:
strides in the first 1x1 convolution of a stage (slim: in the 3x3 of the last unit of the stage before), SAME padding of
the first convolution (slim: symmetric), an epsilon of 1e-3 (slim: 1e-5), and BGR images minus Caffe's mean (slim: RGB,
its own mean). The weights were trained for none of these, so `"slim"` is the better practice; `"slim-as-authors"` is
for comparison with the paper's results without MS-COCO.
"""
