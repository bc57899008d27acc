"""The restoration study from end to end, through the command line."""

import csv
import json
import shlex
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.common.run_folder import describe_run, load_config
from experiments.restoration.__main__ import PROGRAM, main
from experiments.restoration.config import Config
from experiments.restoration.sources import open_source
from experiments.restoration.study import STUDY
from tests.experiments.command_line import call_on_one as run_study
from tests.experiments.command_line import check_pictures, check_resumed

METHODS = PROGRAM.compared.methods
_IN_FILES = shlex.split(
    "--model.width 2 --data.crop-size 24 24 --batch-size 4 --eval-batch-size 4 --log-every 8 --checkpoint-every 24"
)
TINY = [*_IN_FILES, *shlex.split("--data.image-size 32 32 --data.train-images 16 --data.val-images 6")]
OPTIONS = shlex.split("--steps 48 --evaluate-every 24 --optim.learning-rate 0.1")

run = partial(run_study, study="restoration")


def _main(*arguments):
    """Runs a command in this process."""
    assert main([str(argument) for argument in arguments]) == 0


def _pixels(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)


def _save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Every method, one seed."""
    folder = tmp_path_factory.mktemp("compare")
    out, _ = run("compare", "demo", *TINY, *OPTIONS, folder=folder)
    return folder, out


def test_every_method_trains(compared):
    folder, _ = compared
    for method in METHODS:
        log = (folder / f"runs/restoration/demo/{method}-seed0/metrics.jsonl").read_text().splitlines()
        losses = [line["loss"] for line in map(json.loads, log) if line["split"] == "train"]
        assert len(losses) == 6
        assert losses[-1] < 0.8 * losses[0], method


def test_compare_ends_with_a_table_a_report_and_figures(compared):
    folder, out = compared
    report = folder / "runs/restoration/demo"
    text = (report / "report.md").read_text()
    lines = [line for line in out.splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[0].strip("| ") for line in lines[2:]] == [
        "the degraded images",
        *(STUDY.labels[method] for method in METHODS),
    ]
    assert all(line in text for line in lines)
    for column in ("PSNR dB", "SSIM", "extra parameters", "s / step"):
        assert f"| {column} " in lines[0]
    assert "Haze of each image: airlight 0.7 .. 1, beta 0.6 .. 1.8, depth 0.2 .. 1.2" in text
    results = json.loads((report / "report.json").read_text())["results"]
    # Two convolutions in each of three blocks of rate 2 and three of rate 4.
    extra = {"none": 0, "group_interaction": 6 * (4**2 + 16**2), "ss_conv": 6 * (3**2 + 7**2)}
    assert {method: result["extra_parameters"] for method, (result,) in results.items()} == extra
    plain = results["none"][0]["parameters"]
    for method, (result,) in results.items():
        assert result["parameters"] == plain + extra[method]
        assert (result["largest_move"] > 0) == (method != "none")
        assert result["val"]["degraded_psnr"] == results["none"][0]["val"]["degraded_psnr"]
    check_pictures(report, "restored.png", "curves.png")


def test_a_run_is_forked_and_smoothed(compared):
    """Train, smooth, fine-tune: at its first step the fork restores as well as its parent at the last."""
    folder, _ = compared
    parent = folder / "runs/restoration/demo/none-seed0"
    init = ["--init.source", "run", "--init.checkpoint", parent, "--model.smoothing", "ss_conv"]
    out, _ = run("train", "demo", *TINY, *OPTIONS, *init, "--run", "fork", folder=folder)
    assert "new, starting as the identity: blocks.*.conv*.smoother (12)" in out
    assert "step 0 with a new optimizer; there: step 48, none" in out
    log = {path: (path / "metrics.jsonl").read_text().splitlines() for path in (parent, folder / "fork")}
    losses = {path: [line["loss"] for line in map(json.loads, lines) if line["split"] == "train"]
              for path, lines in log.items()}  # fmt: skip
    assert losses[folder / "fork"][0] < 0.8 * losses[parent][0]
    assert json.loads((folder / "fork/result.json").read_text())["largest_move"] > 0


@pytest.mark.slow
def test_resumed_it_ends_with_the_same_parameters(compared, tmp_path):
    """Bitwise, from a checkpoint in the middle: crops, mirroring and haze depend only on the batch."""
    whole = compared[0] / "runs/restoration/demo/none-seed0"
    check_resumed(whole, tmp_path / "resumed", "restoration", (24, 48), *TINY, *OPTIONS)


def test_evaluate_finds_what_training_found(compared, capsys):
    path = compared[0] / "runs/restoration/demo/ss_conv-seed0"
    # This process has eight devices, which the evaluation batch of 4 is filled up for; training had one.
    _main("evaluate", path)
    out = capsys.readouterr().out
    assert "PSNR dB" in out
    assert "6 images of val, step 48" in out
    evaluated = json.loads((path / "evaluation-val.json").read_text())
    for name, value in json.loads((path / "result.json").read_text())["val"].items():
        assert evaluated[name] == pytest.approx(value, rel=1e-3)


def test_predict_by_a_run_and_by_tiles(compared, tmp_path, capsys):
    """Odd sizes are kept; the line about tiles appears only if there are several."""
    path = compared[0] / "runs/restoration/demo/none-seed0"
    _save(tmp_path / "odd.png", _pixels(45, 39))
    Image.new("L", (34, 30), 90).save(tmp_path / "grey.png")
    images = [tmp_path / "odd.png", tmp_path / "grey.png"]
    _main("predict", path, *images, "--out", tmp_path / "whole", "--compare")
    assert "tiles" not in capsys.readouterr().out
    _main("predict", path, "--tile", 34, 36, *images, "--out", tmp_path / "tiled")
    out = capsys.readouterr().out
    assert "odd.png: 2 x 2 overlapping tiles of 34 x 36 pixels, normalised by statistics of a sample" in out
    assert "grey.png: " not in out
    written = {str(p.relative_to(tmp_path)) for p in tmp_path.glob("*/*")}
    assert written == {
        *(f"{folder}/{name}_restored.png" for folder in ("whole", "tiled") for name in ("odd", "grey")),
        *(f"whole/{name}_compare.png" for name in ("odd", "grey")),
    }
    whole, tiles = (np.asarray(Image.open(tmp_path / f"{kind}/odd_restored.png")) for kind in ("whole", "tiled"))
    assert whole.shape == tiles.shape == (45, 39, 3)
    assert (whole != tiles).any()
    grey = [(tmp_path / f"{kind}/grey_restored.png").read_bytes() for kind in ("whole", "tiled")]
    assert grey[0] == grey[1]


def test_filters_of_a_run(compared, tmp_path, capsys):
    folder = compared[0] / "runs/restoration/demo"
    _main("filters", folder / "group_interaction-seed0", "--out", tmp_path / "new/filters.png")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 14
    assert lines[1].split()[:4] == ["blocks.0.conv1", "group", "interaction", "4x4"]
    assert lines[12].split()[:4] == ["blocks.5.conv2", "group", "interaction", "16x16"]
    assert min(float(line.split()[-2]) for line in lines[1:13]) > 0
    with Image.open(tmp_path / "new/filters.png") as image:
        assert min(image.size) > 600
    assert main(["filters", str(folder / "none-seed0"), "--out", str(tmp_path / "none.png")]) == 1
    assert "has no smoothing parameters: its dilated convolutions are not smoothed" in capsys.readouterr().err
    assert not (tmp_path / "none.png").exists()


def test_the_published_images_and_filters(shared_data, tmp_path, capsys):
    name, file = "0051_0.8_0.2", shared_data("gcanet/wacv_gcanet_dehaze.safetensors")
    image = shared_data(f"gcanet/{name}_input.png")
    _main("predict", "--weights", file, "--task", "dehaze", image, "--out", tmp_path, "--compare")
    restored = np.asarray(Image.open(tmp_path / f"{name}_input_restored.png")).astype(int)
    expected = np.asarray(Image.open(shared_data(f"gcanet/{name}_dehaze_expected.png"))).astype(int)
    difference = np.abs(restored - expected)
    assert difference.max() <= 1
    assert (difference > 0).any(-1).mean() < 1e-3
    with Image.open(tmp_path / f"{name}_input_compare.png") as figure:
        assert figure.size[0] > 1000
    _main("filters", "--weights", file, "--out", tmp_path / "filters.png")
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("blocks.")]
    assert [row[3] for row in rows] == ["3x3"] * 6 + ["7x7"] * 6
    assert all(0.3 < float(row[4]) < 1.6 for row in rows)


def test_published_weights_on_pairs(shared_data, pairs, tmp_path, capsys):
    """Each image is scored as one that `predict` writes, and the means come last."""
    file, out = shared_data("gcanet/wacv_gcanet_dehaze.safetensors"), tmp_path / "scores.csv"
    _main("evaluate", "--weights", file, "--task", "dehaze", "--data", pairs, "--out", out)
    last = capsys.readouterr().out.splitlines()[-1]
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [row["image"] for row in rows] == ["0", "1", "2"]
    assert f"3 images of val, PSNR {np.mean([float(row['psnr']) for row in rows]):.2f} dB, SSIM " in last
    images = [pairs / f"val/degraded/{index}.png" for index in range(3)]
    _main("predict", "--weights", file, "--task", "dehaze", *images, "--out", tmp_path / "restored")
    for index, row in enumerate(rows):
        clean = np.asarray(Image.open(pairs / f"val/clean/{index}.bmp")).astype(float)
        for column, path in (
            ("psnr", tmp_path / f"restored/{index}_restored.png"),
            ("degraded_psnr", pairs / f"val/degraded/{index}.png"),
        ):
            error = np.mean((np.asarray(Image.open(path)).astype(float) - clean) ** 2)
            assert float(row[column]) == pytest.approx(10 * np.log10(255**2 / error), abs=1e-3)


@pytest.fixture
def pairs(tmp_path):
    """A folder of pairs, with two sizes and a file with another extension."""
    for split, count in (("train", 4), ("val", 3)):
        for i in range(count):
            size = (26 + 2 * (i % 2), 31)
            for kind, seed in (("degraded", i), ("clean", 100 + i)):
                _save(
                    tmp_path / f"pairs/{split}/{kind}/{i}.{'bmp' if kind == 'clean' else 'png'}",
                    _pixels(*size, seed=seed),
                )
    return tmp_path / "pairs"


def test_a_folder_of_pairs_and_rain(pairs, tmp_path, capsys):
    (pairs / "train/clean/._0.png").write_bytes(b"of a file manager")
    sizes = ["--batch-size", 8, "--eval-batch-size", 8, "--steps", 2]
    _main(
        "train", "folder", *_IN_FILES, *sizes, "--model.task", "derain", "--data.root", pairs, "--run", tmp_path / "run"
    )
    assert "(the degraded images: " in capsys.readouterr().out
    config = load_config(tmp_path / "run", Config)
    assert (config.model.task, config.data.name) == ("derain", "folder")
    source = open_source(config.data, "val")
    assert [source.size(i) for i in range(3)] == [(26, 31), (28, 31), (26, 31)]
    np.testing.assert_array_equal(source[1]["image"], _pixels(28, 31, seed=1))
    np.testing.assert_array_equal(source[1]["clean"], _pixels(28, 31, seed=101))
    with np.load(tmp_path / "run/examples.npz") as kept:
        np.testing.assert_array_equal(kept["degraded-1"], _pixels(28, 31, seed=1))
        assert kept["restored-1"].shape == (28, 31, 3)


def test_everything_wrong_with_pairs_in_one_report(pairs, tmp_path, capsys):
    (pairs / "train/clean/0.bmp").unlink()
    (pairs / "val/degraded/2.png").unlink()
    _save(pairs / "train/clean/1.bmp", _pixels(28, 30))
    whole = (pairs / "train/degraded/2.png").read_bytes()
    (pairs / "train/degraded/2.png").write_bytes(whole[: len(whole) // 2])
    for kind in ("degraded", "clean"):
        _save(pairs / f"train/{kind}/small.png", _pixels(20, 40))
    _save(pairs / "val/clean/1.png", _pixels(28, 31))
    options = [*_IN_FILES, "--batch-size", 8, "--eval-batch-size", 8, "--data.root", pairs, "--run", tmp_path / "run"]
    assert main(["train", "folder", *map(str, options)]) == 1
    error = capsys.readouterr().err
    for message in (
        "6 problems with the images of",
        "train: 1 of degraded/ without an image of that name in clean/ (0)",
        "val: 1 of clean/ without an image of that name in degraded/ (2)",
        "val/clean: 1.bmp and 1.png share a name",
        "1.png: the degraded image is 28 x 31 pixels high and wide, the clean one 28 x 30; make them the same",
        "2.png: cannot be read as an image",
        "small: the image is 20 x 40 pixels high and wide, less than the 24 x 24 that are needed",
    ):
        assert message in error
    assert not (tmp_path / "run").exists()
    # Names are compared where files are not read.
    assert main(["train", "folder", *map(str, options), "--data.no-check"]) == 1
    assert "3 problems with the images" in capsys.readouterr().err


def test_an_image_in_the_place_of_a_run_and_images_of_one_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "other/a.png"):
        _save(Path(name), _pixels(4, 4))
    Path("torn.png").write_bytes(b"\x89PNG\r\n")
    describe_run(Path("run"), Config())
    weights = ["--weights", "w.npz", "--task", "dehaze"]
    for arguments, message in (
        (["a.png", "other/a.png"], "a.png is a file: name the folder of a run first, or --weights FILE"),
        ([*weights, "a.png", "other/a.png", "torn.png"], "torn.png: cannot be read as an image"),
        ([*weights, "a.png", "./a.png"], "would have the same name, "),
        ([*weights, "run", "a.png"], "name either a run or --weights: run is a run, w.npz a file of weights"),
        ([*weights, "a.png", "--out", "torn.png"], "--out must be a folder, got the file torn.png: name another"),
    ):
        assert main(["predict", *arguments]) == 1
        assert message in capsys.readouterr().err
    assert not Path("predictions").exists()
