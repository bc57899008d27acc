"""Folders that can hold a run, and their sub-folders with checkpoints."""

import datetime
import os
from collections.abc import Iterator
from pathlib import Path

import orbax.checkpoint as ocp

from ..files import check_links, check_local

# Orbax finds files by patterns, in which the first four characters are special, and TensorStore reads a backslash as a
# slash: checkpoints below such a name are written but never found again.
_PATTERN = "[]*?\\"


def check_folder(folder: str | os.PathLike[str], *, name: str = "folder") -> Path:
    """Refuses folders from which checkpoints could not be read back.

    Args:
      folder: The folder of a run; it need not exist.
      name: The name of the folder in messages.

    Returns:
      The folder as an absolute path.

    Raises:
      ValueError: A part of the path, or of its target, contains `[`, `]`, `*`, `?` or a backslash, is not UTF-8, or is
        the address of a remote storage; or a link in the folder leaves it.

    Example:
      >>> check_folder("/runs/lr=[0.1]")
      Traceback (most recent call last):
      ...
      ValueError: folder must not contain any of the characters [ ] * ? \\ ..., got /runs/lr=[0.1]: choose another name
    """
    given = os.fspath(folder)
    check_local(given, name=name)
    path = Path(given).absolute()
    try:
        target = path.resolve()
    except (OSError, RuntimeError) as error:  # links that lead in a circle
        raise ValueError(f"{name} must lead to a folder, got {path} ({error}): remove the link") from error
    for place in (path, target):
        link = "" if place == path else f", which {path} links to"
        if any(character in _PATTERN for character in str(place)):
            raise ValueError(
                f"{name} must not contain any of the characters {' '.join(_PATTERN)} (checkpoints below it could not "
                f"be read back), got {place}{link}: choose another name"
            )
        if not _is_utf8(str(place)):
            raise ValueError(f"{name} must be valid UTF-8, got {str(place)!r}{link}: choose another name")
    check_links(path)
    return path


class StepFolders(ocp.path.step.NameFormat[ocp.path.step.Metadata]):
    """One folder per step, named by its number; a damaged checkpoint cannot keep the others from opening."""

    def __init__(self) -> None:
        self._standard = ocp.path.step.standard_name_format()

    def build_name(self, step: int) -> str:
        """The name of a step's folder."""
        return self._standard.build_name(step)

    def find_all(self, base_path: str | os.PathLike[str]) -> Iterator[ocp.path.step.Metadata]:
        """The complete checkpoints in a folder."""
        for found in self._standard.find_all(base_path):
            yield _Step(step=found.step, path=found.path)

    def find_step(self, base_path: str | os.PathLike[str], step: int) -> ocp.path.step.Metadata:
        """The checkpoint of a step; raises ValueError if there is none."""
        found = self._standard.find_step(base_path, step)
        return _Step(step=found.step, path=found.path)


class _Step(ocp.path.step.Metadata):
    @property
    def commit_timestamp(self) -> datetime.datetime:
        """No checkpoint is kept or deleted by its age, and reading it from a damaged file would raise."""
        return datetime.datetime.min.replace(tzinfo=datetime.UTC)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
