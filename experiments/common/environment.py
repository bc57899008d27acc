"""The environment of a result: command, versions, commit and machine."""

import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path

from smoothjax import __version__

from .config import command_of
from .run_files import Json

_PACKAGES = ("jax", "flax", "optax", "orbax-checkpoint", "grain", "numpy")


def environment(study: str) -> Json:
    """The dependencies of a result besides its configuration: command, versions, commit and machine."""
    import jax

    return {
        "command": shlex.join([*command_of(study).split(), *sys.argv[1:]]),
        "commit": _commit(),
        "python": platform.python_version(),
        # A checkout on the path, without an installation, has no metadata.
        "packages": {"smoothjax": __version__} | {name: importlib.metadata.version(name) for name in _PACKAGES},
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "processor": f"{platform.machine()}, {os.cpu_count()} cores",
    }


def _commit() -> str | None:
    """The commit of the checkout that this code runs from, marked if it has uncommitted changes."""
    here = Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        return subprocess.run(["git", "-C", str(here), *arguments], capture_output=True, text=True, check=True).stdout

    try:
        return git("rev-parse", "HEAD").strip() + (" with changes" if git("status", "--porcelain").strip() else "")
    except (OSError, subprocess.CalledProcessError):
        return None
