"""The command grammar of the studies; imports JAX only once it is needed."""

import dataclasses
import gc
import importlib
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, NamedTuple, TypeVar

import tyro

from smoothjax.command_line import HELP_ALL, choose, options_of

from .cluster import Cluster
from .config import Preset, RunConfig, check_comparison, command_of
from .huge_pages import use_huge_pages
from .limits import check_limits
from .options import summary, take_file
from .parsing import parse
from .run_folder import with_parent
from .status import status_of
from .usage import preset_help, presets_text, usage_text

if TYPE_CHECKING:
    from .study import AnyStudy

C = TypeVar("C")
M = TypeVar("M")
Options = TypeVar("Options")


@dataclass(frozen=True)
class Train(Generic[C]):
    """Trains one run, or continues the one in its folder."""

    config: Annotated[C, tyro.conf.arg(name="")]
    run: Path | None = None
    """Folder of the run; by default runs/STUDY/PRESET/METHOD-seedSEED."""
    dry_run: bool = False
    """Whether to only compile the step and show its cost; trains and writes nothing."""
    cluster: Annotated[Cluster, tyro.conf.arg(name="")] = field(default_factory=Cluster)


@dataclass(frozen=True)
class Compare(Generic[C, M]):
    """Trains each method with each seed, then prints one table and draws figures."""

    config: Annotated[C, tyro.conf.arg(name="")]
    methods: tuple[M, ...]
    """Methods to compare."""
    seeds: tuple[int, ...] = (0,)
    """Seeds of the runs of each method."""
    out: Path | None = None
    """Folder of the runs and the report; by default runs/STUDY/PRESET."""
    dry_run: bool = False
    """Whether to only compile the step of each method and compare their costs; trains and writes nothing."""
    cluster: Annotated[Cluster, tyro.conf.arg(name="")] = field(default_factory=Cluster)


@dataclass(frozen=True)
class Command(Generic[Options]):
    """A command of a study.

    Attributes:
      options: the dataclass of its options.
      arguments: its positional arguments, for the list of commands.
      run: executes it with the program and the options, and prints the outcome.
      summary: one line; by default the docstring of the options.
    """

    options: type[Options]
    arguments: str
    run: Callable[["Program", Options], None]
    summary: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "summary", self.summary or self.options.__doc__ or "")


class Compared(NamedTuple):
    """The configurations and methods that `train` and `compare` work on.

    Attributes:
      config: the class of the configurations.
      presets: recipes by name.
      method: a `Literal` of all methods.
      methods: the methods that `compare` trains by default.
    """

    config: type[RunConfig]
    presets: Mapping[str, Preset[RunConfig]]
    method: Any
    methods: tuple[str, ...]


@dataclass(frozen=True)
class Program:
    """The command line of a study: `train` and `compare`, which every study has, and the study's own commands.

    Attributes:
      compared: the configurations and methods of `train` and `compare`.
      summary: one line.
      commands: the study's own commands by name.
      examples: example commands, one per line, without the name of the program; the help shows the default first.
      afterwards: a command to suggest after training, with `{run}` for the folder of the run.
      default: the command without arguments.
    """

    compared: Compared
    summary: str
    commands: Mapping[str, Command[Any]]
    examples: str
    afterwards: str
    default: tuple[str, ...] = ("compare", "demo")

    @property
    def config(self) -> type[RunConfig]:
        """The class of its configurations."""
        return self.compared.config

    @property
    def presets(self) -> Mapping[str, Preset[RunConfig]]:
        """Recipes by name."""
        return self.compared.presets

    @property
    def name(self) -> str:
        """The module that runs the program."""
        return command_of(self.config.study)

    def load(self) -> "AnyStudy":
        """Imports the study from the package of its configuration, and JAX with it."""
        # Tracing makes many objects that stay and little garbage; looking for it would take Python a tenth of the time.
        gc.set_threshold(100_000, 20, 50)
        return importlib.import_module(".study", self.config.__module__.rpartition(".")[0]).STUDY

    def main(self, arguments: Sequence[str]) -> int:
        """Runs a command; returns the exit status."""
        return main(self, arguments)


