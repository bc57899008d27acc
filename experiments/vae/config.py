"""The configuration of a run: frozen, typed, and free of JAX imports, so that `--help` answers at once."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from smoothjax.names import Likelihood, PhaseOrder, Upsampling

from ..common.adam import AdamConfig, AdamRun
from ..common.config import Precision, Preset, RunInit, require, require_at_least_one, require_positive
from ..common.given import ReadBy
from ..common.methods import check_order
from ..common.recipe import NOT_MEASURED
from ..common.table import Score

Method = Upsampling


@dataclass(frozen=True)
class ModelConfig:
    """The network: a convolutional variational auto-encoder of 64x64 images."""

    upsampling: Method = "dcl"
    """Up-sampling layers of the decoder; dcl is the baseline, fast_pixel_dcl is called PixelDCL in the paper."""
    order: PhaseOrder | None = None
    """Order of the phases of ipixel_dcl and pixel_dcl: figure, the default, is that of Fig. 6 and the authors' code;
    equations makes one phase after another (Eqs. 2 and 3). Other layers have no order."""
    latent_features: int = 64
    """Size of the latent vector."""
    width: int = 32
    """Channels of the first level, doubled at each of the next three."""
    likelihood: Likelihood = "gaussian"
    """Likelihood of the pixels: Gaussian, of dequantised values, or discretised logistic, of the 8-bit values."""
    precision: Precision = "float32"
    """Precision of the convolutions; parameters, batch statistics and loss stay float32."""


@dataclass(frozen=True)
class DataConfig:
    """The images, at 64x64."""

    name: Literal["shapes", "celeba"] = "celeba"
    """Data set: drawn shapes, or the aligned faces of CelebA."""
    root: Path | None = None
    """Prepared CelebA, or img_align_celeba.zip or its folder with the partition; by default data/celeba, prepared."""
    mirror: bool = True
    """Whether training images are mirrored at random."""
    train_images: int = 4096
    """Number of drawn training images (shapes)."""
    val_images: int = 256
    """Number of drawn images of the other splits (shapes)."""


@dataclass(frozen=True)
class OptimizerConfig(AdamConfig):
    """Adam, whose rate falls to 0 along a cosine. The paper gives neither optimiser nor rate; these are ours."""

    scale_multiplier: float = 10.0
    """Factor of the rate for the single scale of the likelihood, which has far to go."""
    beta: float = 1.0
    """Weight of the divergence from the prior in the loss; 1 is the ELBO. Results are always scored with 1."""

    def validate(self) -> None:
        """See `AdamConfig`."""
        super().validate()
        require_positive(optim__scale_multiplier=self.scale_multiplier)
        require(
            0 <= self.beta < float("inf"),
            f"--optim.beta must be finite and not negative, got {self.beta}: 1 is the ELBO",
        )


@dataclass(frozen=True)
class Config(AdamRun):
    """One run."""

    study: ClassVar[str] = "vae"
    baseline: ClassVar[str] = "dcl"
    read_by: ClassVar[ReadBy] = {
        "data.root": ("celeba",),
        **dict.fromkeys(("data.train_images", "data.val_images"), ("shapes",)),
    }
    scores: ClassVar[tuple[Score, ...]] = (
        Score("ELBO, nats", ("elbo",)),
        Score("bits / dim", ("bits_per_dimension",), digits=3, lower=True),
        Score("PSNR dB", ("psnr",), digits=2),
        Score("SSIM", ("ssim",), digits=3),
        Score("checkerboard of samples", ("checkerboard",), digits=2, lower=True),
    )
    size: ClassVar[tuple[str, str]] = ("upsampling_parameters", "up-sampling parameters")
    compared: ClassVar[str] = "model.upsampling"

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimizerConfig = field(default_factory=OptimizerConfig)
    init: RunInit = field(default_factory=RunInit)
    batch_size: int = 64
    """Images in an update, over all devices."""
    eval_batch_size: int = 64
    """Images evaluated together, over all devices; rounded up to a multiple of their number."""

    def check_method(self) -> None:
        """See `RunConfig`."""
        check_order(self.model.upsampling, self.model.order)

    def validate(self) -> None:
        """See `RunConfig`."""
        super().validate()
        require_at_least_one(
            model__latent_features=self.model.latent_features,
            model__width=self.model.width,
            data__train_images=self.data.train_images,
            data__val_images=self.data.val_images,
        )
        self.optim.validate()


# Recipes: each is a difference from the defaults, and a lab note.
DEMO = Preset(
    Config(
        model=ModelConfig(width=16),
        data=DataConfig(name="shapes"),
        steps=400,
        batch_size=16,
        evaluate_every=100,
        checkpoint_every=200,
    ),
    "a small auto-encoder of drawn shapes; about a minute a method on two cores",
    "Batch normalization is trained: the network starts from random weights. This recipe is ours.",
)

CELEBA = Preset(
    Config(
        model=ModelConfig(width=16, latent_features=32),
        steps=2000,
        batch_size=32,
        evaluate_every=500,
    ),
    "CelebA, cropped to the face, prepared or --data.root FOLDER_OR_ZIP; some six minutes a method on two cores",
    "Fig. 9 of Gao et al. (2017): CelebA, DCL against PixelDCL. Sec. 3.2 gives the task (a standard variational "
    "auto-encoder of faces of 64x64 without their background) and the kernels of the decoder's up-sampling layers: DCL "
    "has one of 6x6, PixelDCL two of 3x3 and one of 2x2, in the authors' code a masked 3x3. Depth, width, latent size, "
    "likelihood, optimizer, rate, batch size and length are ours. Batch normalization is trained: the network starts "
    "from random weights. Expected score: none is published; samples of PixelDCL should show less of a checkerboard. "
    "Time of a run on one GPU: "
    f"{NOT_MEASURED}. Command:\n\npython -m experiments.vae compare celeba --data.root FOLDER --methods dcl "
    "fast_pixel_dcl --seeds 0 1 2",
)
"""Fig. 9: DCL against PixelDCL. `train celeba --help` lists the paper's values, and has the command."""

PRESETS = {"demo": DEMO, "celeba": CELEBA}
