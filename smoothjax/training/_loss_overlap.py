"""Losses of the overlap of regions over all valid pixels of a batch: Dice and Lovász-Softmax."""

import jax
import jax.numpy as jnp
from jax import lax

from .._meshes import keeps_split_batch
from ..loss_terms import check_option
from ._loss import Masks, as_masks


@keeps_split_batch(out=None)
def dice(
    logits: jax.Array, labels: jax.Array, *, ignore_label: int = 255, smooth: float = 0.0
) -> tuple[jax.Array, jax.Array]:
    """Dice loss times the number of valid pixels, and that number.

    For class `c`, with probabilities `p` and targets `t` of 0 or 1, over all valid pixels of the batch:

      loss_c = 1 - (2 sum p t + smooth) / (sum p + sum t + smooth)

    and the loss is the mean over the classes that occur in the batch. Classes of any size count the same.

    The ratio covers all pixels that the function sees: under `jax.jit` over a mesh the global batch; with `accumulate`,
    or under `shard_map`, a part of it, and parts are averaged by their valid pixels.

    Args:
      logits: `[..., classes]`, floating point, unnormalised.
      labels: Class indices `[...]`, for the softmax over the classes; or masks `[..., classes]` of 0, 1 and
        `ignore_label` that may overlap, for the sigmoid of each. Any other value makes the loss NaN.
      ignore_label: The label of pixels to ignore.
      smooth: Added above and below, non-negative.

    Returns:
      `(loss_sum, count)`, float32 scalars; the loss is `loss_sum / count`.

    Raises:
      AssertionError: `logits` is not floating point, `labels` not integer or bool, or the shapes do not fit.
      ValueError: `smooth` is negative or not finite.

    Example:
      >>> loss_sum, count = dice(jnp.zeros((3, 2)), jnp.array([0, 0, 1]))
      >>> print(f"{loss_sum / count:.4f}")  # 1 - (2 / 3.5 + 1 / 2.5) / 2
      0.5143

    References:
      Milletari, Navab and Ahmadi, "V-Net", 3DV 2016, with squares in the denominator; without them, as here and in
      segmentation_models.pytorch: Sudre et al., "Generalised Dice overlap", 2017. There, absent classes count as 0 in
      the mean.
    """
    check_option("dice", "smooth", smooth)
    masks = as_masks(logits, labels, ignore_label)
    overlapping = labels.ndim == logits.ndim
    probabilities = jax.nn.sigmoid(masks.logits) if overlapping else jax.nn.softmax(masks.logits)
    pixels = tuple(range(masks.logits.ndim - 1))
    predicted, target = (jnp.where(masks.valid, each, 0) for each in (probabilities, masks.targets))
    both, sizes = jnp.sum(predicted * target, pixels), jnp.sum(target, pixels)
    total = jnp.sum(predicted, pixels) + sizes + smooth
    losses = 1 - (2 * both + smooth) / jnp.where(total > 0, total, 1)
    return _times_pixels(_mean_of(losses, sizes > 0), masks)


@keeps_split_batch(out=None)
def lovasz_softmax(logits: jax.Array, labels: jax.Array, *, ignore_label: int = 255) -> tuple[jax.Array, jax.Array]:
    """Lovász-Softmax loss times the number of valid pixels, and that number.

    The convex extension of the Jaccard loss `1 - IoU` of each class to probabilities, over all valid pixels of the
    batch; the mean over the classes that occur in it. At certain predictions it is `1 - IoU`.

    As with `dice`, the batch is everything that the function sees. It sorts all pixels once for every class.

    Args:
      logits: As for `cross_entropy`.
      labels: As for `cross_entropy`.
      ignore_label: As for `cross_entropy`.

    Returns:
      `(loss_sum, count)`, float32 scalars; the loss is `loss_sum / count`.

    Raises:
      AssertionError: `logits` is not floating point, `labels` not integer, or their shapes differ.

    Example:
      >>> certain = jnp.array([[99.0, 0], [99, 0], [0, 99], [0, 99]])
      >>> loss_sum, count = lovasz_softmax(certain, jnp.array([0, 0, 0, 1]))
      >>> print(f"{loss_sum / count:.4f}")  # 1 - (2 / 3 + 1 / 2) / 2
      0.4167

    References:
      Berman, Triki and Blaschko, "The Lovász-Softmax loss", CVPR 2018, Alg. 1 and Eq. 11.
    """
    if labels.ndim == logits.ndim:
        raise ValueError(
            f"lovasz_softmax: labels must be class indices, of shape {logits.shape[:-1]}, got {labels.shape}; for "
            "masks that overlap take dice"
        )
    masks = as_masks(logits, labels, ignore_label)
    classes = masks.logits.shape[-1]
    flat = [jnp.moveaxis(each, -1, 0).reshape(classes, -1) for each in (jax.nn.softmax(masks.logits), *masks[1:3])]
    probabilities, targets, valid = flat
    errors = jnp.where(valid, jnp.abs(targets - probabilities), 0)

    # The gradient with respect to sorted errors depends only on their order: only the product below is differentiated.
    # One class at a time, which needs the memory of one.
    slopes = lax.map(lambda each: _jaccard_slopes(*each), lax.stop_gradient((errors, targets, valid)))
    losses = jnp.sum(errors * lax.stop_gradient(slopes), 1)
    return _times_pixels(_mean_of(losses, jnp.sum(jnp.where(valid, targets, 0), 1) > 0), masks)


def _jaccard_slopes(errors: jax.Array, targets: jax.Array, valid: jax.Array) -> jax.Array:
    """The growth of the Jaccard loss with each pixel's error: its differences along the errors, largest first."""
    order = jnp.argsort(jnp.where(valid, -errors, jnp.inf), stable=True)
    wanted = (targets * valid)[order]
    others = valid[order] - wanted
    size = jnp.sum(wanted)
    union = size + jnp.cumsum(others)
    jaccard = 1 - (size - jnp.cumsum(wanted)) / jnp.where(union > 0, union, 1)
    slopes = jnp.diff(jaccard, prepend=jnp.zeros((1,), jaccard.dtype))
    return jnp.zeros_like(errors).at[order].set(slopes, unique_indices=True)


def _mean_of(losses: jax.Array, occurs: jax.Array) -> jax.Array:
    """The mean over the classes that occur; 0 if none does."""
    return jnp.sum(jnp.where(occurs, losses, 0)) / jnp.maximum(jnp.sum(occurs), 1)


def _times_pixels(loss: jax.Array, masks: Masks) -> tuple[jax.Array, jax.Array]:
    """The loss as a sum over valid pixels, counted once per class in a label map; NaN for invalid labels."""
    count = jnp.sum(masks.valid.astype(loss.dtype)) / masks.logits.shape[-1]
    bad = jnp.any(masks.valid & ~masks.known)
    return jnp.where(bad, jnp.nan, loss) * count, count
