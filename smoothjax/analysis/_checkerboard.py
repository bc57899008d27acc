"""The strength of a checkerboard in images or feature maps."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from ._arguments import check_maps, check_pixels

# In DFT bins along an axis. A periodic Hann window spreads a tone exactly over the bins at distance 0 and 1, so the
# bins at distance 2 and 3 see nothing of it.
_PEAK, _NEAR = (-1, 0, 1), (-3, -2, 2, 3)
# Neighbourhoods of two peaks, factor bins apart, must not overlap: S / factor > 2 * 3.
PERIODS = 8
# A variation of this many units in the last place of the maps' magnitude is rounding, not a pattern.
_ROUNDING = 16


def checkerboard_energy(maps: ArrayLike, *, factor: int = 2, border: int | None = None) -> jax.Array:
    r"""Excess energy at the up-sampling frequency and its multiples, relative to their neighbourhood.

    If the phases of an up-sampling layer disagree, its output has a pattern of period `factor` pixels: sharp peaks in
    the spectrum at the frequencies $\mathcal{F} = \{0, 1/r, \dots, (r-1)/r\}^d \setminus \{0\}$ cycles a pixel. With

    - $P_f$ the mean power of the $3^d$ DFT bins around $f$, and
    - $Q_f$ the mean power of the bins at distance 2 and 3 on either side of these along one axis, the largest over the
      axes, so that a ridge of the spectrum, caused by edges along an axis, is not a peak,

    both averaged over examples and channels, the result is

    $$E = \max\Big(0,\ \frac{\sum_{f \in \mathcal{F}} P_f}{\sum_{f \in \mathcal{F}} \max(Q_f, \epsilon)} - 1\Big).$$

    The spectrum is computed without the border, cropped at the end to a multiple of r, without the mean, under a Hann
    window. $\epsilon$ is the power of white noise of 16 units in the last place of the maps' root mean square: less is
    rounding. Scaling the maps changes nothing, nor does adding a constant.

    Args:
      maps: images or feature maps `[N, *S, C]` with d = 1, 2 or 3 spatial axes, floating point, of any unit; bfloat16
        is computed in float32. All examples and channels are pooled: more of them make the figure more reliable.
      factor: the up-sampling factor r in pixels, an int >= 2. After several layers of factor 2, the last one shows at
        2, the last two together at 4.
      border: pixels left out on either side of every axis, where zero padding makes its own pattern; `2 * factor` when
        None.

    Returns:
      E, a scalar without unit, float32 (float64 for float64 maps). 0: nothing stands out, as in photographs and in
      what a resize convolution makes of a constant; 1: twice the energy of the neighbourhood. Where there is nothing
      but the pattern, only $\epsilon$ bounds it, about 1e13 in float32.

    Raises:
      AssertionError: maps has another rank or dtype.
      ValueError: factor or border is out of range, or less than `8 * factor` pixels are left along an axis.

    Example:
      >>> import jax.numpy as jnp
      >>> from smoothjax import analysis
      >>> rows, columns = jnp.meshgrid(jnp.arange(32.0), jnp.arange(32.0))
      >>> disk, board = jnp.hypot(rows - 15, columns - 20) < 9.5, (-1.0) ** (rows + columns)
      >>> for amplitude in (0.0, 0.05, 0.1):
      ...     maps = (disk + amplitude * board)[None, :, :, None]
      ...     print(f"{analysis.checkerboard_energy(maps):.1f}")
      0.0
      3.9
      16.0

    References:
      Odena, Dumoulin & Olah, Deconvolution and Checkerboard Artifacts, Distill, 2016; Gao et al., Pixel Deconvolutional
      Networks, 2017, Sec. 1 and Fig. 9.
    """
    maps = check_maps("maps", maps)
    factor = check_pixels("factor", factor, minimum=2)
    border = 2 * factor if border is None else check_pixels("border", border, minimum=0)
    sizes = tuple((size - 2 * border) // factor * factor for size in maps.shape[1:-1])
    if min(sizes) < PERIODS * factor:
        raise ValueError(
            f"maps must have at least 8 * factor = {PERIODS * factor} pixels along every spatial axis between borders "
            f"of {border}, got {'x'.join(map(str, maps.shape[1:-1]))}: measure larger maps, or give a smaller border"
        )
    return energy_inside(maps, factor, border, sizes)


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def energy_inside(maps: jax.Array, factor: int, border: int, sizes: tuple[int, ...]) -> jax.Array:
    """The measure, of the part of the maps that starts at `border` and is `sizes` large."""
    # Of the dtype that the maps were rounded to.
    tolerance = _ROUNDING * float(jnp.finfo(maps.dtype).eps)
    inside = (slice(None), *(slice(border, border + size) for size in sizes))
    maps = maps[inside].astype(jnp.promote_types(maps.dtype, jnp.float32))
    # Squares of very small and very large numbers would leave the range.
    largest = jnp.abs(maps).max()
    maps = maps / jnp.where(largest > 0, largest, 1)

    axes = tuple(range(1, len(sizes) + 1))
    hann = [0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size) for size in sizes]
    window = functools.reduce(np.multiply.outer, hann)[None, ..., None]
    varying = (maps - maps.mean(axes, keepdims=True)) * jnp.asarray(window, maps.dtype)
    power = jnp.mean(jnp.abs(jnp.fft.fftn(varying, axes=axes)) ** 2, (0, -1)).ravel()
    # White noise has the same expected power in every bin.
    rounding = tolerance**2 * float(np.sum(window**2)) * jnp.mean(maps**2)

    centres = [multiple for multiple in itertools.product(range(factor), repeat=len(sizes)) if any(multiple)]
    at = [_bins(centre, factor, sizes, None) for centre in centres]
    beside = [[_bins(centre, factor, sizes, along) for along in range(len(sizes))] for centre in centres]
    peaks = power[np.array(at)].mean(-1).sum()
    neighbours = jnp.maximum(power[np.array(beside)].mean(-1).max(-1), rounding).sum()
    # Of nothing but zeros, nothing stands out.
    return jnp.maximum(peaks / jnp.where(neighbours > 0, neighbours, jnp.inf) - 1, 0)


def _bins(centre: tuple[int, ...], factor: int, sizes: tuple[int, ...], along: int | None) -> np.ndarray:
    """Flat indices of the bins at a multiple of the up-sampling frequency, or of those beside them along an axis."""
    bins = [
        # The spectrum is periodic.
        (multiple * size // factor + np.array(_NEAR if axis == along else _PEAK)) % size
        for axis, (multiple, size) in enumerate(zip(centre, sizes, strict=True))
    ]
    return np.ravel_multi_index(np.meshgrid(*bins, indexing="ij"), sizes).ravel()
