"""Layers after the encoder that remove gridding: remedies that change the network, not the convolution."""

from functools import partial
from typing import get_args

import jax
from flax import nnx
from jax.typing import DTypeLike

from .. import nn
from .._checks import check_choice, check_int, check_rates
from ..names import BatchNormMode, DegriddingLayersName
from ._norm import BATCH_NORM_MODES, BatchNorm

DEGRIDDING_LAYERS: tuple[DegriddingLayersName, ...] = get_args(DegriddingLayersName)
"""The remedies of `DegriddingLayers`, by name."""

DEGRIDDING_RATES: dict[str, tuple[int, ...]] = {"drn": (2, 2, 1, 1), "lfe": (4, 2, 1)}
"""Dilation rates of the 3x3 convolutions that follow the encoder, in cells of its output."""

_HE = nnx.initializers.variance_scaling(2.0, "fan_out", "normal")


class DegriddingLayers(nnx.Module):
    """3x3 convolutions of rates falling to 1, with batch normalisation and ReLU, without residual connections.

    A shortcut would carry the gridding of the features past the layers that should remove it (Yu et al., Sec. 4).
    `DEGRIDDING_RATES` has the rates of two published remedies, both for encoders of rates up to 4:

    - `"drn"`, the last two levels of DRN-C: a block of two convolutions of rate 2, then one of rate 1, their shortcuts
      removed;
    - `"lfe"`, after the local feature extraction of Hamaguchi et al.: rates that rise through the encoder fall again,
      which reconnects separated neighbours. Here the rates are halved from layer to layer, 4, 2, 1; the authors'
      VGG-like network for aerial images has other numbers of layers.

    Args:
      in_features: channels of the features.
      features: channels of each layer; DRN has 512, as in the last stage of a basic ResNet.
      rates: dilation rate of each layer, in cells.
      batch_norm, momentum, epsilon: see `ResNetEncoder`.
      dtype: dtype of the convolutions; batch normalisation is computed in float32.
      rngs: source of randomness.

    Attributes:
      out_features: channels of the output.

    Raises:
      ValueError: in_features or features is not an int >= 1, rates is not a nonempty tuple of them, or batch_norm is
        unknown.

    Example:
      >>> import jax.numpy as jnp
      >>> from flax import nnx
      >>> from smoothjax import models
      >>> layers = models.DegriddingLayers(16, 8, rates=models.DEGRIDDING_RATES["drn"], rngs=nnx.Rngs(0))
      >>> layers(jnp.ones((1, 9, 9, 16))).shape
      (1, 9, 9, 8)

    References:
      Yu, Koltun & Funkhouser, Dilated Residual Networks, 2017, Sec. 4 (DRN-C); Hamaguchi et al., Effective Use of
      Dilated Convolutions for Segmenting Small Object Instances in Remote Sensing Imagery, 2018, Sec. 3.3.
    """

    convs: nnx.List[nn.DilatedConv]
    norms: nnx.List[BatchNorm]
    out_features: int

    def __init__(
        self,
        in_features: int,
        features: int,
        *,
        rates: tuple[int, ...],
        batch_norm: BatchNormMode = "trained",
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        dtype: DTypeLike | None = None,
        rngs: nnx.Rngs,
    ):
        in_features = check_int("in_features", in_features, remedy="count the channels of the inputs")
        features = check_int("features", features, remedy="count the channels of the layers")
        rates = check_rates("rates", rates, "use the rates in DEGRIDDING_RATES")
        check_choice("batch_norm", batch_norm, BATCH_NORM_MODES)
        conv = partial(nn.DilatedConv, use_bias=False, dtype=dtype, kernel_init=_HE, rngs=rngs)
        sources = (in_features, *(features for _ in rates[1:]))
        self.convs = nnx.List(
            conv(source, features, (3, 3), rate=rate) for source, rate in zip(sources, rates, strict=True)
        )
        self.norms = nnx.List(
            BatchNorm(features, mode=batch_norm, momentum=momentum, epsilon=epsilon, rngs=rngs) for _ in rates
        )
        self.out_features = features

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps features `[N, H, W, in_features]` to `[N, H, W, features]`."""
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = nnx.relu(norm(conv(x)))
        return x
