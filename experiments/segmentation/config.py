"""What a run is: frozen, typed, and free of JAX imports, so that `--help` answers at once."""

from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, Self

from ..common.dense.config import DeepLabConfig, Degridding, DenseConfig, ImagesConfig

Method = Degridding


@dataclass(frozen=True)
class ModelConfig(DeepLabConfig):
    """The network: DeepLabv2."""


@dataclass(frozen=True)
class DataConfig(ImagesConfig):
    """The images, and what is cut out of them for training."""

    scale: float = 1.0
    """Factor by which all images are resized for the network; results are scored at full size."""
    crop_size: tuple[int, int] = (321, 321)
    """Height and width of training crops in pixels, after scaling."""
    scale_range: tuple[float, float] = (0.5, 1.5)
    """Smallest and largest random factor of training images."""


@dataclass(frozen=True)
class Rates:
    """Initial learning rate of each method; the paper calls its change an important step."""

    none: float = 0.00025
    """Baseline."""
    multigrid: float = 0.00025
    """Multigrid."""
    group_interaction: float = 0.001
    """Group interaction."""
    ss_conv: float = 0.00075
    """SS convolution."""


@dataclass(frozen=True)
class OptimizerConfig:
    """SGD with momentum and the "poly" rate (Eq. 5)."""

    rates: Rates = field(default_factory=Rates)
    learning_rate: float | None = None
    """Initial rate for every method; by default that of the method."""
    power: float = 0.9
    """Exponent of the poly rate."""
    momentum: float = 0.9
    """Of SGD."""
    weight_decay: float = 0.0005
    """Factor of the L2 term, on kernels only; smoothing parameters are exempt."""
    head_kernel_multiplier: float = 10.0
    """Factor of the rate for the head's kernels."""
    head_bias_multiplier: float = 20.0
    """Factor of the rate for the head's biases."""
    loss_at: Literal["grid", "full"] = "grid"
    """Where the loss is taken: on the 1/8 grid with labels to match, or at full size."""
    class_weights: tuple[float, ...] | None = None
    """Weight of each class in the loss."""
    label_smoothing: float = 0.0
    """Share of each target spread evenly over the classes, in [0, 1)."""


@dataclass(frozen=True)
class Config(DenseConfig):
    """One run."""

    study: ClassVar[str] = "segmentation"

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimizerConfig = field(default_factory=OptimizerConfig)

    @property
    def method(self) -> Method:
        """The degridding of this run."""
        return self.model.smoothing

    def with_method(self, method: Method) -> Self:
        """The same run with another degridding."""
        return replace(self, model=replace(self.model, smoothing=method))


def learning_rate(config: Config) -> float:
    """The initial rate of a run: the one asked for, or that of its method."""
    if config.optim.learning_rate is not None:
        return config.optim.learning_rate
    return getattr(config.optim.rates, config.model.smoothing)
