"""Recipes by name: each is a difference from the defaults, and a lab note."""

from ..common.cli import Preset
from ..tables.recipes import faces
from .config import Config, DataConfig, ModelConfig

DEMO = Preset(
    Config(
        model=ModelConfig(width=16),
        data=DataConfig(name="shapes"),
        steps=800,
        batch_size=16,
        evaluate_every=200,
        checkpoint_every=400,
    ),
    "a small auto-encoder of drawn shapes; about a minute a method on two cores",
)

CELEBA = Preset(
    Config(
        model=ModelConfig(width=16, latent_features=32),
        steps=2000,
        batch_size=32,
        evaluate_every=500,
    ),
    "CelebA, cropped to the face, prepared or --data.root FOLDER_OR_ZIP; some six minutes a method on two cores",
    faces,
)
"""Fig. 9: DCL against PixelDCL. `train celeba --help` has the command, and what is published."""

PRESETS = {"demo": DEMO, "celeba": CELEBA}
