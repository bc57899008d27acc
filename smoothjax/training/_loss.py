"""Losses that sum over labelled pixels: cross entropy, also of the hardest pixels, focal, and binary cross entropy.

All return a sum and a count, see `cross_entropy`.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.core import Tracer
from jax.typing import ArrayLike

from .._meshes import keeps_split_batch
from ..loss_terms import check_option

ClassWeights = ArrayLike | Sequence[float] | None
"""One weight for each class, or None for equal ones."""


@keeps_split_batch(out=None)
def cross_entropy(
    logits: jax.Array,
    labels: jax.Array,
    *,
    ignore_label: int = 255,
    class_weights: ClassWeights = None,
    label_smoothing: float = 0.0,
) -> tuple[jax.Array, jax.Array]:
    """Softmax cross entropy summed over the valid pixels, and their number.

    The loss of a batch is `loss_sum / count`. Both are returned because the mean is over the valid pixels of the whole
    global batch: devices with fewer valid pixels weigh less, which the mean of the devices' means would miss.
    `train_step` does the division. A batch without a valid pixel gives (0, 0) and zero gradients.

    With class weights `w`, the sum is of `w[label] * loss` and the count is the sum of `w[label]`.

    With label smoothing `e`, the loss of a pixel is `-(1 - e) log p[label] - e / K sum_c log p[c]`, and the class
    weight of the label multiplies the whole. PyTorch's `CrossEntropyLoss` weighs every term of the sum by its own
    class, `-(1 - e) w[label] log p[label] - e / K sum_c w[c] log p[c]`, and divides by the same count. With only one of
    the two, both libraries agree; with both, PyTorch gives a class of large weight more of the smoothing, at every
    pixel of every class.

    The computation is in float32 for any logits (float64 stays), so a bfloat16 model needs no cast.

    Args:
      logits: `[..., classes]`, floating point, unnormalised.
      labels: `[...]`, integer class indices, or `ignore_label`. Any other value makes the loss NaN, which stops `fit`.
      ignore_label: The label of pixels to ignore.
      class_weights: `[classes]`, non-negative; None weighs every class 1.
      label_smoothing: Share of the target spread evenly over all classes, in [0, 1).

    Returns:
      `(loss_sum, count)`, float32 scalars.

    Raises:
      AssertionError: `logits` is not floating point, `labels` not integer, or their shapes differ.
      ValueError: `class_weights` has another length than `classes`, or `label_smoothing` is outside [0, 1).

    Example:
      >>> logits = jnp.zeros((2, 2, 4))
      >>> labels = jnp.array([[0, 3], [255, 255]])
      >>> loss_sum, count = cross_entropy(logits, labels)
      >>> print(f"{loss_sum / count:.4f} over {count:.0f} pixels")  # log 4
      1.3863 over 2 pixels
    """
    losses, valid, weights = _pixels("cross_entropy", logits, labels, ignore_label, class_weights, label_smoothing)
    return _summed(losses, valid, weights)


@keeps_split_batch(out=None)
def ohem(
    logits: jax.Array,
    labels: jax.Array,
    *,
    ignore_label: int = 255,
    class_weights: ClassWeights = None,
    label_smoothing: float = 0.0,
    threshold: float = 0.7,
    min_share: float = 1 / 16,
) -> tuple[jax.Array, jax.Array]:
    """Cross entropy of the hardest pixels of a batch, and their number: online hard example mining.

    It keeps the valid pixels whose class has a probability below `threshold`, so a loss above `-log(threshold)`, or, if
    these are fewer, the share `min_share` with the largest losses. Ties with the last one are kept. The choice covers
    all pixels that the function sees: under `jax.jit` over a mesh the global batch; with `accumulate`, or under
    `shard_map`, a part of it.

    Args:
      logits: As for `cross_entropy`.
      labels: As for `cross_entropy`.
      ignore_label: As for `cross_entropy`.
      class_weights: As for `cross_entropy`; the choice is made without them.
      label_smoothing: As for `cross_entropy`; the choice is made with it.
      threshold: Probability in (0, 1] above which a pixel is easy; 1 keeps every pixel.
      min_share: Share of the valid pixels that is kept at least, in [0, 1].

    Returns:
      `(loss_sum, count)` over the kept pixels, as from `cross_entropy`.

    Raises:
      AssertionError, ValueError: As from `cross_entropy`, or a number is out of range.

    Example:
      >>> logits = jnp.array([[4.0, 0.0], [3.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
      >>> labels = jnp.array([0, 0, 0, 255])
      >>> loss_sum, count = ohem(logits, labels)
      >>> print(f"{loss_sum / count:.4f} over {count:.0f} pixel")  # log(1 + e)
      1.3133 over 1 pixel

    References:
      Shrivastava, Gupta and Girshick, "Training Region-based Object Detectors with Online Hard Example Mining", CVPR
      2016; Yu et al., "BiSeNet", ECCV 2018, has threshold 0.7 and at least a sixteenth of the pixels.
    """
    check_option("ohem", "threshold", threshold)
    check_option("ohem", "min_share", min_share)
    losses, valid, weights = _pixels("ohem", logits, labels, ignore_label, class_weights, label_smoothing)
    # The NaN of an invalid label must stay: it ranks first.
    ranks = jnp.where(valid, jnp.nan_to_num(lax.stop_gradient(losses), nan=jnp.inf, posinf=jnp.inf), -jnp.inf)
    least = jnp.floor(min_share * jnp.sum(valid)).astype(jnp.int32)
    ascending = jnp.sort(ranks.reshape(-1))
    hard = ascending[jnp.clip(ranks.size - least, 0, ranks.size - 1)] if ranks.size else jnp.inf
    smallest = jnp.where(least > 0, hard, jnp.inf)
    # At a threshold of 1 even certain pixels count, whose loss is exactly 0.
    limit = -math.log(threshold) if threshold < 1 else -math.inf
    kept = valid & ((ranks > limit) | (ranks >= smallest))
    return _summed(losses, kept, weights)


@keeps_split_batch(out=None)
def focal(
    logits: jax.Array,
    labels: jax.Array,
    *,
    ignore_label: int = 255,
    class_weights: ClassWeights = None,
    gamma: float = 2.0,
) -> tuple[jax.Array, jax.Array]:
    """Focal loss: cross entropy times `(1 - p)^gamma`, where `p` is the probability of the pixel's class.

    `p` is the softmax over all classes; for two classes with logits `(0, x)`, this is the published loss of the logit
    `x`. `gamma=0` is `cross_entropy`. Class weights are the published alpha, and also weigh the count.

    Args:
      logits: As for `cross_entropy`.
      labels: As for `cross_entropy`.
      ignore_label: As for `cross_entropy`.
      class_weights: As for `cross_entropy`.
      gamma: Exponent, non-negative.

    Returns:
      `(loss_sum, count)`, as from `cross_entropy`.

    Raises:
      AssertionError, ValueError: As from `cross_entropy`, or `gamma` is negative or not finite.

    Example:
      >>> loss_sum, count = focal(jnp.zeros((3, 2)), jnp.array([0, 1, 255]))
      >>> print(f"{loss_sum / count:.4f}")  # (1 / 2)^2 log 2
      0.1733

    References:
      Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, Eq. 4 and 5.
    """
    check_option("focal", "gamma", gamma)
    losses, valid, weights = _pixels("focal", logits, labels, ignore_label, class_weights, 0.0)
    # At a probability of 1 the derivative of the power does not exist for gamma < 1, but the loss is 0 there.
    missed = jnp.maximum(-jnp.expm1(-losses), jnp.finfo(losses.dtype).tiny)
    return _summed(losses if gamma == 0 else missed**gamma * losses, valid, weights)


@keeps_split_batch(out=None)
def bce(
    logits: jax.Array, labels: jax.Array, *, ignore_label: int = 255, class_weights: ClassWeights = None
) -> tuple[jax.Array, jax.Array]:
    """Binary cross entropy of every class, summed over the valid pixels of all classes, and their number.

    For masks that overlap: each class has its own logit and mask, and its probability is the logit's sigmoid. A label
    map, with one class per pixel, is converted to a mask per class.

    With class weights `w`, sum and count weight the terms of class `c` by `w[c]`. PyTorch's `BCEWithLogitsLoss` always
    divides by the number; without weights both agree.

    Args:
      logits: `[..., classes]`, floating point, unnormalised.
      labels: Masks `[..., classes]`, integer or bool, of 0, 1 and `ignore_label`; or class indices `[...]` as for
        `cross_entropy`. Any other value makes the loss NaN.
      ignore_label: The label of what counts for nothing.
      class_weights: `[classes]`, non-negative; None weighs every class 1.

    Returns:
      `(loss_sum, count)`, float32 scalars.

    Raises:
      AssertionError: `logits` is not floating point, `labels` not integer or bool, or the shapes do not fit.
      ValueError: `class_weights` has another length than `classes`.

    Example:
      >>> masks = jnp.array([[1, 1, 0], [0, 255, 0]])
      >>> loss_sum, count = bce(jnp.zeros((2, 3)), masks)
      >>> print(f"{loss_sum / count:.4f} over {count:.0f}")  # log 2
      0.6931 over 5
    """
    masks = as_masks(logits, labels, ignore_label)
    # One softplus of targets 0 and 1: a product with the other target would be 0 times infinity for a masked class.
    losses = jax.nn.softplus(jnp.where(masks.targets == 1, -masks.logits, masks.logits))
    losses = jnp.where(masks.known, losses, jnp.nan)
    weights = jnp.broadcast_to(_weights("bce", class_weights, masks.logits), losses.shape)
    return _summed(losses, masks.valid, weights)


class Masks(NamedTuple):
    """Labels class by class, all `[..., classes]`.

    Attributes:
      logits: In float32 or float64.
      targets: 1 where a pixel is of the class, 0 elsewhere, of the dtype of the logits.
      valid: Whether a pixel counts.
      known: Whether its label is valid: a class, or 0 or 1.
    """

    logits: jax.Array
    targets: jax.Array
    valid: jax.Array
    known: jax.Array


def as_masks(logits: jax.Array, labels: jax.Array, ignore_label: int) -> Masks:
    """Class indices, or masks that may overlap, as masks."""
    if labels.ndim < logits.ndim:
        logits, safe, valid, is_class = _checked(logits, labels, ignore_label)
        targets = jax.nn.one_hot(safe, logits.shape[-1], dtype=logits.dtype)
        whole = targets.shape
        return Masks(logits, targets, *(jnp.broadcast_to(each[..., None], whole) for each in (valid, is_class)))
    labels = labels.astype(jnp.int32) if labels.dtype == jnp.bool_ else labels
    chex.assert_type([logits, labels], [float, int])
    chex.assert_shape(labels, logits.shape)
    logits, labels = _widened(logits, labels)
    return Masks(logits, (labels == 1).astype(logits.dtype), labels != ignore_label, (labels == 0) | (labels == 1))


def _pixels(
    function: str,
    logits: jax.Array,
    labels: jax.Array,
    ignore_label: int,
    class_weights: ClassWeights,
    label_smoothing: float,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The cross entropy of every pixel, NaN where the label is invalid, with the valid pixels and their weights."""
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"{function}: label_smoothing must be in [0, 1), got {label_smoothing}; 0 turns it off")
    logits, safe, valid, is_class = _checked(logits, labels, ignore_label)
    by_class = _weights(function, class_weights, logits)
    if label_smoothing:
        targets = optax.smooth_labels(jax.nn.one_hot(safe, logits.shape[-1], dtype=logits.dtype), label_smoothing)
        losses = optax.softmax_cross_entropy(logits, targets)
    else:
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, safe)
    weights = jnp.ones_like(losses) if class_weights is None else by_class[safe]
    return jnp.where(is_class, losses, jnp.nan), valid, weights


def _checked(
    logits: jax.Array, labels: jax.Array, ignore_label: int
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Logits in float32 or more; labels with 0 where they are invalid; masks of pixels that count and of valid
    labels."""
    chex.assert_type([logits, labels], [float, int])
    chex.assert_shape(labels, logits.shape[:-1])
    logits, labels = _widened(logits, labels)
    is_class = (labels >= 0) & (labels < logits.shape[-1])
    return logits, jnp.where(is_class, labels, 0), labels != ignore_label, is_class


def _widened(logits: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
    # In 8 bits JAX reads 256 classes as 0, and a label of -1 as 255.
    wide = labels.astype(jnp.int32) if jnp.iinfo(labels.dtype).bits < 32 else labels
    return logits.astype(jnp.promote_types(logits.dtype, jnp.float32)), wide


def _weights(function: str, class_weights: ClassWeights, logits: jax.Array) -> jax.Array:
    """One weight for each class, `[classes]`, of the dtype of the logits."""
    classes = logits.shape[-1]
    if class_weights is None:
        return jnp.ones((classes,), logits.dtype)
    weights = jnp.asarray(class_weights)
    if weights.shape != (classes,):
        raise ValueError(
            f"{function}: class_weights must have one weight a class, shape ({classes},), got {weights.shape}; give "
            "the weights in the order of the classes"
        )
    known = None if isinstance(weights, Tracer) else np.asarray(weights)
    if known is not None and not (np.isfinite(known).all() and (known >= 0).all()):
        raise ValueError(f"{function}: class_weights must be finite and not negative, got {known.tolist()}; 0 ignores")
    return weights.astype(logits.dtype)


def _summed(losses: jax.Array, counts: jax.Array, weights: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The sum of weighted losses of pixels that count, and the sum of their weights."""
    weights = counts.astype(losses.dtype) * weights
    # `where`, not a product: the loss of an ignored label is NaN here.
    return jnp.sum(jnp.where(counts, losses * weights, 0)), jnp.sum(weights)
