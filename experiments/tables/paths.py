"""Removes the paths of the machine from results."""

import re
import shlex
from collections.abc import Mapping
from pathlib import PurePath

from .hyperparameters import PATHS, last_part
from .validate import JsonObject, json_object

_FILES = {"data.file", "data.classes", "init.checkpoint"}
# Both spellings of the command line: --data.root in training, --data-root in evaluation.
_PLACEHOLDERS = {
    f"--{option}": "FILE" if name in _FILES else "FOLDER" for name in PATHS for option in (name, name.replace(".", "-"))
}


def without_paths(content: Mapping[str, object]) -> JsonObject:
    """Plain values with absolute paths shortened."""
    return {name: _shortened(value) for name, value in content.items()}


def config_without_paths(config: Mapping[str, object]) -> JsonObject:
    """A configuration in its plain form; paths of data and weights keep only their last part."""
    kept = dict(config)
    for name in PATHS:
        section, key = name.split(".")
        part = json_object(kept, section)
        path = part.get(key)
        if isinstance(path, str):
            kept[section] = part | {key: last_part(path)}
    return without_paths(kept)


def start_without_paths(start: Mapping[str, object]) -> JsonObject:
    """A start whose command has FOLDER and FILE in place of data and weights."""
    command = start.get("command")
    words = _words(command) if isinstance(command, str) else []
    for index, word in enumerate(words):
        option, equals, value = word.partition("=")
        if equals and option.startswith("--"):
            words[index] = f"{option}={_PLACEHOLDERS.get(_dashed(option), short(value))}"
        else:
            words[index] = _PLACEHOLDERS.get(_dashed(words[index - 1]) if index else "", short(word))
    return without_paths(start) | ({"command": shlex.join(words)} if words else {})


def short(path: str) -> str:
    """An absolute path from its folder `runs` on, or only its last part; other text unchanged."""
    if not path.startswith(("/", "~")):
        return path
    inside = re.search(r"/(runs/.+)$", path)
    return inside.group(1) if inside else PurePath(path).name


def _shortened(value: object) -> object:
    if isinstance(value, dict):
        return without_paths(value)
    if isinstance(value, list):
        return [_shortened(item) for item in value]
    return short(value) if isinstance(value, str) else value


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:  # quotes that do not match
        return command.split()


def _dashed(option: str) -> str:
    return option.replace("_", "-")
