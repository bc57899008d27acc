"""Huge pages for large buffers, which glibc asks for only in a process that starts with this setting.

glibc maps every large buffer anew at each call and unmaps it afterwards. On pages of 4 KiB a training step of DeepLab
with EfficientNet-Lite0 (2x241x241) has 260,000 page faults and takes 0.71 s on two cores; on pages of 2 MiB it has
1,100 and takes 0.46 s.
"""

import contextlib
import os
import platform
import sys
from pathlib import Path
from typing import NoReturn

_TUNABLE = "glibc.malloc.hugetlb"
SETTING = f"{_TUNABLE}=1"
"""The tunable: `GLIBC_TUNABLES=glibc.malloc.hugetlb=1`; 0 in its place keeps pages of 4 KiB."""
# Whether Linux grants huge pages: always, never, or where a program asks for them.
_POLICY = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_OLDEST_GLIBC = (2, 35)
# Set in the restarted process: something may take the tunable away, and it would restart for ever.
_RESTARTED = "SMOOTHJAX_RESTARTED"


def use_huge_pages() -> None:
    """Restarts this process with huge pages for large buffers, if it is a program of this package that lacks them.

    Call it before JAX is imported. A process in which `GLIBC_TUNABLES` already sets the tunable goes on as it is, and
    so does one under a debugger, on a system without glibc 2.35, or where Linux grants huge pages always or never.
    """
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    if not _is_program() or _TUNABLE in tunables or _RESTARTED in os.environ or not _are_on_request():
        return
    # Only speed is lost where a process may not start anew.
    with contextlib.suppress(OSError):
        restart({"GLIBC_TUNABLES": ":".join(filter(None, (tunables, SETTING))), _RESTARTED: "1"})


def restart(variables: dict[str, str]) -> NoReturn:
    """Starts this program anew, with environment variables that a process reads only when it starts."""
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | variables)


def _is_program() -> bool:
    """Whether Python was started as `python -m` with a module of this package, and not with a debugger."""
    words = sys.orig_argv
    module = words[words.index("-m") + 1] if "-m" in words[:-1] else ""
    return module.partition(".")[0] == __name__.partition(".")[0]


def has_huge_pages() -> bool:
    """Whether large buffers of this process are on huge pages, where Linux has them free."""
    return "[always]" in _policy() or (_are_on_request() and SETTING in os.environ.get("GLIBC_TUNABLES", ""))


def _are_on_request() -> bool:
    library, version = platform.libc_ver()
    new = library == "glibc" and tuple(map(int, version.split(".")[:2])) >= _OLDEST_GLIBC
    return new and "[madvise]" in _policy()


def _policy() -> str:
    try:
        return _POLICY.read_text()
    except OSError:  # another system
        return ""
