"""Networks made of `smoothjax.nn`, in evaluation mode until `train()` is called."""

# Segmentation (Wang & Ji, KDD 2018, Sec. 4).
from ..names import Degridding as Degridding
from ..names import Encoder as Encoder
from ..names import Head as Head
from ._deeplab import ENCODERS as ENCODERS
from ._deeplab import HEAD_RATES as HEAD_RATES
from ._deeplab import HEADS as HEADS
from ._deeplab import DeepLab as DeepLab
from ._deeplab import DenseEncoder as DenseEncoder
from ._deeplab import SummedHead as SummedHead

# isort: split
# Remedies for gridding that change the network (Yu et al., 2017; Hamaguchi et al., 2018; Wang et al., 2018).
from ..names import DegriddingLayersName as DegriddingLayersName
from ._degridding import DEGRIDDING_LAYERS as DEGRIDDING_LAYERS
from ._degridding import DEGRIDDING_RATES as DEGRIDDING_RATES
from ._degridding import DegriddingLayers as DegriddingLayers
from ._duc import DenseUpsamplingHead as DenseUpsamplingHead

# isort: split
# Learnt up-sampling (Gao et al., Pixel Deconvolutional Networks, 2017, Sec. 3).
from ..names import PhaseOrder as PhaseOrder
from ..names import Upsampling as Upsampling
from ._deeplab_upsampled import DeepLabUpsampled as DeepLabUpsampled
from ._unet import UPSAMPLINGS as UPSAMPLINGS
from ._unet import UNet as UNet

# isort: split
# The grid of the logits.
from ..names import Alignment as Alignment
from ._grid import downsample_labels as downsample_labels
from ._grid import upsample_logits as upsample_logits

# isort: split
# Classes of whole images: windows, scales, mirror images.
from ._averaging import Averaging as Averaging
from ._averaging import Logits as Logits
from ._averaging import average_logits as average_logits
from ._averaging import resample as resample
from ._bands import blended_rows as blended_rows
from ._segment import segment as segment

# isort: split
# Encoders.
from ..names import BatchNormMode as BatchNormMode
from ..names import EfficientNetLite as EfficientNetLite
from ..names import EfficientNetLiteVariant as EfficientNetLiteVariant
from ..names import EncoderDegridding as EncoderDegridding
from ..names import EncoderPadding as EncoderPadding
from ..names import StrideIn as StrideIn
from ..names import StrideUnit as StrideUnit
from ._dilated_stack import DilatedStackEncoder as DilatedStackEncoder
from ._efficientnet_lite import EFFICIENTNET_LITE_SIZES as EFFICIENTNET_LITE_SIZES
from ._efficientnet_lite import EfficientNetLiteEncoder as EfficientNetLiteEncoder
from ._encoder import DEGRIDDINGS as DEGRIDDINGS
from ._encoder import EncoderOptions as EncoderOptions
from ._norm import BATCH_NORM_MODES as BATCH_NORM_MODES
from ._norm import BatchNorm as BatchNorm
from ._resnet import RESNET_BLOCKS as RESNET_BLOCKS
from ._resnet import ResNetEncoder as ResNetEncoder

# isort: split
# Restoration (Chen et al., WACV 2019; Zhang et al., 2017).
from ..names import RestorationTask as RestorationTask
from ._dilated_denoiser import DilatedDenoiser as DilatedDenoiser
from ._gcanet import TASKS as TASKS
from ._gcanet import GCANet as GCANet
from ._gcanet import edge_map as edge_map
from ._gcanet import gcanet_image as gcanet_image
from ._gcanet import gcanet_input as gcanet_input

# isort: split
# A generative model (Gao et al., 2017, Sec. 3.2).
from ..names import Likelihood as Likelihood
from ._likelihood import LIKELIHOODS as LIKELIHOODS
from ._likelihood import discretized_logistic_log_likelihood as discretized_logistic_log_likelihood
from ._likelihood import gaussian_log_likelihood as gaussian_log_likelihood
from ._likelihood import kl_to_standard_normal as kl_to_standard_normal
from ._vae import ConvVAE as ConvVAE
from ._vae import Elbo as Elbo
from ._vae import ImageDistribution as ImageDistribution

# isort: split
# Over time (the future work of Wang & Ji, KDD 2018).
from ..names import CausalSmoothing as CausalSmoothing
from ._temporal import TemporalConvNet as TemporalConvNet
