"""Weighted sums of losses."""

from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp

from ..loss_terms import TAKE_CLASS_WEIGHTS, TAKE_LABEL_SMOOTHING, check_terms
from ..loss_terms import LossTerm as LossTerm
from ..loss_terms import parse_loss as parse_loss
from ..names import LossName
from ._loss import ClassWeights, bce, cross_entropy, focal, ohem
from ._loss_overlap import dice, lovasz_softmax

PixelLoss = Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]
"""A function from logits and labels to `(loss_sum, count)`."""

_FUNCTIONS: Mapping[LossName, Callable[..., tuple[jax.Array, jax.Array]]] = {
    "cross_entropy": cross_entropy,
    "ohem": ohem,
    "focal": focal,
    "dice": dice,
    "lovasz_softmax": lovasz_softmax,
    "bce": bce,
}


def weighted_loss(
    loss: str | Sequence[LossTerm],
    *,
    ignore_label: int = 255,
    class_weights: ClassWeights = None,
    label_smoothing: float = 0.0,
) -> PixelLoss:
    """A weighted sum of losses as one function.

    The loss of a batch is the weighted sum of the losses of its terms, each divided by its own count. The result is
    again a sum and a count: the count of the first term, or 1 if that is 0 and others count. So terms with the same
    count, such as `cross_entropy` and `focal`, make the same step with and without `accumulate`; a single term of
    weight 1 is that loss itself.

    Args:
      loss: The sum as text, see `parse_loss`, or its terms.
      ignore_label: The label of pixels that count for nothing.
      class_weights: For the terms that take them: `cross_entropy`, `ohem`, `focal` and `bce`. `dice` and
        `lovasz_softmax` give every class the same weight already.
      label_smoothing: For `cross_entropy` and `ohem`.

    Returns:
      `loss(logits, labels) -> (loss_sum, count)`.

    Raises:
      ValueError: `loss` is not such a sum, or no term takes the given class weights or label smoothing.

    Example:
      >>> loss = weighted_loss("cross_entropy + 0.5 dice")
      >>> loss_sum, count = loss(jnp.zeros((3, 2)), jnp.array([0, 0, 1]))
      >>> print(f"{loss_sum / count:.4f}")  # log 2 + 0.5143 / 2
      0.9503
    """
    terms = parse_loss(loss) if isinstance(loss, str) else tuple(loss)
    if not isinstance(loss, str):
        check_terms(terms)
    parts = [
        (term.weight, _FUNCTIONS[term.name], {"ignore_label": ignore_label, **term.options, **shared})
        for term, shared in zip(terms, _shared(terms, class_weights, label_smoothing), strict=True)
    ]

    def total(logits: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
        sums = [(weight, *function(logits, labels, **options)) for weight, function, options in parts]
        (first, loss_sum, count), *others = sums
        loss_sum = loss_sum if first == 1 else first * loss_sum
        for _, _, number in others:  # the first term may keep no pixel, such as ohem with only easy pixels
            count = jnp.where(count > 0, count, jnp.minimum(number, 1))
        for weight, added, number in others:
            loss_sum = loss_sum + weight * added * (count / jnp.where(number > 0, number, 1))
        return loss_sum, count

    return total


def _shared(
    terms: Sequence[LossTerm], class_weights: ClassWeights, label_smoothing: float
) -> list[dict[str, ClassWeights | float]]:
    """The shared arguments that each term takes."""
    names, given = {term.name for term in terms}, " + ".join(term.name for term in terms)
    if class_weights is not None and not names & TAKE_CLASS_WEIGHTS:
        raise ValueError(
            f"weighted_loss: class_weights are for {', '.join(sorted(TAKE_CLASS_WEIGHTS))}, got {given}; leave them "
            "out, or add one of those"
        )
    if label_smoothing and not names & TAKE_LABEL_SMOOTHING:
        raise ValueError(
            f"weighted_loss: label_smoothing is for {' and '.join(sorted(TAKE_LABEL_SMOOTHING))}, got {given}; leave "
            "it out"
        )
    shared: list[dict[str, ClassWeights | float]] = []
    for term in terms:
        options: dict[str, ClassWeights | float] = {}
        if term.name in TAKE_CLASS_WEIGHTS:
            options["class_weights"] = class_weights
        if term.name in TAKE_LABEL_SMOOTHING:
            options["label_smoothing"] = label_smoothing
        shared.append(options)
    return shared
