"""The configuration of a run: frozen, typed, and free of JAX imports, so that `--help` answers at once."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal, get_args

from smoothjax.names import OptimizerName, PhaseOrder, ScheduleName, Upsampling

from ..common.config import Preset, RunConfig, require, require_positive
from ..common.dense.config import DeepLabConfig, DenseConfig, ImagesConfig, check_size
from ..common.dense.optim import OptimConfig
from ..common.methods import check_order
from ..common.recipe import WITH_COCO, Recipe

Method = Upsampling


@dataclass(frozen=True)
class ModelConfig(DeepLabConfig):
    """The network: a U-Net, or a DeepLab with three up-sampling blocks, which has more options."""

    network: Literal["unet", "deeplab"] = "unet"
    """U-Net (with the options width, batch-norm and precision), or DeepLab followed by three up-sampling blocks."""
    upsampling: Method = "dcl"
    """Up-sampling layer; dcl is the baseline, fast_pixel_dcl is called PixelDCL in the paper's experiments."""
    order: PhaseOrder | None = None
    """Order of the phases of ipixel_dcl and pixel_dcl: figure, the default, is that of Fig. 6 and the authors' code;
    equations makes one phase after another (Eqs. 2 and 3). Other layers have no order."""
    depth: int = 5
    """Levels of the U-Net; 5 is the published network."""


@dataclass(frozen=True)
class DataConfig(ImagesConfig):
    """The images, resized as a whole."""

    size: tuple[int, int] = (256, 256)
    """Height and width in pixels to which images and labels are resized; results are scored at this size."""
    mirror: bool = False
    """Whether training images are mirrored at random."""


@dataclass(frozen=True)
class OptimizerConfig(OptimConfig):
    """Loss, optimiser and rate; by default cross entropy and Adam at a constant rate. Rate and batch size come from the
    authors' code; the paper does not give them."""

    optimizer: OptimizerName = "adamw"
    """AdamW, which equals Adam without decay, or SGD with momentum and coupled decay."""
    schedule: ScheduleName = "constant"
    """The rate over the steps: constant, poly (falls to 0), one_cycle (up to the rate, then down) or cosine (after a
    warm-up)."""
    learning_rate: float = 0.001  # pyright: ignore[reportIncompatibleVariableOverride]
    """Initial rate; the peak of one_cycle and cosine."""

    def validate(self) -> None:
        """See `OptimConfig`."""
        super().validate()
        require_positive(optim__learning_rate=self.learning_rate)


