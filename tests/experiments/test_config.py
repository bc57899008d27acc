"""Configurations: the paper's recipes, round trips, and choices that agree with the library."""

import dataclasses
import importlib
import json
import re
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from experiments.common.config import with_options
from experiments.common.dense.config import InitConfig
from experiments.common.plain import from_dict, to_dict
from experiments.common.run_folder import check_run, describe_run, load_config
from experiments.pixel_dcn.config import PRESETS as PIXEL
from experiments.segmentation.config import Config, DataConfig, Method, ModelConfig, OptimizerConfig, Rates
from experiments.segmentation.presets import PRESETS
from experiments.segmentation.study import STUDY
from smoothjax import models
from smoothjax.data import Classes, load_classes
from tests.experiments.command_line import STUDIES
from tests.experiments.made_runs import mark_learnt, placed

METHODS = get_args(Method)


def _module(study, name):
    return importlib.import_module(f"experiments.{study}.{name}")


def test_choices_are_those_of_the_library():
    assert get_args(_module("pixel_dcn", "config").Method) == models.UPSAMPLINGS
    hints = get_type_hints(ModelConfig)
    assert (*models.DEGRIDDINGS, *models.DEGRIDDING_LAYERS, "duc") == METHODS
    assert get_args(hints["smoothing"]) == METHODS[:-1]
    assert set(STUDY.labels) == set(vars(Rates())) == set(METHODS)
    assert get_args(hints["encoder"]) == models.ENCODERS
    assert get_args(hints["head"]) == models.HEADS
    assert get_args(hints["batch_norm"]) == models.BATCH_NORM_MODES


def _rates(preset: str) -> dict[str, float]:
    return {method: PRESETS[preset].config.with_method(method).initial_rate for method in METHODS}


@pytest.mark.parametrize(("preset", "ss_conv"), [("voc2012", 0.00075), ("voc2012-coco", 0.001)])
def test_the_papers_voc_recipe(preset, ss_conv):
    config = PRESETS[preset].config
    assert (config.steps, config.batch_size, config.data.crop_size) == (20000, 10, (321, 321))
    assert (config.model.encoder, config.model.head, config.model.head_rates) == ("resnet101", "aspp", None)
    # Methods that the paper lacks learn at the baseline's rate.
    assert _rates(preset) == dict.fromkeys(METHODS, 0.00025) | {"group_interaction": 0.001, "ss_conv": ss_conv}
    optim = config.optim
    assert (optim.momentum, optim.weight_decay, optim.power) == (0.9, 0.0005, 0.9)
    assert (optim.head_kernel_multiplier, optim.head_bias_multiplier) == (10, 20)
    assert (config.data.scale_range, config.data.mirror, optim.loss_at) == ((0.5, 1.5), True, "grid")


def test_the_papers_cityscapes_recipe():
    config = PRESETS["cityscapes"].config
    assert (config.steps, config.batch_size, config.data.crop_size) == (20000, 3, (571, 571))
    assert set(_rates("cityscapes").values()) == {0.0005}


def test_recipes_that_fine_tune_freeze_batch_norm():
    """With batches of 2 to 10, batch statistics could outweigh the compared differences."""
    presets = [*PRESETS.items(), *PIXEL.items()]
    frozen = {name for name, preset in presets if preset.config.model.batch_norm == "frozen"}
    assert frozen == {"voc2012", "voc2012-coco", "cityscapes", "voc2012-deeplab", "camvid-forks", "voc2012-part-forks"}


def test_frozen_batch_norm_needs_weights():
    """Without weights the statistics 0 and 1 of a new network would be kept."""
    config = PRESETS["voc2012"].config
    with pytest.raises(ValueError, match=r"--model\.batch-norm frozen keeps .* but no weights are given: add --init"):
        config.check_given(config)
    dataclasses.replace(config, init=InitConfig("slim", Path("w.npz"))).check_given(config)
    dataclasses.replace(config, model=ModelConfig(batch_norm="trained")).check_given(config)


def test_an_asked_for_rate_holds_for_every_method():
    config = Config(optim=OptimizerConfig(learning_rate=0.5), model=ModelConfig(smoothing="ss_conv"))
    assert config.initial_rate == 0.5
    own = Config(optim=OptimizerConfig(rates=Rates(drn=0.1)))
    assert [own.with_method(method).initial_rate for method in ("drn", "lfe")] == [0.1, 0.00025]


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_method_can_be_compared_from_every_preset(preset):
    config = placed(PRESETS[preset].config)
    for method in METHODS:
        other = config.with_method(method)
        assert other.method == method
        other.validate()
    assert config.with_method("duc").with_method("ss_conv").method == "ss_conv"  # of the network with that head


