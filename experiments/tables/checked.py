"""What files of runs must hold. What is damaged or cannot be compared is left out, with a remark that names it."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

from ..common.dense.cli import PUBLISHED_DISTANCE

_TOLD = ("command", "commit", "device", "processor")


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value of a JSON file is a number, not a truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def loaded(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
      ValueError: it is damaged; the message names it.
    """
    try:
        return json.loads(path.read_text())
    except (ValueError, OSError) as error:  # those of JSON and UTF-8
        raise ValueError(f"{path} is damaged ({error})") from error


def result_of(content: Any, where: str, remarks: list[str]) -> dict[str, Any]:
    """A result without scores that are NaN.

    Raises:
      ValueError: it is none; the message says where.
    """
    if not isinstance(content, dict) or not isinstance(content.get("val"), dict):
        raise ValueError(f"{where} is damaged: it must hold an object with the scores val")
    # What is not measured is told as NaN.
    speed = content.get("seconds_per_step")
    kept = _without_nan(content | {"seconds_per_step": None}, where, remarks)
    return kept | {"seconds_per_step": float(speed) if is_number(speed) else math.nan}


def start_of(content: Any, where: str, remarks: list[str]) -> dict[str, Any]:
    """Command, commit and machine of a start; without them a run still has scores."""
    if isinstance(content, dict) and all(isinstance(content.get(name) or "", str) for name in _TOLD):
        return content
    remarks.append(f"{where} is damaged: command, commit and machine of the run are unknown")
    return {}


def data_of(entry: Mapping[str, Any]) -> dict[str, str | None]:
    """What a stored result tells of its data; nothing where it is of an earlier version."""
    known = _part(entry, "data")
    return {name: value for name, value in known.items() if isinstance(value, str) or value is None}


def is_plain(path: Path, content: Any) -> bool:
    """Whether a file is for tables: other looks and other data have files of other names, see `evaluate`."""
    split = content.get("split") if isinstance(content, dict) else None
    return not isinstance(split, str) or path.name == f"evaluation-{split}.json"


def evaluation_of(
    content: Any, steps: int, where: str, remarks: list[str], learnt: str | None = None
) -> dict[str, Any] | None:
    """An evaluation that can be compared with those of other runs; None for another one.

    `learnt` is the digest of the text that the run has learnt, where there is one.
    """
    if not isinstance(content, dict) or not isinstance(content.get("split"), str):
        reason = "it is damaged, an object with the split and its scores is missing; evaluate again"
    elif learnt is not None and content.get("sha256", learnt) != learnt:
        reason = "it is of another text than the run has learnt; evaluate again"
    else:
        reason = _special(content, steps)
    if reason:
        remarks.append(f"{where} is left out: {reason}")
        return None
    distance = _part(content, "boundary").get("distance")
    if content.get("boundary") is not None and distance != PUBLISHED_DISTANCE:
        remarks.append(
            f"{where}: its boundary scores are left out: they are of the distance {distance}, not "
            f"{PUBLISHED_DISTANCE}; evaluate again without --boundary-distance"
        )
        content = {name: value for name, value in content.items() if name != "boundary"}
    return _without_nan(content, where, remarks)


def _special(evaluation: Mapping[str, Any], steps: int) -> str | None:
    """Why scores are not comparable with those of other runs, and what to do."""
    looks, checkpoint = _part(evaluation, "averaging"), evaluation.get("checkpoint", "latest")
    if looks.get("flip") or looks.get("scales", [1.0]) not in ([1.0], [1]):
        return "it averages over scales or mirror images; evaluate again without it"
    if looks.get("tile") is not None:
        return "it sees images in tiles; evaluate again without --tile"
    if checkpoint != "latest":
        return f"it is of the checkpoint --checkpoint {checkpoint}, chosen on val; evaluate again without it"
    if evaluation.get("step") != steps:
        return f"it is of step {evaluation.get('step', 'unknown')}, the run has {steps}; evaluate again"
    return None


def _part(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = content.get(name)
    return part if isinstance(part, dict) else {}


def _without_nan(content: dict[str, Any], where: str, remarks: list[str]) -> dict[str, Any]:
    """None in place of NaN, which no mean over seeds would survive."""
    found: list[str] = []

    def cleaned(value: Any, name: str) -> Any:
        if isinstance(value, dict):
            return {key: cleaned(item, f"{name}.{key}" if name else key) for key, item in value.items()}
        if isinstance(value, float) and math.isnan(value):
            found.append(name)
            return None
        return value

    kept = cleaned(content, "")
    if found:
        remarks.append(f"{where}: {', '.join(found)} {'is' if len(found) == 1 else 'are'} NaN and left out")
    return kept
