"""Finished runs, read from their folders."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..common.config import RunConfig, command_of
from ..common.identity import summarized
from ..common.plain import from_dict
from ..common.run_files import DATA_FILE, ENVIRONMENT_FILE, RESULT_FILE, read_config, with_nan
from ..common.run_folder import load_config
from ..common.table import Score
from .paths import start_without_paths
from .studies import config_of
from .validate import (
    JsonObject,
    is_number,
    json_object,
    load_json,
    validate_evaluation,
    validate_result,
    validate_start,
)

#: Errors of reading a configuration that was edited by hand or comes from another version.
UNREADABLE = (AttributeError, ValueError, TypeError, KeyError, OSError)

#: Scores at the end of training that stand beside those in "val", and the network that has them.
_BESIDE = ("checkerboard", "boundary", "network")


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
      name: the path of its folder, as it was found.
      config: its configuration.
      result: the content of `result.json`.
      evaluations: the content of `evaluation-SPLIT.json` by split, for the last step and whole images seen once.
      start: command, commit, versions and machine of its last start.
      data: the record that it keeps of its data, see `identity.summarized`.
    """

    name: str
    config: RunConfig
    result: JsonObject
    evaluations: dict[str, JsonObject]
    start: JsonObject
    data: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def seconds_per_step(self) -> float:
        """Median seconds per step, including the wait for data."""
        seconds = self.result.get("seconds_per_step")
        return float(seconds) if is_number(seconds) else float("nan")

    @property
    def steps(self) -> int:
        """The step that it ended at, perhaps early."""
        return steps_of(self.result, self.config)

    def evaluate(self, split: str) -> str:
        """The command that scores the run on a split."""
        return f"{command_of(self.config.study)} evaluate {shlex.quote(self.name)} --split {shlex.quote(split)}"

    def score(self, split: str, score: Score) -> float | None:
        """A score on a split, or None if it is unknown."""
        found: object = self._evaluation(split)
        for key in score.path:
            found = found.get(key) if isinstance(found, dict) else None
        return score.factor * found if is_number(found) else None

    def class_scores(self, split: str) -> dict[str, float]:
        """IoU of each class in percent, without classes that do not occur; empty if unknown."""
        scores = json_object(self._evaluation(split), "iou")
        return {name: 100 * iou for name, iou in scores.items() if is_number(iou)}

    def text(self, name: str) -> str:
        """An entry of its start, such as the commit."""
        return str(self.start.get(name) or "unknown")

    def network(self, split: str) -> str | None:
        """The network that was scored on a split, raw or averaged; None for a run that has only one."""
        network = self._evaluation(split).get("network")
        return network if isinstance(network, str) else None

    def _evaluation(self, split: str) -> JsonObject:
        """The known scores on a split; on val at least those at the end of training."""
        evaluated = self.evaluations.get(split, {})
        if split != "val":
            return evaluated
        ended = {**json_object(self.result, "val"), **{name: self.result.get(name) for name in _BESIDE}}
        return {**ended, **{name: value for name, value in evaluated.items() if value is not None}}


def read_run(folder: Path, remarks: list[str]) -> Run | None:
    """The run in a folder; None, with a remark, if it is unfinished or damaged."""
    if not (folder / RESULT_FILE).exists():
        remarks.append(f"{folder} is not finished")
        return None
    try:
        config = load_config(folder, config_of(read_config(folder)[0]))
    except UNREADABLE as error:
        remarks.append(f"{folder} is left out: {error}")
        return None
    try:
        result = validate_result(with_nan(load_json(folder / RESULT_FILE)), str(folder / RESULT_FILE), remarks)
    except ValueError as error:
        remarks.append(f"{folder} is left out: {error}")
        return None
    if (ended := steps_of(result, config)) < config.steps:
        remarks.append(f"{folder} ended early, after {ended:,} of {config.steps:,} steps")
    if result.get("changes"):
        remarks.append(f"{folder}: its learning rate was changed during training, see changes in {RESULT_FILE}")
    evaluations = {}
    for path in sorted(folder.glob("evaluation-*.json")):
        content = _load_or_none(path)
        split = content.get("split") if isinstance(content, dict) else None
        # Files of other names hold averaged scores, or scores of the best checkpoint or of other data.
        if isinstance(split, str) and path.name != f"evaluation-{split}.json":
            continue
        found = validate_evaluation(content, steps_of(result, config), str(path), remarks)
        if found is not None:
            evaluations[str(split)] = found
    starts = folder / ENVIRONMENT_FILE
    start = validate_start(_last(_load_or_none(starts)), str(starts), remarks) if starts.exists() else {}
    described = _load_or_none(folder / DATA_FILE) if (folder / DATA_FILE).exists() else None
    data = summarized(described if isinstance(described, dict) else {})
    return Run(str(folder), config, result, evaluations, start_without_paths(start), data)


def config_from(content: object) -> RunConfig:
    """A configuration from its plain form, which names the study.

    Raises:
      ValueError, TypeError: this version has no such study, or other options.
    """
    if not isinstance(content, dict):
        raise TypeError(f"it must hold the study and its options, got {content!r}")
    values = dict(content)
    config = from_dict(config_of(values.pop("study", None)), values)
    if not all(isinstance(number, int) for number in (config.steps, config.batch_size, config.seed)):
        raise ValueError("steps, batch_size and seed must be whole numbers")
    if not is_number(config.initial_rate):
        raise ValueError("the initial rate must be a number")
    return config


def steps_of(result: JsonObject, config: RunConfig) -> int:
    """The step that a run ended at, perhaps early."""
    steps = result.get("steps")
    return steps if isinstance(steps, int) else config.steps


def _load_or_none(path: Path) -> object:
    """The content of a JSON file, or None if it is damaged."""
    try:
        return load_json(path)
    except ValueError:
        return None


def _last(content: object) -> object:
    return content[-1] if isinstance(content, list) and content else None
