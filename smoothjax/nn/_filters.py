"""Filters before a dilated convolution: fixed low-pass filters, learned aggregation, circulant group interaction."""

import jax
import jax.numpy as jnp

from .. import ops
from .._checks import Rate, check_by_axis, check_ndim

#: Number of aggregated filters: none, average, Gaussian and SS filter.
AGGREGATED = 4

_SIGMA = 1.0  # pixels, in the authors' code


def average_filter(rate: Rate, ndim: int) -> jax.Array:
    """The average filter before a dilated convolution, `smoothing="average_filter"` of `DilatedConv`.

    It has the `2 * rate - 1` taps of an SS filter along each axis, so that neighbouring outputs share inputs at every
    rate. The authors' code uses `rate - 1` taps, which at rate 2 is a single tap and no filter at all.

    Args:
      rate: dilation rate in pixels, an int >= 1 or one per axis.
      ndim: number of spatial axes d, 1, 2 or 3.

    Returns:
      `(2 * rate - 1,) * ndim` equal taps whose sum is 1.

    Raises:
      ValueError: rate or ndim is invalid.

    Example:
      >>> from smoothjax import nn
      >>> nn.average_filter(2, 2).shape, float(nn.average_filter(2, 2).sum().round(6))
      ((3, 3), 1.0)

    References:
      Ziegler et al., Efficient Smoothing of Dilated Convolutions for Image Segmentation, arXiv 1903.07992, 2019.
    """
    identity = ops.identity_smoother(rate, ndim)
    return jnp.full_like(identity, 1 / identity.size)


def gaussian_filter(rate: Rate, ndim: int) -> jax.Array:
    """The Gaussian filter before a dilated convolution, `smoothing="gaussian_filter"` of `DilatedConv`.

    Its standard deviation is 1 pixel at every rate, as in the authors' code. The number of taps is ours, see
    `average_filter`.

    Args:
      rate: dilation rate in pixels, an int >= 1 or one per axis.
      ndim: number of spatial axes d, 1, 2 or 3.

    Returns:
      `(2 * rate - 1,) * ndim` taps in proportion to `exp(-|offset|**2 / 2)`, whose sum is 1.

    Raises:
      ValueError: rate or ndim is invalid.

    Example:
      >>> from smoothjax import nn
      >>> [round(float(tap), 3) for tap in nn.gaussian_filter(2, 1)]
      [0.274, 0.452, 0.274]

    References:
      Ziegler et al., Efficient Smoothing of Dilated Convolutions for Image Segmentation, arXiv 1903.07992, 2019.
    """
    shape = ops.identity_smoother(rate, ndim).shape
    offset = jnp.stack(jnp.meshgrid(*(jnp.arange(taps) - taps // 2 for taps in shape), indexing="ij"))
    taps = jnp.exp(-jnp.sum(offset**2, 0) / (2 * _SIGMA**2))
    return taps / taps.sum()


def aggregated_filter(smoother: jax.Array, aggregation: jax.Array, rate: Rate) -> jax.Array:
    r"""The learned aggregation of filters, `smoothing="aggregated_filters"` of `DilatedConv`, as one filter.

    $$c_1 \delta + c_2 a + c_3 g + c_4 s, \qquad c = \mathrm{softmax}(\text{aggregation})$$

    with the unfiltered map ($\delta$, one tap in the middle), the average filter, the Gaussian filter and an SS filter
    (`smoother`, Eq. 7 of Wang & Ji at the start). Filters are linear, so the weighted sum of their outputs is the
    output of this one filter. All four weights start at 1/4, as in the authors' code, so the layer smooths from the
    first step and is not the identity. The authors share one vector of weights over the network and intend to keep it
    within [0, 1] by a softmax, but their graph never runs it; here each layer has its own vector, and the softmax is
    applied.

    Args:
      smoother: the SS filter, `2 * rate - 1` taps along each axis.
      aggregation: `[4]` logits of the weights, in the order above.
      rate: dilation rate in pixels, or one per axis.

    Returns:
      `2 * rate - 1` taps along each axis, of the smoother's dtype.

    Example:
      >>> import jax.numpy as jnp
      >>> from smoothjax import nn, ops
      >>> taps = nn.aggregated_filter(ops.identity_smoother(2, 1), jnp.zeros(4), 2)
      >>> [round(float(tap), 3) for tap in taps]
      [0.152, 0.696, 0.152]

    References:
      Ziegler et al., Efficient Smoothing of Dilated Convolutions for Image Segmentation, arXiv 1903.07992, 2019, and
      the function `_combinational_layer_learned` of their code.
    """
    fixed = [make(rate, smoother.ndim) for make in (ops.identity_smoother, average_filter, gaussian_filter)]
    filters = jnp.stack([*fixed, smoother])
    # A softmax of four numbers costs nothing; bfloat16 would lose half its digits.
    weights = jax.nn.softmax(aggregation.astype(jnp.promote_types(aggregation.dtype, jnp.float32)))
    return jnp.tensordot(weights, filters, 1, precision=jax.lax.Precision.HIGHEST).astype(smoother.dtype)


def circulant_filter(smoother: jax.Array) -> jax.Array:
    r"""Circulant group interaction, `smoothing="circulant_group_interaction"` of `DilatedConv`, as one filter.

    Group interaction whose weights depend only on the difference of phases has a circulant matrix, $W_{ij} = w[(j - i)
    \bmod r]$ by axis. It still depends on where the grid of blocks begins: after a shift by one pixel, other pixels
    share a block. The layer is its mean over all $r^d$ placements of the grid, which is invariant to shifts. Two pixels
    at distance $\delta$ share a block in $r - |\delta|$ of $r$ placements, so this mean is one filter,

    $$v[\delta] = w[\delta \bmod r] \prod_a \left(1 - \frac{|\delta_a|}{r}\right), \qquad |\delta_a| < r.$$

    It commutes with every shift, and on maps of period r it is the matrix itself. Its transpose has the weights
    $w[-\delta]$.

    Args:
      smoother: the weights w by phase difference, `rate` along each axis, floating point; rates may differ by axis.

    Returns:
      `2 * rate - 1` taps along each axis, of the smoother's dtype.

    Example:
      >>> import jax.numpy as jnp
      >>> from smoothjax import nn
      >>> nn.circulant_filter(jnp.array([1.0, 0.5])).tolist(), nn.circulant_filter(jnp.array([1.0, 0.0, 0.0])).tolist()
      ([0.25, 1.0, 0.25], [0.0, 0.0, 1.0, 0.0, 0.0])

    References:
      Wang & Ji, Smoothed Dilated Convolutions for Improved Dense Prediction, KDD 2018, Sec. 3.2, for group interaction;
      Coifman & Donoho, Translation-Invariant De-Noising, 1995, for the mean over shifts.
    """
    taps = smoother
    for axis, rate in enumerate(smoother.shape):
        offset = jnp.arange(1 - rate, rate)
        share = jnp.expand_dims(1 - abs(offset) / rate, [other for other in range(smoother.ndim) if other != axis])
        taps = jnp.take(taps, offset % rate, axis) * share.astype(smoother.dtype)
    return taps


def identity_circulant(rate: Rate, ndim: int) -> jax.Array:
    """The identity weights of circulant group interaction, `(rate,) * ndim`: 1 at difference 0, else 0."""
    rates = check_by_axis("rate", rate, check_ndim(ndim))
    return jnp.zeros(rates).at[(0,) * ndim].set(1.0)