@dataclass(frozen=True)
class Config(DenseConfig):
    """One run."""

    study: ClassVar[str] = "pixel_dcn"
    baseline: ClassVar[str] = "dcl"
    size: ClassVar[tuple[str, str]] = ("upsampling_parameters", "up-sampling parameters")
    compared: ClassVar[str] = "model.upsampling"

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimizerConfig = field(default_factory=OptimizerConfig)
    batch_size: int = 2
    """Images in an update, over all devices."""

    def validate(self) -> None:
        """See `RunConfig`."""
        super().validate()
        check_size("--data.size", self.data.size)
        require(
            not self.data.augment.balanced,
            "--data.augment.balanced is an option of crops, but this study trains on whole images: leave it out",
        )
        if self.model.network == "deeplab":
            self.model.validate()
            self.check_encoder()
            require(
                self.model.head != "duc",
                "--model.head duc leaves nothing to up-sample, which is what this study compares: take aspp or "
                "large_fov, or see `python -m experiments.segmentation compare --help`",
            )
            require(
                not self.model.is_stack,
                "--model.encoder dilated_stack has outputs of full resolution, which leaves nothing to up-sample: take "
                "resnet18",
            )
        else:
            self._check_unet()

    def _check_unet(self) -> None:
        """Refuses a size that the U-Net cannot halve, and options that it would ignore."""
        require(
            self.init.source in (None, "run"),
            "--init.source is an option of DeepLab, a U-Net has no encoder with published weights: leave it out, take "
            "run, or add --model.network deeplab",
        )
        for name in ("encoder", "head", "head_rates", "smoothing", "stride_in", "stem", "remat"):
            value, option = getattr(self.model, name), name.replace("_", "-")
            require(
                value == getattr(DeepLabConfig(), name),
                f"--model.{option} is an option of DeepLab, got {value} for a U-Net: leave it out, or add "
                "--model.network deeplab",
            )
        require_positive(model__width=self.model.width)
        depth, size = self.model.depth, self.data.size
        require(depth >= 2, f"--model.depth must be at least 2, got {depth}: 5 is the published network")
        step = 2 ** (depth - 1)
        near = " ".join(str(max(1, round(length / step)) * step) for length in size)
        require(
            all(length % step == 0 for length in size),
            f"--data.size must be a multiple of {step}, 2^(depth - 1), along both axes for a U-Net of depth {depth}, "
            f"got {size[0]} {size[1]}: try {near}",
        )

    def check_given(self, preset: RunConfig) -> None:
        """See `RunConfig`; a DeepLab of a preset for U-Nets keeps its depth, unused."""
        require(
            self.model.network == "unet" or not isinstance(preset, Config) or self.model.depth == preset.model.depth,
            f"--model.depth is an option of U-Net, got {self.model.depth} for a DeepLab: leave it out, or add "
            "--model.network unet",
        )
        super().check_given(preset)

    def check_method(self) -> None:
        """See `RunConfig`."""
        check_order(self.model.upsampling, self.model.order)

    @property
    def initial_rate(self) -> float:
        """The initial learning rate of this run."""
        return self.optim.learning_rate


# Recipes: each is a difference from the defaults, and a lab note.
_ROWS = {"DCL": "dcl", "iPixelDCL": "ipixel_dcl", "PixelDCL": "fast_pixel_dcl"}
_NEW = "Batch normalization is trained: the network starts from random weights, which have no statistics to keep."
_PAPERS_UNET = (
    "Sec. 3.1 gives the U-Net (four blocks down, four up; DCL has kernels of 6x6, iPixelDCL four of 3x3, PixelDCL two "
    "of 3x3 and one of 2x2, in the authors' code a masked 3x3) and images of 256x256. From the authors' code come the "
    "layers (up-sampling C to C with batch norm and ReLU behind it, a 3x3 convolution with batch norm at the end), "
    "rate 0.001 and batches of two. Neither gives the channels of the first level: 64 are those of the original U-Net. "
)
DEMO = Preset(
    Config(
        model=ModelConfig(width=16, depth=4),
        data=DataConfig(name="shapes", image_size=(64, 64), size=(64, 64), mirror=True),
        steps=300,
        batch_size=8,
        eval_batch_size=8,
        evaluate_every=100,
        checkpoint_every=100,
    ),
    "a small U-Net on drawn shapes; about a minute a method on two cores",
    f"{_NEW} This recipe is ours.",
)

CAMVID = Preset(
    Config(
        model=ModelConfig(width=16),
        data=DataConfig(name="camvid", size=(128, 160), mirror=True),
        optim=OptimizerConfig(schedule="one_cycle", learning_rate=0.002, loss="cross_entropy + dice"),
        steps=300,
        batch_size=4,
        evaluate_every=300,
        checkpoint_every=100,
    ),
    "CamVid street scenes at 128x160, U-Net of a quarter of the width from scratch, --data.root FOLDER; some three "
    "minutes a method on two cores",
    "The analysis was written down before the first comparison: mean IoU on test is the primary score, with a paired t "
    "test of each layer against DCL over the seeds 0 to 4, and Holm's correction. The rate is one for all layers, and "
    f"nothing is chosen on val. {_NEW} This recipe is ours. Methods from other papers, not measured by this recipe: "
    "sub_pixel_blur, carafe, dysample.",
    methods=("dcl", "ipixel_dcl", "pixel_dcl", "fast_pixel_dcl", "resize_conv", "sub_pixel"),
    seeds=(0, 1, 2, 3, 4),
)

