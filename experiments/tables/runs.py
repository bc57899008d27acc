"""Finished runs: read from their folders, or from the small JSON files that keep their results."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ..common.config import RunConfig, command_of
from ..common.identity import summarized
from ..common.run_folder import CONFIG_FILE, DATA_FILE, ENVIRONMENT_FILE, FIRST_STUDY, RESULT_FILE, to_dict, write
from .checked import data_of, evaluation_of, is_number, is_plain, loaded, result_of, start_of
from .facts import RATE, facts, restored
from .neutral import neutral, neutral_config, neutral_start, short

# Whatever a configuration that was changed by hand, or is of another version, makes of reading it.
_UNREADABLE = (ModuleNotFoundError, AttributeError, ValueError, TypeError, KeyError, OSError)


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
      name: its folder, as it was found.
      config: its configuration.
      result: `result.json`.
      evaluations: by split, `evaluation-SPLIT.json`, of the last step and of whole images seen once.
      start: command, commit, versions and machine of its last start.
      data: what it has kept of its data, see `identity.summarized`.
    """

    name: str
    config: RunConfig
    result: dict[str, Any]
    evaluations: dict[str, dict[str, Any]]
    start: dict[str, Any]
    data: Mapping[str, str | None] = field(default_factory=dict)

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
        config = _config(yaml.safe_load((folder / CONFIG_FILE).read_text()))
    except (*_UNREADABLE, yaml.YAMLError) as error:
        remarks.append(f"{folder} is left out: {CONFIG_FILE} cannot be read by this version: {error}")
        return
    try:
        result = result_of(loaded(folder / RESULT_FILE), str(folder / RESULT_FILE), remarks)
    except ValueError as error:
        remarks.append(f"{folder} is left out: {error}")
        return
    described = _described(folder)
    evaluations = {}
    for path in sorted(folder.glob("evaluation-*.json")):
        content = _loaded(path)
        if not is_plain(path, content):
            continue
        found = evaluation_of(content, result.get("steps", config.steps), str(path), remarks, described.get("sha256"))
        if found is not None:
            evaluations[found["split"]] = found
    starts = folder / ENVIRONMENT_FILE
    start = start_of(_last(_loaded(starts)), str(starts), remarks) if starts.exists() else {}
    runs.append(Run(str(folder), config, result, evaluations, neutral_start(start), summarized(described)))


def _described(folder: Path) -> dict[str, Any]:
    """What the folder tells of the data; a damaged file tells nothing."""
    content = _loaded(folder / DATA_FILE) if (folder / DATA_FILE).exists() else None
    return content if isinstance(content, dict) else {}


def _config(content: Any) -> RunConfig:
    """A configuration of which the tables can tell what it is."""
    values = dict(content)
    config = restored(values.pop("study", FIRST_STUDY), values)
    if not all(isinstance(number, int) for number in (config.steps, config.batch_size, config.seed)):
        raise ValueError("steps, batch_size and seed must be whole numbers")
    if not is_number(facts(config)[RATE]):
        raise ValueError(f"the {RATE} must be a number")
    return config


def _loaded(path: Path) -> Any:
    """None for a damaged file."""
    try:
        return loaded(path)
    except ValueError:
        return None


def _last(content: Any) -> Any:
    return content[-1] if isinstance(content, list) and content else None


def _stored(path: Path, remarks: list[str]) -> list[Run]:
    try:
        entries = list(json.loads(path.read_text())["runs"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} holds no results: name a file that --json has written ({error!r})") from error
    runs = []
    for index, entry in enumerate(entries):
        where = f"run {index} of {path}"
        try:
            where = f"{entry['name']} in {path}"
            config = _config({**entry["config"], "study": entry["study"]})
            result = result_of(entry["result"], where, remarks)
            evaluations = {
                split: evaluation_of(found, result.get("steps", config.steps), f"{split} of {where}", remarks)
                for split, found in entry["evaluations"].items()
            }
            kept = {split: found for split, found in evaluations.items() if found is not None}
            start = start_of(entry["start"], where, remarks)
        except KeyError as error:
            remarks.append(f"{where} is left out: it lacks {error}")
        except _UNREADABLE as error:
            remarks.append(f"{where} is left out: it cannot be read by this version: {error}")
        else:
            runs.append(Run(str(entry["name"]), config, result, kept, neutral_start(start), data_of(entry)))
    return runs


def _plain(run: Run) -> dict[str, Any]:
    return {
        "name": short(run.name),
        "study": run.config.study,
        "config": neutral_config(to_dict(run.config)),
        "result": neutral(run.result),
        "evaluations": neutral(run.evaluations),
        "start": run.start,
        "data": dict(run.data),
    }


def _unique(runs: Iterable[Run], remarks: list[str]) -> tuple[tuple[Run, ...], tuple[str, ...]]:
    """Each configuration with each seed once: the same result twice would make a spread too small."""
    kept: dict[str, Run] = {}
    for run in runs:
        key = json.dumps([facts(run.config, run.data), run.config.seed], sort_keys=True, default=str)
        if key in kept:
            remarks.append(f"{run.name} is left out: {kept[key].name} is the same run")
        else:
            kept[key] = run
    return tuple(kept.values()), tuple(remarks)
