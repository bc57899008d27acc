"""The first cell of the notebooks, which installs the project on a machine that has none of it."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "colab").glob("*.ipynb"))


def _install(notebook, monkeypatch, folder, *, installed=False, gpu=False, clones=True):
    """Runs the cell without really cloning or installing; returns its commands."""
    commands = []

    def run(command, check=False):
        commands.append(command)
        return SimpleNamespace(returncode=0 if clones else 128)

    found = importlib.util.find_spec
    monkeypatch.chdir(folder)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found(name) if installed else None)
    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}" if gpu else None)
    monkeypatch.setattr(sys, "path", [*sys.path])
    exec("".join(json.loads(notebook.read_text())["cells"][0]["source"]), {})
    return commands


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_first_cell_installs_what_the_machine_needs(notebook, monkeypatch, tmp_path):
    """On a GPU the CUDA plugin of the installed JAX; nothing if the project is installed."""
    assert _install(notebook, monkeypatch, tmp_path, installed=True) == []
    for gpu, source in ((False, "./smoothjax-source"), (True, "./smoothjax-source[cuda]")):
        clone, install = _install(notebook, monkeypatch, tmp_path, gpu=gpu)
        assert clone[:2] == ["git", "clone"]
        assert install[-1] == source
    with pytest.raises(SystemExit, match="cannot be cloned: set REPOSITORY to the address of"):
        _install(notebook, monkeypatch, tmp_path, clones=False)


def test_the_extra_of_the_first_cell_is_there(repository):
    assert '\ncuda = ["jax[' in Path(repository, "pyproject.toml").read_text()