THIN = Preset(
    Config(
        model=ModelConfig(width=8, depth=4),
        data=DataConfig(name="folder", mirror=True),
        optim=OptimizerConfig(schedule="one_cycle", learning_rate=0.005, loss="cross_entropy + dice"),
        steps=150,
        eval_batch_size=1,
        evaluate_every=150,
        checkpoint_every=150,
        primary="mean_dice",
    ),
    "thin structures in your own folder, such as membranes or vessels, at 256x256, --data.root FOLDER",
    "All methods, six seeds. The analysis was written down before the first comparison: mean Dice is the primary "
    f"score, with a paired t test of each method against DCL and Holm's correction. {_NEW}",
    methods=get_args(Method),
    seeds=tuple(range(6)),
)

# Sec. 3.1 does not name the split, but the times of Table 2 imply it. With DCL, 10 epochs take 21,926 s and 2,109
# predictions 162 s: 2,193 s an epoch, 76.8 ms a prediction. With the 1,464 images of train, training would take 1.5 s
# an image, or 19.5 predictions; with the 10,582 of train_aug it takes 207 ms, or 2.7, as a forward and a backward pass
# do. The lists of the authors' code also name SegmentationClassAug. The paper gives no schedule, but calls 100 epochs
# large enough: 100 x 10,582 images in the authors' batches of two.
VOC2012_UNET = Preset(
    Config(data=DataConfig(name="voc2012", train_split="train_aug"), steps=529_100, evaluate_every=52_910),
    "PASCAL VOC 2012, U-Net from scratch as in Table 1, --data.root FOLDER",
    f"{_NEW} {_PAPERS_UNET}Length and split are ours: 100 epochs of the 10,582 images of train_aug, since Sec. 3.1 "
    "calls 100 epochs large enough and the times of Table 2 fit no smaller split. It finds PixelDCL ahead of iPixelDCL "
    "after 50 epochs (--steps 264550) and about equal after 100.",
    (Recipe("pixel-1", "U-Net from scratch, PASCAL VOC 2012", _ROWS, part=("PASCAL 2012", "U-Net")),),
)
"""`train voc2012-unet --help` has command, time and published scores; so do the other recipes."""

COCO_UNET = Preset(
    Config(model=ModelConfig(width=128), data=DataConfig(name="coco2015"), steps=200000, evaluate_every=20000),
    "MS-COCO, U-Net of twice the width from scratch as in Table 1, --data.root FOLDER",
    f"{_NEW} {_PAPERS_UNET}For MS-COCO it doubles the channels. The length is ours.",
    (Recipe("pixel-1", "U-Net from scratch, MS-COCO", _ROWS, part=("MSCOCO 2015", "U-Net")),),
)

VOC2012_DEEPLAB = Preset(
    Config(
        model=ModelConfig(network="deeplab", batch_norm="frozen"),
        data=DataConfig(name="voc2012", mirror=True),
        optim=OptimizerConfig(schedule="poly", learning_rate=0.0001, power=0.9),
        batch_size=8,
    ),
    "PASCAL VOC 2012, DeepLab of Table 1 in a recipe of ours; its weights: --init.source deeplab, --data.root FOLDER",
    "Batch normalization is frozen: statistics, scale and bias stay those of DeepLab's weights, as DeepLabv2 "
    "fine-tunes; the three up-sampling blocks have none. Sec. 3.1 gives the blocks and images of 256x256. Optimizer, "
    "rate, batch size, length and split are ours.",
    (
        Recipe(
            "pixel-1",
            "DeepLab fine-tuned, PASCAL VOC 2012",
            _ROWS,
            weights=WITH_COCO,
            part=("PASCAL 2012", "DeepLab-ResNet"),
        ),
    ),
)
"""DeepLab with three up-sampling blocks, fine-tuned from its weights: --init.source deeplab."""

PRESETS = {
    "demo": DEMO,
    "camvid": CAMVID,
    "thin": THIN,
    "voc2012-unet": VOC2012_UNET,
    "coco-unet": COCO_UNET,
    "voc2012-deeplab": VOC2012_DEEPLAB,
}
