"""Progress of long tasks: a bar with rate and remaining time on a terminal, plain lines elsewhere.

A task that ends within five seconds shows nothing. Rates exclude the first update, which often waits for a program to
be compiled.
"""

import sys
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

from tqdm import tqdm

__all__ = ["Progress", "track"]

T = TypeVar("T")

_DELAY = 5.0  # seconds
_FIRST_PAUSE, _LONGEST_PAUSE = 10.0, 60.0  # between plain lines; each pause is twice as long as the one before


class Progress:
    """Progress of one task, shown on the standard error stream; a context manager.

    Args:
      total: number of units of the task; None if unknown, and then no remaining time is shown.
      what: the task, such as "evaluate val".
      unit: name of the units, in the plural.
      initial: units done earlier.
      shown: whether to show anything.

    Example:
      >>> with Progress(3, "segment", unit="windows") as progress:  # too quick to be shown
      ...     for _ in range(3):
      ...         progress.update()
      >>> progress.done
      3
    """

    def __init__(
        self, total: int | None, what: str, *, unit: str = "steps", initial: int = 0, shown: bool = True
    ) -> None:
        self.done: int = initial
        self._total, self._what, self._unit = total, what, unit
        self._notes: dict[str, str] = {}
        terminal = sys.stderr.isatty()
        self._bar: tqdm[Any] | None = None
        if shown and terminal:
            self._bar = tqdm(
                total=total, desc=what, unit=f" {unit}", initial=initial, dynamic_ncols=True, delay=_DELAY, leave=None
            )
        self._lines = shown and not terminal
        self._began = time.monotonic()
        self._pause, self._next = _FIRST_PAUSE, self._began + _DELAY
        self._first: tuple[float, int] | None = None  # time of the first update, and the units done by then

    def update(self, count: int = 1) -> None:
        """Counts more units as done."""
        self.done += count
        if self._bar is not None:
            self._bar.update(count)
        elif self._lines:
            now = time.monotonic()
            if self._first is None:
                self._first = now, self.done
            if now >= self._next:
                self._write(now, *self._first)

    def note(self, **values: str) -> None:
        """Sets values to show beside the count, such as the loss; they stay until replaced."""
        self._notes |= values
        if self._bar is not None:
            self._bar.set_postfix(self._notes, refresh=False)

    def close(self) -> None:
        """Ends the bar."""
        if self._bar is not None:
            self._bar.close()

    def _write(self, now: float, since: float, before: int) -> None:
        of = "" if self._total is None else f" of {self._total:,}"
        words = [f"{self.done:,}{of} {self._unit}"]
        if now > since and self.done > before:
            rate = (self.done - before) / (now - since)
            words.append(f"{rate:.3g} {self._unit} a second" if rate > 1 else f"{1 / rate:.3g} s each")
            if self._total is not None and self.done < self._total:
                words.append(f"{tqdm.format_interval((self._total - self.done) / rate)} left")
        else:
            words.append(f"the first after {now - self._began:.3g} s")
        words += [f"{name} {value}" for name, value in self._notes.items()]
        print(f"{self._what}: {', '.join(words)}", file=sys.stderr, flush=True)
        self._next, self._pause = now + self._pause, min(2 * self._pause, _LONGEST_PAUSE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def track(
    items: Iterable[T], what: str, total: int | None = None, *, unit: str = "steps", shown: bool = True
) -> Iterator[T]:
    """Iterates over items and counts them in a `Progress`.

    Args:
      items: the items.
      what, total, unit, shown: as in `Progress`.

    Returns:
      An iterator of the items.

    Example:
      >>> list(track(range(3), "count", 3))
      [0, 1, 2]
    """
    with Progress(total, what, unit=unit, shown=shown) as progress:
        for item in items:
            yield item
            progress.update()
