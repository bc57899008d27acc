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

Method = Literal["none", "group_interaction", "ss_conv"]
DataName = Literal["shapes", "folder", "haze"]

#: Height and width of an image, at least: SSIM compares windows of this size.
SMALLEST = 11


@dataclass(frozen=True)
class ModelConfig:
    """The network: GCANet."""

    smoothing: Method = "none"
    """Smoothing of the twelve dilated convolutions; none is the baseline, ss_conv the published network."""
    task: RestorationTask = "dehaze"
    """Task, which sets what the network predicts: the difference to the image (dehaze), or the restored image
    (derain)."""
    width: int = 64
    """Channels of all layers; 64 is the published network."""
    precision: Precision = "float32"
    """Precision of the convolutions; parameters, instance normalisation and loss stay float32."""


@dataclass(frozen=True)
class DataConfig:
    """The images."""

    name: DataName = "folder"
    """Data set: drawn shapes in haze, a folder {train,val,test}/{degraded,clean} of pairs, or haze on clean images."""
    root: Path | None = None
    """Folder of the images. For haze: {train,val,test} with images in them (or in their clean or images), or just
    images; of every ten, the first is for validation and the second for testing. Shapes need none."""
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
class Config(AdamRun):
    """One run."""

    study: ClassVar[str] = "restoration"
    read_by: ClassVar[ReadBy] = {
        **dict.fromkeys(("data.root", "data.check"), ("folder", "haze")),
        **dict.fromkeys(("data.train_images", "data.val_images", "data.image_size"), ("shapes",)),
        **dict.fromkeys(("haze.airlight", "haze.beta", "haze.depth"), ("shapes", "haze")),
    }
    scores: ClassVar[tuple[Score, ...]] = (
        Score("PSNR dB", ("psnr",), digits=2),
        Score("SSIM", ("ssim",), digits=3),
    )
    size: ClassVar[tuple[str, str]] = ("extra_parameters", "extra parameters")
    compared: ClassVar[str] = "model.smoothing"

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    haze: HazeConfig = field(default_factory=HazeConfig)
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
        require_at_least_one(model__width=self.model.width)
        self.data.validate()
        self.haze.validate()
        self.optim.validate()

    @property
    def own_data(self) -> bool:
        """See `RunConfig`."""
        return self.data.name in ("folder", "haze")


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

PRESETS = {"demo": DEMO, "folder": FOLDER, "haze": HAZE}
