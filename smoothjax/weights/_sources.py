"""The kinds of published networks: their architecture, preprocessing, and the other content of their files."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, get_args

from ..names import EfficientNetLite, EncoderPadding, SourceName, StrideIn, StrideUnit
from ._efficientnet_lite import CLASSIFIER, COUNTERS
from ._names import Family
from ._preprocessing import (
    CAFFE_PREPROCESSING,
    EFFICIENTNET_LITE_PREPROCESSING,
    SLIM_PREPROCESSING,
    TORCHVISION_PREPROCESSING,
    Preprocessing,
)

_TF_SLOTS = r"global_step|beta[12]_power(_\d+)?|.+/(Momentum|Adam|RMSProp)(_\d+)?"


@dataclass(frozen=True)
class Source:
    """The origin of the weights of a network.

    Attributes:
      families: the naming schemes of its checkpoints; empty for EfficientNet-Lite, which has one scheme.
      preprocessing: of the images that it was trained on.
      architecture: options of the encoder with which it computes what the published network does, as keywords of
        `models.DeepLab`.
      classifier: pattern of the variables behind the encoder.
      other: pattern of variables that belong to no network: slots of optimisers, counters.
    """

    families: tuple[Family, ...]
    preprocessing: Preprocessing
    architecture: Mapping[str, Any]
    classifier: str
    other: str


def _residual(
    stride_in: StrideIn, stride_unit: StrideUnit, padding: EncoderPadding, epsilon: float
) -> Mapping[str, Any]:
    options = {"stride_in": stride_in, "stride_unit": stride_unit, "padding": padding, "epsilon": epsilon}
    return MappingProxyType(options)


_AS_DEEPLAB = _residual("1x1", "first", "same", 1e-3)
_SLIM = Source(
    families=("slim",),
    preprocessing=SLIM_PREPROCESSING,
    architecture=_residual("3x3", "last", "same_pool", 1e-5),
    classifier=r"(.*/)?logits/.+",
    other=rf"{_TF_SLOTS}|(.*/)?mean_rgb",
)
_LITE = Source(
    families=(),
    preprocessing=EFFICIENTNET_LITE_PREPROCESSING,
    architecture=MappingProxyType({"padding": "same", "epsilon": 1e-3}),
    classifier=CLASSIFIER,
    other=COUNTERS,
)

SOURCES: Mapping[SourceName, Source] = MappingProxyType(
    {
        "deeplab": Source(
            families=("caffe", "slim"),
            preprocessing=CAFFE_PREPROCESSING,
            architecture=_AS_DEEPLAB,
            classifier=r"fc1_voc12_c\d/.+|decoder/.+",
            other=_TF_SLOTS,
        ),
        "slim": _SLIM,
        "slim-as-authors": replace(_SLIM, preprocessing=CAFFE_PREPROCESSING, architecture=_AS_DEEPLAB),
        "torchvision": Source(
            families=("torchvision",),
            preprocessing=TORCHVISION_PREPROCESSING,
            architecture=_residual("3x3", "first", "symmetric", 1e-5),
            classifier=r"fc\.(weight|bias)",
            other=r".+\.num_batches_tracked",
        ),
        **dict.fromkeys(get_args(EfficientNetLite), _LITE),
    }
)
"""The kinds by name: DeepLab with Caffe's or the authors' own names, TF-slim's `resnet_v1`, torchvision's `resnet`,
EfficientNet-Lite in PyTorch.

`"slim-as-authors"` loads a TF-slim checkpoint as the published code of smoothed dilated convolutions does by default:
strides in the first 1x1 convolution of a stage (slim: in the 3x3 of the last unit of the stage before), SAME padding of
the first convolution (slim: symmetric), an epsilon of 1e-3 (slim: 1e-5), and BGR images minus Caffe's mean (slim: RGB,
its own mean). The weights were trained for none of these, so `"slim"` is the better practice; `"slim-as-authors"` is
for comparison with the paper's results without MS-COCO.
"""
