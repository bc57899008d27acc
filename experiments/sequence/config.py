"""The configuration of a run: frozen, typed, and free of JAX imports, so that `--help` answers at once."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from smoothjax.names import CausalSmoothing

from ..common.adam import AdamConfig, AdamRun
from ..common.config import Precision, Preset, RunInit, require
from ..common.given import ReadBy
from ..common.table import Score

Method = CausalSmoothing


@dataclass(frozen=True)
class ModelConfig:
    """The network: residual blocks of causal dilated convolutions of rates 1, 2, 4, ..."""

    smoothing: Method = "none"
    """Smoothing of the dilated convolutions; none is the baseline."""
    width: int = 32
    """Channels of all blocks."""
    depth: int = 6
    """Number of blocks; the last one has the rate 2^(depth - 1)."""
    kernel_size: Literal[2, 3] = 2
    """Taps of the dilated convolutions."""
    precision: Precision = "float32"
    """Precision of convolutions and linear layers; parameters, normalisation and loss stay float32."""

    def validate(self) -> None:
        """See `RunConfig`."""
        require(self.width >= 1, f"--model.width must be at least 1 channel, got {self.width}: try 32")
        require(
            2 <= self.depth <= 16,
            f"--model.depth must be 2 .. 16 blocks, got {self.depth}: with 2 taps, 2^depth steps are seen",
        )


@dataclass(frozen=True)
class DataConfig:
    """The task."""

    name: Literal["copy", "adding", "text"] = "copy"
    """copy: repeat symbols after a delay; adding: add two marked numbers; text: predict the next character of a file.
    The first two are drawn on the fly."""
    file: Path | None = None
    """text: a file in UTF-8."""
    symbols: int = 10
    """copy: number of symbols to repeat."""
    alphabet: int = 8
    """copy: number of different symbols."""
    delay: int = 44
    """copy: steps between the last symbol and its first repetition; the last of these steps is the signal to repeat."""
    length: int = 64
    """adding, text: steps of a training example."""
    val_examples: int = 512
    """copy, adding: examples in the validation split and in the test split."""
    val_share: float = 0.1
    """text: share of the file, at its end, that is kept for validation."""

    def validate(self) -> None:
        """See `RunConfig`."""
        require(self.symbols >= 1, f"--data.symbols must be at least 1, got {self.symbols}: try 10")
        require(self.alphabet >= 2, f"--data.alphabet must be at least 2 different symbols, got {self.alphabet}: try 8")
        require(self.delay >= 1, f"--data.delay must be at least 1 step, that of the signal, got {self.delay}: try 44")
        require(self.length >= 4, f"--data.length must be at least 4 steps, got {self.length}: try 64")
        require(self.val_examples >= 1, f"--data.val-examples must be at least 1, got {self.val_examples}: try 512")
        require(
            0 < self.val_share < 1, f"--data.val-share must be between 0 and 1, got {self.val_share}: 0.1 is a tenth"
        )
        require(
            self.name != "text" or self.file is not None,
            "--data.file must name the text to learn from, got none: add --data.file FILE, any text in UTF-8",
        )


@dataclass(frozen=True)
class Config(AdamRun):
    """One run."""

    study: ClassVar[str] = "sequence"
    read_by: ClassVar[ReadBy] = {
        **dict.fromkeys(("data.symbols", "data.alphabet", "data.delay"), ("copy",)),
        "data.length": ("adding", "text"),
        "data.val_examples": ("copy", "adding"),
        **dict.fromkeys(("data.file", "data.val_share"), ("text",)),
    }
    scores: ClassVar[tuple[Score, ...]] = (
        Score("bits or squared error", ("score",), digits=4, lower=True),
        Score("accuracy %", ("accuracy",), 100),
    )
    size: ClassVar[tuple[str, str]] = ("smoothing_parameters", "smoothing parameters")

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optim: AdamConfig = field(default_factory=AdamConfig)
    """Adam, whose rate falls to 0 along a cosine; the gradient's norm is clipped to 1."""
    init: RunInit = field(default_factory=RunInit)
    steps: int = 2000
    """Length of the run in updates."""
    batch_size: int = 32
    """Sequences in an update, over all devices."""
    eval_batch_size: int = 64
    """Sequences evaluated together, over all devices; rounded up to a multiple of their number."""

    @property
    def own_data(self) -> bool:
        """See `RunConfig`."""
        return self.data.name == "text"

    @property
    def splits(self) -> tuple[str, ...]:
        """See `RunConfig`: a text has no test."""
        return ("train", "val") if self.data.name == "text" else super().splits

    def validate(self) -> None:
        """See `RunConfig`."""
        super().validate()
        self.model.validate()
        self.data.validate()
        self.optim.validate()


# Recipes: each is a difference from the defaults, and a lab note.
# Eight channels carry 32 symbols: every method is far better than guessing, but none solves the task at once.
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
