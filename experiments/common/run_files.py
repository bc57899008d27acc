"""The files of a run folder, each with one reader that checks its content; imports no JAX.

A faulty file is a ValueError of one sentence that names the file and the remedy. Readers skip parts that may get lost,
such as the torn end of a log.
"""

import contextlib
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from smoothjax.files import explain, parse_json, parse_yaml, read_json, read_npz, read_text

if TYPE_CHECKING:
    import numpy as np

CONFIG_FILE, CLASSES_FILE, DATA_FILE, ENVIRONMENT_FILE = "config.yaml", "classes.yaml", "data.json", "environment.json"
RESULT_FILE, EXAMPLES_FILE, LOG_FILE, LOCK_FILE = "result.json", "examples.npz", "metrics.jsonl", "run.lock"
REPORT_FILE, REPORT_JSON_FILE, CURVES_FILE = "report.md", "report.json", "curves.png"
DIFFERENCES_FILE = "differences.png"
MEASURED_FILE, CHECKPOINTS, BOARD = "class_weights.json", "checkpoints", "tensorboard"

_AGAIN = "delete it, and the command that trained the run makes it again from the last checkpoint"

#: The key of a log line for the number of scored examples.
EXAMPLES_KEY = "examples"

Json = dict[str, Any]
"""A JSON object."""
Content = TypeVar("Content")


def read_object(path: Path) -> Json:
    """Reads a JSON file of a run that holds one object, such as its result.

    Raises:
      ValueError: the file is damaged.
    """
    try:
        content = read_json(path)
    except ValueError as error:
        content = str(error).removeprefix(f"{path}: ")
    if not isinstance(content, dict):
        raise ValueError(
            f"{path} is damaged, it must hold a JSON object ({content}): restore it, or delete it and train the "
            "run again, which continues from the last checkpoint and writes it anew"
        )
    return content


def read_result(folder: Path) -> Json:
    """The result of a finished run, with NaN for scores and a speed that are null in the file.

    Raises:
      FileNotFoundError: the run is not finished.
      ValueError: the file is damaged.
    """
    path = folder / RESULT_FILE
    found = read_object(path)
    scores = _numbers(found.get("val"))
    if scores is None or not is_number_or_null(found.get("seconds_per_step", "")) or not _is_int(found.get("steps")):
        raise ValueError(f"{path} is damaged, it must hold steps, seconds_per_step and the scores val: {_AGAIN}")
    return with_nan(found)


@contextlib.contextmanager
def damage_named(folders: Iterable[Path]) -> Iterator[None]:
    """Turns a missing entry, while a study shows results of runs, into an error that names their files.

    Raises:
      ValueError: an entry is missing, or of another type.
    """
    try:
        yield
    except (KeyError, TypeError, AttributeError) as error:
        files = ", ".join(str(folder / RESULT_FILE) for folder in folders)
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise ValueError(f"{files} cannot be shown, an entry of the study is damaged ({reason}): {_AGAIN}") from error


def with_nan(result: Content) -> Content | Json:
    """A result with NaN for scores and a speed that are null, since JSON has no NaN; other contents unchanged."""
    if not isinstance(result, dict):
        return result
    replaced = {name: _nan_for_null(result[name]) for name in ("val", "majority", "seconds_per_step") if name in result}
    return {**result, **replaced}


def read_evaluation(path: Path) -> Json | None:
    """A file of scores; None if it is missing, or damaged and about to be replaced."""
    try:
        found = read_object(path)
    except (OSError, ValueError):
        return None
    texts = isinstance(found.get("split"), str) and isinstance(found.get("checkpoint", ""), str)
    averaging, boundary = (found.get(name) or {} for name in ("averaging", "boundary"))
    if (
        not texts
        or not _is_int(found.get("step", 0))
        or not isinstance(averaging, dict)
        or not isinstance(boundary, dict)
    ):
        return None
    lists = [averaging.get("scales") or [1.0], averaging.get("tile") or [1, 1], [boundary.get("distance", 0)]]
    numbers = all(isinstance(part, list) and all(map(_is_number, part)) for part in lists)
    return found if numbers and len(lists[1]) == 2 else None


