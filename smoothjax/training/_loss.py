"""Cross entropy over labelled pixels, as a sum and a count."""

from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike


def cross_entropy(
    logits: jax.Array,
    labels: jax.Array,
    *,
    ignore_label: int = 255,
    class_weights: ArrayLike | Sequence[float] | None = None,
    label_smoothing: float = 0.0,
) -> tuple[jax.Array, jax.Array]:
    """Softmax cross entropy summed over the valid pixels, and their number.

    The loss of a batch is `loss_sum / count`. Both are returned because the mean is over the valid pixels of the whole
    global batch: devices with fewer valid pixels weigh less, which the mean of the devices' means would miss.
    `train_step` does the division. A batch without a valid pixel gives (0, 0) and zero gradients.

    With class weights `w`, the sum is of `w[label] * loss` and the count is the sum of `w[label]`.

    The computation is in float32 whatever the logits (float64 stays), so a bfloat16 model needs no cast of its own.

    Args:
      logits: `[..., classes]`, floating point, unnormalised.
      labels: `[...]`, integer class indices, or `ignore_label`. Any other value makes the loss NaN, at
        which `fit` stops.
      ignore_label: The label of pixels that count for nothing.
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
    chex.assert_type([logits, labels], [float, int])
    chex.assert_shape(labels, logits.shape[:-1])
    classes = logits.shape[-1]
    class_weights = None if class_weights is None else jnp.asarray(class_weights)
    if class_weights is not None and class_weights.shape != (classes,):
        raise ValueError(
            f"cross_entropy: class_weights must have one weight a class, shape ({classes},), "
            f"got {class_weights.shape}; give the weights in the order of the classes"
        )
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"cross_entropy: label_smoothing must be in [0, 1), got {label_smoothing}; 0 turns it off")

    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    if jnp.iinfo(labels.dtype).bits < 32:
        # In 8 bits JAX takes 256 classes for none, and a label of -1 for 255.
        labels = labels.astype(jnp.int32)
    valid = labels != ignore_label
    is_class = (labels >= 0) & (labels < classes)
    safe_labels = jnp.where(is_class, labels, 0)
    if label_smoothing:
        targets = optax.smooth_labels(jax.nn.one_hot(safe_labels, classes, dtype=logits.dtype), label_smoothing)
        losses = optax.softmax_cross_entropy(logits, targets)
    else:
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, safe_labels)
    losses = jnp.where(is_class, losses, jnp.nan)
    weights = valid.astype(logits.dtype)
    if class_weights is not None:
        weights = weights * class_weights.astype(logits.dtype)[safe_labels]
    # `where`, not a product: an ignored label is no class, so its loss is NaN here.
    return jnp.sum(jnp.where(valid, losses * weights, 0)), jnp.sum(weights)
