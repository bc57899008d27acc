"""Networks made of `smoothjax.nn`, in evaluation mode until `train()` is called."""

# Segmentation (Wang & Ji, KDD 2018, Sec. 4).
from ._deeplab import ENCODERS as ENCODERS
from ._deeplab import HEAD_RATES as HEAD_RATES
from ._deeplab import HEADS as HEADS
from ._deeplab import DeepLab as DeepLab
from ._deeplab import SummedHead as SummedHead

# The grid of the logits.
from ._grid import downsample_labels as downsample_labels
from ._grid import upsample_logits as upsample_logits

# Encoders.
from ._norm import BATCH_NORM_MODES as BATCH_NORM_MODES
from ._norm import BatchNorm as BatchNorm
from ._resnet import DEGRIDDINGS as DEGRIDDINGS
from ._resnet import ResNetEncoder as ResNetEncoder
