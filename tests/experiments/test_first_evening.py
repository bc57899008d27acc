"""The guide to a first evening, tiny: a run is fine-tuned to two classes of a folder, and used elsewhere."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from experiments.segmentation.config import Config, DataConfig, ModelConfig
from experiments.segmentation.study import STUDY
from tests.experiments.command_line import call, check_pictures
from tests.experiments.made_runs import save_untrained

_GUIDE = Path(__file__).resolve().parents[2] / "docs/pages/guides/evening.md"
_MODEL = ["--model.encoder", "resnet18", "--model.width", 2, "--model.head-rates", 1]


def _own_folder(folder: Path) -> None:
    """Bright discs on dark ground, with masks of 0, 255 and, at the border, 128."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:40, :48]
    for split, count in (("train", 8), ("val", 2)):
        for kind in ("images", "labels"):
            (folder / split / kind).mkdir(parents=True)
        for i in range(count):
            distance = np.hypot(y - rng.integers(12, 28), x - rng.integers(12, 36))
            image = rng.integers(0, 60, (40, 48, 3)) + 180 * (distance < 10)[..., None]
            Image.fromarray(image.astype(np.uint8)).save(folder / split / "images" / f"{i}.jpg")
            mask = np.where(distance < 9, 255, np.where(distance < 11, 128, 0))
            Image.fromarray(mask.astype(np.uint8)).save(folder / split / "labels" / f"{i}.png")
    found = re.search(r"```yaml\n(.*?)```", _GUIDE.read_text(), re.DOTALL)
    assert found is not None
    (folder / "classes.yaml").write_text(found[1])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of two classes that starts from a run of eight."""
    folder = tmp_path_factory.mktemp("evening")
    model = ModelConfig(encoder="resnet18", width=2, head_rates=(1,))
    save_untrained(STUDY, folder / "runs/baseline", Config(model=model, data=DataConfig(name="shapes")))
    _own_folder(folder / "cats")
    options = ["--data.crop-size", 33, 33, "--batch-size", 8, "--eval-batch-size", 8, "--steps", 2, "--log-every", 1]
    init = ["--init.source", "run", "--init.checkpoint", "runs/baseline", "--data.root", "cats"]
    out, _ = call("train", "folder", *_MODEL, *options, *init, "--run", "runs/cats", folder=folder)
    return folder, out


def test_a_run_goes_on_to_two_classes_of_a_folder(trained):
    folder, out = trained
    assert "new, because the outputs differ: head.branches.0.bias, head.branches.0.kernel" in out
    assert "runs/cats holds the run, drawn in curves.png, predictions.png" in out
    check_pictures(folder / "runs/cats", "predictions.png", "curves.png")
    report = (folder / "runs/cats/report.md").read_text()
    assert "Started from the weights of runs/baseline." in report
    majority = json.loads((folder / "runs/cats/result.json").read_text())["majority"]
    assert 0.5 < majority["pixel_accuracy"] < 1  # two classes, the border is none


def test_the_script_of_the_guide_finds_what_predict_finds(trained, monkeypatch):
    folder, _ = trained
    call("export", "runs/cats", "--format", "safetensors", "--out", "cats.safetensors", folder=folder)
    (folder / "cat.jpg").write_bytes((folder / "cats/val/images/0.jpg").read_bytes())
    (script,) = re.findall(r"```py\n(.*?)```", _GUIDE.read_text(), re.DOTALL)
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    exec(script, names)
    call("predict", "runs/cats", "cat.jpg", "--out", "predictions", folder=folder)
    with Image.open("mask.png") as mask, Image.open("predictions/cat_mask.png") as expected:
        np.testing.assert_array_equal(np.asarray(mask) // 255, np.asarray(expected))
