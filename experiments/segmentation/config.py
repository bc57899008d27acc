"""What a run is: frozen, typed, and free of JAX imports, so that `--help` answers at once."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Method = Literal["none", "multigrid", "group_interaction", "ss_conv"]
DataName = Literal["shapes", "camvid", "folder", "voc2012", "cityscapes"]


@dataclass(frozen=True)
class ModelConfig:
    """The network: DeepLabv2."""

    encoder: Literal["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"] = "resnet101"
    """Residual network that the features come from."""
    width: int = 64
    """Channels of the encoder's first stage; 64 is the published network."""
    head: Literal["aspp", "large_fov"] = "aspp"
    """Output layer: ASPP (rates 6, 12, 18, 24) or LargeFOV (rate 12)."""
    head_rates: tuple[int, ...] | None = None
    """Other dilation rates for the head, in cells of 8 pixels."""
    smoothing: Method = "none"
    """Degridding of the dilated convolutions in the last two stages; none is the baseline."""
    stride_in: Literal["1x1", "3x3"] = "1x1"
    """Convolution of a bottleneck that holds the stride: 1x1 (v1, DeepLab) or 3x3 (v1.5)."""
    batch_norm: Literal["trained", "frozen"] = "trained"
    """Whether batch normalisation learns, or keeps its statistics, scale and bias."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the convolutions; parameters, batch statistics and loss stay float32."""


@dataclass(frozen=True)
class DataConfig:
    """The images."""

    name: DataName = "folder"
    """Data set: drawn shapes, or a folder {train,val,test}/{images,labels}; the name gives the classes."""
    root: Path | None = None
    """Folder of the data set; shapes need none."""
    classes: Path | None = None
    """YAML or JSON file of class names and colours, for the data set folder."""
    scale: float = 1.0
    """Factor by which all images are resized for the network; results are scored at full size."""
    crop_size: tuple[int, int] = (321, 321)
    """Height and width of training crops in pixels, after scaling."""
    scale_range: tuple[float, float] = (0.5, 1.5)
    """Smallest and largest random factor of training images."""
    mirror: bool = True
    """Whether training images are mirrored at random."""
    check: bool = True
    """Whether all files of train and val are read once before training."""
    train_images: int = 2048
    """Number of drawn training images (shapes)."""
    val_images: int = 64
    """Number of drawn validation images (shapes)."""
    image_size: tuple[int, int] = (97, 97)
    """Height and width of drawn images in pixels (shapes)."""


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
class Config:
    """One run."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimizerConfig = field(default_factory=OptimizerConfig)
    steps: int = 20000
    """Length of the run in updates."""
    batch_size: int = 10
    """Images in an update, over all devices."""
    eval_batch_size: int = 4
    """Images evaluated together, over all devices."""
    log_every: int = 20
    """Updates between log lines."""
    evaluate_every: int = 1000
    """Updates between evaluations; there is one at the end, too."""
    evaluate_images: int | None = None
    """Validation images of the evaluations during training; by default all."""
    checkpoint_every: int = 500
    """Updates between checkpoints; there is one at each evaluation, too."""
    seed: int = 0
    """Of initial weights, order and augmentation."""


def learning_rate(config: Config) -> float:
    """The initial rate of a run: the one asked for, or that of its method."""
    if config.optim.learning_rate is not None:
        return config.optim.learning_rate
    return getattr(config.optim.rates, config.model.smoothing)
