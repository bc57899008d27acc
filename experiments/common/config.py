"""The options that every run has: frozen, typed, and free of JAX imports, so that `--help` answers at once."""

import dataclasses
import functools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, Literal, Self, TypeVar

import tyro

from .given import ReadBy, check_read
from .limits import check_limits
from .recipe import Recipe
from .run_files import CONFIG_FILE
from .table import Score

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# On the command line it is --precision, wherever in the configuration a study keeps it.
Precision = Annotated[Literal["float32", "bf16"], tyro.conf.arg(name="precision", prefix_name=False)]

#: Height and width in pixels, or None. With a plain `tuple[int, int] | None` tyro would read the images that follow as
#: further numbers.
Size = Annotated[
    tuple[int, int] | None,
    tyro.constructors.PrimitiveConstructorSpec(
        nargs=2,
        metavar="H W",
        instance_from_str=lambda words: (int(words[0]), int(words[1])),
        is_instance=lambda value: value is None or isinstance(value, tuple),
        str_from_instance=lambda value: ["none"] if value is None else [str(number) for number in value],
    ),
]

C = TypeVar("C", bound="RunConfig")
R = TypeVar("R", bound="RunConfig", covariant=True)
D = TypeVar("D", bound="DataclassInstance")


@dataclass(frozen=True)
class Init:
    """The source of the initial weights; without one they are random."""

    #: The remedy in errors if one option lacks the other.
    remedy: ClassVar[str] = "name run and the folder of a trained run"

    source: str | None = None
    """Kind of the weights."""
    checkpoint: Path | None = None
    """Place of the weights."""
    take: Literal["latest", "best"] = "latest"
    """Checkpoint to take from a run: latest, or best on the whole validation split, as in evaluate."""

    @property
    def parent(self) -> Path | None:
        """The folder of the run that this one starts from; None if it starts from none."""
        return self.checkpoint if self.source == "run" else None

    @property
    def found(self) -> bool:
        """Whether the source determines the place of the weights, so none has to be given."""
        return False

    def after(self, parent: "Init") -> Self:
        """The same options with those inherited from a run that started with `parent`."""
        del parent  # most studies prepare their inputs in one way
        return self

    def validate(self) -> None:
        """Raises ValueError if one option lacks the other."""
        require(
            self.take == "latest" or self.source == "run",
            f"--init.take {self.take} chooses a checkpoint of a run: add --init.source run --init.checkpoint RUN, or "
            "leave it out",
        )
        require(
            self.source is not None or self.checkpoint is None or not (self.checkpoint / CONFIG_FILE).is_file(),
            f"--init.checkpoint {self.checkpoint} is a run: add --init.source run",
        )
        require(
            self.source != "run" or self.checkpoint is not None,
            "--init.source run starts from a run: add its folder with --init.checkpoint RUN",
        )
        require(
            self.found or (self.source is None) == (self.checkpoint is None),
            f"--init.source and --init.checkpoint go together: {self.remedy}, or leave both out",
        )


@dataclass(frozen=True)
class RunInit(Init):
    """The source of the initial weights: another run; by default they are random."""

    source: Literal["run"] | None = None
    """run: the weights of a trained run of this study, with a new optimizer from step 0."""
    checkpoint: Path | None = None
    """Folder of that run."""


