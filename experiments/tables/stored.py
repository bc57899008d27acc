"""Stores the results of many runs in one small JSON file."""

from collections.abc import Iterable
from pathlib import Path

from smoothjax.files import read_json

from ..common.plain import to_dict
from ..common.writing import write_json
from .paths import config_without_paths, short, start_without_paths, without_paths
from .runs import UNREADABLE, Run, config_from, steps_of
from .validate import JsonObject, validate_data, validate_evaluation, validate_result, validate_start


def save(runs: Iterable[Run], path: Path) -> None:
    """Writes results that `load` reads back: small enough to be committed, and without paths of this machine."""
    content = {"runs": [_plain(run) for run in runs]}
    write_json(path, content, indent=1)


def load(path: Path, remarks: list[str]) -> list[Run]:
    """The runs in a file written by `save`; adds a remark for each run that is left out.

    Raises:
      ValueError: it is not such a file.
    """
    try:
        content = read_json(path)
        if not isinstance(content, dict) or not isinstance(content.get("runs"), list):
            raise ValueError("an object with the list runs is missing")
        entries = content["runs"]
    except ValueError as error:
        raise ValueError(f"{path} holds no results: name a file written by --json ({error})") from error
    runs = []
    for index, entry in enumerate(entries):
        where = f"run {index} of {path}"
        try:
            where = f"{entry['name']} in {path}"
            config = config_from({**entry["config"], "study": entry["study"]})
            result = validate_result(entry["result"], where, remarks)
            evaluations = {
                split: validate_evaluation(found, steps_of(result, config), f"{split} of {where}", remarks)
                for split, found in entry["evaluations"].items()
            }
            kept = {split: found for split, found in evaluations.items() if found is not None}
            start = start_without_paths(validate_start(entry["start"], where, remarks))
            data = validate_data(entry["data"])
        except KeyError as error:
            remarks.append(f"{where} is left out: it lacks {error}")
        except UNREADABLE as error:
            remarks.append(f"{where} is left out: it cannot be read by this version: {error}")
        else:
            runs.append(Run(str(entry["name"]), config, result, kept, start, data))
    return runs


def _plain(run: Run) -> JsonObject:
    return {
        "name": short(run.name),
        "study": run.config.study,
        "config": config_without_paths(to_dict(run.config)),
        "result": without_paths(run.result),
        "evaluations": without_paths(run.evaluations),
        "start": run.start,
        "data": dict(run.data),
    }
