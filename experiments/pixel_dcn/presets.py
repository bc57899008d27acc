"""Recipes by name: each is a difference from the defaults, and a lab note."""

from ..common.cli import Preset
from ..tables.recipes import recipe
from .config import Config, DataConfig, ModelConfig, OptimizerConfig

DEMO = Preset(
    Config(
        model=ModelConfig(width=16, depth=4),
        data=DataConfig(name="shapes", image_size=(64, 64), size=(64, 64), mirror=True),
        steps=500,
        batch_size=8,
        eval_batch_size=8,
        evaluate_every=100,
        checkpoint_every=100,
    ),
    "a small U-Net on drawn shapes; about a minute a method on two cores",
)

CAMVID = Preset(
    Config(data=DataConfig(name="camvid", mirror=True), steps=20000),
    "CamVid street scenes at 256x256, U-Net from scratch, --data.root FOLDER",
)

# Sec. 3.1. The paper tells no schedule, but speaks of 100 epochs as many: of the 1464 images of train, two in a batch.
VOC2012_UNET = Preset(
    Config(data=DataConfig(name="voc2012", train_split="train"), steps=73200, evaluate_every=7320),
    "PASCAL VOC 2012, U-Net from scratch as in Table 1, --data.root FOLDER",
    recipe("pixel_dcn", "voc2012-unet"),
)
"""Table 1, rows 1 to 3. `train voc2012-unet --help` has command, time and published scores, and so for the others."""

# Sec. 3.1: twice the channels. The length is ours.
COCO_UNET = Preset(
    Config(model=ModelConfig(width=128), data=DataConfig(name="coco2015"), steps=200000, evaluate_every=20000),
    "MS-COCO, U-Net of twice the width from scratch as in Table 1, --data.root FOLDER",
    recipe("pixel_dcn", "coco-unet"),
)
"""Table 1, rows 4 to 6."""

# Sec. 3.1 and Table 1. The paper tells neither rate, batch nor length of fine-tuning: ours.
VOC2012_DEEPLAB = Preset(
    Config(
        model=ModelConfig(network="deeplab"),
        data=DataConfig(name="voc2012", mirror=True),
        optim=OptimizerConfig(learning_rate=0.0001, power=0.9),
        batch_size=8,
    ),
    "PASCAL VOC 2012, DeepLab of Table 1 in a recipe of ours; its weights: --init.source deeplab, --data.root FOLDER",
    recipe("pixel_dcn", "voc2012-deeplab"),
)
"""Table 1, rows 7 to 9: DeepLab with three up-sampling blocks, fine-tuned from its weights: --init.source deeplab."""

PRESETS = {
    "demo": DEMO,
    "camvid": CAMVID,
    "voc2012-unet": VOC2012_UNET,
    "coco-unet": COCO_UNET,
    "voc2012-deeplab": VOC2012_DEEPLAB,
}
