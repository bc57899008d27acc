"""The log of a run: scalars on the console, in a JSON-lines file and in TensorBoard, pictures in TensorBoard."""

import contextlib
import functools
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import jax
import numpy as np
from tensorboardX import SummaryWriter
from tqdm import tqdm

from ..files import parse_json, write_whole


def say(message: str) -> None:
    """Prints a line on process 0, above a progress bar if there is one; the other processes stay silent.

    Args:
      message: The line.

    Example:
      >>> say("resuming")
      resuming
    """
    if jax.process_index() == 0:
        tqdm.write(message)


class Mirror(Protocol):
    """A second receiver of a `RunLog`'s scalars and pictures."""

    def scalars(self, step: int, values: Mapping[str, float], /) -> None:
        """Logs numbers named `split/name`."""
        ...

    def pictures(self, step: int, pictures: Mapping[str, np.ndarray], /) -> None:
        """Logs pictures, uint8 `[H, W, 3]` by name."""
        ...


class RunLog:
    """Writes the scalars of one run; a context manager.

    Three places: a line on the console, a line `{"step": 40, "split": "train", "loss": 1.2, ...}` in
    `folder/metrics.jsonl`, and events in `folder/tensorboard`. Values that are not finite are `null` in the file, since
    JSON has no number for them. Only process 0 writes; on other processes every method does nothing.

    Opening a folder cuts its log back to `resume_step`, so repeated steps do not appear twice. A last line torn by a
    kill is also removed.

    Args:
      folder: The run's folder, created if missing.
      resume_step: Lines of later steps are dropped; 0 starts an empty log.
      console: Whether to print the scalars.
      mirror: A second receiver of scalars and pictures.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     with RunLog(folder) as log:
      ...         log.scalars(20, "train", {"loss": 1.25, "learning_rate": 0.001})
      ...     print((Path(folder) / "metrics.jsonl").read_text(), end="")
      step 20  train  loss 1.25  learning_rate 0.001
      {"step": 20, "split": "train", "loss": 1.25, "learning_rate": 0.001}
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        resume_step: int = 0,
        console: bool = True,
        mirror: Mirror | None = None,
    ):
        self._console, self._mirror = console, mirror
        self._writes = jax.process_index() == 0
        if self._writes:
            folder = Path(folder)
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / "metrics.jsonl"
            with _writing(folder):
                _cut(path, resume_step)
                self._file = path.open("a", encoding="utf-8")
                self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=resume_step + 1)
            self._folder, self._events = folder, _Events(self._board)

    def scalars(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """Writes the values of one step.

        Args:
          step: Number of updates done.
          split: The split they were measured on: "train" or "val".
          values: Numbers by name.
        """
        if not self._writes:
            return
        values = {name: float(value) for name, value in values.items()}
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        with _writing(self._folder):
            self._events.check()
            self._file.write(json.dumps({"step": step, "split": split, **finite}) + "\n")
            self._file.flush()  # a killed run keeps its curves
        for name, value in values.items():
            self._board.add_scalar(f"{split}/{name}", value, step)
        if self._mirror is not None:
            self._mirror.scalars(step, {f"{split}/{name}": value for name, value in values.items()})
        if self._console:
            tqdm.write("  ".join([f"step {step}", split, *(f"{name} {value:.4g}" for name, value in values.items())]))

    def pictures(self, step: int, pictures: Mapping[str, np.ndarray]) -> None:
        """Writes pictures to TensorBoard and the mirror.

        Args:
          step: Number of updates done.
          pictures: uint8 `[H, W, 3]` by name.
        """
        if self._writes:
            for name, picture in pictures.items():
                self._board.add_image(name, picture, step, dataformats="HWC")
            if self._mirror is not None and pictures:
                self._mirror.pictures(step, pictures)

    def histograms(self, step: int, values: Mapping[str, np.ndarray]) -> None:
        """Writes histograms of numbers to TensorBoard.

        Args:
          step: Number of updates done.
          values: Arrays of any shape by name.
        """
        if self._writes:
            for name, array in values.items():
                self._board.add_histogram(name, np.asarray(array, np.float32).ravel(), step)

    def close(self) -> None:
        """Flushes and closes the files; raises OSError if they cannot be written."""
        if self._writes:
            with _writing(self._folder), contextlib.ExitStack() as stack:
                stack.callback(self._events.check)
                stack.callback(self._board.close)
                stack.callback(self._file.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The first error matters most: a full disk would fail here once more.
        with contextlib.suppress(OSError) if error else contextlib.nullcontext():
            self.close()


class _Events:
    """The writer of tensorboardX's events, changed to survive a full disk.

    Otherwise its thread would end with a traceback at the first error, and the next events would wait for it forever.
    """

    def __init__(self, board: SummaryWriter):
        files: Any = board.file_writer  # two of its attributes are private, and there is no other way in
        writer = files.event_writer
        self._inner, self._error = writer._ev_writer, None
        writer._ev_writer = writer._worker._record_writer = self

    def check(self) -> None:
        """Raises the first error, if any."""
        if self._error is not None:
            raise self._error

    def write_event(self, event: object) -> None:
        """Called by the thread."""
        self._try(functools.partial(self._inner.write_event, event))

    def flush(self) -> None:
        """Called by the thread, and at the end."""
        self._try(self._inner.flush)

    def close(self) -> None:
        """Called at the end."""
        self._try(self._inner.close)

    def _try(self, function: Callable[[], object]) -> None:
        try:
            function()
        except OSError as error:
            self._error = self._error or error


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Explains a failed write to the log."""
    try:
        yield
    except OSError as error:
        raise OSError(
            f"the log of {folder} could not be written ({error.strerror or error}): free space there or make the "
            "folder writable, then continue with the same command"
        ) from error


def _cut(path: Path, resume_step: int) -> None:
    """Drops the lines after a step, and torn ones; atomic, so that a kill leaves the old file or the new one."""
    if not path.exists():
        return
    kept = [line for line in path.read_bytes().splitlines() if _step_of(line) <= resume_step]
    write_whole(path, b"".join(line + b"\n" for line in kept))


def _step_of(line: bytes) -> float:
    """Infinity for a line that is damaged, such as the last one after a kill."""
    try:
        found = parse_json(line, "a line")
    except ValueError:
        return math.inf
    step = found.get("step") if isinstance(found, dict) else None
    return step if isinstance(step, int) else math.inf
