"""Writing files into folders that may come from anywhere, see `files`."""

import os
import re
import secrets
from pathlib import Path

_REMOTE = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)


def check_local(path: str | os.PathLike[str], *, name: str) -> None:
    """Refuses the address of a remote storage, which would become a folder of that name.

    Args:
      path: the place to read or write files.
      name: its name in the message.

    Raises:
      ValueError: it is an address.

    Example:
      >>> check_local("s3://bucket/run", name="--run")
      Traceback (most recent call last):
      ValueError: --run must be on a file system of this machine, got 's3://bucket/run': mount the storage, or copy
    """
    given = os.fspath(path)
    if _REMOTE.match(given):
        raise ValueError(f"{name} must be on a file system of this machine, got {given!r}: mount the storage, or copy")


def check_links(folder: str | Path) -> None:
    """Refuses a folder with links that lead out of it: files written below it would land elsewhere.

    Args:
      folder: the folder, which need not exist; it may be a link itself.

    Raises:
      ValueError: a link in it, at any depth, leaves it; the message names both ends.

    Example:
      >>> import os, pathlib, tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     os.symlink("/etc/passwd", f"{folder}/report.md")
      ...     check_links(folder)
      Traceback (most recent call last):
      ValueError: /.../report.md is a link to /etc/passwd, out of its folder, where writing would follow it: remove it
    """
    target = Path(os.path.realpath(folder))
    for root, folders, files in os.walk(folder):
        for entry in (Path(root, name) for name in (*folders, *files)):
            if entry.is_symlink() and not Path(os.path.realpath(entry)).is_relative_to(target):
                raise ValueError(
                    f"{entry} is a link to {os.readlink(entry)}, out of its folder, where writing would follow it: "
                    "remove it"
                )


def write_whole(path: str | Path, content: str | bytes) -> None:
    """Writes a file atomically; replaces a link in its place instead of following it.

    Args:
      path: the file, in a folder that exists.
      content: its bytes, or text to be written in UTF-8.

    Raises:
      OSError: the file cannot be written; a former file is unchanged.

    Example:
      >>> import pathlib, tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     write_whole(f"{folder}/note.txt", "whole")
      ...     print(pathlib.Path(folder, "note.txt").read_text(), len(os.listdir(folder)))
      whole 1
    """
    path = Path(path)
    # An unguessable name that must not exist: a planted link is not followed either.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
    try:
        with open(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
