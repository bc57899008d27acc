"""One file of a data set as it was published."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class File:
    """A file in a folder or an archive.

    Attributes:
      path: where it is, for a person.
      read: returns its content; safe to call from several threads.
    """

    path: str
    read: Callable[[], bytes]


def unreadable(path: str, reason: str) -> File:
    """A file that is there by name only: reading it raises a ValueError with the reason."""

    def read() -> bytes:
        raise ValueError(f"{path}: {reason}")

    return File(path, read)


def join(*parts: str) -> str:
    """A path inside a tree; empty parts vanish."""
    return "/".join(part for part in parts if part)
