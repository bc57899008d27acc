"""Results without the paths of the machine that made them."""

import re
import shlex
from pathlib import Path
from typing import Any

from .facts import PATHS, last_part

_FILES = {"data.file", "data.classes", "init.checkpoint"}
# On the command line: --data.root of training, and --data-root of evaluating.
_STANDS_FOR = {
    f"--{option}": "FILE" if name in _FILES else "FOLDER" for name in PATHS for option in (name, name.replace(".", "-"))
}


def neutral(content: Any) -> Any:
    """Plain values with absolute paths shortened."""
    if isinstance(content, dict):
        return {name: neutral(value) for name, value in content.items()}
    if isinstance(content, list):
        return [neutral(value) for value in content]
    return short(content) if isinstance(content, str) else content


def neutral_config(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration in its plain form; of data and weights the last part of the path stays."""
    kept = dict(config)
    for name in PATHS:
        section, key = name.split(".")
        if (kept.get(section) or {}).get(key) is not None:
            kept[section] = kept[section] | {key: last_part(kept[section][key])}
    return neutral(kept)


def neutral_start(start: dict[str, Any]) -> dict[str, Any]:
    """A start whose command has FOLDER and FILE for data and weights."""
    words = _words(start.get("command") or "")
    for index, word in enumerate(words):
        option, equals, value = word.partition("=")
        if equals and option.startswith("--"):
            words[index] = f"{option}={_STANDS_FOR.get(_dashed(option), short(value))}"
        else:
            words[index] = _STANDS_FOR.get(_dashed(words[index - 1]) if index else "", short(word))
    return neutral(start) | ({"command": shlex.join(words)} if words else {})


def short(path: str) -> str:
    """An absolute path from its folder `runs` on, or its last part."""
    if not path.startswith(("/", "~")):
        return path
    inside = re.search(r"/(runs/.+)$", path)
    return inside.group(1) if inside else Path(path).name


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:  # quotes that do not match
        return command.split()


def _dashed(option: str) -> str:
    return option.replace("_", "-")
