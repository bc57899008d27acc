"""Finished runs: read from their folders, or from the small JSON files that keep their results."""

import json
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..common.config import RunConfig, command_of
from ..common.run_folder import CONFIG_FILE, ENVIRONMENT_FILE, FIRST_STUDY, RESULT_FILE, to_dict, write
from .facts import facts, restored

_PATHS = {"--data.root": "FOLDER", "--data-root": "FOLDER", "--init.checkpoint": "FILE", "--data.classes": "FILE"}


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
      name: its folder, as it was found.
      config: its configuration.
      result: `result.json`.
      evaluations: by split, `evaluation-SPLIT.json`, of the last step and of images seen once.
      start: command, commit, versions and machine of its last start.
    """

    name: str
    config: RunConfig
    result: dict[str, Any]
    evaluations: dict[str, dict[str, Any]]
    start: dict[str, Any]

    @property
    def seconds_per_step(self) -> float:
        """Median, data included."""
        return float(self.result.get("seconds_per_step", float("nan")))

    def evaluate(self, split: str) -> str:
        """The command that scores it on a split."""
        return f"{command_of(self.config.study)} evaluate {self.name} --split {split}"


@dataclass(frozen=True)
class Found:
    """What lies under some folders and in some files.

    Attributes:
      runs: the finished ones, each configuration with each seed once.
      remarks: what was left out, and why.
    """

    runs: tuple[Run, ...]
    remarks: tuple[str, ...]


def find(places: Sequence[Path]) -> Found:
    """Reads every run below the folders, at any depth, and of the JSON files.

    Raises:
      FileNotFoundError: there is no such folder or file.
      ValueError: a file holds no results.
    """
    runs: list[Run] = []
    remarks: list[str] = []
    for place in places:
        if not place.exists():
            raise FileNotFoundError(f"{place} does not exist: name folders of runs, or files of results (--json)")
        if place.is_dir():
            for path in sorted(place.rglob(CONFIG_FILE)):
                _add(path.parent, runs, remarks)
        else:
            runs += _stored(place, remarks)
    return Found(*_unique(runs, remarks))


def save(runs: Iterable[Run], path: Path) -> None:
    """Writes results for `find` to read again: small enough to be committed, and without paths of this machine."""
    content = {"runs": [_plain(run) for run in runs]}
    write(path, json.dumps(content, indent=1) + "\n")


def _add(folder: Path, runs: list[Run], remarks: list[str]) -> None:
    if not (folder / RESULT_FILE).exists():
        remarks.append(f"{folder} is not finished")
        return
    try:
        values = dict(yaml.safe_load((folder / CONFIG_FILE).read_text()))
        config = restored(values.pop("study", FIRST_STUDY), values)
        result = json.loads((folder / RESULT_FILE).read_text())
        starts = folder / ENVIRONMENT_FILE
        start = json.loads(starts.read_text())[-1] if starts.exists() else {}
    except (ModuleNotFoundError, ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        remarks.append(f"{folder} cannot be read by this version: {error}")
        return
    evaluations = {}
    for path in sorted(folder.glob("evaluation-*.json")):
        found = json.loads(path.read_text())
        reason = _special(found)
        if reason:
            remarks.append(f"{path} is left out: {reason}; evaluate again without it")
        else:
            evaluations[found["split"]] = found
    runs.append(Run(str(folder), config, result, evaluations, _neutral(start)))


def _special(evaluation: dict[str, Any]) -> str | None:
    """Why scores are not comparable with those of other runs."""
    looks = evaluation.get("averaging", {})
    if looks.get("flip") or list(looks.get("scales", [1.0])) != [1.0]:
        return "it averages over scales or mirror images"
    if evaluation.get("checkpoint", "latest") != "latest":
        return f"it is of the checkpoint --checkpoint {evaluation['checkpoint']}, chosen on val"
    return None


def _stored(path: Path, remarks: list[str]) -> list[Run]:
    try:
        entries = json.loads(path.read_text())["runs"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} holds no results: name a file that --json has written ({error!r})") from error
    runs = []
    for entry in entries:
        try:
            config = restored(entry["study"], entry["config"])
        except (ModuleNotFoundError, ValueError, TypeError) as error:
            remarks.append(f"{entry['name']} in {path} cannot be read by this version: {error}")
            continue
        runs.append(Run(entry["name"], config, entry["result"], entry["evaluations"], entry["start"]))
    return runs


def _plain(run: Run) -> dict[str, Any]:
    config = to_dict(run.config)
    for section, name in (("data", "root"), ("data", "classes"), ("init", "checkpoint")):
        if config.get(section, {}).get(name) is not None:
            config[section] = config[section] | {name: Path(config[section][name]).name}
    return {
        "name": _short(run.name),
        "study": run.config.study,
        "config": config,
        "result": run.result,
        "evaluations": run.evaluations,
        "start": run.start,
    }


def _neutral(start: dict[str, Any]) -> dict[str, Any]:
    """A start without the paths of its machine."""
    words = shlex.split(start.get("command", ""))
    for index, word in enumerate(words):
        before = words[index - 1] if index else ""
        words[index] = _PATHS.get(before, _short(word))
    return start | {"command": " ".join(words)} if words else start


def _short(path: str) -> str:
    """An absolute path from its folder `runs` on, or its last part."""
    if not path.startswith("/"):
        return path
    inside = re.search(r"/(runs/.+)$", path)
    return inside.group(1) if inside else Path(path).name


def _unique(runs: Iterable[Run], remarks: list[str]) -> tuple[tuple[Run, ...], tuple[str, ...]]:
    """Each configuration with each seed once: the same result twice would make a spread too small."""
    kept: dict[str, Run] = {}
    for run in runs:
        key = json.dumps([facts(run.config), run.config.seed], sort_keys=True, default=str)
        if key in kept:
            remarks.append(f"{run.name} is left out: {kept[key].name} is the same run")
        else:
            kept[key] = run
    return tuple(kept.values()), tuple(remarks)
