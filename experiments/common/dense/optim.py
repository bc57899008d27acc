"""Options for loss, optimiser and learning rate in studies of semantic segmentation; imports no JAX."""

import math
from dataclasses import dataclass

from smoothjax.loss_terms import TAKE_CLASS_WEIGHTS, TAKE_LABEL_SMOOTHING, parse_loss
from smoothjax.names import ClassWeighting, OptimizerName, ScheduleName

from ..config import require, require_positive

#: Schedules with a warm-up.
_WARMED: tuple[ScheduleName, ...] = ("one_cycle", "cosine")


@dataclass(frozen=True)
class OptimConfig:
    """Loss, optimiser and learning rate."""

    optimizer: OptimizerName = "sgd"
    """SGD with momentum and coupled decay, as in the papers, or AdamW, which equals Adam without decay."""
    schedule: ScheduleName = "poly"
    """The rate over the steps: poly (Eq. 5), one_cycle (up to the rate, then down), cosine (after a warm-up) or
    constant."""
    learning_rate: float | None = None
    """Initial rate; the peak of one_cycle and cosine."""
    power: float | None = None
    """Exponent of the poly rate; by default 0.9."""
    warmup: float | None = None
    """Share of the steps in which the rate rises; by default 0.3 for one_cycle, 0.05 for cosine."""
    momentum: float = 0.9
    """Momentum of SGD, or the decay of AdamW's first moment."""
    weight_decay: float = 0.0
    """Weight decay, on kernels only; smoothing parameters are exempt."""
    clip_norm: float | None = None
    """Largest global norm of the gradient; by default it is not clipped."""
    loss: str = "cross_entropy"
    """Weighted sum of cross_entropy, ohem, focal, dice, lovasz_softmax and bce, such as "cross_entropy + 0.5 dice" or
    "focal(gamma=1.5)"."""
    class_weights: ClassWeighting | tuple[float, ...] | None = None
    """Weight of each class in the losses of single pixels: numbers, or a rule that counts the training split (auto is
    enet, 1 / ln(1.02 + share))."""
    label_smoothing: float = 0.0
    """Share of each target spread evenly over the classes, in [0, 1), for cross_entropy and ohem."""
    ema: float | None = None
    """Decay of an exponential average of the weights, such as 0.999, scored beside the raw weights; by default there is
    no average."""

    def validate(self) -> None:
        """Raises ValueError if an option is out of range or would be ignored."""
        if self.power is not None:
            require_positive(optim__power=self.power)
        require(
            0 <= self.weight_decay < math.inf,
            f"--optim.weight-decay must be finite and not negative, got {self.weight_decay}: 0 turns it off",
        )
        require(0 <= self.momentum < 1, f"--optim.momentum must be in [0, 1), got {self.momentum}: the paper has 0.9")
        require(
            self.clip_norm is None or 0 < self.clip_norm < math.inf,
            f"--optim.clip-norm must be positive and finite, got {self.clip_norm}: leave it out, or try 1",
        )
        if self.warmup is not None:
            require(
                self.schedule in _WARMED,
                f"--optim.warmup is an option of {' and '.join(_WARMED)}, got {self.warmup} with --optim.schedule "
                f"{self.schedule}: leave it out",
            )
            require(0 <= self.warmup < 1, f"--optim.warmup must be a share in [0, 1), got {self.warmup}: leave it out")
        require(
            0 <= self.label_smoothing < 1,
            f"--optim.label-smoothing must be in [0, 1), got {self.label_smoothing}: 0 turns it off",
        )
        require(
            self.ema is None or 0 < self.ema < 1,
            f"--optim.ema must be between 0 and 1, got {self.ema}: try 0.999, or leave it out",
        )
        weights = self.class_weights
        require(
            weights is None or isinstance(weights, str) or (min(weights, default=-1) >= 0 and sum(weights) > 0),
            f"--optim.class-weights must not be negative, nor all 0, got {weights}: leave them out for equal weights",
        )
        self._check_loss()

    def _check_loss(self) -> None:
        try:
            names = {term.name for term in parse_loss(self.loss)}
        except ValueError as error:
            raise ValueError(f"--optim.loss: {error}") from error
        for option, given, takes in (
            ("class-weights", self.class_weights is not None, TAKE_CLASS_WEIGHTS),
            ("label-smoothing", self.label_smoothing > 0, TAKE_LABEL_SMOOTHING),
        ):
            require(
                not given or bool(names & takes),
                f"--optim.{option} is for {', '.join(sorted(takes))}, got --optim.loss {self.loss!r}: leave it out, or "
                "add one of these",
            )
