"""Large-kernel attention: two depthwise convolutions, one of them dilated, with a choice of smoothing."""

from collections.abc import Sequence
from functools import partial

import jax
from flax import nnx
from jax import numpy as jnp
from jax.typing import DTypeLike

from .._checks import Rate, check_by_axis, check_int, check_kernel_size
from ..names import Smoothing
from ._dilated import DilatedConv

_KERNEL_INIT = nnx.initializers.lecun_normal()  # as in flax.nnx.Conv


class LargeKernelAttention(nnx.Module):
    r"""Large-kernel attention (VAN): a depthwise and a depthwise dilated convolution, a 1x1, and a product.

    $$A = \mathrm{Conv}_{1 \times 1}(\mathrm{DW\text{-}D}(\mathrm{DW}(x))), \qquad y = A \odot x$$

    The pair replaces one depthwise convolution of K taps along each axis: `2 * rate - 1` taps, then `ceil(K / rate)`
    dilated taps; 5 and 7 at rate 3 for K = 21. So the first convolution has the size of the paper's SS filter at that
    rate, with one filter per channel instead of one for all: the layer has a smoothing already, but must learn to
    keep it. `smoothing` adds another one that starts as the identity.

    Args:
      features: number of channels C, of input and output.
      rate: dilation rate of the second convolution in pixels, 3 in the paper, an int >= 1 or one per axis.
      kernel_size: taps along each axis of the dilated convolution, 7x7 in the paper; the length of the tuple is the
        number of spatial axes.
      local_kernel_size: taps along each axis of the convolution before it, `2 * rate - 1` by default.
      smoothing: smoothing of the dilated convolution, as in `DilatedConv`.
      use_bias: whether each of the three convolutions adds a bias.
      dtype: dtype of the computation; by default the common one of input and parameters.
      param_dtype: dtype of the parameters.
      kernel_init: initializer of the kernels.
      rngs: source of randomness; the smoothing draws nothing, so every choice starts from the same kernels.

    Attributes:
      local: the depthwise `DilatedConv` of rate 1.
      dilated: the depthwise `DilatedConv` of the given rate; `nn.smoothers` finds its smoothing.
      mixing: the 1x1 `DilatedConv` from C to C channels.

    Raises:
      ValueError: an option is malformed, or smoothing is unknown.

    Example:
      >>> import jax.numpy as jnp
      >>> from flax import nnx
      >>> from smoothjax import nn
      >>> layer = nn.LargeKernelAttention(8, smoothing="ss_conv", rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((1, 9, 11, 8))).shape
      (1, 9, 11, 8)
      >>> {path: smoother.kind for path, smoother in nn.smoothers(layer).items()}
      {('dilated', 'smoother'): 'ss_conv'}

    References:
      Guo et al., Visual Attention Network, 2022, Sec. 3.1, Eqs. 1 and 2, Fig. 2, and the class `AttentionModule` of its
      public code.
    """

    local: DilatedConv
    dilated: DilatedConv
    mixing: DilatedConv
    features: int

    def __init__(
        self,
        features: int,
        *,
        rate: Rate = 3,
        kernel_size: Sequence[int] = (7, 7),
        local_kernel_size: Sequence[int] | None = None,
        smoothing: Smoothing = "none",
        use_bias: bool = True,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        kernel_init: nnx.Initializer = _KERNEL_INIT,
        rngs: nnx.Rngs,
    ):
        features = check_int("features", features, remedy="pass the number of channels")
        size = check_kernel_size(kernel_size)
        rates = check_by_axis("rate", rate, len(size))
        local = tuple(2 * one - 1 for one in rates) if local_kernel_size is None else local_kernel_size
        local = check_kernel_size(local, name="local_kernel_size")
        if len(local) != len(size):
            raise ValueError(
                f"local_kernel_size must have as many axes as kernel_size, got {local} with {size}: leave it out for "
                "2 * rate - 1 taps along each"
            )
        conv = partial(
            DilatedConv,
            features,
            features,
            use_bias=use_bias,
            dtype=dtype,
            param_dtype=param_dtype,
            kernel_init=kernel_init,
        )
        self.local = conv(local, rate=1, feature_group_count=features, rngs=rngs)
        self.dilated = conv(size, rate=rates, smoothing=smoothing, feature_group_count=features, rngs=rngs)
        self.mixing = conv((1,) * len(size), rate=1, rngs=rngs)
        self.features = features

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[..., *S, C]` to the same shape; leading axes are batch axes."""
        attention = self.mixing(self.dilated(self.local(x)))
        return attention * x.astype(attention.dtype)
