"""The dilated denoiser of the restoration study from end to end, through the command line."""

import json
import shlex
from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from experiments.restoration.__main__ import main
from experiments.restoration.config import PRESETS
from experiments.restoration.noise import Noise
from smoothjax import models, weights
from tests.experiments.command_line import call_on_one as run_study
from tests.experiments.command_line import check_pictures

METHODS = PRESETS["noise"].methods
OPTIONS = shlex.split(
    "--model.width 16 --model.stem 1 --model.rates 2 2 2 --data.crop-size 16 16 --batch-size 4 --log-every 8 "
    "--steps 64 --evaluate-every 64 --checkpoint-every 64 --optim.learning-rate 0.01"
)

run = partial(run_study, study="restoration")


def _main(*arguments):
    """Runs a command in this process."""
    assert main([str(argument) for argument in arguments]) == 0


def _smooth(size, seed):
    """A smooth image, which a few steps learn to tell from noise."""
    coarse = np.random.default_rng(seed).integers(0, 256, (3, 3, 3), np.uint8)
    return Image.fromarray(coarse).resize((size[1], size[0]), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Every method, one seed."""
    folder = tmp_path_factory.mktemp("noise")
    for split, count in (("train", 8), ("val", 3)):
        (folder / f"clean/{split}").mkdir(parents=True)
        for i in range(count):
            _smooth((32, 38), i + 100 * (split == "val")).save(folder / f"clean/{split}/{i}.png")
    out, _ = run("compare", "noise", *OPTIONS, "--seeds", 0, "--data.root", folder / "clean", folder=folder)
    return folder / "runs/restoration/noise", out


def _result(compared, method):
    return json.loads((compared[0] / f"{method}-seed0/result.json").read_text())


def test_every_method_takes_noise_away(compared):
    for method in METHODS:
        val = _result(compared, method)["val"]
        # 20 log10(255 / 25); clipped images would have less noise.
        assert val["degraded_psnr"] == pytest.approx(20.17, abs=0.2)
        assert val["psnr"] > val["degraded_psnr"] + 1, method


def test_the_comparison_starts_with_the_degraded_images(compared):
    folder, out = compared
    lines = [line.split(" | ") for line in out.splitlines() if line.startswith("| ")]
    labels = ["the degraded images", "baseline", "multigrid", "group interaction", "SS convolution"]
    assert [line[0].strip("| ") for line in lines[2:7]] == labels
    text = (folder / "report.md").read_text()
    assert text.startswith("# Denoising images with Gaussian noise of standard deviation 25\n")
    assert "White Gaussian noise on each image: standard deviation 25 of 255, neither clipped nor rounded" in text
    # A smoothing adds parameters to three layers, multigrid changes rates.
    extra = {"none": 0, "multigrid": 0, "group_interaction": 3 * 4**2, "ss_conv": 3 * 3**2}
    assert {method: _result(compared, method)["extra_parameters"] for method in METHODS} == extra
    check_pictures(folder, "restored.png", "curves.png")


def test_evaluate_finds_what_training_found(compared, capsys):
    path = compared[0] / "ss_conv-seed0"
    _main("evaluate", path)
    assert "3 images of val, step 64" in capsys.readouterr().out
    evaluated = json.loads((path / "evaluation-val.json").read_text())
    for name, value in _result(compared, "ss_conv")["val"].items():
        assert evaluated[name] == pytest.approx(value, rel=1e-3)


def _noisy(size):
    clean = np.asarray(_smooth(size, 99))
    noise = Noise(PRESETS["noise"].config.noise).prepare(np.random.default_rng(0), size)
    noisy = noise(clean, (slice(None), slice(None)))
    return clean.astype(float), Image.fromarray(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))


def _error(image, clean):
    return np.sqrt(np.mean((np.asarray(image).astype(float) - clean) ** 2))


def test_predict_as_a_whole_and_by_tiles(compared, tmp_path, capsys):
    """Odd sizes are kept, and tiles give nearly the same: the network has no statistics of the whole image."""
    clean, noisy = _noisy((71, 45))
    noisy.save(tmp_path / "odd.png")
    path = compared[0] / "none-seed0"
    _main("predict", path, tmp_path / "odd.png", "--out", tmp_path / "whole")
    assert "tiles" not in capsys.readouterr().out
    _main("predict", path, "--tile", 32, 64, tmp_path / "odd.png", "--out", tmp_path / "tiled")
    assert "odd.png: 3 x 1 overlapping tiles of 32 x 46 pixels, blended where they overlap" in capsys.readouterr().out
    whole, tiled = (np.asarray(Image.open(tmp_path / f"{kind}/odd_restored.png")) for kind in ("whole", "tiled"))
    assert whole.shape == tiled.shape == (71, 45, 3)
    assert _error(whole, clean) < 0.9 * _error(noisy, clean)
    assert _error(tiled, whole.astype(float)) < 0.3 * _error(whole, clean)


def test_the_exported_network_restores_images(compared, tmp_path, capsys):
    clean, noisy = _noisy((24, 30))
    _main("export", compared[0] / "group_interaction-seed0", "--out", tmp_path / "model.safetensors")
    assert "a DilatedDenoiser with its weights" in capsys.readouterr().out
    model = weights.load(tmp_path / "model.safetensors")
    assert isinstance(model, models.DilatedDenoiser)
    restored = model(jnp.asarray(noisy, jnp.float32)[None])[0]
    assert _error(restored, clean) < 0.9 * _error(noisy, clean)


def test_filters_of_a_run(compared, tmp_path, capsys):
    _main("filters", compared[0] / "ss_conv-seed0", "--out", tmp_path / "filters.png")
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("encoder.stages.") for line in lines) == 3
    assert (tmp_path / "filters.png").stat().st_size > 500
    assert main(["filters", str(compared[0] / "multigrid-seed0"), "--out", str(tmp_path / "none.png")]) == 1
    assert "has no smoothing parameters" in capsys.readouterr().err
