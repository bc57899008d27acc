"""Frequency selection: frequency bands of a map, each with a weight for every position."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from flax.nnx.nn.dtypes import promote_dtype
from jax.typing import DTypeLike

from .. import ops
from .._checks import accumulation_dtype, check_dtypes, check_int, check_kernel_size, check_rates
from .._meshes import keeps_split_batch
from .._programs import one_program
from ._conv_like import with_one_batch_axis


class FrequencySelection(nnx.Module):
    r"""Frequency selection (FADC): splits maps into frequency bands and weights each band at every position.

    $$y = \sum_b A_b \odot X_b, \qquad A_b = 2\,\sigma(\mathrm{Conv}_b(x))$$

    The bands end at 1/2, 1/4, 1/8, 1/16 of a cycle per pixel. As `nn.DilatedConv(...,
    before=nn.FrequencySelection(...))`, the layer can weaken frequencies that a dilated convolution would alias, at
    positions where aliasing harms. All weights start at 1 and the bands add up to x, so the layer starts as the
    identity. The weight of the lowest band stays 1, as in the published configurations. One weight map serves all
    channels.

    This is one part of the published layer; rates that change from pixel to pixel (AdaDR, a deformable convolution) and
    kernels split by frequency (AdaKern) are left out. Limits are rounded to whole frequencies as in the public code:
    along an even axis with no more pixels than a divisor, no frequency is below its limit, not even the mean. JAX
    cannot export a Fourier transform of a symbolic size: export programs with a fixed size of the maps.

    Args:
      features: number of channels of the input.
      divisors: for each limit between two bands, the divisor of the highest frequency, half a cycle per pixel.
      kernel_size: taps along each axis of the convolutions to the weights; its length is the number of spatial axes.
      dtype: dtype of the computation; by default the common one of input and parameters. Spectra are never narrower
        than float32.
      param_dtype: dtype of the parameters.
      rngs: accepted for uniformity with other layers; the identity draws nothing.

    Attributes:
      kernel: `nnx.Param` `[*kernel_size, features, len(divisors)]`, one output for each band except the lowest.
      bias: `nnx.Param` `[len(divisors)]`.

    Raises:
      ValueError: an option is malformed, or divisors don't grow.

    Example:
      >>> import jax.numpy as jnp
      >>> from flax import nnx
      >>> from smoothjax import nn
      >>> select = nn.FrequencySelection(3, rngs=nnx.Rngs(0))
      >>> conv = nn.DilatedConv(3, 8, (3, 3), rate=4, before=select, rngs=nnx.Rngs(0))
      >>> conv(jnp.ones((1, 16, 16, 3))).shape
      (1, 16, 16, 8)

    References:
      Chen et al., Frequency-Adaptive Dilated Convolution for Semantic Segmentation, CVPR 2024 (frequency selection),
      and the class `FrequencySelection` of its public code.
    """

    kernel: nnx.Param[jax.Array]
    bias: nnx.Param[jax.Array]
    features: int
    divisors: tuple[int, ...]
    kernel_size: tuple[int, ...]
    dtype: DTypeLike | None

    def __init__(
        self,
        features: int,
        *,
        divisors: Sequence[int] = (2, 4, 8),
        kernel_size: Sequence[int] = (3, 3),
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        del rngs
        check_dtypes(dtype=dtype, param_dtype=param_dtype)
        self.features = check_int("features", features, remedy="pass the number of channels")
        given = tuple(divisors) if isinstance(divisors, Sequence) else divisors
        self.divisors = check_rates("divisors", given, "use (2, 4, 8) for octaves")
        if list(self.divisors) != sorted(set(self.divisors)):
            raise ValueError(
                f"divisors must grow from the highest band to the lowest, got {self.divisors}: use (2, 4, 8)"
            )
        self.kernel_size, self.dtype = check_kernel_size(kernel_size), dtype
        self.kernel = nnx.Param(jnp.zeros((*self.kernel_size, features, len(self.divisors)), param_dtype))
        self.bias = nnx.Param(jnp.zeros(len(self.divisors), param_dtype))

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[..., *S, features]` to the same shape; leading axes are batch axes."""
        x, kernel, bias = promote_dtype((x, self.kernel[...], self.bias[...]), dtype=self.dtype)

        def layer(x: jax.Array) -> jax.Array:
            logits = ops.dilated_conv(x, kernel) + bias.reshape((1,) * (x.ndim - 1) + bias.shape)
            return _selected(x, 2 * jax.nn.sigmoid(logits), self.divisors)

        return with_one_batch_axis(layer, x, len(self.kernel_size), name="x")


@one_program
@keeps_split_batch()
def _selected(x: jax.Array, weights: jax.Array, divisors: tuple[int, ...]) -> jax.Array:
    """The weighted sum of the bands, from the highest; frequencies below the last limit keep weight 1."""
    axes = tuple(range(1, x.ndim - 1))
    above = x.astype(accumulation_dtype(x.dtype))
    spectrum, total = jnp.fft.fftn(above, axes=axes), jnp.zeros_like(above)
    for number, divisor in enumerate(divisors):
        kept = spectrum
        for axis in axes:
            kept = kept * jnp.expand_dims(_passes(x.shape[axis], divisor), [a for a in range(x.ndim) if a != axis])
        below = jnp.fft.ifftn(kept, axes=axes).real
        total = total + weights[..., number : number + 1] * (above - below)
        above = below
    return (total + above).astype(x.dtype)


def _passes(size: int, divisor: int) -> jax.Array:
    """1 for the frequencies below the limit in the order of the FFT, as the public code rounds them."""
    at = (jnp.arange(size) + size // 2) % size  # where each frequency stands once 0 is in the middle
    low, high = round(size / 2 - size / (2 * divisor)), round(size / 2 + size / (2 * divisor))
    return ((at >= low) & (at < high)).astype(jnp.float32)
