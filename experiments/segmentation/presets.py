"""Recipes by name: each is a difference from the defaults, and a lab note."""

from ..common.cli import Preset
from ..tables.recipes import recipe
from .config import Config, DataConfig, ModelConfig, OptimizerConfig, Rates


def _same_rate(rate: float) -> Rates:
    return Rates(none=rate, multigrid=rate, group_interaction=rate, ss_conv=rate)


# From scratch the encoder needs a large rate, at which the paper's factors for the head diverge: a new head above a
# new encoder learns at a tenth of its rate. Found on drawn shapes (0.01 to 0.1, baseline).
_FROM_SCRATCH = OptimizerConfig(rates=_same_rate(0.05), head_kernel_multiplier=0.1, head_bias_multiplier=0.1)


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
)

CAMVID = Preset(
    Config(
        model=ModelConfig(encoder="resnet18"),
        data=DataConfig(name="camvid", crop_size=(321, 321)),
        optim=_FROM_SCRATCH,
        steps=20000,
        batch_size=8,
    ),
    "CamVid street scenes from scratch, 360x480, --data.root FOLDER; hours on a GPU",
)

FOLDER = Preset(
    Config(
        model=ModelConfig(encoder="resnet18"),
        data=DataConfig(name="folder"),
        optim=_FROM_SCRATCH,
        batch_size=8,
    ),
    "your own {train,val,test}/{images,labels} and classes.yaml, --data.root FOLDER",
)

# Sec. 4.2. The published rates assume pre-trained encoders.
VOC2012 = Preset(
    Config(data=DataConfig(name="voc2012")),
    "PASCAL VOC 2012 as in Tables 2 and 4 (no MS-COCO), --data.root FOLDER",
    recipe("segmentation", "voc2012"),
)
"""Tables 2 (ASPP) and 4 (--model.head large_fov), from weights of a classification network: --init.source slim or
torchvision. `train voc2012 --help` has commands, times and published scores, and so for the other recipes."""

VOC2012_COCO = Preset(
    Config(data=DataConfig(name="voc2012"), optim=OptimizerConfig(rates=Rates(ss_conv=0.001))),
    "PASCAL VOC 2012 as in Tables 1 and 3 (rates for MS-COCO initialisation), --data.root FOLDER",
    recipe("segmentation", "voc2012-coco"),
)
"""Tables 1 (ASPP) and 3 (--model.head large_fov), from DeepLab's weights, trained on MS-COCO: --init.source deeplab."""

# Sec. 4.3.
CITYSCAPES = Preset(
    Config(
        data=DataConfig(name="cityscapes", crop_size=(571, 571)),
        optim=OptimizerConfig(rates=_same_rate(0.0005)),
        batch_size=3,
        eval_batch_size=1,
    ),
    "Cityscapes as in Tables 5 and 6, --data.root FOLDER",
    recipe("segmentation", "cityscapes"),
)
"""Tables 5 (--init.source deeplab, trained on MS-COCO) and 6 (slim or torchvision), both with ASPP."""

PRESETS = {
    "demo": DEMO,
    "camvid": CAMVID,
    "folder": FOLDER,
    "voc2012": VOC2012,
    "voc2012-coco": VOC2012_COCO,
    "cityscapes": CITYSCAPES,
}