def read_measured(folder: Path) -> Json:
    """The values that a run has measured on its training split; empty if there are none, or the file is damaged."""
    try:
        found = read_json(folder / MEASURED_FILE)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def read_data(folder: Path) -> Json:
    """The record of a run's data; empty for drawn data.

    Raises:
      ValueError: the file is damaged.
    """
    path = folder / DATA_FILE
    if not path.exists():
        return {}
    found = read_object(path)
    splits = found.get("splits", {})
    objects = [splits, found.get("weights", {}), *(splits.values() if isinstance(splits, dict) else ())]
    texts = [found.get(name, "") for name in ("name", "train_split", "sha256")]
    if not all(isinstance(part, dict) for part in objects) or not all(isinstance(text, str) for text in texts):
        raise ValueError(
            f"{path} is damaged, it must hold text as name, train_split and sha256, and objects as splits and weights: "
            "restore it, or delete it, and the next start of the run records its data again"
        )
    return found


def read_starts(folder: Path) -> list[Json]:
    """Command, versions and machine of every start of a run; empty if the file is missing or damaged."""
    try:
        content = read_json(folder / ENVIRONMENT_FILE)
    except (OSError, ValueError):
        return []
    return [start for start in content if isinstance(start, dict)] if isinstance(content, list) else []


def read_examples(folder: Path) -> "dict[str, np.ndarray]":
    """The arrays of a run's `examples.npz`.

    Raises:
      ValueError: the file is missing or damaged.
    """
    path = folder / EXAMPLES_FILE
    try:
        return read_npz(path)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{explain(error)}; delete {folder / RESULT_FILE}, and the command that trained the run makes both again "
            "from the last checkpoint"
        ) from error


def read_log(folder: Path) -> list[Json]:
    """The lines of a run's `metrics.jsonl`, except last lines damaged by a kill or a full disk.

    Raises:
      ValueError: another line is damaged.
    """
    path = folder / LOG_FILE
    lines = path.read_bytes().splitlines() if path.exists() else []
    entries = [_entry(line, str(path)) for line in lines]
    while entries and entries[-1] is None:
        entries.pop()
    if None in entries:
        raise ValueError(
            f"line {1 + entries.index(None)} of {path} is damaged, it must hold a JSON object with step, split and "
            "numbers: restore the file, or delete the line"
        )
    return [entry for entry in entries if entry is not None]


def seconds_per_step(folder: Path) -> float:
    """Median over the log intervals, without the first one, which compiles; NaN if none was timed."""
    speed = [line.get("steps_per_second") for line in read_log(folder) if line["split"] == "train"]
    known = [value for value in speed if value]
    return 1 / statistics.median(known[1:] or known) if known else math.nan


def read_config(folder: Path) -> tuple[str, Json]:
    """The name of the study and the unchecked options in a run's `config.yaml`.

    Raises:
      FileNotFoundError: there is none.
      ValueError: it is damaged.
    """
    path = folder / CONFIG_FILE
    study, values = read_options(path)
    if study is None:
        raise ValueError(f"{path} {unreadable('it names no study')}")
    return study, values


def read_options(path: Path) -> tuple[str | None, Json]:
    """The unchecked options in a YAML file, and the name of their study if the file has it.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is damaged.
    """
    try:
        content = parse_yaml(read_text(path, max_bytes=2**20), str(path))
        if not isinstance(content, dict):
            raise ValueError("it must hold options by name")
        values = {str(name): value for name, value in content.items()}
        study = values.pop("study", None)
        if not (study is None or isinstance(study, str)):
            raise ValueError("it names no study")
    except ValueError as error:
        reason = str(error).removeprefix(str(path)).lstrip(":, ")
        raise ValueError(f"{path} {unreadable(reason)}") from error
    return study, values


def unreadable(reason: str) -> str:
    """The end of a message about a configuration that cannot be read."""
    return f"cannot be read as a configuration of this version: {reason}"


def is_number_or_null(value: object) -> bool:
    """Whether a value of a JSON file is null or a number; booleans are not numbers."""
    return value is None or _is_number(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _entry(line: bytes, name: str) -> Json | None:
    try:
        content = parse_json(line, name)
    except ValueError:
        return None
    if not isinstance(content, dict) or not _is_int(content.get("step")) or not isinstance(content.get("split"), str):
        return None
    numbers = (value for key, value in content.items() if key != "split")
    return content if all(map(is_number_or_null, numbers)) else None


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _numbers(value: object) -> Mapping[str, object] | None:
    """An object of numbers, at any depth; None for anything else."""
    if not isinstance(value, dict) or not value:
        return None
    inside = (_numbers(item) is not None if isinstance(item, dict) else is_number_or_null(item) for item in
              value.values())  # fmt: skip
    return value if all(inside) else None


def _nan_for_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _nan_for_null(item) for key, item in value.items()}
    return float("nan") if value is None else value
