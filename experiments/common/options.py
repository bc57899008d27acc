"""The options of a command as people type them: other spellings, names from other programs, a file of options."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from smoothjax.command_line import Habits, Option

from .plain import from_dict, to_dict
from .run_files import read_options

if TYPE_CHECKING:
    from .config import RunConfig

C = TypeVar("C", bound="RunConfig")
T = TypeVar("T")

_COLUMNS = 110

#: Options that `--help` explains besides those of the command and the method; the others are only listed.
_MAIN = (
    "--data.root",
    "--steps",
    "--batch-size",
    "--seed",
    "--optim.learning-rate",
    "--init.source",
    "--init.checkpoint",
    "--precision",
)

#: Names of options in other programs, with hyphens for dots and underscores, and ours, the first that a command has.
_HABITS: Mapping[str, tuple[str, ...]] = {
    "lr learning-rate": ("--optim.learning-rate",),
    "b bs batch": ("--batch-size",),
    "e iters iterations max-iters max-steps num-steps": ("--steps",),
    "o output output-dir save-dir": ("--out", "--run"),
    "opt optim": ("--optim.optimizer",),
    "model": ("--model.encoder", "--model.network", "RUN"),
    "ckpt": ("--init.checkpoint", "RUN"),
    "checkpoint": ("--init.checkpoint", "--checkpoint", "RUN"),
    "source": ("--init.source", "IMAGES"),
    "input image images img": ("IMAGES",),
    "dilation": ("--model.head-rates", "--model.rates"),
    "nc num-classes": ("--data.classes",),
    "train-dir train-data val-dir val-data data data-dir data-path": ("--data.root", "--data-root"),
    "exp-name experiment project log-dir logdir work-dir": ("--run", "--out"),
    "log-interval print-freq": ("--log-every",),
    "eval-interval val-interval val-every eval-every": ("--evaluate-every",),
    "save-freq save-interval save-every": ("--checkpoint-every",),
    "half amp fp16 bf16": ("--precision",),
    "tta": ("--flip",),
    "local-rank ddp": ("--distributed",),
    "wd": ("--optim.weight-decay",),
    "method": ("--methods", "--model.smoothing", "--model.upsampling"),
    "seeds": ("--seed",),
    "dataset": ("--data.name", "--data-root"),
    "backbone arch": ("--model.encoder",),
    "img-size image-size imgsz": ("--data.crop-size", "--data.size"),
    "crop": ("--data.crop-size",),
    "out": ("--run",),
    "run": ("--out",),
    "pretrained load-from finetune": ("--init.source",),
    "weights": ("--init.source", "RUN"),
}

#: Options of other programs without an equivalent here, with the answer.
_REMEDIES: Mapping[str, str] = {
    "epochs num-epochs max-epochs": "training is measured in updates: --steps N, where an epoch is the number of "
    "images / --batch-size",
    "resume": "the same command with the same --run continues a run",
    "device gpu gpus cpu cuda no-cuda": "JAX takes every accelerator it finds; JAX_PLATFORMS=cpu in the environment "
    "keeps to the CPU",
    "workers num-workers j": "two threads read and prepare images, and nothing needs to be set",
    "shuffle": "training images are always shuffled, by --seed",
    "dropout": "the networks have no dropout; --optim.weight-decay and --data.augment make up for few images",
}


def _one_by_one(meant: Mapping[str, T]) -> dict[str, T]:
    return {name: value for names, value in meant.items() for name in names.split()}


HABITS = Habits(_one_by_one(_HABITS), _one_by_one(_REMEDIES))
"""Names of the studies' options in other programs."""


def take_file(arguments: Sequence[str], config: C) -> tuple[list[str], C]:
    """Removes `--config FILE` from the arguments; returns the rest, and the configuration with the file's options.

    The file is the `config.yaml` of a run, or holds some of its options. The command line overrides the file.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is of another study, or an option in it is unknown or of another type.
    """
    rest, path = list(arguments), None
    for place, argument in enumerate(rest):
        flag, equals, value = argument.partition("=")
        if flag != "--config":
            continue
        if not equals and place + 1 == len(rest):
            raise ValueError("--config must be followed by a file of options: name the config.yaml of a run")
        path = Path(value if equals else rest[place + 1])
        del rest[place : place + (1 if equals else 2)]
        break
    if path is None:
        return rest, config
    if any(argument.partition("=")[0] == "--config" for argument in rest):
        raise ValueError("--config must be there once: put all options into one file")
    study, values = read_options(path)
    if study not in (None, config.study):
        raise ValueError(f"--config {path} is of the study {study}: it must be one of {config.study}")
    if study is not None:
        config = config.without_newer(values)
    try:
        return rest, from_dict(type(config), _merged(to_dict(config), values))
    except ValueError as error:
        raise ValueError(f"--config {path}: {error}") from error


def _merged(values: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """Nested options; those of the second override those of the first."""
    both = dict(others)
    for name, value in values.items():
        if name not in both:
            both[name] = value
        elif isinstance(value, Mapping) and isinstance(both[name], Mapping):
            both[name] = _merged(value, both[name])
    return both


def summary(options: Sequence[Option], own: Sequence[str]) -> str:
    """The command's own and the main options with one line each, and the names of all others by section."""
    known = {option.flag: option for option in options}
    # A comparison takes --seeds and would refuse --seed.
    main = [flag for flag in _MAIN if flag != "--seed" or "--seeds" not in known]
    chosen = [known[flag] for flag in (*own, *main) if flag in known]
    width = max(len(option.flag) for option in chosen) + 2
    lines = ["options:"]
    for option in chosen:
        text = f"{option.text.partition('. ')[0].rstrip('.')} ({shown(option.default)})"
        first, *rest = textwrap.wrap(text, _COLUMNS - 2 - width, max_lines=2, placeholder=" ...")
        lines += [f"  {option.flag:<{width}}{first}", *(" " * (width + 2) + line for line in rest)]
    lines += ["", "further options, which --help-all explains:"]
    for section in dict.fromkeys(option.section for option in options):
        names = [option.flag for option in options if option.section == section and option not in chosen]
        lines += wrapped(" ".join(names), indent="  ").splitlines()
    return "\n".join(lines)


def wrapped(text: str, indent: str = "") -> str:
    """Text for a terminal, its paragraphs kept."""
    return "\n".join(
        textwrap.fill(line, _COLUMNS, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
        for line in text.splitlines()
    )


def shown(value: object) -> str:
    """The value of an option as it is typed."""
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
