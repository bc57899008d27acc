"""The package itself: its version, and sub-packages imported at first use."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import smoothjax

_PACKAGE = Path(smoothjax.__file__).parent
_SCRIPT = """
import sys, time
start = time.process_time()
import smoothjax
seconds = time.process_time() - start
assert not {"jax", "flax", "numpy"} & set(sys.modules), "a plain import brings JAX"
assert seconds < 0.1, f"a plain import takes {seconds:.3f} s"
assert smoothjax.names.Smoothing and "jax" not in sys.modules
assert smoothjax.ops.reinterlace.__module__.startswith("smoothjax.ops")
assert not {"flax", "optax", "grain"} & set(sys.modules), "ops brings more than JAX and chex"
"""


def test_a_plain_import_is_cheap():
    """Even a command line asked only for help pays for the imports of `import smoothjax`."""
    subprocess.run([sys.executable, "-c", _SCRIPT], check=True)


def test_a_plain_import_reaches_every_package():
    """An unlisted new package would need its own import."""
    found = {path.parent.name for path in _PACKAGE.glob("*/__init__.py")} | {"names"}
    assert found <= set(dir(smoothjax))
    for name in found:
        assert getattr(smoothjax, name).__name__ == f"smoothjax.{name}"
    with pytest.raises(AttributeError, match="module 'smoothjax' has no attribute 'opps'"):
        smoothjax.opps  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]


def test_one_version():
    project = tomllib.loads((_PACKAGE.parent / "pyproject.toml").read_text())["project"]
    assert smoothjax.__version__ == project["version"]
