"""Dense up-sampling convolution, an output layer with separate logits for every pixel."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from .. import ops
from .._checks import check_dtypes, check_int, check_rngs
from ._conv import Conv

_INIT = nnx.initializers.normal(0.01)  # as in the other heads


class DenseUpsamplingHead(nnx.Module):
    """Dense up-sampling convolution (DUC): a 1x1 convolution to all pixels of a cell, and their reinterlacing.

    Bilinear interpolation invents the logits between cells; DUC learns them. The convolution gives `factor**2 *
    num_classes` channels, one set of logits for each pixel of a cell, and `ops.reinterlace` puts them into place. Cell
    i holds the pixels from `factor * i` on. As in every sub-pixel convolution nothing connects the phases: each is a
    separate 1x1 convolution, which causes the same checkerboard as `nn.UpConv`'s baseline.

    Args:
      in_features: channels of the features.
      num_classes: channels of the logits.
      factor: pixels per cell along each axis, the output stride of the encoder.
      dtype: dtype of the computation.
      rngs: source of randomness.

    Attributes:
      conv: the 1x1 convolution; its output channel `p * num_classes + k` is class k at phase p, row-major.

    Raises:
      ValueError: num_classes is not an int >= 2, or factor is not an int >= 1.

    Example:
      >>> import jax.numpy as jnp
      >>> from flax import nnx
      >>> from smoothjax import models
      >>> head = models.DenseUpsamplingHead(16, 5, factor=8, rngs=nnx.Rngs(0))
      >>> head(jnp.ones((1, 9, 11, 16)), spatial_shape=(65, 81)).shape
      (1, 65, 81, 5)

    References:
      Wang et al., Understanding Convolution for Semantic Segmentation, 2018, Sec. 3.1.
    """

    conv: nnx.Conv
    num_classes: int
    factor: int

    def __init__(
        self, in_features: int, num_classes: int, *, factor: int = 8, dtype: DTypeLike | None = None, rngs: nnx.Rngs
    ):
        check_rngs(rngs)
        check_dtypes(dtype=dtype)
        in_features = check_int("in_features", in_features, remedy="count the channels of the features")
        num_classes = check_int("num_classes", num_classes, minimum=2, remedy="count the background as a class")
        factor = check_int("factor", factor, remedy="pass the output stride of the encoder")
        channels = factor**2 * num_classes
        self.conv = Conv(in_features, channels, (1, 1), dtype=dtype, kernel_init=_INIT, rngs=rngs)
        self.num_classes, self.factor = num_classes, factor

    def __call__(self, x: jax.Array, *, spatial_shape: Sequence[int] | None = None) -> jax.Array:
        """Maps features `[N, h, w, in_features]` to logits `[N, *spatial_shape, num_classes]`, by default whole."""
        phases = self.conv(x)
        phases = jnp.moveaxis(phases.reshape(*phases.shape[:-1], self.factor**2, self.num_classes), -2, 0)
        return ops.reinterlace(phases, rate=self.factor, spatial_shape=spatial_shape)
