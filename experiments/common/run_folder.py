"""The folder of a run: it says what it is, and refuses to become something else."""

import dataclasses
import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
import sys
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from smoothjax.files import check_links, write_whole

from .config import RunConfig, command_of

if typing.TYPE_CHECKING:
    import numpy as np
    from _typeshed import DataclassInstance

    from smoothjax.data import Classes

CONFIG_FILE, CLASSES_FILE, DATA_FILE, ENVIRONMENT_FILE = "config.yaml", "classes.yaml", "data.json", "environment.json"
RESULT_FILE, EXAMPLES_FILE, LOG_FILE, REPORT_FILE = "result.json", "examples.npz", "metrics.jsonl", "report.md"
LOCK_FILE = "run.lock"
_PACKAGES = ("smoothjax", "jax", "flax", "optax", "orbax-checkpoint", "grain", "numpy")

# What may change when a run is resumed: none of it changes its parameters.
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

Json = dict[str, Any]
"""A JSON object."""
Config = TypeVar("Config", bound=RunConfig)
Dataclass = TypeVar("Dataclass", bound="DataclassInstance")


def check_run(folder: Path, config: RunConfig) -> None:
    """Refuses a folder that holds something else than this run, or nothing.

    Raises:
      ValueError: the folder holds a run of another configuration or study; the message lists the differing fields.
      NotADirectoryError: the folder is a file.
      PermissionError: nothing can be written there.
    """
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file: name a folder for the run with --run")
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise PermissionError(
            f"{folder} cannot be written, since {existing} is no folder that you may write to: name another with "
            "--run (or --out)"
        )
    if (folder / CONFIG_FILE).exists():
        differences = _differences(to_dict(load_config(folder, type(config))), to_dict(config), _free(folder))
        if differences:
            raise ValueError(
                f"{folder} holds a run of another configuration; it differs in\n  "
                + "\n  ".join(differences)
                + "\nname another folder with --run (or --out), or delete this one to start anew"
            )
    elif folder.exists() and any(path.name != LOCK_FILE for path in folder.iterdir()):
        raise ValueError(f"{folder} is not empty and holds no run ({CONFIG_FILE} is missing): name another with --run")


