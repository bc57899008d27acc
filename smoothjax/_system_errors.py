"""Errors of the operating system in plain words, see `files`."""

import errno
import os

_FULL = "free space there, or name another place"

#: What is wrong with a place, and the remedy.
_RULES: dict[int, tuple[str, str]] = {
    errno.ENOENT: ("does not exist", "correct the path, or make its folder"),
    errno.EROFS: ("cannot be written, since its file system is read-only", "name another place"),
    errno.ENOSPC: ("cannot be written, since the disk is full", _FULL),
    errno.EDQUOT: ("cannot be written, since your share of the disk is used up", _FULL),
    errno.EFBIG: ("cannot be written, since it is larger than its file system allows", "name another place"),
    errno.ENOTDIR: ("cannot be opened, since a file takes the place of a folder in its path", "correct the path"),
    errno.EISDIR: ("is a folder", "name a file"),
    errno.EEXIST: ("exists already", "name another place"),
    errno.ENAMETOOLONG: ("cannot be opened, since its name is too long", "name a shorter one"),
    errno.ELOOP: ("cannot be opened, since links in its path lead in a circle", "remove one of them"),
    errno.EMFILE: ("cannot be opened, since too many files are open", "allow more with ulimit -n"),
    errno.EIO: (
        "cannot be read or written, since the device reports an error",
        "check the disk, or name another place",
    ),
}


def explain(error: BaseException) -> str:
    """An error as a sentence: those of the operating system name the place, the rule and the remedy, not a number.

    Args:
      error: any error.

    Returns:
      Its message, unless the operating system has raised it.

    Example:
      >>> explain(FileNotFoundError(2, "No such file or directory", "a.png"))
      'a.png does not exist: correct the path, or make its folder'
      >>> explain(OSError(30, "Read-only file system", "/cdrom/grid.png"))
      '/cdrom/grid.png cannot be written, since its file system is read-only: name another place'
      >>> explain(ValueError("a.png has no pixels"))
      'a.png has no pixels'
    """
    if not isinstance(error, OSError) or error.errno is None:
        return str(error)
    named = isinstance(error.filename, str | bytes | os.PathLike)
    place, reason = os.fsdecode(error.filename) if named else "a file", error.strerror or ""
    if reason != os.strerror(error.errno):  # words of our own
        return f"{place}: {reason}" if named else reason
    if error.errno in (errno.EACCES, errno.EPERM):
        what = "opened" if named and _is_to_be_read(place) else "written"
        return f"{place} cannot be {what}, since you lack the permission: change it, or name another"
    if error.errno in _RULES:
        return "{} {}: {}".format(place, *_RULES[error.errno])
    return f"{place}: {reason}"


def _is_to_be_read(place: str) -> bool:
    """Whether reading was what failed, as far as the permissions tell."""
    hidden = not os.access(os.path.dirname(place) or ".", os.X_OK)
    return hidden or (os.path.exists(place) and not os.access(place, os.R_OK))