@dataclass(frozen=True)
class RunConfig(ABC):
    """One run; the configuration of each study adds its own options.

    Attributes:
      study: the name of the study, that of its package.
      baseline: the method that the others are compared with.
      read_by: the options that only some data sets read, with their names.
      network_read_by: the options that only some networks (`model.network`) read, with their names.
      scores: the scores that tables show.
      size: an entry of `result.json` about the size of the compared variants, and its heading.
      newer: the options that runs of earlier versions lack, which behaved as their defaults.
      compared: the option whose values are the methods of the study, for most that of the smoothing.
    """

    study: ClassVar[str]
    newer: ClassVar[frozenset[str]] = frozenset()
    compared: ClassVar[str] = "model.smoothing"
    baseline: ClassVar[str] = "none"
    read_by: ClassVar[ReadBy] = {}
    network_read_by: ClassVar[ReadBy] = {}
    scores: ClassVar[tuple[Score, ...]] = ()
    size: ClassVar[tuple[str, str]] = ("parameters", "parameters")

    steps: int = 20000
    """Length of the run in updates."""
    batch_size: int = 10
    """Images in an update, over all devices."""
    accumulate: int = 1
    """Parts of a batch, computed one after the other to save memory; each is normalised separately."""
    eval_batch_size: int = 4
    """Images evaluated together, over all devices; rounded up to a multiple of their number."""
    log_every: int = 20
    """Updates between log lines."""
    evaluate_every: int = 1000
    """Updates between evaluations; a last one follows at the end."""
    evaluate_images: int | None = None
    """Validation images, or sequences, per evaluation during training; by default all. The last evaluation always uses
    all. Only evaluations of all rank checkpoints, so with a number --checkpoint best is the last one."""
    checkpoint_every: int = 500
    """Updates between checkpoints; each evaluation also saves one."""
    patience: int | None = None
    """Evaluations without a better score on val after which a run ends early; by default runs never end early."""
    seed: int = 0
    """Seed of initial weights, order and augmentation. On one machine, the same seed gives the same result."""
    wandb: str | None = None
    """Project of Weights & Biases for optional logging of scalars and pictures; needs the extra wandb."""
    init: Init = field(default_factory=Init)

    @property
    def method(self) -> str:
        """The name of this run's method."""
        section, _, option = self.compared.partition(".")
        return getattr(getattr(self, section), option) if option else getattr(self, section)

    @property
    def ordered_scores(self) -> tuple[Score, ...]:
        """The scores that tables show; the first one is compared and chooses rates."""
        return self.scores

    def after(self, parent: "RunConfig") -> Self:
        """The same configuration with the options inherited from the run that it starts from."""
        return dataclasses.replace(self, init=self.init.after(parent.init))

    def without_newer(self, values: Mapping[str, object]) -> Self:
        """The same configuration with the defaults of newer options that the options of an earlier run lack."""
        missing = self.newer - flat(values).keys()
        return with_options(self, {name: functools.reduce(getattr, name.split("."), type(self)()) for name in missing})

    def with_method(self, method: str) -> Self:
        """The same run with another method."""
        return with_options(self, {self.compared: method})

    @property
    @abstractmethod
    def initial_rate(self) -> float:
        """The initial learning rate of this run."""

    @property
    def own_data(self) -> bool:
        """Whether the data are the user's, so that their name does not identify them."""
        return False

    @property
    def default_split(self) -> str | None:
        """The split to train on if none is given; None if it depends on the prepared splits."""
        return "train"

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that can be scored."""
        return ("train", "val", "test")

    @property
    def set_by_method(self) -> frozenset[str]:
        """Dotted names of other options that the method sets, so the baseline has other values."""
        return frozenset()

    def validate(self) -> None:
        """Refuses invalid options, as far as possible before data are opened and devices are used.

        Raises:
          ValueError: an option is out of range, or does not go with another one; the message has a suggestion.
        """
        check_limits(self)
        self.init.validate()
        names = ("steps", "batch_size", "accumulate", "eval_batch_size", "log_every", "evaluate_every",
                 "checkpoint_every")  # fmt: skip
        require_at_least_one(**{name: getattr(self, name) for name in names})
        require(
            self.evaluate_images is None or self.evaluate_images >= 1,
            f"--evaluate-images must be at least 1, got {self.evaluate_images}: leave it out for the whole split",
        )
        require(
            self.patience is None or self.patience >= 1,
            f"--patience must be at least 1, got {self.patience}: leave it out to train to the end",
        )
        require(
            self.patience is None or self.evaluate_images is None,
            f"--patience compares evaluations of the whole split, got --evaluate-images {self.evaluate_images}: leave "
            "one of them out (--evaluate-images None)",
        )
        require(0 <= self.seed < 2**32, f"--seed must be 0 .. 2^32 - 1, got {self.seed}: try 0")

    def check_given(self, preset: "RunConfig") -> None:
        """Refuses options that this run would ignore, unless the preset has them too.

        Raises:
          ValueError: there is one; the message has a suggestion.
        """
        check_read(self, preset, self.read_by)
        check_read(self, preset, self.network_read_by, by="model.network")

    def check_method(self) -> None:
        """Refuses options that the method of this run would ignore, which other methods of a comparison take.

        Raises:
          ValueError: there is one; the message has a suggestion.
        """
        return  # most studies have no such options


@dataclass(frozen=True)
class Preset(Generic[R]):
    """A configuration with its lab note.

    Attributes:
      config: the configuration.
      note: one line: the data and method, and the time of a run.
      lab_note: which values come from the paper, which are ours, and why; for the help of the preset.
      recipes: the rows of published tables that it fills.
      methods, seeds: defaults of a comparison; if empty, the methods of the study, and the seed.
      following: commands to suggest after a comparison, one per line.
    """

    config: R
    note: str
    lab_note: str = ""
    recipes: tuple[Recipe, ...] = ()
    methods: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    following: tuple[str, ...] = ()

    def describe(self, name: str) -> str:
        """Lab note and recipes under the name of the preset, for its help."""
        study = self.config.study
        return "\n\n".join(filter(None, [self.lab_note, *(recipe.describe(study, name) for recipe in self.recipes)]))


def require(holds: bool, message: str) -> None:
    """Raises ValueError with the message unless the condition holds."""
    if not holds:
        raise ValueError(message)


def require_at_least_one(**values: int) -> None:
    """Raises ValueError unless these options, `model__width` for --model.width, are 1 or more."""
    for name, value in values.items():
        require(value >= 1, f"--{_option(name)} must be at least 1, got {value}: leave it out for the preset's")


def require_positive(**values: float) -> None:
    """Raises ValueError unless these options, `optim__learning_rate` for --optim.learning-rate, are positive."""
    for name, value in values.items():
        require(
            0 < value < float("inf"),
            f"--{_option(name)} must be positive and finite, got {value}: leave it out for the preset's",
        )


def _option(name: str) -> str:
    return name.replace("__", ".").replace("_", "-")


def with_options(config: D, options: Mapping[str, object]) -> D:
    """A configuration with some options replaced, by dotted name."""
    values = {each.name: getattr(config, each.name) for each in dataclasses.fields(config)}
    for name, value in options.items():
        first, _, rest = name.partition(".")
        values[first] = with_options(values[first], {rest: value}) if rest else value
    return dataclasses.replace(config, **values)


def fill_devices(config: C, devices: int) -> C:
    """The configuration with its evaluation batch rounded up, so that every device has an equal share.

    Images that do not count fill the surplus, so any run can be scored on any number of devices.
    """
    return dataclasses.replace(config, eval_batch_size=-(-config.eval_batch_size // devices) * devices)


def check_comparison(config: RunConfig, preset: RunConfig, methods: Sequence[str], seeds: Sequence[int]) -> None:
    """Refuses a comparison that would not train the requested runs; `preset` is the configuration it started from.

    Raises:
      ValueError: there is nothing to compare, a method or a seed is repeated, or an option would be ignored.
    """
    require(bool(methods) and bool(seeds), "--methods and --seeds must name at least one each")
    for option, values in (("methods", methods), ("seeds", seeds)):
        repeated = [str(value) for value in dict.fromkeys(values) if list(values).count(value) > 1]
        require(
            not repeated,
            f"--{option} must name each once, got {' '.join(repeated)} more than once: a run counted twice would hide "
            "the spread",
        )
    for seed in seeds:
        require(0 <= seed < 2**32, f"--seeds must be 0 .. 2^32 - 1, got {seed}: try 0")
    require(
        config.seed == preset.seed,
        f"--seed {config.seed} is an option of train, compare takes several: write --seeds {config.seed} in its place",
    )
    # The same run, unless an option sets the method that --methods sets differently.
    for option, value in _differences(config, config.with_method(preset.method)):
        raise ValueError(
            f"--{option} {value} is an option of train, compare trains each of --methods: leave it out, and write "
            f"--methods {config.method}"
        )
    for method in methods:
        variant = config.with_method(method)
        require(
            variant.method == method,
            f"--methods {method} would be the method {variant.method}, which other options ask for: name "
            f"{variant.method} in its place, or leave out the option that makes it so (such as --model.head "
            f"{variant.method})",
        )
        variant.validate()


def flat(values: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Nested options by dotted name."""
    found: dict[str, object] = {}
    for name, value in values.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found


def _differences(one: Any, other: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Options by which two configurations differ, with the values of the first."""
    for each in dataclasses.fields(one):
        mine, its = getattr(one, each.name), getattr(other, each.name)
        option = prefix + each.name.replace("_", "-")
        if dataclasses.is_dataclass(mine):
            yield from _differences(mine, its, f"{option}.")
        elif mine != its:
            yield option, mine


def command_of(study: str) -> str:
    """The command of a study."""
    return f"python -m experiments.{study}"
