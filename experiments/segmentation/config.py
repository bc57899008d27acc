"""The configuration of a run: frozen, typed, and free of JAX imports, so that `--help` answers at once."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from smoothjax.names import Alignment, Degridding

from ..common.config import RunConfig, require, require_positive, with_options
from ..common.dense.config import DRAWN, DeepLabConfig, DenseConfig, ImagesConfig, check_size
from ..common.dense.optim import OptimConfig
from ..common.methods import RELATIVE_LABELS, SMOOTHING_LABELS, MethodRates, MethodSpec, rates_dataclass

Method = Literal[Degridding, "duc"]

# A head, not a smoothing: the baseline with the loss that this head needs.
_DUC = {"model.smoothing": "none", "model.head": "duc", "model.head_rates": None, "optim.loss_at": "full"}

#: A new degridding method needs its layer and its line here.
METHODS: Mapping[str, MethodSpec] = {
    "none": MethodSpec(SMOOTHING_LABELS["none"], 0.00025),
    "multigrid": MethodSpec("multigrid", 0.00025),
    "group_interaction": MethodSpec(SMOOTHING_LABELS["group_interaction"], 0.001),
    "ss_conv": MethodSpec(SMOOTHING_LABELS["ss_conv"], 0.00075),
    **{name: MethodSpec(label) for name, label in RELATIVE_LABELS.items()},
    "drn": MethodSpec("DRN"),
    "lfe": MethodSpec("LFE"),
    "duc": MethodSpec("DUC", options=_DUC),
}


@dataclass(frozen=True)
class ModelConfig(DeepLabConfig):
    """The network: DeepLabv2."""

    align: Alignment = "cells"
    """Position of the cells of the 1/8 grid, for the labels of the loss and for up-sampling the logits: cell i on pixel
    8i, or, to compare numbers, as in the authors' code, up to 7 pixels off."""


@dataclass(frozen=True)
class DataConfig(ImagesConfig):
    """The images, and the crops for training."""

    scale: float = 1.0
    """Factor by which all images are resized for the network; results are scored at full size."""
    crop_size: tuple[int, int] = (321, 321)
    """Height and width of training crops in pixels, after scaling."""
    scale_range: tuple[float, float] = (0.5, 1.5)
    """Smallest and largest random factor of training images."""

    def validate(self) -> None:
        """See `RunConfig`."""
        super().validate()
        require_positive(data__scale=self.scale)
        check_size("--data.crop-size", self.crop_size)
        low, high = self.scale_range
        require(0 < low <= high, f"--data.scale-range must be 0 < low <= high, got {low} {high}: try 0.5 1.5")
        if self.name not in DRAWN:
            return  # sizes of files are not known yet; smaller images are padded to the crop
        largest = [math.ceil(length * self.scale * high) for length in self.image_size]
        require(
            all(crop <= length for crop, length in zip(self.crop_size, largest, strict=True)),
            f"--data.crop-size {self.crop_size[0]} {self.crop_size[1]} is larger than every scaled image, which has at "
            f"most {largest[0]}x{largest[1]} pixels: take a smaller crop, or larger --data.scale or --data.image-size",
        )


if TYPE_CHECKING:
    Rates = MethodRates
else:
    Rates = rates_dataclass(METHODS, __name__)


@dataclass(frozen=True)
class OptimizerConfig(OptimConfig):
    """Loss, optimiser and rate; by default cross entropy, SGD with momentum and the "poly" rate (Eq. 5)."""

    rates: Rates = field(default_factory=Rates)
    learning_rate: float | None = None
    """Initial rate for every method, the peak of one_cycle and cosine; by default that of the method."""
    power: float | None = 0.9
    """Exponent of the poly rate."""
    weight_decay: float = 0.0005
    """Weight decay (L2 with SGD), on kernels only; smoothing parameters are exempt."""
    head_kernel_multiplier: float = 10.0
    """Factor of the rate for the head's kernels; 64 times as much with SGD and the head duc, where each kernel sees one
    pixel in 64."""
    head_bias_multiplier: float = 20.0
    """Factor of the rate for the head's biases; 64 times as much with SGD and the head duc."""
    smoothing_multiplier: float = 1.0
    """Factor of the rate for the smoothing parameters. AdamW moves each parameter by about the rate in a step: in a
    short run at a small rate, filters that start as the identity stay near it."""
    loss_at: Literal["grid", "full"] = "grid"
    """Resolution of the loss: on the 1/8 grid with matching labels, or at full size, as the head duc needs."""

    def validate(self) -> None:
        """Raises ValueError if an option is out of range."""
        super().validate()
        for name, value in (("learning-rate", self.learning_rate), *vars(self.rates).items()):
            option = name if name == "learning-rate" else f"rates.{name.replace('_', '-')}"
            require(
                value is None or 0 < value < math.inf,
                f"--optim.{option} must be positive and finite, got {value}: the paper has 0.00025 for the baseline",
            )
        for name in ("head_kernel_multiplier", "head_bias_multiplier", "smoothing_multiplier"):
            value = getattr(self, name)
            option = name.replace("_", "-")
            require(
                0 <= value < math.inf, f"--optim.{option} must be finite and not negative, got {value}: 0 turns it off"
            )


@dataclass(frozen=True)
class Config(DenseConfig):
    """One run."""

    study: ClassVar[str] = "segmentation"
    newer: ClassVar[frozenset[str]] = DenseConfig.newer | {"optim.smoothing_multiplier"}
    size: ClassVar[tuple[str, str]] = ("extra_parameters", "extra parameters")

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimizerConfig = field(default_factory=OptimizerConfig)

    def validate(self) -> None:
        """See `RunConfig`."""
        super().validate()
        self.model.validate()
        self.check_encoder()
        require(
            self.model.head != "duc" or self.model.align == "cells",
            f"--model.align {self.model.align} is an option of heads on the 1/8 grid, --model.head duc gives every "
            "pixel a logit of its own: leave one of them out",
        )
        require(
            self.model.head != "duc" or self.optim.loss_at == "full",
            "--model.head duc gives every pixel a logit of its own, which a loss on the 1/8 grid would leave untrained "
            "but for one in 64: add --optim.loss-at full",
        )

    def check_given(self, preset: RunConfig) -> None:
        """See `RunConfig`; a rate for all methods leaves none for one of them."""
        super().check_given(preset)
        if self.optim.learning_rate is None or not isinstance(preset, Config):
            return
        for name, rate in vars(self.optim.rates).items():
            require(
                rate == getattr(preset.optim.rates, name),
                f"--optim.learning-rate {self.optim.learning_rate:g} is the rate of every method, got "
                f"--optim.rates.{name.replace('_', '-')} {rate} beside it: leave one of them out",
            )

    @property
    def initial_rate(self) -> float:
        """The initial rate of this run: the one given, or that of its method."""
        rate = self.optim.learning_rate
        if rate is None:
            rate = getattr(self.optim.rates, self.method)
        return self.optim.rates.none if rate is None else rate

    @property
    def set_by_method(self) -> frozenset[str]:
        """See `RunConfig`: a DUC is a head with the loss that it needs."""
        return frozenset({"model.head", "model.head_rates", "optim.loss_at"} if self.method == "duc" else ())

    @property
    def method(self) -> str:
        """The degridding of this run; that of a DUC is the method "duc" where nothing else is smoothed."""
        model = self.model
        return "duc" if model.head == "duc" and model.smoothing == "none" else model.smoothing

    def with_method(self, method: str) -> Self:
        """The same run with another degridding."""
        return with_options(self, {self.compared: method, **METHODS[method].options})
