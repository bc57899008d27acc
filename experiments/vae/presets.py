"""Recipes by name: each is a difference from the defaults, and a lab note."""

from ..common.cli import Preset
from .config import Config, DataConfig, ModelConfig

DEMO = Preset(
    Config(
        model=ModelConfig(width=16, latent_features=64),
        data=DataConfig(name="shapes"),
        steps=500,
        batch_size=32,
        evaluate_every=100,
        checkpoint_every=250,
    ),
    "a small auto-encoder of drawn shapes; about a minute a method on two cores",
)

CELEBA = Preset(
    Config(steps=20000, checkpoint_every=1000),
    "CelebA, cropped to the face, --data.root FOLDER_OR_ZIP; an hour or so on a GPU",
)

PRESETS = {"demo": DEMO, "celeba": CELEBA}
