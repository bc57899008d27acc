"""Flax NNX layers: each allocates parameters and calls one function of `smoothjax.ops`."""

# Dilated convolution (Wang & Ji, KDD 2018).
from ..names import Smoothing as Smoothing
from ._dilated import SMOOTHINGS as SMOOTHINGS
from ._dilated import DilatedConv as DilatedConv
from ._dilated import identity_smoothing as identity_smoothing

# isort: split
# The SS operations as layers of their own (Sec. 3.2 to 3.4).
from ._smoothing import GroupInteraction as GroupInteraction
from ._smoothing import SSBlockFC as SSBlockFC
from ._smoothing import SSConv as SSConv

# isort: split
# The smoothing parameters of a model.
from ._smoothers import Smoother as Smoother
from ._smoothers import SmootherKind as SmootherKind
from ._smoothers import is_smoother as is_smoother
from ._smoothers import smoothers as smoothers

# isort: split
# Frequency selection before a dilated convolution (Chen et al., Frequency-Adaptive Dilated Convolution, CVPR 2024).
from ._frequency_selection import FrequencySelection as FrequencySelection

# isort: split
# A dilated convolution inside attention (Guo et al., Visual Attention Network, 2022).
from ._large_kernel_attention import LargeKernelAttention as LargeKernelAttention

# isort: split
# Over time, causal (the future work of Wang & Ji, KDD 2018).
from ..names import CausalSmoothing as CausalSmoothing
from ._causal import CAUSAL_SMOOTHINGS as CAUSAL_SMOOTHINGS
from ._causal import CausalDilatedConv as CausalDilatedConv

# isort: split
# Filters before a dilated convolution (Ziegler et al., 2019; circulant group interaction is ours).
from ._filters import aggregated_filter as aggregated_filter
from ._filters import average_filter as average_filter
from ._filters import circulant_filter as circulant_filter
from ._filters import gaussian_filter as gaussian_filter

# isort: split
# Up-sampling (Gao et al., Pixel Deconvolutional Networks, 2017), and its rivals.
from ..names import PhaseOrder as PhaseOrder
from ..names import Upsampling as Upsampling
from ._up_conv import UPSAMPLINGS as UPSAMPLINGS
from ._up_conv import UpConv as UpConv

# isort: split
# Initial weights that are traced quickly.
from ._rngs import traced_rngs as traced_rngs

# isort: split
# Changes of an existing model, in place.
from ._fast_convolutions import use_fast_convolutions as use_fast_convolutions
from ._fit_smoothers import fit_smoothers as fit_smoothers
from ._fold import fold as fold
from ._replace_upsampling import replace_upsampling as replace_upsampling
from ._selection import Changes as Changes
from ._selection import Selection as Selection
from ._smooth import smooth as smooth
