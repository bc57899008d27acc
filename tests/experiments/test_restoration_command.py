"""The command line of the restoration study: refusals, help, and configurations."""

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from PIL import Image

from experiments.restoration.__main__ import PROGRAM, main
from experiments.restoration.config import PRESETS, Method
from experiments.restoration.study import STUDY
from smoothjax import models, nn
from smoothjax.names import RestorationTask
from tests.experiments.made_runs import assert_survives_its_file

METHODS = get_args(Method)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            "train folder --run RUN",
            "name the images: --data.root FOLDER, a folder of {train,val,test}/{degraded,clean}",
        ),
        ("train haze --run RUN", "name the images: --data.root FOLDER, a folder of clean images"),
        ("train folder --run RUN --data.root nowhere", "split 'train' of nowhere is incomplete: no folder"),
        ("train haze --run RUN --data.root nowhere", "nowhere: no such folder"),
        ("train haze --run RUN --data.root .", "split 'train' of . has no images: put some (jpg"),
        ("train demo --run RUN --data.crop-size 65 64", "64 x 64 pixels high and wide, less than the 65 x 64"),
        ("train demo --run RUN --data.crop-size 8 64", "--data.crop-size must be at least 11 11 pixels, got 8 64"),
        ("train demo --run RUN --haze.beta 2 1", "--haze.beta must be two numbers 0 <= low <= high, got 2 1"),
        ("train demo --run RUN --haze.airlight 0 2", "--haze.airlight must be two numbers 0 <= low <= high <= 1, got"),
        ("train demo --run RUN --optim.learning-rate 0", "--optim.learning-rate must be positive and finite, got 0"),
        ("train demo --run RUN --model.width 0", "--model.width must be at least 1, got 0"),
        (
            "train demo --run RUN --model.smoothing multigrid",
            "--model.smoothing (--methods) multigrid changes the rates of dilated_stack, got it with --model.network "
            "gcanet, whose rates are fixed: leave it out, or add --model.network dilated_stack",
        ),
        ("compare haze --methods none multigrid --data.root .", "multigrid changes the rates of dilated_stack, got it"),
        ("compare noise --data.root . --model.rates 2 1", "multigrid needs --model.rates of 2 or more, got 2 1: leave"),
        ("train noise --run RUN --model.rates 0 2", "--model.rates must be 1 to 64 ints from 1 on, got 0 2: try 2 2 2"),
        ("train noise --run RUN --noise.sigma 0", "--noise.sigma must be above 0 and at most 255, got 0: 25 is usual"),
        ("train noise --run RUN", "name the images: --data.root FOLDER, a folder of clean images"),
        ("train demo --run RUN --batch-size 9", "--batch-size must be a positive multiple of the 8 devices"),
        ("evaluate RUN", "holds no run (config.yaml is missing)"),
        ("evaluate", "name either a run or weights: "),
        ("evaluate RUN --weights w.npz", "name either a run or weights: "),
        ("evaluate RUN --data pairs", "--data would change nothing, since a run records its task, images and scores"),
        ("evaluate --weights w.npz --task dehaze", "--weights needs --task dehaze or derain, and --data FOLDER"),
        ("evaluate --weights w.npz --data pairs", "--weights needs --task dehaze or derain, and --data FOLDER"),
        (
            "evaluate --weights w.npz --task dehaze --data pairs --data-root pairs",
            "--data-root would change nothing, since --weights names no run",
        ),
        ("evaluate --weights w.npz --task dehaze --data pairs", "split 'val' of pairs is incomplete: no folder"),
        ("predict RUN", "name the images: python -m experiments.restoration predict RUN IMAGES... --out DIR, or"),
        ("predict --weights w.npz --task dehaze", "name the images: "),
        ("predict --weights w.npz a.png", "--weights needs --task dehaze or --task derain"),
        ("predict --weights w.npz --task dehaze a.png b.png", "no such image: a.png, b.png"),
        ("predict RUN --task dehaze a.png", "--task goes with --weights"),
        ("predict RUN a.png --tile 33 64", "--tile must be two even numbers of pixels, at least 32, got 33 64: try"),
        ("filters", "name either a run or weights"),
        ("filters RUN --weights w.npz", "name either a run or weights"),
        ("filters RUN --out filters.svg", "--out must be a PNG file, got filters.svg: name it e.g. filters.png"),
        (
            "filters --weights w.npz --checkpoint best",
            "--checkpoint would change nothing, since --weights names no run",
        ),
        ("predict --weights w.npz --task dehaze a.png --checkpoint best", "--checkpoint would change nothing, since"),
        ("filters --weights w.npz", "w.npz does not exist: check the path"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_written(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    sizes = ["--batch-size", "8"] if arguments.startswith("train") else []
    words = arguments.split()
    assert main([*words[:2], *sizes, *words[2:]]) == 1
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_damaged_file_of_weights_is_one_line(tmp_path, monkeypatch, capsys):
    """It is read without PyTorch, whatever it holds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "torch", None)
    Path("g.pth").write_bytes(b"something")
    Image.new("RGB", (32, 32)).save("a.png")
    assert main(["predict", "--weights", "g.pth", "--task", "dehaze", "a.png"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: g.pth cannot be read: ")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("--help", ["train PRESET", "compare PRESET", "evaluate [RUN]", "predict [RUN] IMAGES...", "filters [RUN]"]),
        ("train --help", ["presets:", "demo", "folder", "haze", "noise"]),
        ("train haze --help", ["--data.root", "--model.smoothing", "--haze.beta", "--haze.airlight", "--precision"]),
        ("compare demo --help", ["--methods", "(none group_interaction ss_conv)", "--seeds", "--out"]),
        ("compare noise --help", ["(none multigrid group_interaction ss_conv)", "(0 1 2 3 4 5 6 7)", "--noise.sigma"]),
        ("predict --help", ["[RUN] IMAGES...", "--weights", "--task", "--tile H W", "tiles change the result"]),
        ("filters --help", ["RUN", "--weights", "--out"]),
    ],
)
def test_help(capsys, arguments, expected):
    with contextlib.suppress(SystemExit):
        assert main(arguments.split()) == 0
    out = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for word in expected:
        assert word in out


def test_help_imports_no_jax(repository):
    code = (
        "import sys; from experiments.restoration.__main__ import main\n"
        "for arguments in (['train', 'demo', '--help'], ['predict', '--help']):\n"
        "    try: main(arguments)\n"
        "    except SystemExit: pass\n"
        "assert not {'jax', 'flax', 'numpy', 'matplotlib', 'grain'} & set(sys.modules), 'imported too early'"
    )
    subprocess.run([sys.executable, "-c", code], cwd=repository, check=True, capture_output=True)


def test_choices_are_those_of_the_library():
    assert set(METHODS) <= set(models.DEGRIDDINGS)
    assert set(PROGRAM.compared.methods) <= set(nn.SMOOTHINGS)
    assert get_args(RestorationTask) == models.TASKS
    assert set(STUDY.labels) == set(METHODS) == {*PROGRAM.compared.methods, "multigrid"}


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_configurations_survive_their_file(preset, tmp_path):
    config = PRESETS[preset].config
    assert_survives_its_file(config, tmp_path / "run")
    assert [config.with_method(method).method for method in METHODS] == list(METHODS)