def main(program: Program, arguments: Sequence[str]) -> int:
    """Runs a command; returns the exit status."""
    arguments = list(arguments) or list(program.default)
    if arguments[0] in ("-h", "--help"):
        print(usage_text(program, {"train PRESET": Train.__doc__ or "", "compare PRESET": Compare.__doc__ or ""}))
        return 0
    name = arguments.pop(0)
    commands: dict[str, Command[Any] | None] = {"train": None, "compare": None, **program.commands}
    command = choose("command", name, commands)

    def run() -> None:
        if command is None:
            _with_preset(program, name, arguments)
        else:
            prog = f"{program.name} {name}"
            options = parse(command.options, arguments, prog, description=command.summary)
            check_limits(options)
            use_huge_pages()
            command.run(program, options)

    return status_of(run)


def _with_preset(program: Program, command: str, arguments: list[str]) -> None:
    """Parses `PRESET [options]`, where the preset gives the defaults, and runs `train` or `compare`."""
    kind, run = (Train, _train) if command == "train" else (Compare, _compare)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"usage: {program.name} {command} PRESET [options]\n\n{kind.__doc__}\n\n{presets_text(program, command)}")
        raise SystemExit(0 if arguments else 2)
    name = arguments[0]
    preset = choose("preset", name, program.presets)
    prog, description = f"{program.name} {command} {name}", f"{kind.__doc__} Preset: {preset.note}."
    arguments, config = take_file(arguments[1:], preset.config)
    generic: Any = kind
    if command == "train":
        options, default = generic[program.config], Train(config)
    else:
        seeds = preset.seeds or (config.seed,)
        if config is not preset.config:
            # The file of a run holds one method and one seed; a comparison names its own.
            config = dataclasses.replace(config.with_method(preset.config.method), seed=preset.config.seed)
        default = Compare(config, preset.methods or program.compared.methods, seeds)
        options = generic[program.config, program.compared.method]
    if {"-h", "--help"} & set(arguments):
        own = [f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(kind)]
        own += [f"--{config.compared}".replace("_", "-")] * (command == "train")
        print(preset_help(prog, description, preset, summary(list(options_of(options, default)), own)))
        raise SystemExit(0)
    if HELP_ALL in arguments:
        arguments, description = [HELP_ALL], f"{description}\n\n{preset.describe(name)}"
    # Options in a file do not count as given: a run writes all options, also those that its encoder ignores.
    parsed = parse(options, arguments, prog, default, description)
    use_huge_pages()
    run(program, name, config, parsed)


def _train(program: Program, preset: str, original: RunConfig, options: Train[Any]) -> None:
    config = options.config
    config.validate()
    config = with_parent(config)
    folder = options.run or _runs(program, preset) / f"{config.method}-seed{config.seed}"
    check_limits(options.cluster)
    config.check_given(original)
    config.check_method()
    options.cluster.join()
    study = program.load()
    config = study.completed(config)
    from smoothjax.training import say

    from .compare import report_run
    from .dry_run import dry_run
    from .train import train

    if options.dry_run:
        say(dry_run(study, config, folder))
        return
    result = train(study, config, folder)
    pictures = report_run(study, config, folder, result)
    following = f"{program.name} {program.afterwards.format(run=shlex.quote(str(folder)))}"
    drawn = f", drawn in {', '.join(pictures)}" if pictures else ""
    say(f"\n{study.outcome(result)}\n{folder} holds the run{drawn}. Next:\n  {following}")


def _compare(program: Program, preset: str, original: RunConfig, options: Compare[Any, Any]) -> None:
    check_comparison(options.config, original, options.methods, options.seeds)
    check_limits(options.cluster)
    options.config.check_given(original)
    config = with_parent(options.config)
    options.cluster.join()
    study = program.load()
    config = study.completed(config)
    from smoothjax.training import say

    from .compare import compare
    from .dry_run import dry_compare

    out = options.out or _runs(program, preset)
    if options.dry_run:
        say(dry_compare(study, config, options.methods, out))
        return
    text = compare(study, config, options.methods, options.seeds, out)
    if text:  # only one process reports
        run = out / f"{options.methods[-1]}-seed{options.seeds[0]}"
        afterwards = f"{program.name} {program.afterwards.format(run=shlex.quote(str(run)))}"
        say("\n  ".join([f"{text} Next, for example:", *(program.presets[preset].following or [afterwards])]))


def _runs(program: Program, preset: str) -> Path:
    return Path("runs") / program.config.study / preset
