"""One process in a run folder: two would overwrite each other's checkpoints and logs."""

import contextlib
import datetime
import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
from jax.experimental import multihost_utils

from ._logging import say


@contextlib.contextmanager
def lock_folder(folder: str | os.PathLike[str], *, file: str = "run.lock") -> Iterator[None]:
    """Holds the lock of a run folder inside the context; the system releases it when the process dies.

    A file in the folder names the holder; it stays after the lock is released, without meaning. With several processes
    of one run, the first holds the lock for all. On NFS the lock works between machines unless mounted with `nolock`;
    on a file system without locks a message says so and the run continues without one.

    Args:
      folder: The folder of the run, created if missing.
      file: The name of the file.

    Raises:
      BlockingIOError: Another process holds the lock; the message has its host, number and start.
      OSError: The file cannot be made.

    Example:
      >>> import tempfile
      >>> folder = tempfile.mkdtemp()
      >>> with lock_folder(folder):
      ...     with lock_folder(folder):
      ...         pass
      Traceback (most recent call last):
      ...
      BlockingIOError: /tmp/... is in use by process ... on ... since ...: wait until it has ended, or stop it; ...
    """
    with contextlib.ExitStack() as stack:
        error: OSError | None = None
        if jax.process_index() == 0:
            try:
                stack.enter_context(_held(Path(folder), file))
            except OSError as caught:
                error = caught
        if jax.process_count() > 1:
            failed = multihost_utils.broadcast_one_to_all(np.bool_(error is not None))
            if failed and error is None:
                raise BlockingIOError(errno.EWOULDBLOCK, f"{folder} is in use; see the message of the first process")
        if error is not None:
            raise error
        yield


@contextlib.contextmanager
def _held(folder: Path, file: str) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / file
    # Links are not followed: the folder may be untrusted.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BlockingIOError(
                f"{folder} is in use by {_holder(descriptor)}: wait until it has ended, or stop it; another run needs "
                "another folder"
            ) from None
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
                raise
            say(f"{path} cannot be locked ({error.strerror}): make sure that no other process uses this folder")
        now = datetime.datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        holder = {"host": socket.gethostname(), "process": os.getpid(), "time": now}
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(holder).encode() + b"\n", 0)
        yield
    finally:
        os.close(descriptor)


def _holder(descriptor: int) -> str:
    try:
        found = json.loads(os.pread(descriptor, 1000, 0))
        return f"process {found['process']} on {found['host']} since {found['time']}"
    except (ValueError, TypeError, KeyError, RecursionError):  # the lock was only just taken, or the file is not ours
        return "another process"
