"""Configurations: the paper's recipes, round trips, and choices that agree with the library."""

import contextlib
import dataclasses
import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from experiments.common.run_folder import check_run, describe_run, from_dict, load_config, to_dict
from experiments.segmentation.config import (
    Config,
    DataConfig,
    Method,
    ModelConfig,
    OptimizerConfig,
    Rates,
    learning_rate,
)
from experiments.segmentation.presets import PRESETS
from experiments.segmentation.study import STUDY
from smoothjax import models
from smoothjax.data import Classes, load_classes
from tests.experiments.command_line import STUDIES

METHODS = get_args(Method)


def _module(study, name):
    return importlib.import_module(f"experiments.{study}.{name}")


def _main(study, arguments):
    return _module(study, "__main__").main(arguments)


def test_choices_are_those_of_the_library():
    assert get_args(_module("pixel_dcn", "config").Method) == models.UPSAMPLINGS
    hints = get_type_hints(ModelConfig)
    assert (*models.DEGRIDDINGS, *models.DEGRIDDING_LAYERS, "duc") == METHODS
    assert get_args(hints["smoothing"]) == METHODS[:-1]
    assert set(STUDY.labels) == {field.name for field in dataclasses.fields(Rates)} == set(METHODS)
    assert get_args(hints["encoder"]) == models.ENCODERS
    assert get_args(hints["head"]) == models.HEADS
    assert get_args(hints["batch_norm"]) == models.BATCH_NORM_MODES


def _rates(preset: str) -> dict[str, float]:
    return {method: learning_rate(PRESETS[preset].config.with_method(method)) for method in METHODS}


@pytest.mark.parametrize(("preset", "ss_conv"), [("voc2012", 0.00075), ("voc2012-coco", 0.001)])
def test_the_papers_voc_recipe(preset, ss_conv):
    config = PRESETS[preset].config
    assert (config.steps, config.batch_size, config.data.crop_size) == (20000, 10, (321, 321))
    assert (config.model.encoder, config.model.head, config.model.head_rates) == ("resnet101", "aspp", None)
    # What the paper does not have learns at the baseline's rate.
    assert _rates(preset) == dict.fromkeys(METHODS, 0.00025) | {"group_interaction": 0.001, "ss_conv": ss_conv}
    optim = config.optim
    assert (optim.momentum, optim.weight_decay, optim.power) == (0.9, 0.0005, 0.9)
    assert (optim.head_kernel_multiplier, optim.head_bias_multiplier) == (10, 20)
    assert (config.data.scale_range, config.data.mirror, optim.loss_at) == ((0.5, 1.5), True, "grid")


def test_the_papers_cityscapes_recipe():
    config = PRESETS["cityscapes"].config
    assert (config.steps, config.batch_size, config.data.crop_size) == (20000, 3, (571, 571))
    assert set(_rates("cityscapes").values()) == {0.0005}


def test_an_asked_for_rate_holds_for_every_method():
    config = Config(optim=OptimizerConfig(learning_rate=0.5), model=ModelConfig(smoothing="ss_conv"))
    assert learning_rate(config) == 0.5
    own = Config(optim=OptimizerConfig(rates=Rates(drn=0.1)))
    assert [learning_rate(own.with_method(method)) for method in ("drn", "lfe")] == [0.1, 0.00025]


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_method_can_be_compared_from_every_preset(preset):
    config = PRESETS[preset].config
    for method in METHODS:
        other = config.with_method(method)
        assert other.method == method
        other.validate()
    assert config.with_method("duc").with_method("ss_conv").method == "ss_conv"  # of the network with that head


@pytest.mark.parametrize(
    ("study", "preset"), [(study, preset) for study in STUDIES for preset in _module(study, "presets").PRESETS]
)
def test_configurations_survive_their_file(study, preset, tmp_path):
    config = _module(study, "presets").PRESETS[preset].config
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, root=Path("somewhere")))
    assert from_dict(type(config), to_dict(config)) == config
    for starts in (1, 2):
        describe_run(tmp_path / "run", config, Classes(("road", "car"), ((1, 2, 3), (4, 5, 6))))
        assert load_config(tmp_path / "run", type(config)) == config
        assert load_classes(tmp_path / "run/classes.yaml") == Classes(("road", "car"), ((1, 2, 3), (4, 5, 6)))
        environments = json.loads((tmp_path / "run/environment.json").read_text())
        assert len(environments) == starts
        assert environments[-1]["command"].startswith(f"python -m experiments.{study}")
    check_run(tmp_path / "run", config)


@pytest.mark.parametrize("study", STUDIES)
def test_methods_and_labels_agree(study):
    program = _module(study, "__main__").PROGRAM
    config = program.presets["demo"].config
    assert type(config) is program.config
    methods = get_args(program.method)
    assert set(program.methods) <= set(methods)
    assert set(program.load().labels) == set(methods)
    assert [config.with_method(method).method for method in methods] == list(methods)


