"""Signals that ask a run to stop: it saves first."""

import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self, TypeAlias, TypeVar

import jax
from jax.experimental import multihost_utils

from ._logging import say

_SOON = 0.02  # seconds

T = TypeVar("T")
Handler: TypeAlias = Callable[[int, FrameType | None], object] | int | None


class Stopped(SystemExit):
    """A signal stopped the run, and its checkpoint is saved.

    A `SystemExit`: where nobody catches it, the process ends with `code`, 128 + the number of the signal, which is 143
    for SIGTERM and 130 for SIGINT.
    """


class StopSignals:
    """While it is entered, SIGTERM and the first SIGINT only ask for a stop; a second one acts as without it.

    A signal that nobody asked about, since it came after the last step, raises `Stopped` at the end: what comes after
    this run must not start.

    Several processes must stop at the same step, whichever of them got the signal: there JAX's coordination service
    takes SIGTERM and finds the step, and SIGINT is passed on to it as SIGTERM. Signals reach the main thread only: in
    another one nothing is changed.
    """

    def __init__(self) -> None:
        self._received: signal.Signals | None = None
        self._passed_on = signal.SIGTERM
        self._previous: dict[signal.Signals, Handler] = {}
        self._interruptible = False
        self._step = 0

    def at(self, step: int) -> bool:
        """Whether the run stops after this step; to be asked once for every step."""
        self._step = step
        if jax.process_count() > 1 and self._received is None and multihost_utils.reached_preemption_sync_point(step):
            self._received = self._passed_on
        return self._received is not None

    def interruptible(self, function: Callable[[], T]) -> T | None:
        """Calls a function that may take long; a signal ends it, and None is returned."""
        if self._received is not None:
            return None
        # Python drops what is raised in a callback of its garbage collector, such as JAX's, or in a finalizer.
        previous = sys.unraisablehook

        def dropped(unraisable: "sys.UnraisableHookArgs") -> None:
            if isinstance(unraisable.exc_value, _Interrupted):
                self._interrupt_soon()
            else:
                previous(unraisable)

        self._interruptible, sys.unraisablehook = True, dropped
        try:
            return function()
        except _Interrupted:
            return None
        finally:
            self._interruptible, sys.unraisablehook = False, previous

    @property
    def signal(self) -> signal.Signals:
        """The signal that came."""
        return self._received or signal.SIGTERM

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            single = jax.process_count() == 1
            handlers = {signal.SIGTERM: self._receive, signal.SIGINT: self._receive}
            for number, handler in (handlers if single else {signal.SIGINT: self._pass_on}).items():
                self._previous[number] = signal.signal(number, handler)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()
        if error is None and self.at(self._step + 1):
            say(f"stopped by {self.signal.name} after the last step, which is saved")
            raise Stopped(128 + self.signal)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._restore()
        self._received = signal.Signals(number)
        if self._interruptible:
            raise _Interrupted

    def _interrupt_soon(self) -> None:
        """Has the signal come again when the callback that it came in is over."""
        number, main = self.signal, threading.main_thread().ident
        assert main is not None, "it runs"
        handler = signal.getsignal(number)

        def again(number: int, frame: FrameType | None) -> None:
            del frame
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
            if self._interruptible:
                raise _Interrupted

        signal.signal(number, again)
        threading.Timer(_SOON, signal.pthread_kill, (main, number)).start()

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._restore()
        self._passed_on = signal.Signals(number)
        signal.raise_signal(signal.SIGTERM)

    def _restore(self) -> None:
        while self._previous:
            number, handler = self._previous.popitem()
            # None: it was not installed from Python, and cannot be again.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


class _Interrupted(BaseException):
    """Ends a long function; no `Exception`, lest something on the way takes it for its own."""
