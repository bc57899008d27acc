"""The folder of a run: it records what it holds, and refuses other content."""

import math
import re
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import yaml

from smoothjax.files import check_links, check_local, check_writable, read_text

from .config import RunConfig, command_of, flat
from .environment import environment
from .plain import from_dict, to_dict
from .run_files import (
    BOARD,
    CHECKPOINTS,
    CLASSES_FILE,
    CONFIG_FILE,
    DATA_FILE,
    ENVIRONMENT_FILE,
    LOCK_FILE,
    LOG_FILE,
    MEASURED_FILE,
    RESULT_FILE,
    Json,
    read_config,
    read_data,
    read_starts,
    unreadable,
)
from .writing import write, write_json

if typing.TYPE_CHECKING:
    from smoothjax.data import Classes

# Options that may change when a run is resumed, since they change no parameter.
FREE = {
    "data.root",
    "data.file",
    "data.check",
    "data.mask_suffix",
    "data.allow_empty_classes",
    "init.checkpoint",
    "eval_batch_size",
    "log_every",
    "evaluate_every",
    "evaluate_images",
    "checkpoint_every",
    "wandb",
}


def free_options(config: RunConfig) -> set[str]:
    """The options that may change when a run continues; with patience, which counts evaluations, their interval
    stays."""
    return FREE if config.patience is None else FREE - {"evaluate_every"}


# The method determines the rates of a run: its initial rate is compared in place of these.
_RATES = re.compile(r"optim\.(learning_rate|rates\..*)")
# The files that a run writes before its first checkpoint, and their temporary names.
_EARLY = {CONFIG_FILE, CLASSES_FILE, DATA_FILE, ENVIRONMENT_FILE, MEASURED_FILE, LOG_FILE, LOCK_FILE, BOARD,
          CHECKPOINTS, "wandb", "wandb-id.txt"}  # fmt: skip
_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{16}")

Config = TypeVar("Config", bound=RunConfig)


def check_run(folder: Path, config: RunConfig) -> None:
    """Refuses a folder that holds something other than this run; an empty one is fine.

    A run without a checkpoint has learnt nothing, so another run may replace it. The initial rate of an unfinished run
    may change, so that a diverging run can continue with a lower rate.

    Raises:
      ValueError: the folder holds a run of another configuration or study; the message lists the differing fields.
      NotADirectoryError: the folder is a file.
      PermissionError: nothing can be written there.
    """
    check_local(folder, name="--run")
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file: name a folder for the run with --run")
    check_writable(folder, name="the run (--run, --out)")
    if starts_anew(folder):
        check_links(folder)
    elif (folder / CONFIG_FILE).exists():
        before = load_config(folder, type(config))
        differences = _differences(to_dict(before), to_dict(config), _free(folder, config))
        finished = (folder / RESULT_FILE).exists()
        if finished and not math.isclose(before.initial_rate, config.initial_rate):
            differences.append(f"initial rate: {before.initial_rate:g} there, {config.initial_rate:g} now")
        if differences:
            on = finished and any(
                line.startswith(("steps:", "patience:", "initial rate:", "optim.")) for line in differences
            )
            raise ValueError(
                f"{folder} holds a run of another configuration; it differs in\n  "
                + "\n  ".join(differences)
                + "\nname another folder with --run (or --out), or delete this one to start anew"
                + f"; to continue from its weights, also add --init.source run --init.checkpoint {folder}" * on
            )
    elif folder.exists() and any(path.name != LOCK_FILE for path in folder.iterdir()):
        raise ValueError(f"{folder} is not empty and holds no run ({CONFIG_FILE} is missing): name another with --run")


def starts_anew(folder: Path) -> bool:
    """Whether a folder only holds a run that was stopped before its first checkpoint."""
    if not folder.is_dir() or not (folder / ENVIRONMENT_FILE).exists():
        return False
    names = [_TEMPORARY.sub(r"\1", path.name) for path in folder.iterdir()]
    return set(names) <= _EARLY and not _steps(folder)


def note_on_start(folder: Path, config: RunConfig) -> str | None:
    """A note if this run does not simply start or continue in a folder; None otherwise."""
    try:
        before = load_config(folder, type(config))
    except (OSError, ValueError):
        before = None
    if starts_anew(folder):
        same = before is not None and not _differences(to_dict(before), to_dict(config), free_options(config))
        return None if same else f"{folder} holds a run that was stopped before its first checkpoint: it is replaced"
    changed = None if before is None else _rate_change(folder, before, config)
    return changed and f"{folder} continues with another rate: {changed}"


def _steps(folder: Path) -> list[int]:
    """The steps of its complete checkpoints."""
    found = folder / CHECKPOINTS
    return sorted(int(path.name) for path in found.iterdir() if path.name.isdigit()) if found.is_dir() else []


