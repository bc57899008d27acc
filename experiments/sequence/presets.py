"""Recipes by name: each is a difference from the defaults, and a lab note."""

from ..common.cli import Preset
from .config import Config, DataConfig, ModelConfig

# Eight channels carry 32 symbols: every method is far better than guessing, and none is done at once.
DEMO = Preset(
    Config(
        model=ModelConfig(width=8),
        data=DataConfig(alphabet=32),
        steps=1500,
        evaluate_every=250,
        checkpoint_every=1000,
        log_every=50,
    ),
    "copy ten symbols after a delay of 44 steps; half a minute a method on two cores",
)

ADDING = Preset(
    Config(
        data=DataConfig(name="adding"),
        steps=2000,
        evaluate_every=250,
        checkpoint_every=1000,
        log_every=50,
    ),
    "add two marked numbers among 64; half a minute a method on two cores",
)

TEXT = Preset(
    Config(
        model=ModelConfig(width=64, depth=7),
        data=DataConfig(name="text", length=128),
        steps=2000,
        evaluate_every=500,
        log_every=50,
    ),
    "the next character of your own text, --data.file FILE; some three minutes a method on two cores",
)

PRESETS = {"demo": DEMO, "adding": ADDING, "text": TEXT}
