"""The exit status of a command, and its message on failure."""

import os
import sys
from collections.abc import Callable

from smoothjax.files import explain, printable


def status_of(
    run: Callable[[], None],
    stopped: str = "stopped; the same command continues from the last checkpoint, if there is one",
) -> int:
    """Runs a command; returns its exit status. Errors that a user can mend print one sentence, others a traceback."""
    try:
        run()
        sys.stdout.flush()
    except KeyboardInterrupt:
        print(f"\n{stopped}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader, such as `head`, has closed the pipe; nothing is left to flush at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError, FloatingPointError, ModuleNotFoundError) as error:
        print(f"error: {printable(explain(error))}", file=sys.stderr)
        return 1
    return 0
