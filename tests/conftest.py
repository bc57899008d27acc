"""Shared by all tests: eight virtual CPU devices, strict ranks, a compilation cache, reference data."""

import functools
import gc
import itertools
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import pytest
from jax._src.interpreters import mlir
from jax.experimental.compilation_cache import compilation_cache

_REPOSITORY = Path(__file__).resolve().parents[1]
_SHARED_DATA = Path(os.environ.get("SMOOTHJAX_SHARED_DATA", _REPOSITORY.parent / "shared" / "data"))

# On a busy machine eight virtual devices may wait for each other longer than the 40 s after which XLA aborts.
_XLA_FLAGS = ["--xla_cpu_collective_call_terminate_timeout_seconds=600"]
# Most of the time goes into compiling small programs, here and in processes of their own: XLA's older code generator
# takes half as long, and less without most optimizations. With this variable all is compiled as users have it.
if not os.environ.get("SMOOTHJAX_TEST_AS_USERS"):
    _XLA_FLAGS += [
        "--xla_backend_extra_options=xla_cpu_disable_new_fusion_emitters",
        "--xla_cpu_parallel_codegen_split_count=1",
    ]
    jax.config.update("jax_disable_most_optimizations", True)
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "True"
# Read when the devices are made, which importing JAX does not do.
os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *_XLA_FLAGS])
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_compilation_cache_dir", os.path.join(tempfile.gettempdir(), "smoothjax-test-cache"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)

# Tracing makes many objects that stay, and little garbage: with the usual thresholds a tenth of the time goes there.
gc.set_threshold(100_000, 20, 50)

# JAX before 0.12 makes an MLIR context for every program, with all dialects: up to a quarter of the time of a test of
# small programs. Here those of a thread share one, as in 0.12; it keeps all constants, so it is made anew at times.
_make_context, _programs = mlir.make_ir_context, itertools.count()


@functools.lru_cache(maxsize=4)
def _context(thread: int, generation: int) -> Any:
    return _make_context()


if jax.__version_info__ < (0, 12):
    mlir.make_ir_context = lambda: _context(threading.get_ident(), next(_programs) // 500)

# A shell makes what it runs in the background deaf to Ctrl-C, which some tests send.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


#: Compiled programs are kept from file to file until the process holds so many bytes: most are small and used again.
_ENOUGH = 3 << 30


@pytest.fixture(scope="module", autouse=True)
def few_compiled_programs_left() -> Iterator[None]:
    """All of them together take gigabytes."""
    yield
    if _resident_bytes() > _ENOUGH:
        jax.clear_caches()


def _resident_bytes() -> int:
    """Memory of this process; a number above the limit if the system does not report it."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return _ENOUGH + 1
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def shared_data() -> Callable[[str], Path]:
    """Finds a file of the reference data, which is not part of the project; skips the test if it is missing."""

    def find(name: str) -> Path:
        path = _SHARED_DATA / name
        if not path.exists():
            pytest.skip(f"reference data {name!r} is not at {_SHARED_DATA}; set SMOOTHJAX_SHARED_DATA")
        return path

    return find


@pytest.fixture
def repository() -> Path:
    """The root of the checkout."""
    return _REPOSITORY


@pytest.fixture
def no_compilation_cache() -> Iterator[None]:
    """For programs with several reductions on several CPU devices.

    Read from the cache, they may run their reductions in a different order on each device, and wait forever
    (jax 0.10.2 and 0.11.2).
    """
    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()
    yield
    jax.config.update("jax_enable_compilation_cache", True)
    compilation_cache.reset_cache()


@pytest.fixture
def x64() -> Iterator[None]:
    """Double precision for one test."""
    with jax.enable_x64(True):
        yield
