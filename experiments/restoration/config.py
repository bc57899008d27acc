"""The configuration of a run: frozen, typed, and free of JAX imports, so that `--help` answers at once."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from smoothjax.names import RestorationTask

from ..common.adam import AdamConfig, AdamRun
from ..common.config import Precision, Preset, RunInit, require, require_at_least_one
from ..common.given import ReadBy
from ..common.table import Score

Method = Literal["none", "multigrid", "group_interaction", "ss_conv"]
DataName = Literal["shapes", "folder", "haze", "noise"]
NetworkName = Literal["gcanet", "dilated_stack"]

#: Height and width of an image, at least: SSIM compares windows of this size.
SMALLEST = 11
_IN_FILES: tuple[DataName, ...] = ("folder", "haze", "noise")
_DEEPEST = 64


@dataclass(frozen=True)
class ModelConfig:
    """The network: GCANet, or a stack of dilated layers at full resolution, which has more options."""

    network: NetworkName = "gcanet"
    """GCANet, or dilated_stack: one convolution, dilated layers, and a 1x1 convolution that predicts the difference to
    the image, such as its noise."""
    smoothing: Method = "none"
    """Degridding of the dilated convolutions; none is the baseline, ss_conv the published GCANet, and multigrid, other
    rates, is for dilated_stack."""
    task: RestorationTask = "dehaze"
    """Task of GCANet, which sets what it predicts: the difference to the image (dehaze), or the restored image
    (derain)."""
    width: int = 64
    """Channels of all layers; 64 is the published GCANet."""
    stem: Literal[1, 3, 5] = 1
    """Taps along each axis of the first convolution of dilated_stack: how far neighbours mix before the dilated
    layers."""
    rates: tuple[int, ...] = (2, 2, 2, 4)
    """Dilation rates of dilated_stack, one for each layer."""
    precision: Precision = "float32"
    """Precision of the convolutions; parameters, normalisation and loss stay float32."""

    def validate(self) -> None:
        """See `RunConfig`."""
        require_at_least_one(model__width=self.width)
        shown = " ".join(map(str, self.rates)) or "none"
        require(
            1 <= len(self.rates) <= _DEEPEST and min(self.rates) >= 1,
            f"--model.rates must be 1 to {_DEEPEST} ints from 1 on, got {shown}: try 2 2 2 4",
        )
        if self.smoothing != "multigrid":
            return
        require(
            self.network == "dilated_stack",
            f"--model.smoothing (--methods) multigrid changes the rates of dilated_stack, got it with --model.network "
            f"{self.network}, whose rates are fixed: leave it out, or add --model.network dilated_stack",
        )
        require(
            min(self.rates) >= 2,
            f"--model.smoothing (--methods) multigrid needs --model.rates of 2 or more, got {shown}: leave it out, or "
            "try 2 2 2 4",
        )


@dataclass(frozen=True)
class DataConfig:
    """The images."""

    name: DataName = "folder"
    """Data set: drawn shapes in haze, a folder {train,val,test}/{degraded,clean} of pairs, or haze or noise on clean
    images."""
    root: Path | None = None
    """Folder of the images. For haze and noise: {train,val,test} with images in them (or in their clean or images), or
    just images; of every ten, the first is for validation and the second for testing. Shapes need none."""
    crop_size: tuple[int, int] = (256, 256)
    """Height and width of training images in pixels."""
    mirror: bool = True
    """Whether training images are mirrored at random."""
    check: bool = True
    """Whether all files of train and val are read once before training."""
    train_images: int = 2048
    """Number of drawn training images (shapes)."""
    val_images: int = 64
    """Number of drawn images of the other splits (shapes)."""
    image_size: tuple[int, int] = (64, 64)
    """Height and width of drawn images in pixels (shapes)."""

    def validate(self) -> None:
        """See `RunConfig`."""
        require_at_least_one(data__train_images=self.train_images, data__val_images=self.val_images)
        require(
            min(self.crop_size) >= SMALLEST,
            f"--data.crop-size must be at least {SMALLEST} {SMALLEST} pixels, got {self.crop_size[0]} "
            f"{self.crop_size[1]}: SSIM compares windows of that size",
        )
        require(
            self.name != "shapes" or min(self.image_size) >= 32,
            f"--data.image-size must be at least 32 32, to show the shapes, got {self.image_size[0]} "
            f"{self.image_size[1]}: try 64 64",
        )


@dataclass(frozen=True)
class HazeConfig:
    """Synthetic haze: I = J t + A (1 - t), t = exp(-beta d), with a smooth random depth d; the options are ranges."""

    airlight: tuple[float, float] = (0.7, 1.0)
    """Smallest and largest A, the grey of infinitely thick haze; 1 is white."""
    beta: tuple[float, float] = (0.6, 1.8)
    """Smallest and largest beta, the thickness of the haze, in 1 / (unit of depth)."""
    depth: tuple[float, float] = (0.2, 1.2)
    """Depth of the nearest and the farthest point of every image, in any unit."""

    def validate(self) -> None:
        """See `RunConfig`."""
        for name, top in (("airlight", 1.0), ("beta", math.inf), ("depth", math.inf)):
            low, high = getattr(self, name)
            limit = "" if math.isinf(top) else f" <= {top:g}"
            require(
                0 <= low <= high <= top and math.isfinite(high),
                f"--haze.{name} must be two numbers 0 <= low <= high{limit}, got {low:g} {high:g}",
            )


@dataclass(frozen=True)
class NoiseConfig:
    """White Gaussian noise: independent values for all pixels and channels, neither clipped nor rounded."""

    sigma: float = 25.0
    """Standard deviation, in units of 0 .. 255."""

    def validate(self) -> None:
        """See `RunConfig`."""
        require(
            0 < self.sigma <= 255, f"--noise.sigma must be above 0 and at most 255, got {self.sigma:g}: 25 is usual"
        )


@dataclass(frozen=True)
class Config(AdamRun):
    """One run."""

    study: ClassVar[str] = "restoration"
    read_by: ClassVar[ReadBy] = {
        **dict.fromkeys(("data.root", "data.check"), _IN_FILES),
        **dict.fromkeys(("data.train_images", "data.val_images", "data.image_size"), ("shapes",)),
        **dict.fromkeys(("haze.airlight", "haze.beta", "haze.depth"), ("shapes", "haze")),
        "noise.sigma": ("noise",),
    }
    network_read_by: ClassVar[ReadBy] = {
        "model.task": ("gcanet",),
        **dict.fromkeys(("model.stem", "model.rates"), ("dilated_stack",)),
    }
    scores: ClassVar[tuple[Score, ...]] = (
        Score("PSNR dB", ("psnr",), digits=2),
        Score("SSIM", ("ssim",), digits=3),
    )
    size: ClassVar[tuple[str, str]] = ("extra_parameters", "extra parameters")

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    haze: HazeConfig = field(default_factory=HazeConfig)
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    optim: AdamConfig = field(default_factory=lambda: AdamConfig(learning_rate=0.01))
    """Adam, whose rate falls to 0 along a cosine; our choice."""
    init: RunInit = field(default_factory=RunInit)
    batch_size: int = 16
    """Images in an update, over all devices."""
    eval_batch_size: int = 1
    """Images evaluated together, over all devices, rounded up to a multiple of their number; images are evaluated
    whole, grouped by size."""

    def validate(self) -> None:
        """See `RunConfig`."""
        super().validate()
        self.model.validate()
        self.data.validate()
        self.haze.validate()
        self.noise.validate()
        self.optim.validate()

    @property
    def own_data(self) -> bool:
        """See `RunConfig`."""
        return self.data.name in _IN_FILES


# Recipes: each is a difference from the defaults, and a lab note.
DEMO = Preset(
    Config(
        model=ModelConfig(width=12),
        data=DataConfig(name="shapes", crop_size=(64, 64)),
        optim=AdamConfig(learning_rate=0.02),
        steps=200,
        batch_size=8,
        eval_batch_size=8,
        evaluate_every=100,
        checkpoint_every=100,
    ),
    "a small GCANet on drawn shapes in haze; less than a minute a method on two cores",
)

FOLDER = Preset(
    Config(data=DataConfig(name="folder")),
    "pairs {train,val,test}/{degraded,clean} of images of the same names, --data.root FOLDER; for a GPU",
)

HAZE = Preset(
    Config(data=DataConfig(name="haze")),
    "synthetic haze on any folder of clean images, --data.root FOLDER; for a GPU",
)

NOISE = Preset(
    Config(
        model=ModelConfig(network="dilated_stack", width=32, stem=3, rates=(2, 2, 2, 4)),
        data=DataConfig(name="noise", crop_size=(48, 48)),
        optim=AdamConfig(learning_rate=0.005),
        steps=400,
        batch_size=8,
        evaluate_every=400,
        checkpoint_every=200,
    ),
    "white Gaussian noise on any folder of clean images, --data.root FOLDER; 32 runs of one to two minutes on one core",
    "A full-resolution stack of dilated layers predicts the noise, as plain ones do in DnCNN (Zhang et al., 2017). "
    "Noise of sigma 25 is neither clipped nor rounded, as is usual, and evaluations draw the same for every run. The "
    "recipe is ours: four layers behind a 3x3 convolution see 23 x 23 pixels. Of 16 channels too few carry the noise "
    "of all colours: after 120 steps the baseline still had most of it in one colour, in three of four seeds, and on 8 "
    "images of CamVid it ended at 24.9 dB after 400 steps, with 32 channels at 29.1 dB (one seed). Scores are computed "
    "at the end only, since whole images take longer to score than some steps to train.",
    methods=("none", "multigrid", "group_interaction", "ss_conv"),
    seeds=tuple(range(8)),
)

PRESETS = {"demo": DEMO, "folder": FOLDER, "haze": HAZE, "noise": NOISE}
