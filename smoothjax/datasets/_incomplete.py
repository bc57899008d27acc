"""Atomic creation of a folder."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ..data import INCOMPLETE_SUFFIX, METADATA_FILE


@contextlib.contextmanager
def whole_folder(out: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yields a working folder; its sub-folder `data` becomes `out` if the block ends without an error.

    It is a sibling of `out`, so the last step is an atomic renaming. An error removes it. The next run removes the
    remains of a killed one; it holds a lock on the folder, so two runs never share it.

    Args:
      out: the folder to make.
      overwrite: whether to replace an existing data set once the new one is complete.

    Raises:
      FileExistsError: `out` holds other files, or a prepared data set and `overwrite` is not set.
      OSError: another run is preparing `out`.
    """
    place = out.with_name(out.name + INCOMPLETE_SUFFIX)
    first = not place.parent.exists()
    lock = _lock(place)
    old = place / "old"
    try:
        if old.exists() and not out.exists():
            # A run was killed between the two renamings below: only the old data set is complete.
            old.rename(out)
        _check_free(out, overwrite)
        for path in place.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
        (place / "data").mkdir()
        yield place
        _replace(out, place / "data", old)
    finally:
        if out.exists() or not old.exists():
            shutil.rmtree(place, ignore_errors=True)
        # Otherwise the old data set, the only complete one, could not be put back; the next run does so.
        os.close(lock)
        if first:
            # Remove it, unless something is in it.
            with contextlib.suppress(OSError):
                place.parent.rmdir()


def _replace(out: Path, new: Path, old: Path) -> None:
    if not out.exists():
        new.rename(out)
        return
    try:
        out.rename(old)
        new.rename(out)
    # Also on an interrupt: between the two renamings there is no data set.
    except BaseException:
        if old.exists() and not out.exists():
            old.rename(out)
        raise


def _lock(place: Path) -> int:
    """Makes the working folder, and opens and locks the file `lock` in it."""
    import fcntl

    while True:
        place.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(place / "lock", os.O_RDWR | os.O_CREAT)
        except FileNotFoundError:
            continue  # another run has just ended and removed the folder
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise OSError(f"{place} is in use: another run is preparing this data set; wait for it to end") from None
        except OSError:
            return descriptor  # a file system without locks
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(place / "lock")):
                return descriptor
        os.close(descriptor)


def _check_free(out: Path, overwrite: bool) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / METADATA_FILE).is_file():
        raise FileExistsError(f"{out} exists and holds something else; choose another folder for the data set (--out)")
    if not overwrite:
        raise FileExistsError(
            f"{out} holds a prepared data set already; use it, or prepare it again with --overwrite (overwrite=True in "
            "Python), or choose another folder (--out)"
        )
