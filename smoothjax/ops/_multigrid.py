"""Hybrid dilation rates, the degridding baseline of the paper."""

from .._checks import check_int


def multigrid_rates(rate: int, depth: int) -> tuple[int, ...]:
    """Dilation rates of a stack of layers under HDC / multigrid (Sec. 2.2 and 4.2).

    Every three consecutive layers of rate r get the rates r - 1, r, r + 1, which have no common factor; remaining
    layers keep r.

    Args:
      rate: the common dilation rate r of the stack in pixels, an int >= 2 (at rate 1 there is no gridding).
      depth: number of layers, an int >= 0.

    Returns:
      The `depth` rates, in the order of the layers.

    Raises:
      ValueError: rate or depth is invalid.

    Example:
      >>> from smoothjax import ops
      >>> ops.multigrid_rates(2, 5)
      (1, 2, 3, 2, 2)
      >>> ops.multigrid_rates(4, 3)
      (3, 4, 5)

    References:
      Wang & Ji, Smoothed Dilated Convolutions for Improved Dense Prediction, KDD 2018, Sec. 4.2; the method comes from
      Wang et al., Understanding Convolution for Semantic Segmentation, 2017.
    """
    rate, depth = check_int("rate", rate, minimum=2), check_int("depth", depth, minimum=0)
    groups, remainder = divmod(depth, 3)
    return (rate - 1, rate, rate + 1) * groups + (rate,) * remainder
