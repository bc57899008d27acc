"""Pure functions on channels-last arrays `[N, *S, C]` with one, two or three spatial axes; only JAX and chex.

The library rests on one primitive, `reinterlace`. A dilated convolution is periodic subsampling, a shared convolution
and reinterlacing; its groups never interact, and the two cures connect them before or after. A transposed convolution
is independent convolutions and reinterlacing; its phases never interact, and pixel deconvolution makes each phase from
earlier ones.
"""

# The decomposition (Wang & Ji, KDD 2018, Sec. 3.1).
from ._dilated import dilated_conv as dilated_conv
from ._reinterlace import periodic_subsample as periodic_subsample
from ._reinterlace import reinterlace as reinterlace

# isort: split
# General convolutions.
from ._conv import conv_general_dilated as conv_general_dilated
from ._conv import depthwise_conv as depthwise_conv

# isort: split
# Method 1: group interaction (Sec. 3.2).
from ._group_interaction import group_interaction as group_interaction
from ._group_interaction import group_interaction_dilated_conv as group_interaction_dilated_conv
from ._group_interaction import identity_group_interaction as identity_group_interaction
from ._group_interaction import ss_block_fc as ss_block_fc

# isort: split
# Method 2: separable and shared convolution (Sec. 3.3).
from ._ss_conv import identity_smoother as identity_smoother
from ._ss_conv import ss_conv as ss_conv
from ._ss_conv import ss_dilated_conv as ss_dilated_conv

# isort: split
# The degridding baseline of the paper: hybrid dilation rates (Sec. 4.2).
from ._multigrid import multigrid_rates as multigrid_rates

# isort: split
# Up-sampling: the deconvolutional layer and its cure (Gao et al., Pixel Deconvolutional Networks, 2017).
from ._fast_pixel_deconv import fast_pixel_deconv as fast_pixel_deconv
from ._pixel_deconv import Stages as Stages
from ._pixel_deconv import ipixel_deconv as ipixel_deconv
from ._pixel_deconv import pixel_deconv as pixel_deconv
from ._pixel_deconv import pixel_order as pixel_order
from ._transposed_conv import transposed_conv as transposed_conv

# isort: split
# Content-aware rivals of the deconvolutional layer (Wang et al., ICCV 2019; Liu et al., ICCV 2023).
from ._carafe import carafe as carafe
from ._dysample import dysample as dysample