def test_a_run_belongs_to_its_study(tmp_path, capsys):
    """Files of the first study did not always say so."""
    describe_run(tmp_path / "run", Config())
    path = tmp_path / "run/config.yaml"
    for text in (path.read_text(), path.read_text().replace("study: segmentation\n", "")):
        path.write_text(text)
        assert load_config(tmp_path / "run", Config) == Config()
        assert _main("pixel_dcn", ["evaluate", str(tmp_path / "run")]) == 1
        expected = "holds a run of the study segmentation: use python -m experiments.segmentation"
        assert expected in capsys.readouterr().err
        assert _main("pixel_dcn", ["train", "demo", "--run", str(tmp_path / "run"), "--batch-size", "8"]) == 1
        assert expected in capsys.readouterr().err


def test_a_folder_keeps_its_configuration(tmp_path):
    describe_run(tmp_path / "run", Config())
    other = Config(steps=5, model=ModelConfig(smoothing="ss_conv"), data=DataConfig(root=Path("moved")), log_every=1)
    with pytest.raises(ValueError, match="another configuration; it differs in") as error:
        check_run(tmp_path / "run", other)
    differing = [line.strip() for line in str(error.value).splitlines()[1:-1]]
    # Where the data lies and how often a line is logged change no result.
    assert differing == ["model.smoothing: none there, ss_conv now", "steps: 20000 there, 5 now"]


