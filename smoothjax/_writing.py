"""Writing files into folders that may come from anywhere, see `files`."""

import io
import os
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FIGURES = (".png", ".pdf", ".svg", ".jpg")
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


def check_writable(path: str | Path, *, name: str) -> None:
    """Refuses a file or folder that cannot be made, or not be replaced, before anything is computed.

    Args:
      path: the file or folder; it need not exist, nor need its folder.
      name: the name of the option in the message.

    Raises:
      PermissionError: what exists of the path is no folder, or one that may not be written to.

    Example:
      >>> import pathlib, tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     pathlib.Path(folder, "a.txt").touch()
      ...     check_writable(f"{folder}/a.txt/grid.png", name="--out")
      Traceback (most recent call last):
      PermissionError: --out .../grid.png cannot be written, since .../a.txt is no folder that you may write to: ...
    """
    place = Path(path).absolute()
    around = place if place.is_dir() else next(folder for folder in place.parents if os.path.lexists(folder))
    if not around.is_dir() or not os.access(around, os.W_OK | os.X_OK):
        raise PermissionError(
            f"{name} {path} cannot be written, since {around} is no folder that you may write to: name another"
        )


def check_figure(path: str | Path, *, name: str) -> None:
    """Refuses a file that no figure can be written to, before anything is drawn.

    Args:
      path: the file; it need not exist, nor need its folder.
      name: the name of the option in the message.

    Raises:
      ValueError: its name does not end in .png, .pdf, .svg or .jpg, or it is a folder.
      PermissionError: see `check_writable`.

    Example:
      >>> check_figure("grid.txt", name="--out")
      Traceback (most recent call last):
      ValueError: --out must end in .png, .pdf, .svg or .jpg, got grid.txt: name it e.g. figure.png
    """
    path = Path(path)
    if path.suffix.lower() not in _FIGURES or path.is_dir():
        *most, last = _FIGURES
        raise ValueError(f"{name} must end in {', '.join(most)} or {last}, got {path}: name it e.g. figure.png")
    check_writable(path, name=name)


def write_figure(path: str | Path, figure: "Figure", *, dpi: int | None = None) -> None:
    """Draws a figure into a file of the format that its suffix names, as `write_whole` does; makes its folder.

    Args:
      path: the file.
      figure: the figure.
      dpi: dots per inch; by default those of the figure.

    Raises:
      OSError: the file cannot be written; a former file is unchanged.

    Example:
      >>> import pathlib, tempfile
      >>> from matplotlib.figure import Figure
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     write_figure(f"{folder}/new/a.png", Figure())
      ...     pathlib.Path(f"{folder}/new/a.png").is_file()
      True
    """
    path, buffer = Path(path), io.BytesIO()
    figure.savefig(buffer, dpi=dpi or "figure", format=path.suffix.lower().removeprefix(".") or "png")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, buffer.getvalue())


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
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
        try:
            with open(descriptor, "wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        if error.errno is None:  # in words of its own
            raise
        # A full disk has no file of its own in the error, and nobody knows the temporary one.
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error
