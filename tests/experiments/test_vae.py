"""The auto-encoders from end to end, through the command line."""

import contextlib
import io
import json
import math
import shlex
import zipfile
from functools import partial
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from experiments.vae.__main__ import main
from experiments.vae.config import Method
from experiments.vae.sources import fit
from experiments.vae.study import STUDY
from smoothjax import data
from tests.experiments.command_line import call_on_one as run_study
from tests.experiments.command_line import check_pictures, check_resumed, check_rows

#: Of the methods, those that are trained here; the others train among the slow tests.
TRAINED = ("dcl", "fast_pixel_dcl", "resize_conv")
_IN_FILES = shlex.split("--model.width 2 --model.latent-features 4 --batch-size 4 --eval-batch-size 4 --log-every 4")
TINY = [*_IN_FILES, *shlex.split("--data.train-images 16 --data.val-images 6")]
OPTIONS = shlex.split("--steps 16 --evaluate-every 8 --optim.learning-rate 0.005")

run = partial(run_study, study="vae")


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Three methods, one seed."""
    folder = tmp_path_factory.mktemp("compare")
    return folder, _compare(folder, TRAINED)


def _compare(folder, methods):
    out, _ = run("compare", "demo", *TINY, *OPTIONS, "--methods", *methods, folder=folder)
    return out


def test_compare_ends_with_a_table_a_report_and_figures(compared):
    folder, out = compared
    results = _check_comparison(folder, out, TRAINED)
    assert results["resize_conv"][0]["checkerboard"] < results["dcl"][0]["checkerboard"]
    check_pictures(folder / "runs/vae/demo", "samples.png", "reconstructions.png", "curves.png")


def test_a_run_starts_from_another_one(compared):
    """It takes all weights: its first loss is near the parent's last one, not near the parent's first."""
    folder, _ = compared
    parent = folder / "runs/vae/demo/dcl-seed0"
    init = ["--init.source", "run", "--init.checkpoint", parent]
    out, _ = run("train", "demo", *TINY, *OPTIONS, *init, "--run", "fork", folder=folder)
    assert "step 0 with a new optimizer; there: step 16, dcl" in out
    assert "new, " not in out
    assert _first_loss(folder / "fork") < _first_loss(parent) - 1000  # nats per image


def _first_loss(path):
    lines = map(json.loads, (path / "metrics.jsonl").read_text().splitlines())
    return next(line["loss"] for line in lines if line["split"] == "train")


@pytest.mark.slow
def test_every_other_method_trains(tmp_path):
    # The methods that only the study of the U-Net trains would take as long again.
    others = (*TRAINED, "sub_pixel_blur", "carafe", "dysample")
    methods = [method for method in get_args(Method) if method not in others]
    _check_comparison(tmp_path, _compare(tmp_path, methods), methods)


def _check_comparison(folder, out, methods):
    """Asserts that every method has learnt, and has its row and its number of parameters; returns the results."""
    report = folder / "runs/vae/demo"
    check_rows(report, out, [*(STUDY.labels[method] for method in methods), "the images themselves"])
    for column in ("ELBO, nats / image", "bits / dim", "PSNR dB", "SSIM", "checkerboard of samples", "s / step"):
        assert f"| {column} " in out
    for method in methods:
        log = (report / f"{method}-seed0/metrics.jsonl").read_text().splitlines()
        losses = [line["loss"] for line in map(json.loads, log) if line["split"] == "train"]
        assert len(losses) == 4
        assert losses[-1] < losses[0] - 1000, method  # nats per image
    # Channels 16 -> 8 -> 4 -> 2 -> 2: weights of 1x1 convolutions, from the input and within the layer.
    outward, inward = 16 * 8 + 8 * 4 + 4 * 2 + 2 * 2, 8**2 + 4**2 + 2**2 + 2**2
    expected = {
        "dcl": 36 * outward,
        "ipixel_dcl": 9 * (4 * outward + (1 + 2 * 2) * inward),
        "pixel_dcl": 9 * (outward + (1 + 2 * 2) * inward),
        "fast_pixel_dcl": 9 * outward + (9 + 4) * inward,
        "resize_conv": 9 * outward,
        "sub_pixel": 9 * 4 * outward,
    }
    results = json.loads((report / "report.json").read_text())["results"]
    assert list(results) == list(methods)
    for method, (result,) in results.items():
        assert result["upsampling_parameters"] == expected[method]
        assert result["val"]["bits_per_dimension"] == pytest.approx(-result["val"]["elbo"] / (12288 * math.log(2)))
        assert 0 < result["val"]["psnr"] < 60
        assert -1 <= result["val"]["ssim"] <= 1
    return results


def _main(*arguments):
    """Runs a command in this process, on its eight devices; training used one."""
    assert main([str(argument) for argument in arguments]) == 0


def test_evaluate(compared, capsys):
    folder, _ = compared
    path = folder / "runs/vae/demo/fast_pixel_dcl-seed0"
    _main("evaluate", path)
    out = capsys.readouterr().out
    for name in ("ELBO (nats per image)", "bits per dimension", "PSNR", "SSIM", "checkerboard", "one sample of the"):
        assert name in out
    evaluated = json.loads((path / "evaluation-val.json").read_text())
    assert (evaluated["images"], evaluated["latent_samples_per_image"], evaluated["step"]) == (6, 1, 16)
    # It finds what training found: noise and dequantisation are the same.
    trained = json.loads((path / "result.json").read_text())
    for name, value in trained["val"].items():
        assert evaluated[name] == pytest.approx(value, rel=1e-4)
    assert evaluated["checkerboard"] == pytest.approx(trained["checkerboard"], rel=1e-2, abs=1e-3)


def test_sample(compared, tmp_path, capsys):
    folder, _ = compared
    path = folder / "runs/vae/demo/fast_pixel_dcl-seed0"
    for seed in (0, 1):
        _main("sample", path, "--count", 9, "--out", tmp_path / f"new/{seed}.png", "--seed", seed)
    first, other = (np.asarray(Image.open(tmp_path / f"new/{seed}.png")) for seed in (0, 1))
    assert first.shape == (2 * 130 - 2, 8 * 130 - 2, 3)
    assert (first != other).any()
    assert (first[130:, 130:] == 255).all()  # nine images, eight in a row
    assert str(tmp_path / "new/0.png") in capsys.readouterr().out


def test_reconstruct_a_split_and_files(compared, tmp_path):
    folder, _ = compared
    path = folder / "runs/vae/demo/dcl-seed0"
    _main("reconstruct", path, "--split", "test", "--count", 3, "--checkpoint", "best", "--out", tmp_path / "split.png")
    picture = np.asarray(Image.open(tmp_path / "split.png"))
    assert picture.shape == (2 * 130 - 2, 3 * 130 - 2, 3)
    source = data.ShapesSource(length=6, size=(64, 64), split="test")
    for column, index in enumerate((0, 2, 4)):
        shown = picture[:128:2, column * 130 : column * 130 + 128 : 2]
        np.testing.assert_array_equal(shown, source[index]["image"])
    # Files of any size and mode, in the order in which they are named.
    pixels = np.random.default_rng(0).integers(0, 256, (80, 50, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "tall.png")
    Image.new("L", (70, 100), 90).save(tmp_path / "grey.png")
    _main("reconstruct", path, tmp_path / "tall.png", tmp_path / "grey.png", "--out", tmp_path / "files.png")
    picture = np.asarray(Image.open(tmp_path / "files.png"))
    assert picture.shape == (2 * 130 - 2, 2 * 130 - 2, 3)
    np.testing.assert_array_equal(picture[:128:2, :128:2], fit(pixels, faces=False))
    assert (picture[:128, 130:] == 90).all()


def test_celeba_from_its_archive(tmp_path):
    archive = tmp_path / "img_align_celeba.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for number in range(12):
            pixels = np.random.default_rng(number).integers(0, 256, (27, 22, 3), np.uint8)
            buffer = io.BytesIO()
            Image.fromarray(pixels).resize((89, 109)).save(buffer, "JPEG")
            file.writestr(f"img_align_celeba/{number:06d}.jpg", buffer.getvalue())
    lines = [f"{number:06d}.jpg {int(number >= 10)}" for number in range(12)]
    (tmp_path / "list_eval_partition.txt").write_text("\n".join(lines))
    options = ["--data.root", archive, "--run", tmp_path / "run"]
    out, _ = run("train", "celeba", *_IN_FILES, *OPTIONS, *options, folder=tmp_path)
    assert "nats per image" in out
    assert f"sample {tmp_path}/run --out samples.png" in out
    assert json.loads((tmp_path / "run/result.json").read_text())["method"] == "dcl"


@pytest.mark.slow
def test_resumed_it_ends_with_the_same_parameters(compared, tmp_path):
    """Bitwise, from a checkpoint in the middle: mirroring, dequantisation and noise depend only on the batch."""
    whole = compared[0] / "runs/vae/demo/dcl-seed0"
    check_resumed(whole, tmp_path / "resumed", "vae", (8, 16), *TINY, *OPTIONS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("train celeba --run RUN", "celeba is not in data/celeba: make it there from its archives with python"),
        ("train celeba --run RUN --data.root nowhere", "nowhere: no such file or folder; give img_align_celeba.zip"),
        ("train demo --run RUN --batch-size 9", "--batch-size must be a positive multiple of the 8 devices"),
        ("train demo --run RUN --steps 0", "--steps must be at least 1, got 0"),
        ("train demo --run RUN --optim.learning-rate 0", "--optim.learning-rate must be positive and finite, got 0"),
        ("train demo --run RUN --optim.beta -1", "--optim.beta must be finite and not negative, got -1"),
        ("train demo --run RUN --optim.scale-multiplier 0", "--optim.scale-multiplier must be positive"),
        ("train demo --run RUN --model.width 0", "--model.width must be at least 1, got 0"),
        ("train demo --run RUN --model.latent-features 0", "--model.latent-features must be at least 1, got 0"),
        ("compare demo --out RUN --seeds", "--methods and --seeds must name at least one each"),
        ("evaluate RUN", "holds no run (config.yaml is missing)"),
        ("sample RUN", "holds no run (config.yaml is missing)"),
        ("sample RUN --count 0", "--count must be at least 1 image, got 0"),
        ("sample RUN --seed -1", "--seed must not be negative, got -1"),
        ("sample RUN --out samples.jpg", "--out must be a PNG file, got samples.jpg: name it e.g. samples.png"),
        ("reconstruct RUN a.png --split test --count 9", "--split and --count would change nothing, since files are"),
        ("reconstruct RUN --count 0", "--count must be at least 1 image, got 0"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_written(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(arguments.split()) == 1
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_images_that_cannot_be_read_are_told_at_once(compared, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = str(compared[0] / "runs/vae/demo/dcl-seed0")
    (tmp_path / "torn.png").write_bytes(b"\x89PNG\r\n")
    for images, message in ((["missing.jpg"], "no such image: missing.jpg"), (["torn.png"], "torn.png: cannot be")):
        assert main(["reconstruct", path, *images, "--out", "out.png"]) == 1
        assert message in capsys.readouterr().err
    assert main(["reconstruct", path, "--split", "trian"]) == 1
    assert "split must be one of train, val, test, got 'trian'" in capsys.readouterr().err
    assert [entry.name for entry in tmp_path.iterdir()] == ["torn.png"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("--help", ["train PRESET", "compare PRESET", "evaluate RUN", "sample RUN", "reconstruct RUN [IMAGES...]  E"]),
        ("train --help", ["presets:", "demo", "celeba"]),
        ("train celeba --help", ["--data.root", "--model.upsampling", "--model.likelihood", "--optim.beta"]),
        ("compare demo --help", ["--methods", "(dcl ipixel_dcl fast_pixel_dcl)", "--seeds", "--out"]),
        ("sample --help", ["RUN", "--count", "--seed", "--out", "--checkpoint"]),
        ("reconstruct --help", ["IMAGES", "--split", "--count", "--out", "--data-root"]),
    ],
)
def test_help(capsys, arguments, expected):
    with contextlib.suppress(SystemExit):
        assert main(arguments.split()) == 0
    out = capsys.readouterr().out
    for word in expected:
        assert word in out