@pytest.mark.parametrize(
    ("study", "preset"), [(study, preset) for study in STUDIES for preset in _module(study, "__main__").PRESETS]
)
def test_configurations_survive_their_file(study, preset, tmp_path):
    config = _module(study, "__main__").PRESETS[preset].config
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, root=Path("somewhere")))
    assert from_dict(type(config), to_dict(config)) == config
    for starts in (1, 2):
        describe_run(tmp_path / "run", config, Classes(("road", "car"), ((1, 2, 3), (4, 5, 6))))
        assert load_config(tmp_path / "run", type(config)) == config
        assert load_classes(tmp_path / "run/classes.yaml") == Classes(("road", "car"), ((1, 2, 3), (4, 5, 6)))
        mark_learnt(tmp_path / "run")
        environments = json.loads((tmp_path / "run/environment.json").read_text())
        assert len(environments) == starts
        assert environments[-1]["command"].startswith(f"python -m experiments.{study}")
    check_run(tmp_path / "run", config)


@pytest.mark.parametrize("study", STUDIES)
def test_methods_and_labels_agree(study):
    program = _module(study, "__main__").PROGRAM
    config = program.presets["demo"].config
    assert type(config) is program.config
    methods = get_args(program.compared.method)
    assert set(program.compared.methods) <= set(methods)
    assert set(program.load().labels) == set(methods)
    assert [config.with_method(method).method for method in methods] == list(methods)


@pytest.mark.parametrize(
    ("study", "option", "value", "message"),
    [
        ("vae", "optim.beta", -1.0, "--optim.beta must be finite and not negative, got -1"),
        ("vae", "optim.scale_multiplier", 0.0, "--optim.scale-multiplier must be positive and finite, got 0"),
        ("vae", "data.val_images", 0, "--data.val-images must be at least 1, got 0"),
        ("restoration", "optim.learning_rate", float("nan"), "--optim.learning-rate must be positive and finite"),
        ("restoration", "data.crop_size", (8, 64), "--data.crop-size must be at least 11 11 pixels, got 8 64"),
        ("restoration", "haze.airlight", (0.0, 2.0), "--haze.airlight must be two numbers 0 <= low <= high <= 1"),
        ("sequence", "model.depth", 1, "--model.depth must be 2 .. 16 blocks, got 1"),
    ],
)
def test_options_are_refused_before_data_are_opened(study, option, value, message):
    """Wrong options of restoration and vae once surfaced only after all images had been read."""
    config = with_options(_module(study, "__main__").PRESETS["demo"].config, {option: value})
    with pytest.raises(ValueError, match=re.escape(message)):
        config.validate()


def test_a_folder_keeps_its_configuration(tmp_path):
    describe_run(tmp_path / "run", Config())
    mark_learnt(tmp_path / "run")
    other = Config(steps=5, model=ModelConfig(smoothing="ss_conv"), data=DataConfig(root=Path("moved")), log_every=1)
    with pytest.raises(ValueError, match="another configuration; it differs in") as error:
        check_run(tmp_path / "run", other)
    differing = [line.strip() for line in str(error.value).splitlines()[1:-1]]
    # Where the data lies and how often a line is logged change no result.
    assert differing == ["model.smoothing: none there, ss_conv now", "steps: 20000 there, 5 now"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("steps: [", "cannot be read as a configuration"),
        ("study: segmentation\nstepz: 3", "unknown fields stepz"),
        ("steps: 3", "it names no study"),
    ],
)
def test_refuses_a_damaged_configuration(tmp_path, content, message):
    (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(ValueError, match=message):
        load_config(tmp_path, Config)


def test_the_folder_of_a_comparison_names_its_runs(tmp_path):
    describe_run(tmp_path / "none-seed0", Config())
    with pytest.raises(FileNotFoundError, match=r"is the folder of several runs.*: name one of .*none-seed0"):
        load_config(tmp_path, Config)


def test_refuses_a_folder_that_holds_something_else(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ValueError, match=r"is not empty and holds no run \(config.yaml is missing\)"):
        check_run(tmp_path, Config())
    with pytest.raises(NotADirectoryError, match=r"is a file: name a folder"):
        check_run(tmp_path / "thesis.tex", Config())
    with pytest.raises(PermissionError, match=r"run cannot be written, since .*thesis.tex is no folder that you may"):
        check_run(tmp_path / "thesis.tex" / "run", Config())


def test_refuses_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    # Nothing is forbidden to an administrator, who may run this.
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path)
    with pytest.raises(
        PermissionError, match=r"^the run \(--run, --out\) .* is no folder that you may write to: name another"
    ):
        check_run(tmp_path / "new" / "run", Config())