@pytest.mark.parametrize(
    ("content", "message"),
    [("steps: [", "cannot be read as a configuration"), ("stepz: 3", "unknown fields stepz")],
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
    with pytest.raises(PermissionError, match="is no folder that you may write to: name another with --run"):
        check_run(tmp_path / "new" / "run", Config())


@pytest.mark.parametrize("study", STUDIES)
def test_help_imports_no_jax(repository, study):
    """What makes ``--help`` answer at once."""
    code = (
        f"import sys; from experiments.{study}.__main__ import main\n"
        "try: main(['train', 'demo', '--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'jax', 'flax', 'numpy', 'matplotlib', 'grain'} & set(sys.modules), 'imported too early'"
    )
    subprocess.run([sys.executable, "-c", code], cwd=repository, check=True, capture_output=True)


def test_impossible_combinations_are_refused_before_devices_and_data(repository):
    """In a process where JAX cannot even be imported."""
    code = (
        "import sys; sys.modules['jax'] = None\n"
        "from experiments.segmentation.__main__ import main\n"
        "arguments = ['--model.head', 'large_fov', '--model.head-rates', '1', '2', '--data.root', 'nowhere']\n"
        "sys.exit(main(['train', 'camvid', *arguments]) + main(['compare', 'camvid', *arguments]))"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True)
    assert found.returncode == 2
    assert found.stderr.count("error: --model.head large_fov has one rate, got the 2 of") == 2


@pytest.mark.parametrize(
    ("study", "arguments", "expected"),
    [
        ("segmentation", "--help", ["train PRESET", "evaluate RUN", "predict RUN IMAGES...", "examples:"]),
        ("segmentation", "train --help", ["presets:", "demo", "camvid", "voc2012", "cityscapes"]),
        ("segmentation", "train camvid --help", ["--data.root", "--model.smoothing", "--optim.rates.ss-conv"]),
        ("segmentation", "compare demo --help", ["--methods", "--seeds", "--out", "in pixels"]),
        ("segmentation", "predict --help", ["IMAGES", "--out", "--checkpoint"]),
        ("pixel_dcn", "--help", ["train PRESET", "compare PRESET", "evaluate RUN", "predict RUN IMAGES..."]),
        ("pixel_dcn", "compare --help", ["demo", "camvid", "voc2012-unet", "coco-unet", "voc2012-deeplab"]),
        ("pixel_dcn", "train coco-unet --help", ["--data.size", "--model.upsampling", "--optim.power"]),
        ("pixel_dcn", "compare demo --help", ["--methods", "(default: dcl ipixel_dcl", "--seeds", "--out"]),
    ],
)
def test_help(capsys, study, arguments, expected):
    with contextlib.suppress(SystemExit):
        assert _main(study, arguments.split()) == 0
    out = capsys.readouterr().out
    for word in expected:
        assert word in out


@pytest.mark.parametrize(
    ("study", "arguments", "message"),
    [
        ("segmentation", "trian demo", "unknown command 'trian': did you mean train?"),
        ("segmentation", "train camvd", "unknown preset 'camvd': did you mean camvid?"),
        ("segmentation", "train imagenet", "unknown preset 'imagenet': choose one of demo, camvid"),
        ("pixel_dcn", "train voc2012", "unknown preset 'voc2012': did you mean voc2012-unet?"),
        ("pixel_dcn", "compare demo --methods pixeldcl", "invalid choice 'pixeldcl'"),
    ],
)
def test_suggests_what_was_meant(capsys, study, arguments, message):
    with pytest.raises(SystemExit) as stop:
        _main(study, arguments.split())
    assert stop.value.code == 2
    assert message in " ".join("".join(capsys.readouterr()).split())


_EIGHT = "--batch-size 8 --eval-batch-size 8"


@pytest.mark.parametrize(
    ("study", "arguments", "message"),
    [
        *[
            (study, arguments, message)
            for study in STUDIES
            for arguments, message in [
                (
                    f"train camvid --run RUN {_EIGHT}",
                    "the data set camvid is not in data/camvid: make it there out of its archives with python -m",
                ),
                (f"train camvid --run RUN {_EIGHT} --data.root nowhere", "split 'train' of nowhere is incomplete"),
                ("train demo --run RUN --batch-size 9", "--batch-size must be a positive multiple of the 8 devices"),
                ("train demo --run RUN --eval-batch-size 4", "try 8"),
                ("train demo --run RUN --steps 0", "--steps must be at least 1, got 0"),
                ("train demo --run RUN --optim.learning-rate -1", "rate"),
                ("compare demo --out RUN --methods", "--methods and --seeds must name at least one each"),
                ("evaluate RUN", "holds no run (config.yaml is missing)"),
                ("predict RUN missing.jpg", "no such image: missing.jpg"),
                ("predict RUN .", ".: a folder; name the images in it, such as ./*.jpg"),
                ("predict RUN", f"name the images: python -m experiments.{study} predict RUN IMAGES..."),
            ]
        ],
        *[
            ("segmentation", f"{command} {options}", message)
            for command in ("train demo --run RUN", "compare demo --out RUN")
            for options, message in [
                ("--coordinator here:1 --processes 2", "go together; missing --process-index"),
                ("--coordinator here --processes 2 --process-index 0", "--coordinator must be HOST:PORT, got 'here'"),
                ("--coordinator a:1 --processes 2 --process-index 2", "must be 0 .. processes - 1, got 2 of 2"),
            ]
        ],
        *[
            ("segmentation", f"train demo --run RUN {options}", message)
            for options, message in [
                (
                    "--model.head large_fov --model.head-rates 6 12",
                    "one rate, got the 2 of --model.head-rates: give one",
                ),
                ("--model.head duc --optim.loss-at full", "--model.head duc has no dilation rates, got 1 2 4 6 of"),
                ("--model.head duc --model.head-rates None", "one in 64: add --optim.loss-at full"),
                ("--optim.rates.drn 0", "--optim.rates.drn must be positive and finite, got 0"),
                ("--model.head-rates 0 1", "must be ints from 1 on, got 0 1: try 6 12 18 24"),
                ("--model.width 0", "--model.width must be at least 1, got 0: 64 is the published"),
                ("--data.crop-size 97 129", "is larger than every scaled image, which has at most 122x122 pixels"),
                ("--data.scale 0", "--data.scale must be positive and finite, got 0"),
                ("--data.scale-range 1 0.5", "--data.scale-range must be 0 < low <= high, got 1.0 0.5"),
                ("--data.val-images 0", "--data.val-images must be at least 1, got 0"),
                ("--batch-size 8 --accumulate 3", "multiple of the 3 parts of --accumulate, got 8: try 9"),
                ("--batch-size 8 --accumulate 2", "multiple of the 8 devices in 2 parts, got 8: try 16"),
                ("--evaluate-images 0", "--evaluate-images must be at least 1, got 0: leave it out"),
                ("--seed -1", "--seed must be 0 .. 2^32 - 1, got -1"),
                ("--optim.rates.none 0", "--optim.rates.none must be positive and finite, got 0"),
                ("--optim.momentum 1", "--optim.momentum must be in [0, 1), got 1"),
                ("--optim.weight-decay -1", "--optim.weight-decay must be finite and not negative"),
                ("--optim.class-weights 0 0", "--optim.class-weights must not be negative, nor all 0"),
            ]
        ],
        (
            "segmentation",
            "train demo --run RUN --data.crop-size 0 9",
            "--data.crop-size must be a positive height and width",
        ),
        ("segmentation", "train demo --run RUN --optim.label-smoothing 2", "--optim.label-smoothing must be in"),
        ("segmentation", "train demo --run RUN --optim.class-weights 1 2", "one weight for each of the 8 classes"),
        ("pixel_dcn", "train demo --run RUN --data.size 64 100", "got 64 100: try 64 96"),
        ("pixel_dcn", "train demo --run RUN --data.size 0 64", "size must be a positive height and width in pixels"),
        ("pixel_dcn", "train demo --run RUN --model.depth 1", "--model.depth must be at least 2, got 1"),
        ("pixel_dcn", "train demo --run RUN --model.head-rates 1 2", "--model.head-rates is an option of DeepLab"),
        (
            "pixel_dcn",
            "train demo --run RUN --model.network deeplab --model.head duc",
            "--model.head duc leaves nothing to up-sample",
        ),
        ("pixel_dcn", "train demo --run RUN --optim.power 0", "--optim.power must be positive and finite"),
        ("pixel_dcn", "train demo --run RUN --optim.learning-rate nan", "--optim.learning-rate must be positive"),
    ],
)
def test_refuses_before_anything_is_written(capsys, tmp_path, study, arguments, message):
    run = tmp_path / "run"
    assert _main(study, [str(run) if word == "RUN" else word for word in arguments.split()]) == 1
    assert message in capsys.readouterr().err
    assert not run.exists()
