"""Gridding over time, measured on a trained network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from smoothjax import analysis, models

from .scores import spread_over
from .tasks import Example

# Numbers of sequences to average receptive fields over, and of a block's outputs to measure: each is compiled.
_SEQUENCES, _OUTPUTS = 64, 8


@dataclass(frozen=True)
class Gridding:
    """The receptive fields of the last outputs.

    Attributes:
      rate: the rate r of the last block whose convolution reaches back within a sequence.
      block: phase imbalance at rate r of what this block's outputs see of its input, a mean over steps of every phase.
      network: phase imbalance at rate r of what the last output sees of the whole network's input.
      half: number of steps that hold half of the latter field.
      fields: both receptive fields of the last output, `"block"` and `"network"`, float64 `[T]`; their last step is
        that of the output.
    """

    rate: int
    block: float
    network: float
    half: int
    fields: dict[str, np.ndarray]


def measure(model: models.TemporalConvNet, examples: Sequence[Example]) -> Gridding:
    """Measures a network on the features of a split's sequences, up to the end of the last whole period."""
    some = spread_over(examples, _SEQUENCES)
    inputs = np.stack([example["input"] for example in some])
    level = max(i for i, rate in enumerate(model.rates) if i == 1 or 2 * rate <= inputs.shape[1])
    rate = model.rates[level]
    # The output is then the last step of its block of group interaction, the one that sees most.
    inputs = inputs[:, : inputs.shape[1] // rate * rate]
    features = model.embed(jnp.asarray(inputs))
    entering = _through(model.blocks[:level], features)

    def seen(block: Callable[[jax.Array], jax.Array], maps: jax.Array, step: int) -> np.ndarray:
        return analysis.effective_receptive_field(lambda x: block(x)[:, step : step + 1], maps, batch_size=len(some))

    last = inputs.shape[1] - 1
    outputs = min(_OUTPUTS, rate)
    steps = [last - i * rate // outputs for i in range(outputs)]
    by_step = [seen(model.blocks[level], entering, step) for step in steps]
    whole = seen(model.decode, features, last)
    return Gridding(
        rate=rate,
        block=float(np.mean([analysis.phase_imbalance(field, rate=rate) for field in by_step])),
        network=analysis.phase_imbalance(whole, rate=rate),
        half=analysis.contribution_area(whole, share=0.5),
        fields={"block": by_step[0], "network": whole},
    )


def smoothing_parameters(model: models.TemporalConvNet) -> int:
    """Number of smoothing parameters; the masked half of a group interaction does not count."""
    total = 0
    for block in model.blocks:
        rate = block.conv.rate
        total += {"none": 0, "ss_conv": 2 * rate - 1, "group_interaction": rate * (rate + 1) // 2}[block.conv.smoothing]
    return total


def _through(blocks: Sequence[Callable[[jax.Array], jax.Array]], x: jax.Array) -> jax.Array:
    for block in blocks:
        x = block(x)
    return x
