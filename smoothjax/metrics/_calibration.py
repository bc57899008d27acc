"""Calibration of probabilities: counted on the device, computed on the host."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from .._checks import check_int, check_structure
from .._meshes import keeps_split_batch
from ._confusion import widened


class Calibration(NamedTuple):
    """Pixels by the probability of their predicted class, in bins of equal width; adds up over the batches of a split.

    Attributes:
      pixels: number of pixels, integer `[bins]`.
      correct: number of pixels with a right prediction, integer `[bins]`.
      excess: the sum of their probabilities, each less the middle of its bin, floating point `[bins]`. So small
        numbers lose nothing if they are added up in float32.
    """

    pixels: npt.ArrayLike
    correct: npt.ArrayLike
    excess: npt.ArrayLike


def calibration_counts(
    labels: jax.typing.ArrayLike,
    logits: jax.typing.ArrayLike,
    *,
    bins: int = 15,
    ignore_label: int = 255,
    independent: bool = False,
) -> Calibration:
    """Counts the pixels of a batch by the probability of their predicted class.

    Bin m of M holds the probabilities in `((m - 1) / M, m / M]`. Add up the counts of a split on the host in 64 bits.

    Args:
      labels: true classes, integers `[...]`.
      logits: floating point `[..., K]`, or logarithms of probabilities.
      bins: number of bins, M.
      ignore_label: the label of pixels that do not count; labels outside `0 .. K - 1` do not count either.
      independent: whether the probability of each class is the sigmoid of its logit, as after binary cross entropy; by
        default it is the softmax.

    Returns:
      The counts of the batch: int32, int32, float32.

    Raises:
      AssertionError: `labels` are not integers, `logits` not floating point, or their shapes do not fit.
      ValueError: `bins` is not positive.

    Example:
      >>> import jax.numpy as jnp
      >>> logits = jnp.log(jnp.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]]))
      >>> counts = calibration_counts(jnp.array([0, 1, 1]), logits, bins=4)
      >>> print(counts.pixels, counts.correct)
      [0 0 1 2] [0 0 1 1]
    """
    bins = check_int("bins", bins, remedy="15 are usual")
    labels, logits = jnp.asarray(labels), jnp.asarray(logits)
    check_structure(
        f"labels must be integers and logits floating point, got {labels.dtype} and {logits.dtype}",
        *(chex.assert_type, [labels, logits], [int, float]),
    )
    check_structure(
        f"logits must be [..., K] with labels [...], got shapes {logits.shape} and {labels.shape}: resample them",
        *(chex.assert_shape, labels, logits.shape[:-1]),
    )
    return _counted(labels, logits, bins, ignore_label, independent)


@keeps_split_batch(out=None)
def _counted(labels: jax.Array, logits: jax.Array, bins: int, ignore_label: int, independent: bool) -> Calibration:
    labels = widened(labels)
    counted = (labels != ignore_label) & (labels >= 0) & (labels < logits.shape[-1])
    likely = (jax.nn.sigmoid if independent else jax.nn.softmax)(logits.astype(jnp.float32))
    probabilities = likely.max(-1)
    found = jnp.clip(jnp.ceil(probabilities * bins).astype(jnp.int32) - 1, 0, bins - 1)
    # An additional bin takes pixels that are not counted.
    place = jnp.where(counted, found, bins).ravel()
    right = (logits.argmax(-1) == labels).ravel().astype(jnp.int32)
    excess = (probabilities - (found + 0.5) / bins).ravel()
    pixels, correct, sums = (jnp.bincount(place, weights, length=bins + 1)[:bins] for weights in (None, right, excess))
    return Calibration(pixels.astype(jnp.int32), correct.astype(jnp.int32), sums)


def expected_calibration_error(counts: Calibration) -> np.float64:
    r"""Expected calibration error: how far mean probability and accuracy are apart, averaged over the pixels.

    $$\text{ECE} = \sum_m \frac{|B_m|}{n} \left| \text{acc}(B_m) - \text{conf}(B_m) \right|$$

    If it is 0, a network is right on 80 % of the pixels that it is 80 % sure of, bin by bin. It does not measure
    accuracy: a network that always predicts the frequencies of the classes has no error.

    Args:
      counts: the sum of the results of `calibration_counts`.

    Returns:
      The error, 0 .. 1; NaN if nothing was counted.

    Raises:
      ValueError: the counts are not three arrays of one length.

    Example:
      >>> print(expected_calibration_error(Calibration([0, 4], [0, 2], [0.0, 0.2])).round(3))
      0.3

    References:
      Guo et al., On Calibration of Modern Neural Networks, ICML 2017, Eq. 5; Naeini et al., Obtaining Well Calibrated
      Probabilities Using Bayesian Binning, AAAI 2015.
    """
    pixels, correct, excess = (np.asarray(part, np.float64) for part in counts)
    if pixels.ndim != 1 or not pixels.shape == correct.shape == excess.shape:
        raise ValueError(
            f"counts must hold three arrays [bins], got shapes {pixels.shape}, {correct.shape} and {excess.shape}: "
            "pass the sum of what calibration_counts returns"
        )
    if not pixels.sum():
        return np.float64(np.nan)
    confidence = excess + pixels * (np.arange(len(pixels)) + 0.5) / len(pixels)
    return np.float64(np.abs(correct - confidence).sum() / pixels.sum())