def describe_run(
    folder: Path, config: RunConfig, classes: "Classes | None" = None, described: Mapping[str, object] | None = None
) -> None:
    """Writes what a run is into its folder: configuration, classes, data, and the environment of every start.

    What is known of classes and data stays as it was at the first start; a later one adds what is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ENVIRONMENT_FILE
    starts = json.loads(path.read_text()) if path.exists() else []
    write(path, json.dumps([*starts, environment(config.study)], indent=2) + "\n")
    if classes is not None and not (folder / CLASSES_FILE).exists():
        colors = {name: list(color) for name, color in zip(classes.names, classes.colors, strict=True)}
        write(folder / CLASSES_FILE, yaml.safe_dump(colors, sort_keys=False, default_flow_style=None))
    if described:
        before = read_object(folder / DATA_FILE) if (folder / DATA_FILE).exists() else {}
        write(folder / DATA_FILE, json.dumps({**described, **before}, indent=2) + "\n")
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
    try:
        values = dict(yaml.safe_load(path.read_text()))
        study = values.pop("study", None)
        if study is None:
            raise ValueError("it names no study")
        if study == kind.study:
            return from_dict(kind, values)
    except (yaml.YAMLError, TypeError, ValueError, KeyError) as error:
        raise ValueError(f"{path} cannot be read as a configuration of this version: {error}") from error
    raise ValueError(f"{folder} holds a run of the study {study}: use {command_of(study)}, or name another folder")


def to_dict(config: "DataclassInstance") -> Json:
    """A configuration as plain types, for YAML; its sections come first."""

    def plain(value: object) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, tuple):
            return [plain(item) for item in value]
        return str(value) if isinstance(value, Path) else value

    values = plain(dataclasses.asdict(config))
    return dict(sorted(values.items(), key=lambda item: not isinstance(item[1], dict)))


def from_dict(kind: type[Dataclass], values: Mapping[str, object]) -> Dataclass:
    """The inverse of `to_dict`."""
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(values) - {field.name for field in dataclasses.fields(kind)})
    if unknown:
        raise ValueError(f"unknown fields {', '.join(unknown)}")
    return kind(**{name: _typed(hints[name], value) for name, value in values.items()})


def _typed(hint: Any, value: Any) -> object:
    if value is None:
        return None
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        hint = next(option for option in typing.get_args(hint) if option is not type(None))
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return from_dict(hint, value)
    if typing.get_origin(hint) is tuple:
        return tuple(value)
    return Path(value) if hint is Path else value


def _free(folder: Path) -> set[str]:
    """What may change of this run. The training split is free once the folder records the data.

    Then `identity.check_data` recognises another one, and a split that was the default before may be named.
    """
    known = read_object(folder / DATA_FILE) if (folder / DATA_FILE).exists() else {}
    return FREE | ({"data.train_split"} if "train_split" in known else set())


def _differences(old: Json, new: Json, free: set[str], prefix: str = "") -> list[str]:
    lines = []
    for name in {**old, **new}:
        then, now = old.get(name), new.get(name)
        if isinstance(then, dict) and isinstance(now, dict):
            lines += _differences(then, now, free, f"{prefix}{name}.")
        elif then != now and prefix + name not in free:
            lines.append(f"{prefix}{name}: {then} there, {now} now")
    return lines


def environment(study: str) -> Json:
    """What a result depends on apart from its configuration: command, versions, commit and machine."""
    import jax

    return {
        "command": shlex.join([*command_of(study).split(), *sys.argv[1:]]),
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "processor": f"{platform.machine()}, {os.cpu_count()} cores",
    }


def _commit() -> str | None:
    """The commit of the checkout that this code runs from, marked where it has uncommitted changes."""
    here = Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        return subprocess.run(["git", "-C", str(here), *arguments], capture_output=True, text=True, check=True).stdout

    try:
        return git("rev-parse", "HEAD").strip() + (" with changes" if git("status", "--porcelain").strip() else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def write(path: Path, text: str) -> None:
    """Writes a file at once or not at all."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file at once or not at all."""
    write_whole(path, content)


def read_object(path: Path) -> Json:
    """Reads a JSON file of a run that holds one object, such as its result.

    Raises:
      ValueError: the file is damaged.
    """
    try:
        content = json.loads(path.read_text())
    except ValueError as error:  # also those of JSON and UTF-8
        content = error
    if not isinstance(content, dict):
        raise ValueError(
            f"{path} is damaged, it must hold a JSON object ({content}): restore it, or delete it and train the run "
            "again, which goes on from the last checkpoint and writes it anew"
        )
    return content


def read_examples(folder: Path) -> "dict[str, np.ndarray]":
    """The arrays of a run's `examples.npz`."""
    import numpy as np

    with np.load(folder / EXAMPLES_FILE) as stored:
        return {name: stored[name] for name in stored.files}


def read_log(folder: Path) -> list[Json]:
    """The lines of a run's `metrics.jsonl`, except a last one that a kill has cut off.

    Raises:
      ValueError: another line is damaged.
    """
    path = folder / LOG_FILE
    lines = path.read_bytes().splitlines() if path.exists() else []
    entries = [_entry(line) for line in lines]
    if entries and entries[-1] is None:
        entries.pop()
    if None in entries:
        raise ValueError(
            f"line {1 + entries.index(None)} of {path} is damaged, it must hold a JSON object: restore the file, or "
            "delete the line"
        )
    return [entry for entry in entries if entry is not None]


def _entry(line: bytes) -> Json | None:
    try:
        content = json.loads(line)
    except ValueError:  # also those of JSON and UTF-8
        return None
    return content if isinstance(content, dict) else None
