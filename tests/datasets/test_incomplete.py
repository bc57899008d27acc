"""A prepared data set appears whole or not at all."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from smoothjax import data, datasets
from smoothjax.datasets import builders
from tests.datasets.archives import labels, pixels, png, unpack


def _streets(root, count=3):
    """CamVid in its simplest layout."""
    files = {f"train/{i}.png": png(pixels(i)) for i in range(count)}
    files |= {f"trainannot/{i}.png": png(labels(i, [0, 1, 11])) for i in range(count)}
    return unpack(root, files)


def test_an_existing_folder(tmp_path):
    root, out = _streets(tmp_path / "in"), tmp_path / "out"
    out.mkdir()
    datasets.prepare("camvid", root, out)
    with pytest.raises(FileExistsError, match=r"out holds a prepared data set already; use it, or .*--overwrite"):
        datasets.prepare("camvid", root, out)
    (root / "train/0.png").unlink()
    with pytest.raises(data.InvalidDataError):
        datasets.prepare("camvid", root, out, overwrite=True)
    assert len(data.PreparedSource(out, "train")) == 3, "the old one stays until the new one is whole"
    (root / "trainannot/0.png").unlink()
    datasets.prepare("camvid", root, out, overwrite=True)
    assert len(data.PreparedSource(out, "train")) == 2
    with pytest.raises(FileExistsError, match="in exists and holds something else; choose another folder"):
        datasets.prepare("camvid", root, root, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


_SLOW = """
import sys, time
from smoothjax.datasets import builders, prepare

class Slow(builders.Camvid):
    def plan(self, tree):
        plan = super().plan(tree)
        last = plan.splits["train"][-1]
        def read():
            print("writing", flush=True)
            time.sleep(600)
        plan.splits["train"][-1] = builders.Example(last.name, last.image, builders.Mask("slow", read))
        return plan

prepare(Slow(), *sys.argv[1:], overwrite=True)
"""


@pytest.fixture
def killed(tmp_path):
    """Starts a preparation, and kills it when all examples but the last are written."""

    def kill(*arguments, check=lambda: None):
        process = subprocess.Popen(
            [sys.executable, "-c", _SLOW, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert process.stdout is not None
        with process, process.stdout:
            assert process.stdout.readline() == b"writing\n"
            check()
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL

    return kill


def test_killed_and_started_again(tmp_path, killed):
    root, out = _streets(tmp_path / "in", 70), tmp_path / "out"

    def another():
        with pytest.raises(OSError, match=r"out\.incomplete is in use: another run is preparing this data set"):
            datasets.prepare("camvid", root, out)

    killed(root, out, check=another)
    assert not out.exists()
    assert list((tmp_path / "out.incomplete/data").iterdir()), "it was in the middle of writing"
    with pytest.raises(FileNotFoundError, match=r"in .*out \(its preparation still runs, or was interrupted: start it"):
        data.PreparedSource(out, "train")
    datasets.prepare("camvid", root, out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]
    source = data.PreparedSource(out, "train")
    assert len(source) == 70
    datasets.check_source(source)
    # Once more over what is there: the old one stays.
    killed(root, out)
    assert len(data.PreparedSource(out, "train")) == 70


def test_killed_between_the_two_renamings(tmp_path):
    root, out = _streets(tmp_path / "in"), tmp_path / "out"
    datasets.prepare("camvid", root, out)
    (tmp_path / "out.incomplete/data").mkdir(parents=True)
    out.rename(tmp_path / "out.incomplete/old")
    with pytest.raises(FileExistsError, match="holds a prepared data set already"):
        datasets.prepare("camvid", root, out)
    assert len(data.PreparedSource(out, "train")) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


@pytest.mark.parametrize("often", [1, 2])
def test_interrupted_between_the_two_renamings(tmp_path, monkeypatch, often):
    """The old data set is restored: at once, or by the next run if this is interrupted as well."""
    root, out = _streets(tmp_path / "in"), tmp_path / "out"
    datasets.prepare("camvid", root, out)
    rename, calls = Path.rename, []

    def interrupt(path, target):
        calls.append(path.name)
        if 1 < len(calls) < 2 + often:
            raise KeyboardInterrupt
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", interrupt)
        with pytest.raises(KeyboardInterrupt):
            datasets.prepare("camvid", root, out, overwrite=True)
    assert calls == ["out", "data", "old"]
    assert out.exists() == (often == 1)
    with pytest.raises(FileExistsError, match="holds a prepared data set already"):
        datasets.prepare("camvid", root, out)
    assert len(data.PreparedSource(out, "train")) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def test_a_link_stays(tmp_path):
    """Whether or not its target exists."""
    root, link, target = _streets(tmp_path / "in"), tmp_path / "link", tmp_path / "far/away"
    link.symlink_to(target)
    for overwrite in (False, True):
        datasets.prepare("camvid", root, link, overwrite=overwrite)
        assert link.is_symlink()
        assert not target.is_symlink()
        assert len(data.PreparedSource(target, "train")) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["far", "in", "link"]


@pytest.mark.parametrize("out", ["", ".", "/", "../here"])
def test_places_that_cannot_be_made_anew(tmp_path, monkeypatch, out):
    root = _streets(tmp_path / "in")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(ValueError, match=rf"the folder of the result is '{out}', the .*; name a new folder"):
        datasets.prepare("camvid", root, out)


def test_links_in_a_circle(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises((ValueError, OSError), match="a"):
        datasets.prepare("camvid", _streets(tmp_path / "in"), tmp_path / "a")


def test_interrupted_by_hand(tmp_path):
    class Interrupted(builders.Camvid):
        def plan(self, tree):
            plan = super().plan(tree)
            first = plan.splits["train"][0]
            mask = first.mask
            assert mask is not None

            def read():
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.1)
                return mask.read()

            plan.splits["train"][0] = builders.Example(first.name, first.image, builders.Mask("interrupting", read))
            return plan

    root = _streets(tmp_path / "in")
    with pytest.raises(KeyboardInterrupt):
        datasets.prepare(Interrupted(), root, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
