"""The study from end to end, through the command line."""

import json
import os
import shutil
import signal
import time

import numpy as np
import pytest
from PIL import Image

from smoothjax import data
from tests.experiments.command_line import (
    TINY,
    TINY_IN_FILES,
    call,
    call_on_one,
    check_pictures,
    parameters,
    run,
    start,
)
from tests.experiments.command_line import TRAINED as METHODS

COMPARED = [
    *("--steps", "6", "--evaluate-every", "3", "--checkpoint-every", "3", "--primary", "mean_boundary_iou"),
    *("--methods", *METHODS, "--seeds", "0", "1"),
]


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Two methods, two seeds, about boundary IoU."""
    folder = tmp_path_factory.mktemp("compare")
    out, _ = call_on_one("compare", "demo", *TINY, *COMPARED, folder=folder)
    return folder, out


def test_compare_ends_with_a_table_a_report_and_figures(compared):
    folder, out = compared
    report = folder / "runs/segmentation/demo"
    table = (report / "report.md").read_text()
    for row in ("| baseline ", "| SS convolution ", "| always the most frequent class ", " ± "):
        assert row in out
        assert row in table
    assert "Device: 1 x cpu" in table
    results = json.loads((report / "report.json").read_text())["results"]
    assert [run["seed"] for run in results["ss_conv"]] == [0, 1]
    assert {run["extra_parameters"] for run in results["ss_conv"]} == {2 * 9 + 2 * 49}
    assert all(run["largest_move"] > 0 for run in results["ss_conv"])
    assert {run["extra_parameters"] for run in results["none"]} == {0}
    assert all(0 <= run["val"]["mean_iou"] <= 1 for runs in results.values() for run in runs)
    near = [run["boundary"]["mean_boundary_iou"] for run in results["ss_conv"]]
    cells = dict(zip(*(_cells(out, start) for start in ("| method ", "| SS convolution ")), strict=True))
    assert cells["boundary IoU %"].split(" ± ")[0] == f"{100 * np.mean(near):.1f}"
    check_pictures(report, "predictions.png", "curves.png")


def _cells(out, start):
    line = next(line for line in out.splitlines() if line.startswith(start))
    return [cell.strip() for cell in line.split("|")[1:-1]]


def test_a_finished_comparison_is_not_trained_again(compared):
    folder, first = compared
    out, _ = call_on_one("compare", "demo", *TINY, *COMPARED, folder=folder)
    assert out.count("is finished") == 4
    assert out[out.index("| method") :] == first[first.index("| method") :]


def test_evaluate(compared):
    folder, _ = compared
    path = folder / "runs/segmentation/demo/ss_conv-seed0"
    out, _ = call_on_one("evaluate", path, "--split", "test", folder=folder)
    result = json.loads((path / "evaluation-test.json").read_text())
    assert result["images"] == 6
    assert list(result["iou"]) == list(data.SHAPES.names)
    for name in (*data.SHAPES.names, "IoU %  Dice %", "pixel accuracy %", "step 6"):
        assert name in out
    assert 0 <= result["boundary"]["mean_boundary_iou"] < 1  # the declared primary score is always measured
    summary = json.loads((path / "checkpoints/6/summary/metadata").read_text())
    assert summary["best"]["metric"] == "mean_boundary_iou"  # and ranks checkpoints, as it chooses rates
    looks = ["--tile", "24", "24", "--scales", "0.75", "1", "--flip", "--boundary", "--calibration"]
    averaged, _ = call("evaluate", path, *looks, folder=folder)
    looked = "evaluation-val-tile-24x24-scales-0.75-1-flip.json"
    written = json.loads((path / looked).read_text())
    near = written["boundary"]
    assert near["distance"] == 0.02
    for key in ("mean_boundary_iou", "trimap_mean_iou"):
        assert 0 <= near[key] < 1
        assert f"{100 * near[key]:.1f}" in next(
            line for line in averaged.splitlines() if line.startswith("mean ".rjust(21))
        )
    assert list(near["boundary_iou"]) == list(near["trimap_iou"]) == list(data.SHAPES.names)
    assert "IoU %  Dice %  boundary IoU %  trimap IoU %" in averaged
    assert list(written["dice"]) == list(data.SHAPES.names)
    calibration = written["calibration"]
    assert 0 <= calibration["error"] <= 1
    assert calibration["bins"] == 15
    assert f"calibration error %  {100 * calibration['error']:5.1f}" in averaged
    assert "within 2 % of the image's diagonal" in averaged
    wide = ("--boundary", "--boundary-distance", "2")
    _, err = call("evaluate", path, *wide, folder=folder, status=1)
    assert "--boundary-distance must be a fraction of the image's diagonal between 0 and 1, got 2" in err
    _, err = call("evaluate", path, "--boundary-distance", "0.1", folder=folder, status=1)
    assert "--boundary-distance 0.1 needs --boundary: add it, or leave the distance out" in err
    assert written["averaging"] == {"tile": [24, 24], "scales": [0.75, 1.0], "flip": True}
    assert (written["step"], written["checkpoint"], written["data_root"]) == (6, "latest", None)
    assert f"written to {path}/{looked}" in averaged
    # On the validation split it finds what training found; the other look has kept its file.
    out, _ = call("evaluate", path, "--calibration", folder=folder)
    assert "it replaces" not in averaged + out
    out, _ = call("evaluate", path, folder=folder)
    assert f"written to {path}/evaluation-val.json" in out
    before = "step 6, checkpoint latest, with scores within 2 % of contours, with the calibration error"
    assert f"it replaces the scores of {before}" in out
    assert "tiles of 24 x 24, scales 0.75 1, mirror images, with scores within 2 %" in averaged
    evaluated = json.loads((path / "evaluation-val.json").read_text())
    assert evaluated["mean_iou"] == json.loads((path / "result.json").read_text())["val"]["mean_iou"]
    assert json.loads((path / looked).read_text()) == written


def test_predict_takes_any_image(compared, tmp_path):
    folder, _ = compared
    pixels = np.random.default_rng(0).integers(0, 256, (37, 50, 3), np.uint8)
    upright = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = 6  # lying on its side
    upright.save(tmp_path / "side.jpg", exif=exif)
    for mode in ("L", "RGBA", "CMYK", "P"):
        upright.convert(mode).save(tmp_path / f"{mode}.{'tif' if mode == 'CMYK' else 'png'}")
    images = sorted(tmp_path.iterdir())
    call("predict", folder / "runs/segmentation/demo/none-seed0", *images, "--out", tmp_path / "out", folder=folder)
    assert len(list((tmp_path / "out").iterdir())) == 2 * len(images) + 1  # and the legend
    for image in images:
        size = (37, 50) if image.stem == "side" else (50, 37)
        with Image.open(tmp_path / f"out/{image.stem}_mask.png") as mask:
            assert (mask.mode, mask.size) == ("P", size)
            assert np.asarray(mask).max() < 8
            assert mask.convert("RGB").getpixel((0, 0)) in data.SHAPES.colors
        with Image.open(tmp_path / f"out/{image.stem}_overlay.png") as overlay:
            assert (overlay.mode, overlay.size) == ("RGB", size)


def test_predict_refuses_a_truncated_image_before_anything_else(compared, tmp_path):
    folder, _ = compared
    Image.new("RGB", (200, 200)).save(tmp_path / "whole.png")
    (tmp_path / "torn.png").write_bytes((tmp_path / "whole.png").read_bytes()[:60])
    arguments = (tmp_path / "whole.png", tmp_path / "torn.png", "--out", tmp_path / "out")
    _, err = call("predict", folder / "runs/segmentation/demo/none-seed0", *arguments, folder=folder, status=1)
    assert "torn.png: cannot be read as an image" in err
    assert not (tmp_path / "out").exists()


def test_another_configuration_is_refused_and_nothing_lost(compared):
    folder, _ = compared
    path = folder / "runs/segmentation/demo/none-seed0"
    before = (path / "metrics.jsonl").read_text()
    _, err = call_on_one("train", "demo", *TINY, "--steps", "7", "--run", path, folder=folder, status=1)
    assert "holds a run of another configuration" in err
    assert "steps: 6 there, 7 now" in err
    assert (path / "metrics.jsonl").read_text() == before


def test_a_loss_that_diverges_stops_the_run_and_keeps_its_checkpoints(compared, tmp_path):
    folder, _ = compared
    options = ["--steps", "40", "--checkpoint-every", "1", "--optim.learning-rate", "1e6", "--run", tmp_path / "run"]
    _, err = call_on_one("train", "demo", *TINY, *options, folder=folder, status=1)
    assert "training stopped. Last good checkpoint" in err
    assert "Lower the learning rate" in err


def _folder_data_set(root, size=(40, 48)):
    source = data.ShapesSource(length=6, size=size)
    for split in ("train", "val"):
        for kind in ("images", "labels"):
            (root / split / kind).mkdir(parents=True)
        for index in range(6):
            record = source[index]
            Image.fromarray(record["image"]).save(root / split / "images" / f"{index}.png")
            Image.fromarray(record["label"]).save(root / split / "labels" / f"{index}.png")
    names = "\n".join(f"{name}: [{r}, {g}, {b}]" for name, (r, g, b) in zip(data.SHAPES.names, data.SHAPES.colors,
                                                                          strict=True))  # fmt: skip
    (root / "classes.yaml").write_text(names)


def test_a_users_own_folder(tmp_path):
    _folder_data_set(tmp_path / "mine")
    arguments = ["--data.root", tmp_path / "mine", "--data.scale", "0.75", "--steps", "2", "--run", tmp_path / "run"]
    arguments += ["--precision", "bf16", "--optim.loss-at", "full", "--optim.label-smoothing", "0.1"]
    out, _ = call_on_one("train", "folder", *TINY_IN_FILES, *arguments, folder=tmp_path)
    assert "mean IoU" in out
    assert "predict" in out
    # The data set may move: nothing of the run depends on where it lies.
    shutil.move(tmp_path / "mine", tmp_path / "moved")
    call("evaluate", tmp_path / "run", "--data-root", tmp_path / "moved", folder=tmp_path)
    evaluated = json.loads((tmp_path / "run/evaluation-val.json").read_text())
    assert evaluated["data_root"] == str(tmp_path / "moved")
    # Another data set does not take its place.
    other = tmp_path / "other/moved"
    shutil.copytree(tmp_path / "moved", other)
    for kind in ("images", "labels"):
        (other / "val" / kind / "0.png").unlink()
    out, _ = call("evaluate", tmp_path / "run", "--data-root", other, folder=tmp_path)
    assert f"{other} is not the data that {tmp_path / 'run'} has learnt from" in out
    (scored,) = (tmp_path / "run").glob("evaluation-val-of-moved-*.json")
    assert json.loads(scored.read_text())["data"]["images"] == 5
    assert json.loads((tmp_path / "run/evaluation-val.json").read_text()) == evaluated
    # Nor is it taken for the one that the finished run has learnt from.
    at = arguments.index(tmp_path / "mine")
    again = [*arguments[:at], other, *arguments[at + 1 :]]
    _, err = call_on_one("train", "folder", *TINY_IN_FILES, *again, folder=tmp_path, status=1)
    assert "holds a run on other data" in err
    assert "splits.val.images: 6 there, 5 now" in err
    # To predict it need not be there at all.
    call("predict", tmp_path / "run", tmp_path / "moved/val/images/0.png", folder=tmp_path)
    (tmp_path / "moved/classes.yaml").write_text("\n".join(f"other{i}: [0, 0, {i}]" for i in range(8)))
    arguments = (tmp_path / "run", "--data-root", tmp_path / "moved")
    _, err = call("evaluate", *arguments, folder=tmp_path, status=1)
    assert "the data set has the classes other0, other1" in err


def test_what_is_wrong_with_a_folder_is_told_at_once(tmp_path):
    _folder_data_set(tmp_path / "mine")
    (tmp_path / "mine/train/images/2.png").write_bytes(b"not an image")
    Image.new("L", (48, 40), 99).save(tmp_path / "mine/train/labels/4.png")
    arguments = ["--data.root", tmp_path / "mine", "--run", tmp_path / "run"]
    _, err = call_on_one("train", "folder", *TINY_IN_FILES, *arguments, folder=tmp_path, status=1)
    assert "2 of 6 examples cannot be used" in err
    assert "2.png" in err
    assert "label 99 in 1920 pixels is outside the 8 classes" in err
    assert not (tmp_path / "run").exists()


def test_stopped_and_killed_it_ends_with_the_same_parameters(tmp_path):
    """In mid-epoch (an epoch has six batches), with random augmentation; bitwise, on CPU."""
    options = ["train", "demo", *TINY, "--steps", "20", "--checkpoint-every", "4", "--evaluate-every", "10"]
    options += ["--log-every", "1"]
    log = tmp_path / "killed/metrics.jsonl"

    def start_until(step):
        process, deadline = start(*options, "--run", tmp_path / "killed", folder=tmp_path), time.monotonic() + 240
        while not (log.exists() and f'"step": {step}, "split": "train"' in log.read_text()):
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.002)
        return process

    process = start_until(2)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate()
    assert process.returncode == 143, err
    assert "stopped by SIGTERM after step" in out

    # Step 10 has been taken, step 12 with its checkpoint has not been waited for.
    process = start_until(10)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    steps = [int(path.name) for path in (tmp_path / "killed/checkpoints").iterdir() if path.name.isdigit()]
    assert steps
    assert max(steps) < 20

    out, _ = run(*options, "--run", tmp_path / "killed", folder=tmp_path)
    assert f"resuming {tmp_path / 'killed'} from step" in out
    run(*options, "--run", tmp_path / "whole", folder=tmp_path)
    killed, whole = (parameters(tmp_path / name) for name in ("killed", "whole"))
    assert killed.keys() == whole.keys()
    for path, leaf in whole.items():
        np.testing.assert_array_equal(killed[path], leaf, err_msg=path)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["step"] for line in lines if line["split"] == "train"] == list(range(1, 21))