def _rate_change(folder: Path, before: RunConfig, config: RunConfig) -> str | None:
    if math.isclose(before.initial_rate, config.initial_rate):
        return None
    step = max(_steps(folder), default=0)
    return f"initial rate {before.initial_rate:g} until step {step}, {config.initial_rate:g} since"


def describe_run(
    folder: Path, config: RunConfig, classes: "Classes | None" = None, described: Mapping[str, object] | None = None
) -> None:
    """Records a run in its folder: configuration, classes, data, and the environment of every start.

    Classes and data keep their values of the first start; a later start adds missing entries. A run without a
    checkpoint is replaced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    start: Json = environment(config.study)
    if starts_anew(folder):
        earlier: list[Json] = []
        for name in (CONFIG_FILE, CLASSES_FILE, DATA_FILE, MEASURED_FILE):
            (folder / name).unlink(missing_ok=True)
    else:
        earlier = read_starts(folder)
        if (folder / CONFIG_FILE).exists():
            changed = _rate_change(folder, load_config(folder, type(config)), config)
            start |= {"changed": changed} if changed else {}
    write_json(folder / ENVIRONMENT_FILE, [*earlier, start])
    if classes is not None and not (folder / CLASSES_FILE).exists():
        colors = {name: list(color) for name, color in zip(classes.names, classes.colors, strict=True)}
        write(folder / CLASSES_FILE, yaml.safe_dump(colors, sort_keys=False, default_flow_style=None))
    if described:
        write_json(folder / DATA_FILE, {**described, **read_data(folder)})
    write(folder / CONFIG_FILE, yaml.safe_dump({"study": config.study, **to_dict(config)}, sort_keys=False))


def _runs_in(folder: Path) -> list[str]:
    return sorted(str(path.parent) for path in folder.glob(f"*/{CONFIG_FILE}")) if folder.is_dir() else []


def load_config(folder: Path, kind: type[Config]) -> Config:
    """Reads the configuration of a run.

    Raises:
      FileNotFoundError: the folder holds no run; the message lists the runs in it, or those beside it.
      ValueError: the file cannot be read as a configuration, the run belongs to another study, or a link leaves the
        folder.
    """
    check_local(folder, name="RUN")
    check_links(folder)
    path = folder / CONFIG_FILE
    if not path.is_file():
        if inside := _runs_in(folder):
            raise FileNotFoundError(
                f"{folder} is the folder of several runs, and itself holds no run ({CONFIG_FILE} is missing): name one "
                f"of {', '.join(inside)}"
            )
        runs = _runs_in(folder.parent)
        beside = f"; runs beside it: {', '.join(runs)}" if runs else ""
        raise FileNotFoundError(f"{folder} holds no run ({CONFIG_FILE} is missing){beside}: train first")
    study, values = read_config(folder)
    if study != kind.study:
        raise ValueError(f"{folder} holds a run of the study {study}: use {command_of(study)}, or name another folder")
    try:
        config = from_dict(kind, values)
        # Options about the start of a run are newer than most; a file without them starts from random weights.
        expected = {name for name in flat(to_dict(config)) if not name.startswith("init.")} - config.newer
        missing = sorted(expected - set(flat(values)))
        # Defaults would silently complete a file that was cut off.
        if missing or not read_text(path).endswith("\n"):
            what = f"{', '.join(missing[:5])}{' and more' * (len(missing) > 5)}" if missing else "the end of a line"
            raise ValueError(f"it lacks {what}, the file is cut off or of another version")
    except ValueError as error:
        raise ValueError(f"{path} {unreadable(str(error))}; restore it, or train into another folder") from error
    return config


def with_parent(config: Config) -> Config:
    """The configuration with the options inherited from the run that it starts from, if there is one.

    Raises:
      FileNotFoundError, ValueError: that run is missing, of another study, or cannot be read.
    """
    parent = config.init.parent
    if parent is None:
        return config
    try:
        before = load_config(parent, type(config))
    except (FileNotFoundError, ValueError) as error:
        raise type(error)(f"--init.checkpoint with --init.source run must be the folder of a run: {error}") from error
    return config.after(before)


def _free(folder: Path, config: RunConfig) -> set[str]:
    """The options of this run that may change.

    The training split may once the folder records the data: `identity.check_data` then recognises another split, and
    the former default split may be named.
    """
    return free_options(config) | ({"data.train_split"} if "train_split" in read_data(folder) else set())


def _differences(old: Json, new: Json, free: set[str], prefix: str = "") -> list[str]:
    lines = []
    for name in {**old, **new}:
        then, now = old.get(name), new.get(name)
        if isinstance(then, dict) and isinstance(now, dict):
            lines += _differences(then, now, free, f"{prefix}{name}.")
        elif then != now and prefix + name not in free and not _RATES.fullmatch(prefix + name):
            lines.append(f"{prefix}{name}: {then} there, {now} now")
    return lines
