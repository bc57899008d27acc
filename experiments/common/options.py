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

#: Names of options in other programs, with hyphens for dots and underscores: ours, the first that a command has.
_HABITS: dict[str, tuple[str, ...]] = {
    "lr": ("--optim.learning-rate",),
    "b": ("--batch-size",),
    "e": ("--steps",),
    "o": ("--out", "--run"),
    "opt": ("--optim.optimizer",),
    "optim": ("--optim.optimizer",),
    "model": ("--model.encoder", "--model.network", "RUN"),
    "ckpt": ("--init.checkpoint", "RUN"),
    "checkpoint": ("--init.checkpoint", "--checkpoint", "RUN"),
    "source": ("--init.source", "IMAGES"),
    "input": ("IMAGES",),
    "image": ("IMAGES",),
    "images": ("IMAGES",),
    "img": ("IMAGES",),
    "dilation": ("--model.head-rates",),
    "nc": ("--data.classes",),
    "train-dir": ("--data.root", "--data-root"),
    "train-data": ("--data.root", "--data-root"),
    "val-dir": ("--data.root", "--data-root"),
    "val-data": ("--data.root", "--data-root"),
    "exp-name": ("--run", "--out"),
    "experiment": ("--run", "--out"),
    "project": ("--run", "--out"),
    "log-dir": ("--run", "--out"),
    "logdir": ("--run", "--out"),
    "log-interval": ("--log-every",),
    "print-freq": ("--log-every",),
    "eval-interval": ("--evaluate-every",),
    "val-interval": ("--evaluate-every",),
    "save-freq": ("--checkpoint-every",),
    "save-interval": ("--checkpoint-every",),
    "half": ("--precision",),
    "tta": ("--flip",),
    "local-rank": ("--distributed",),
    "ddp": ("--distributed",),
    "learning-rate": ("--optim.learning-rate",),
    "wd": ("--optim.weight-decay",),
    "bs": ("--batch-size",),
    "batch": ("--batch-size",),
    "iters": ("--steps",),
    "iterations": ("--steps",),
    "max-iters": ("--steps",),
    "max-steps": ("--steps",),
    "num-steps": ("--steps",),
    "method": ("--methods", "--model.smoothing", "--model.upsampling"),
    "seeds": ("--seed",),
    "dataset": ("--data.name", "--data-root"),
    "data": ("--data.root", "--data-root"),
    "data-dir": ("--data.root", "--data-root"),
    "data-path": ("--data.root", "--data-root"),
    "backbone": ("--model.encoder",),
    "arch": ("--model.encoder",),
    "img-size": ("--data.crop-size", "--data.size"),
    "image-size": ("--data.crop-size", "--data.size"),
    "imgsz": ("--data.crop-size", "--data.size"),
    "crop": ("--data.crop-size",),
    "output": ("--out", "--run"),
    "output-dir": ("--out", "--run"),
    "save-dir": ("--out", "--run"),
    "work-dir": ("--run", "--out"),
    "out": ("--run",),
    "run": ("--out",),
    "num-classes": ("--data.classes",),
    "pretrained": ("--init.source",),
    "weights": ("--init.source", "RUN"),
    "load-from": ("--init.source",),
    "finetune": ("--init.source",),
    "amp": ("--precision",),
    "fp16": ("--precision",),
    "bf16": ("--precision",),
    "val-every": ("--evaluate-every",),
    "eval-every": ("--evaluate-every",),
    "save-every": ("--checkpoint-every",),
}
#: Options of other programs without an equivalent here, with the answer.
_REMEDIES: dict[str, str] = {
    "epochs": "training is measured in updates: --steps N, where an epoch is the number of images / --batch-size",
    "num-epochs": "training is measured in updates: --steps N, where an epoch is the number of images / --batch-size",
    "max-epochs": "training is measured in updates: --steps N, where an epoch is the number of images / --batch-size",
    "resume": "the same command with the same --run continues a run",
    "device": "JAX takes every accelerator it finds; JAX_PLATFORMS=cpu in the environment keeps to the CPU",
    "gpu": "JAX takes every accelerator it finds; JAX_PLATFORMS=cpu in the environment keeps to the CPU",
    "gpus": "JAX takes every accelerator it finds; JAX_PLATFORMS=cpu in the environment keeps to the CPU",
    "workers": "two threads read and prepare images, and nothing needs to be set",
    "num-workers": "two threads read and prepare images, and nothing needs to be set",
    "j": "two threads read and prepare images, and nothing needs to be set",
    "cpu": "JAX takes every accelerator it finds; JAX_PLATFORMS=cpu in the environment keeps to the CPU",
    "cuda": "JAX takes every accelerator it finds; JAX_PLATFORMS=cpu in the environment keeps to the CPU",
    "no-cuda": "JAX takes every accelerator it finds; JAX_PLATFORMS=cpu in the environment keeps to the CPU",
    "shuffle": "training images are always shuffled, by --seed",
    "dropout": "the networks have no dropout; --optim.weight-decay and --data.augment make up for few images",
}


HABITS = Habits(_HABITS, _REMEDIES)
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
