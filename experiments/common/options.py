"""The options of a command as people type them: other spellings, habits from elsewhere, a file of options."""

import ast
import dataclasses
import difflib
import inspect
import itertools
import textwrap
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import tyro

from .run_files import read_options
from .run_folder import from_dict, to_dict
from .values import check_values, is_option

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from .config import RunConfig

C = TypeVar("C", bound="RunConfig")

HELP_ALL = "--help-all"
_COLUMNS = 110

_POSITIONAL, _SUPPRESS = (typing.get_args(marked)[1] for marked in (tyro.conf.Positional[int], tyro.conf.Suppress[int]))

#: What `--help` explains beside the options of the command and of the method; the others are listed.
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

#: What other programs call an option, dots and underscores as hyphens: ours, the first one that a command has.
_HABITS: dict[str, tuple[str, ...]] = {
    "lr": ("--optim.learning-rate",),
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
    "weights": ("--init.source",),
    "load-from": ("--init.source",),
    "finetune": ("--init.source",),
    "amp": ("--precision",),
    "fp16": ("--precision",),
    "bf16": ("--precision",),
    "val-every": ("--evaluate-every",),
    "eval-every": ("--evaluate-every",),
    "save-every": ("--checkpoint-every",),
}
#: What has no option here.
_REMEDIES = {
    "epochs": "training is measured in updates: --steps N, where an epoch is the number of images / --batch-size",
    "num-epochs": "training is measured in updates: --steps N, where an epoch is the number of images / --batch-size",
    "max-epochs": "training is measured in updates: --steps N, where an epoch is the number of images / --batch-size",
    "resume": "the same command with the same --run continues a run",
    "device": "JAX takes every accelerator it finds; JAX_PLATFORMS=cpu in the environment keeps to the CPU",
    "gpu": "JAX takes every accelerator it finds; JAX_PLATFORMS=cpu in the environment keeps to the CPU",
    "gpus": "JAX takes every accelerator it finds; JAX_PLATFORMS=cpu in the environment keeps to the CPU",
    "workers": "two threads read and prepare images, and nothing needs to be set",
    "num-workers": "two threads read and prepare images, and nothing needs to be set",
}


class Option(NamedTuple):
    """An option of a command.

    Attributes:
      flag: as it is typed, such as `--data.root`.
      section: the part before the dot; empty where there is none.
      text: what its docstring says.
      default: its value where it is left out.
      hint: its type.
    """

    flag: str
    section: str
    text: str
    default: object
    hint: Any


def options_of(kind: Any, default: "DataclassInstance | None" = None) -> Iterator[Option]:
    """The options of a command's dataclass, in order; `default` holds their defaults, and its sections their types."""
    origin = typing.get_origin(kind)
    given = {} if origin is None else dict(zip(origin.__parameters__, typing.get_args(kind), strict=True))
    yield from _walk(origin or kind, default, "", given)


def _walk(
    kind: "type[DataclassInstance]", default: "DataclassInstance | None", prefix: str, given: Mapping[Any, Any]
) -> Iterator[Option]:
    hints, plain = typing.get_type_hints(kind, include_extras=True), typing.get_type_hints(kind)
    texts = _docstrings(kind)
    for field in dataclasses.fields(kind):
        metadata = typing.get_args(hints[field.name])[1:] if hasattr(hints[field.name], "__metadata__") else ()
        if _POSITIONAL in metadata or _SUPPRESS in metadata:
            continue
        value = _default_of(field) if default is None else getattr(default, field.name)
        named = next((each for each in metadata if hasattr(each, "prefix_name")), None)
        name = field.name.replace("_", "-") if named is None or named.name is None else named.name
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            yield from _walk(type(value), value, f"{prefix}{name}." if name else prefix, {})
        else:
            stem = "" if named is not None and named.prefix_name is False else prefix
            hint = plain[field.name]
            for variable in getattr(hint, "__parameters__", ()):
                hint = hint[given.get(variable, Any)]  # there is one in a hint
            yield Option(f"--{stem}{name}", stem.partition(".")[0], texts.get(field.name, ""), value, hint)


