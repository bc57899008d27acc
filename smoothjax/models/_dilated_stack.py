"""An encoder of only dilated layers: the network that shows gridding best."""

from collections.abc import Callable
from functools import partial
from itertools import groupby

import jax
from flax import nnx
from jax.typing import DTypeLike

from .. import nn, ops
from .._checks import check_choice, check_rates
from ..names import BatchNormMode, EncoderDegridding
from ._encoder import BaseEncoder, applied
from ._norm import BatchNorm

STEMS = (1, 3, 5)
RATES = (2, 2, 2, 4)
_HE = nnx.initializers.variance_scaling(2.0, "fan_in", "normal")


class DilatedStackEncoder(BaseEncoder):
    """One convolution, then dilated 3x3 convolutions at full resolution, each with batch normalisation and ReLU.

    There is no shortcut, no stride and no other convolution, so it is known what neighbours share: after a 1x1 stem and
    with even rates, the four phases of an image are encoded as if they were four images. A 3x3 stem mixes them once,
    like the first layers of every published encoder. Starts in evaluation mode; `train()` switches batch normalisation
    to batch statistics.

    Args:
      stem: taps along each axis of the first convolution, 1, 3 or 5.
      rates: dilation rate of each layer after it, in pixels.
      smoothing: degridding of these layers. `"multigrid"` changes rates, counted over each run of equal ones; all
        others smooth each layer, see `nn.DilatedConv`.
      batch_norm, momentum, epsilon, remat, dtype: see `ResNetEncoder`.
      width: channels of all layers.
      in_features: channels of the images, 3 for RGB.
      rngs: source of randomness; every choice of smoothing draws the same kernels from the same seed.

    Attributes:
      out_features: channels of the output, `width`.
      output_stride: 1.
      stem, rates, smoothing, batch_norm, momentum, epsilon, width, in_features, remat, dtype: the options.

    Raises:
      ValueError: an option is invalid, or multigrid meets a rate below 2.

    Example:
      >>> import jax.numpy as jnp
      >>> from flax import nnx
      >>> from smoothjax import models
      >>> encoder = models.DilatedStackEncoder(width=4, smoothing="ss_conv", rngs=nnx.Rngs(0))
      >>> encoder(jnp.ones((1, 9, 9, 3))).shape
      (1, 9, 9, 4)
    """

    _usual_width = "16 is the default"

    stem_conv: nn.DilatedConv
    stem_norm: BatchNorm
    stages: "nnx.List[_ConvNorm]"
    stem: int
    rates: tuple[int, ...]
    out_features: int

    def __init__(
        self,
        *,
        stem: int = 1,
        rates: tuple[int, ...] = RATES,
        smoothing: EncoderDegridding = "none",
        batch_norm: BatchNormMode = "trained",
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        width: int = 16,
        in_features: int = 3,
        remat: bool = False,
        dtype: DTypeLike | None = None,
        rngs: nnx.Rngs,
    ):
        super().__init__(1, smoothing, batch_norm, momentum, epsilon, width, in_features, remat, dtype, rngs)
        check_choice("stem", stem, STEMS)
        self.stem, self.rates = stem, check_rates("rates", rates, "use e.g. (2, 2, 2, 4)")
        self.out_features = self.width
        norm = partial(self._norm(rngs), self.width)
        self.stem_conv = nn.DilatedConv(
            self.in_features, self.width, (stem, stem), rate=1, use_bias=False, dtype=dtype, rngs=rngs
        )
        self.stem_norm = norm()
        self.stages = nnx.List(
            _ConvNorm(self.width, rate, self._layer_smoothing(), norm, dtype, rngs)
            for rate in (_multigrid(self.rates) if smoothing == "multigrid" else self.rates)
        )

    @property
    def name(self) -> str:
        """Its name in `DeepLab`."""
        return "dilated_stack"

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps images `[N, H, W, in_features]` to features `[N, H, W, width]`."""
        x = nnx.relu(self.stem_norm(self.stem_conv(x)))
        apply = applied(self.remat)
        for stage in self.stages:
            x = apply(stage, x)
        return x


class _ConvNorm(nnx.Module):
    """A dilated convolution, batch normalisation, ReLU."""

    def __init__(
        self,
        width: int,
        rate: int,
        smoothing: nn.Smoothing,
        norm: Callable[[], BatchNorm],
        dtype: DTypeLike | None,
        rngs: nnx.Rngs,
    ):
        self.conv = nn.DilatedConv(
            width,
            width,
            (3, 3),
            rate=rate,
            smoothing=smoothing if rate > 1 else "none",
            use_bias=False,
            dtype=dtype,
            kernel_init=_HE,
            rngs=rngs,
        )
        self.norm = norm()

    def __call__(self, x: jax.Array) -> jax.Array:
        return nnx.relu(self.norm(self.conv(x)))


def _multigrid(rates: tuple[int, ...]) -> tuple[int, ...]:
    """Rates 2, 2, 2, 4, 4, 4 become 1, 2, 3, 3, 4, 5."""
    return tuple(rate for same, run in groupby(rates) for rate in ops.multigrid_rates(same, len(list(run))))
