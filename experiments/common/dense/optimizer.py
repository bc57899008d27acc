"""Loss, optimiser and class weights as `OptimConfig` names them."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import optax

from smoothjax import data, datasets, training

from ..network import Tree
from ..run_files import Json
from .optim import OptimConfig


def make_loss(optim: OptimConfig) -> training.PixelLoss:
    """The loss of logits and labels; class weights must be numbers here, see `class_weights`."""
    if isinstance(optim.class_weights, str):
        raise ValueError(f"--optim.class-weights {optim.class_weights} has not been measured: see Learner.measured")
    return training.weighted_loss(optim.loss, class_weights=optim.class_weights, label_smoothing=optim.label_smoothing)


def make_optimizer(
    optim: OptimConfig,
    rate: float,
    steps: int,
    params: Tree,
    multiplier: Callable[[tuple[str | int, ...]], float] | None = None,
) -> tuple[optax.GradientTransformation, optax.Schedule]:
    """The optimiser and its rate; decay is on kernels only, and `multiplier` gives each path a factor of the rate."""
    schedule = _schedule(optim, rate, steps)
    make = training.sgd if optim.optimizer == "sgd" else training.adamw
    first = {"momentum" if optim.optimizer == "sgd" else "b1": optim.momentum}
    optimizer = make(
        schedule,
        **first,
        weight_decay=optim.weight_decay,
        decay_mask=training.label_parameters(params, _decays),
        multipliers=None if multiplier is None else training.label_parameters(params, multiplier),
        clip_norm=optim.clip_norm,
    )
    return optimizer, schedule


def _decays(path: tuple[str | int, ...]) -> bool:
    """Whether a parameter is a kernel; up-sampling layers have one kernel for each phase."""
    return path[-1] == "kernel" or "kernels" in path


def _schedule(optim: OptimConfig, rate: float, steps: int) -> optax.Schedule:
    if optim.schedule == "poly":
        return training.poly_schedule(rate, steps, 0.9 if optim.power is None else optim.power)
    if optim.schedule == "constant":
        return optax.constant_schedule(rate)
    make = training.one_cycle_schedule if optim.schedule == "one_cycle" else training.cosine_schedule
    return make(rate, steps) if optim.warmup is None else make(rate, steps, warmup=optim.warmup)


class ClassWeights(NamedTuple):
    """Class weights by a rule, their entry in the run folder, and lines about them."""

    weights: tuple[float, ...]
    entry: Json
    lines: str


def class_weights(
    optim: OptimConfig, source: data.Source, split: str, kept: Json, *, progress: bool, channels: int = 3
) -> ClassWeights | None:
    """Class weights of a split by a rule; None without a rule.

    `kept` is the folder's entry from an earlier start, which spares counting again. `channels` is the number of
    channels of the images.
    """
    rule, names = optim.class_weights, source.classes.names
    if not isinstance(rule, str):
        return None
    if _is_of(kept, rule, names):
        found, counted = kept, "as counted at the first start"
    else:
        counts = datasets.count_labels(source, progress=progress, channels=channels)
        weights = datasets.class_weights(counts, rule)
        found: Json = {
            "rule": rule,
            "split": split,
            "pixels": dict(zip(names, counts.pixels.tolist(), strict=True)),
            "weights": dict(zip(names, weights.tolist(), strict=True)),
        }
        counted = f"counted on {split}"
    pixels, weights = found["pixels"], found["weights"]
    total = max(sum(pixels.values()), 1)
    lines = [f"  {name}: {weights[name]:.3g} ({100 * pixels[name] / total:.3g} % of the pixels)" for name in names]
    header = f"class weights by the rule {rule}, {counted}:"
    return ClassWeights(tuple(weights.values()), found, "\n".join([header, *lines]))


def _is_of(kept: Json, rule: str, names: Sequence[str]) -> bool:
    """Whether an entry of a run folder has the weights of these classes by this rule; false for a damaged file."""
    numbers = [kept.get(key) for key in ("pixels", "weights")]
    return kept.get("rule") == rule and all(
        isinstance(each, dict) and list(each) == list(names) and all(isinstance(n, int | float) for n in each.values())
        for each in numbers
    )
