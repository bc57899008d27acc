"""Checks the files of runs. Damaged or incomparable content is left out, with a remark that names it."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TypeGuard

from smoothjax.files import explain, read_json

from ..common.dense.config import PUBLISHED_DISTANCE

#: An object of a JSON file.
JsonObject = dict[str, object]

_START = ("command", "commit", "device", "processor")


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value of a JSON file is a number; booleans are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def load_json(path: Path) -> object:
    """The content of a JSON file.

    Raises:
      ValueError: the file is damaged; the message names it.
    """
    try:
        return read_json(path)
    except (ValueError, OSError) as error:  # ValueError includes errors of JSON and UTF-8
        raise ValueError(f"{path} is damaged ({explain(error)})") from error


def json_object(content: object, name: str) -> JsonObject:
    """The object under a name in a JSON object; an empty one if it is missing."""
    part = content.get(name) if isinstance(content, dict) else None
    return part if isinstance(part, dict) else {}


def validate_result(content: object, where: str, remarks: list[str]) -> JsonObject:
    """A result, with None in place of NaN scores.

    Raises:
      ValueError: it has no scores; the message names the file.
    """
    if not isinstance(content, dict) or not isinstance(content.get("val"), dict):
        raise ValueError(f"{where} is damaged: it must hold an object with the scores val")
    # NaN means that the speed was not measured.
    speed = content.get("seconds_per_step")
    kept = _without_nan(content | {"seconds_per_step": None}, where, remarks)
    return kept | {"seconds_per_step": float(speed) if is_number(speed) else math.nan}


def validate_start(content: object, where: str, remarks: list[str]) -> JsonObject:
    """Command, commit and machine of a start; empty, with a remark, if they are damaged, as scores remain usable."""
    if isinstance(content, dict) and all(isinstance(content.get(name) or "", str) for name in _START):
        return content
    remarks.append(f"{where} is damaged: command, commit and machine of the run are unknown")
    return {}


def validate_data(content: object) -> dict[str, str | None]:
    """The record that a stored result keeps of its data.

    Raises:
      TypeError: it is not an object.
    """
    if not isinstance(content, dict):
        raise TypeError(f"data must be an object, got {content!r}")
    return {name: value for name, value in content.items() if isinstance(value, str) or value is None}


def validate_evaluation(content: object, steps: int, where: str, remarks: list[str]) -> JsonObject | None:
    """An evaluation that can be compared with those of other runs; None, with a remark, otherwise."""
    if not isinstance(content, dict) or not isinstance(content.get("split"), str):
        reason = "it is damaged and lacks an object with the split and its scores; evaluate again"
    else:
        reason = _incomparable(content, steps)
    if reason or not isinstance(content, dict):
        remarks.append(f"{where} is left out: {reason}")
        return None
    distance = json_object(content, "boundary").get("distance")
    if content.get("boundary") is not None and distance != PUBLISHED_DISTANCE:
        remarks.append(
            f"{where}: its boundary scores are left out: they use the distance {distance}, not "
            f"{PUBLISHED_DISTANCE}; evaluate again without --boundary-distance"
        )
        content = {name: value for name, value in content.items() if name != "boundary"}
    return _without_nan(content, where, remarks)


def _incomparable(evaluation: JsonObject, steps: int) -> str | None:
    """Why scores cannot be compared with those of other runs, and the remedy; None if they can."""
    averaging, checkpoint = json_object(evaluation, "averaging"), evaluation.get("checkpoint", "latest")
    if averaging.get("flip") or averaging.get("scales", [1.0]) not in ([1.0], [1]):
        return "it averages over scales or mirror images; evaluate again without it"
    if averaging.get("tile") is not None:
        return "it sees images in tiles; evaluate again without --tile"
    if checkpoint != "latest":
        return f"it scores the checkpoint --checkpoint {checkpoint}, chosen on val; evaluate again without it"
    if evaluation.get("step") != steps:
        return f"it scores step {evaluation.get('step', 'unknown')}, the run has {steps}; evaluate again"
    return None


def _without_nan(content: Mapping[str, object], where: str, remarks: list[str]) -> JsonObject:
    """Replaces NaN, which would spoil every mean over seeds, by None."""
    found: list[str] = []

    def replaced(value: object, name: str) -> object:
        if isinstance(value, dict):
            return {key: replaced(item, f"{name}.{key}" if name else key) for key, item in value.items()}
        if isinstance(value, float) and math.isnan(value):
            found.append(name)
            return None
        return value

    kept: JsonObject = {key: replaced(value, key) for key, value in content.items()}
    if found:
        remarks.append(f"{where}: {', '.join(found)} {'is' if len(found) == 1 else 'are'} NaN and left out")
    return kept