def _default_of(field: "dataclasses.Field[Any]") -> object:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _docstrings(kind: type) -> dict[str, str]:
    """The text under each field of a dataclass and of those it is made from."""
    found: dict[str, str] = {}
    for part in reversed(kind.__mro__):
        if not dataclasses.is_dataclass(part):
            continue
        try:
            (tree,) = ast.parse(textwrap.dedent(inspect.getsource(part))).body
        except OSError:  # made by a function, which documents its fields as it wishes
            continue
        body = tree.body if isinstance(tree, ast.ClassDef) else []
        for field, below in itertools.pairwise(body):
            match field, below:
                case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(text))):
                    found[name] = " ".join(text.split())
    return found


def respell(arguments: Sequence[str], options: Sequence[Option]) -> list[str]:
    """The arguments with options spelt as the command has them: `--data-root` and `--data_root` are `--data.root`.

    Raises:
      ValueError: there is no such option, or it takes other values; the message says what was probably meant.
    """
    flags = {_plain(option.flag): option.flag for option in options}
    hints = {option.flag: option.hint for option in options}
    for option in options:
        if isinstance(option.default, bool):
            stem, dot, name = option.flag.removeprefix("--").rpartition(".")
            off = f"--{stem}{dot}no-{name}"
            flags |= {_plain(off): off, f"no-{_plain(option.flag)}": off}
            hints |= {option.flag: bool, off: bool}
    found = []
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        if not is_option(argument) or flag in ("--", "-h", "--help") or flag.startswith("--tyro-"):
            found.append(argument)
        elif flag == HELP_ALL:
            found.append("--help")
        elif _plain(flag) in flags and flag.startswith("--"):
            found.append(flags[_plain(flag)] + equals + value)
        else:
            raise ValueError(f"unknown option {flag}: {_meant(_plain(flag), flags)}")
    check_values(found, hints)
    return found


def _meant(plain: str, flags: Mapping[str, str]) -> str:
    if plain in _REMEDIES:
        return _REMEDIES[plain]
    known = set(flags.values())
    habit = [flag for flag in _HABITS.get(plain, ()) if flag in known][:1]
    exact = [flags[plain]] if plain in flags else []
    ends = {_plain(flag.rpartition(".")[2]): flag for flag in flags.values()}
    last = [flag for flag in flags.values() if _plain(flag.rpartition(".")[2]) == plain]
    close = [flags[name] for name in difflib.get_close_matches(plain, flags, 2)]
    close = close or [ends[name] for name in difflib.get_close_matches(plain, ends, 2)]
    meant = list(dict.fromkeys(exact or habit or last or close))
    return f"did you mean {' or '.join(meant)}?" if meant else "--help-all lists every option"


def _plain(flag: str) -> str:
    return flag.lstrip("-").replace("_", "-").replace(".", "-")


def take_file(arguments: Sequence[str], config: C) -> tuple[list[str], C]:
    """Takes `--config FILE` out of the arguments: the rest, and the configuration with what the file says.

    The file is the `config.yaml` of a run, or holds some options of one. Options on the command line go before it.

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
    """Nested options, those of the second before those of the first."""
    both = dict(others)
    for name, value in values.items():
        if name not in both:
            both[name] = value
        elif isinstance(value, Mapping) and isinstance(both[name], Mapping):
            both[name] = _merged(value, both[name])
    return both


def summary(options: Sequence[Option], own: Sequence[str]) -> str:
    """The command's own and the main options with a line each, and the names of all others by section."""
    known = {option.flag: option for option in options}
    # Of a comparison, which has several, --seed would be refused.
    main = [flag for flag in _MAIN if flag != "--seed" or "--seeds" not in known]
    chosen = [known[flag] for flag in (*own, *main) if flag in known]
    width = max(len(option.flag) for option in chosen) + 2
    lines = ["options:"]
    for option in chosen:
        text = f"{option.text.partition('. ')[0].rstrip('.')} ({_shown(option.default)})"
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


def _shown(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
