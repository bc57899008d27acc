"""Recipes by name: each is a difference from the defaults, and a lab note."""

from ..common.cli import Preset
from .config import Config, DataConfig, ModelConfig, OptimizerConfig

DEMO = Preset(
    Config(
        model=ModelConfig(width=12),
        data=DataConfig(name="shapes", crop_size=(64, 64)),
        optim=OptimizerConfig(learning_rate=0.02),
        steps=300,
        batch_size=8,
        eval_batch_size=8,
        evaluate_every=100,
        checkpoint_every=150,
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
