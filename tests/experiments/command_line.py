"""Runs the studies as users do, in a process on one device; or, to save time, in the process of the tests."""

import contextlib
import importlib
import io
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from unittest import mock

import jax
import numpy as np
from PIL import Image

#: The studies that share the grammar; each is `experiments.NAME`.
STUDIES = ("segmentation", "pixel_dcn")

ROOT = Path(__file__).resolve().parents[2]

#: Networks and images so small that a run takes seconds.
TINY_U_NET = shlex.split(
    "--model.width 4 --model.depth 2 --data.image-size 36 40 --data.size 16 24 --data.train-images 24 "
    "--data.val-images 6 --batch-size 4 --eval-batch-size 2 --log-every 2"
)
TINY_IN_FILES = shlex.split(
    "--model.encoder resnet10 --model.width 4 --model.head-rates 1 2 --data.crop-size 33 33 --batch-size 4 "
    "--eval-batch-size 2 --log-every 2"
)
TINY = [*TINY_IN_FILES, *shlex.split("--data.image-size 40 40 --data.train-images 24 --data.val-images 6")]

#: The methods of the study segmentation that are compared from end to end.
TRAINED = ("none", "ss_conv")

#: The text that the study sequence learns.
TEXT = "the cat sat on the mat. a dog sat by the cat. they sat and sat, the dog and the cat. " * 3


def start(*arguments: object, folder: Path, study: str = "segmentation") -> "subprocess.Popen[str]":
    """Starts ``python -m experiments.STUDY`` in a folder.

    SMOOTHJAX_TEST_PYTHON names another interpreter, that of a plain installation.
    """
    python = os.environ.get("SMOOTHJAX_TEST_PYTHON", sys.executable)
    command = [python, "-W", "error::DeprecationWarning:experiments", "-m", f"experiments.{study}"]
    return subprocess.Popen(
        [*command, *map(str, arguments)],
        cwd=folder,
        env=os.environ | variables(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def variables(*, cache: bool = True) -> dict[str, str]:
    """Of the environment of a process on one device; without the cache where processes train as one.

    See the fixture no_compilation_cache.
    """
    programs = jax.config.jax_compilation_cache_dir  # pyright: ignore[reportAttributeAccessIssue]
    return {
        # Studies are run from the checkout; here they run elsewhere, so that nothing is left in it.
        "PYTHONPATH": str(ROOT),
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": "1",
        "JAX_COMPILATION_CACHE_DIR": str(programs),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.5",
        "JAX_ENABLE_COMPILATION_CACHE": str(cache).lower(),
        # Python also compiles the sources only once, whatever the environment.
        "PYTHONDONTWRITEBYTECODE": "",
    }


def run(*arguments: object, folder: Path, status: int = 0, study: str = "segmentation") -> tuple[str, str]:
    """Runs a study to its end, checks its exit status, and returns its output."""
    with start(*arguments, folder=folder, study=study) as process:
        out, err = process.communicate(timeout=900)
    assert process.returncode == status, f"status {process.returncode}\n{out}\n{err}"
    return out, err


def call(
    *arguments: object, folder: Path, status: int = 0, study: str = "segmentation", devices: int | None = None
) -> tuple[str, str]:
    """The same in this process, on its eight devices or only the first of them."""
    out, err = io.StringIO(), io.StringIO()
    main = importlib.import_module(f"experiments.{study}.__main__").main
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        first_devices(devices),
    ):
        found = main([str(argument) for argument in arguments])
    assert found == status, f"status {found}\n{out.getvalue()}\n{err.getvalue()}"
    return out.getvalue(), err.getvalue()


def first_devices(devices: int | None) -> contextlib.AbstractContextManager[object]:
    """Hides all but the first devices from code that asks for all."""
    found = jax.devices()[:devices]
    return mock.patch.multiple(jax, devices=lambda *_: found, device_count=lambda *_: len(found))


#: As `run`, without the seconds that a process takes to start.
call_on_one = partial(call, devices=1)


def check_pictures(folder: Path, *names: str) -> None:
    """Asserts that figures exist, have a plausible size, and are not empty."""
    for name in names:
        with Image.open(folder / name) as image:
            assert min(image.size) > 300
            assert np.asarray(image.convert("L")).std() > 5


def parameters(folder: Path, study: str = "segmentation") -> dict[str, np.ndarray]:
    """The parameters of the latest state of a run, by path."""
    from experiments.common.trained import read_run

    state = read_run(importlib.import_module(f"experiments.{study}.study").STUDY, folder, "latest").state
    return {jax.tree_util.keystr(path): np.asarray(x) for path, x in jax.tree_util.tree_leaves_with_path(state)}


def check_resumed(whole: Path, resumed: Path, study: str, steps: tuple[int, int], *options: object) -> None:
    """Without its last checkpoint, a run ends with bitwise the same parameters; `steps` are the last two saved."""
    shutil.copytree(whole, resumed)
    shutil.rmtree(resumed / f"checkpoints/{steps[1]}")
    (resumed / "result.json").unlink()
    out, _ = call_on_one("train", "demo", *options, "--run", resumed, folder=resumed.parent, study=study)
    assert f"resuming {resumed} from step {steps[0]} of {steps[1]}" in out
    expected, found = parameters(whole, study), parameters(resumed, study)
    assert len(expected) > 40
    for path, leaf in found.items():
        np.testing.assert_array_equal(expected[path], leaf, err_msg=path)


def check_rows(report: Path, out: str, labels: Iterable[str]) -> None:
    """Asserts that each label has a row, on the console and in the report."""
    text = (report / "report.md").read_text()
    for label in labels:
        assert f"\n| {label} " in out
        assert f"\n| {label} " in text
