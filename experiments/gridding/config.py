"""The cases of the study: frozen, typed, and free of JAX imports, so that `--help` answers at once."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from smoothjax.names import Smoothing

from ..common.config import require, require_positive
from ..common.methods import RELATIVE_LABELS, SMOOTHING_LABELS

Objects = Literal["both", "thin", "massive"]

#: The smoothings of the library; the first is the baseline.
METHODS: tuple[Smoothing, ...] = get_args(Smoothing)
BASELINE: Smoothing = METHODS[0]

LABELS: Mapping[str, str] = {**SMOOTHING_LABELS, **RELATIVE_LABELS}


@dataclass(frozen=True)
class Case:
    """One condition, under which every method is trained with every seed.

    Attributes:
      stem: taps along each axis of the only convolution before the dilated ones: how far it mixes neighbours.
      stride: stride of that convolution, in pixels; the logits are up-sampled again.
      rates: rates of the dilated 3x3 convolutions, in cells of the stem's output; their number is the depth.
      noise: standard deviation of the noise of every pixel and channel; colours are between 0 and 1.
      objects: objects drawn: wires, disks and squares, or both.
    """

    stem: Literal[1, 3, 5] = 1
    stride: Literal[1, 2] = 1
    rates: tuple[int, ...] = (2, 2, 2, 4, 4, 4)
    noise: float = 0.6
    objects: Objects = "both"

    @property
    def front(self) -> str:
        """The layer before the dilated ones, as in "3x3, stride 2"."""
        return f"{self.stem}x{self.stem}" + (f", stride {self.stride}" if self.stride > 1 else "")

    @property
    def condition(self) -> str:
        """The rest of the condition, as in "rates 2,2,2, noise 0.6, both"."""
        return f"rates {','.join(map(str, self.rates))}, noise {self.noise:g}, {self.objects}"

    @property
    def name(self) -> str:
        """A name for files."""
        return "-".join(
            [
                f"stem{self.stem}",
                f"stride{self.stride}",
                f"rates{'.'.join(map(str, self.rates))}",
                f"noise{self.noise:g}",
                self.objects,
            ]
        )


@dataclass(frozen=True)
class Training:
    """How every network is trained, the same in all cases."""

    steps: int = 100
    """Updates; the rate of Adam falls to 0 along a cosine, the gradient's norm is clipped to 1."""
    batch_size: int = 4
    """Pictures in an update; none is seen twice."""
    learning_rate: float = 0.005
    """Initial rate, the same for all methods."""
    width: int = 16
    """Channels of all layers."""
    size: int = 48
    """Height and width of the pictures in pixels."""
    test_pictures: int = 64
    """Test pictures, drawn from the seed of the network."""

    def validate(self) -> None:
        """Raises ValueError if an option is out of range."""
        require_positive(
            training__steps=self.steps,
            training__batch_size=self.batch_size,
            training__learning_rate=self.learning_rate,
            training__width=self.width,
            training__test_pictures=self.test_pictures,
        )
        require(
            self.size >= 16 and self.size % 4 == 0,
            f"--training.size must be a multiple of 4 of at least 16 pixels, got {self.size}: try 48",
        )


@dataclass(frozen=True)
class Config:
    """A ladder of cases."""

    methods: tuple[Smoothing, ...] = METHODS
    """Methods to compare; none, the baseline, is always trained."""
    seeds: int = 5
    """Number of seeds, 0, 1, ...: each has its own pictures, initial weights and test, the same for all methods."""
    training: Training = field(default_factory=Training)

    def validate(self) -> None:
        """Raises ValueError if an option is out of range."""
        require(self.seeds >= 2, f"--seeds must be at least 2, got {self.seeds}: one pair has no interval")
        require(
            any(method != BASELINE for method in self.methods),
            f"--methods must name a method beside {BASELINE}, got {', '.join(self.methods)}: add ss_conv",
        )
        require(len(set(self.methods)) == len(self.methods), "--methods names a method twice: name each once")
        self.training.validate()

    @property
    def arms(self) -> tuple[Smoothing, ...]:
        """The methods in the order of all tables, the baseline first."""
        return tuple(method for method in METHODS if method in (BASELINE, *self.methods))


@dataclass(frozen=True)
class Preset:
    """A list of cases, the most informative first, with a configuration and a line about them."""

    cases: tuple[Case, ...]
    config: Config
    note: str


#: The layers before the dilated ones: the columns of the heat map.
FRONTS: tuple[Case, ...] = (Case(), Case(stem=3), Case(stem=5), Case(stem=3, stride=2))

#: The rows of the heat map: the usual condition, and one change at a time.
CONDITIONS: tuple[Case, ...] = (
    Case(),
    Case(noise=1.0),
    Case(noise=0.2),
    Case(objects="thin"),
    Case(objects="massive"),
    Case(rates=(2, 2, 2)),
    Case(rates=(1, 2, 3, 3, 4, 5)),
)

LADDER: tuple[Case, ...] = tuple(
    replace(condition, stem=front.stem, stride=front.stride) for condition in CONDITIONS for front in FRONTS
)

PAPER: tuple[Smoothing, ...] = ("none", "group_interaction", "ss_conv")

PRESETS: Mapping[str, Preset] = {
    "demo": Preset(
        (Case(), Case(stem=3)),
        Config(methods=("none", "ss_conv"), seeds=3),
        "SS convolution behind a 1x1 and a 3x3 stem, three seeds; three minutes on one core, less on two",
    ),
    "paper": Preset(
        LADDER,
        Config(methods=PAPER),
        "all 28 cases with the two methods of the paper, five seeds; a case takes some three minutes on one core",
    ),
    "ladder": Preset(LADDER, Config(), "all 28 cases with all methods, five seeds"),
}
