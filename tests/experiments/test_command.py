"""The command line of the studies: help, suggestions, and refusals before anything is written."""

import contextlib
import importlib
import re
import subprocess
import sys
from dataclasses import replace

import pytest

from experiments.common.config import check_comparison
from experiments.common.run_folder import describe_run, load_config
from experiments.segmentation.config import Config
from experiments.segmentation.presets import PRESETS
from tests.experiments.command_line import STUDIES
from tests.experiments.made_runs import mark_learnt


def _main(study, arguments):
    return importlib.import_module(f"experiments.{study}.__main__").main(arguments)


def test_a_run_belongs_to_its_study(tmp_path, capsys):
    """The folder names its study; a folder that names none is refused by all."""
    describe_run(tmp_path / "run", Config())
    mark_learnt(tmp_path / "run")
    path = tmp_path / "run/config.yaml"
    assert load_config(tmp_path / "run", Config) == Config()
    train = ["train", "demo", "--run", str(tmp_path / "run"), "--batch-size", "8"]
    for arguments in (["evaluate", str(tmp_path / "run")], train):
        assert _main("pixel_dcn", arguments) == 1
        expected = "holds a run of the study segmentation: use python -m experiments.segmentation"
        assert expected in capsys.readouterr().err
    path.write_text(path.read_text().replace("study: segmentation\n", ""))
    for study in ("pixel_dcn", "segmentation"):
        assert _main(study, ["evaluate", str(tmp_path / "run")]) == 1
        assert "cannot be read as a configuration of this version: it names no study" in capsys.readouterr().err


@pytest.mark.parametrize("study", STUDIES)
def test_help_imports_no_jax(repository, study):
    """Otherwise ``--help`` would not answer at once."""
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
        ("segmentation", "train camvid --help-all", ["--data.root {None}|PATH", "--optim.rates.ss-conv FLOAT"]),
        ("segmentation", "predict --help-all", ["IMAGES", "--out", "--checkpoint"]),
        ("segmentation", "compare demo --help", ["--methods", "--seeds", "--out", "--config FILE"]),
        ("segmentation", "predict --help", ["IMAGES", "--out", "--checkpoint"]),
        ("pixel_dcn", "--help", ["train PRESET", "compare PRESET", "evaluate RUN", "predict RUN IMAGES..."]),
        ("pixel_dcn", "compare --help", ["demo", "camvid", "voc2012-unet", "coco-unet", "voc2012-deeplab"]),
        ("pixel_dcn", "train coco-unet --help", ["--data.size", "--model.upsampling", "--optim.power"]),
        ("pixel_dcn", "compare demo --help", ["--methods", "(dcl ipixel_dcl", "--seeds", "--out"]),
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
        ("segmentation", "train --data.root x", "a preset comes before --data.root: choose one of wires, demo, camvid"),
        ("segmentation", "train camvd", "unknown preset 'camvd': did you mean camvid?"),
        ("segmentation", "train imagenet", "unknown preset 'imagenet': choose one of wires, demo, camvid"),
        ("pixel_dcn", "train voc2012", "unknown preset 'voc2012': did you mean voc2012-unet?"),
        ("pixel_dcn", "compare demo --methods pixeldcl", "--methods takes some of dcl, ipixel_dcl"),
        ("segmentation", "train demo --lr 0.1", "unknown option --lr: did you mean --optim.learning-rate?"),
        ("vae", "train demo --learning-rate=0.1", "--learning-rate: did you mean --optim.learning-rate?"),
        ("segmentation", "train demo --epochs 3", "--epochs: training is measured in updates: --steps N"),
        ("segmentation", "compare demo --method ss_conv", "unknown option --method: did you mean --methods?"),
        ("segmentation", "train demo --method ss_conv", "--method: did you mean --model.smoothing?"),
        ("segmentation", "train demo --crop-size 65 65", "--crop-size: did you mean --data.crop-size?"),
        ("sequence", "train demo --stesp 3", "unknown option --stesp: did you mean --steps?"),
        ("segmentation", "evaluate RUN --splits test", "unknown option --splits: did you mean --split?"),
        ("segmentation", "train demo --xyz 3", "unknown option --xyz: --help-all lists every option"),
    ],
)
def test_suggests_what_was_meant(capsys, study, arguments, message):
    with pytest.raises(SystemExit) as stop:
        _main(study, arguments.split())
    assert stop.value.code == 2
    assert message in " ".join("".join(capsys.readouterr()).split())


@pytest.mark.parametrize("study", STUDIES)
@pytest.mark.parametrize("command", ["train", "compare"])
def test_help_fits_a_screen_and_names_every_option(capsys, study, command):
    """Help names everything that `--help-all` explains, in fewer than 60 lines for each preset."""
    program = importlib.import_module(f"experiments.{study}.__main__").PROGRAM
    for preset in program.presets:
        texts = []
        for flag in ("--help", "--help-all"):
            with pytest.raises(SystemExit) as stop:
                program.main([command, preset, flag])
            assert not stop.value.code
            texts.append(capsys.readouterr().out)
        short, full = texts
        assert len(short.splitlines()) < 60, preset
        explained = set(re.findall(r"^[│|]? {1,2}(--[a-z][a-z.-]*)", full, re.MULTILINE)) - {"--help"}
        named = set(re.findall(r"(?<!\S)--[a-z][a-z.-]*(?!\S)", short)) - {"--help-all", "--config"}
        assert named <= explained, named - explained
        assert explained <= named | {"--seed"}, explained - named


_EIGHT = "--batch-size 8"


@pytest.mark.parametrize(
    ("study", "arguments", "message"),
    [
        *[
            (study, arguments, message)
            for study in STUDIES
            for arguments, message in [
                (
                    f"train camvid --run RUN {_EIGHT}",
                    "the data set camvid is not in data/camvid: make it there from its archives with python -m",
                ),
                (f"train camvid --run RUN {_EIGHT} --data.root nowhere", "split 'train' of nowhere is incomplete"),
                ("train demo --run RUN --batch-size 9", "--batch-size must be a positive multiple of the 8 devices"),
                ("train demo --run RUN --batch-size 4", "try 8"),
                ("train demo --run RUN --steps 0", "--steps must be at least 1, got 0"),
                ("train demo --run RUN --optim.learning-rate -1", "rate"),
                ("compare demo --out RUN --methods", "--methods and --seeds must name at least one each"),
                ("compare demo --out RUN --seeds 0 1 0", "--seeds must name each once, got 0 more than once"),
                (
                    "compare demo --out RUN --seed 7",
                    "--seed 7 is an option of train, compare takes several: write --seeds 7",
                ),
                ("compare demo --out RUN --seeds -1", "--seeds must be 0 .. 2^32 - 1, got -1"),
                ("evaluate RUN", "holds no run (config.yaml is missing)"),
                ("predict RUN missing.jpg", "no such image: missing.jpg"),
                ("predict RUN .", ". holds no images ("),
                ("predict RUN street/*.jpg", "no file matches street/*.jpg: check the pattern"),
                ("predict RUN", f"name the images: python -m experiments.{study} predict RUN IMAGES..."),
            ]
        ],
        (
            "segmentation",
            "compare demo --out RUN --methods none ss_conv none",
            "--methods must name each once, got none",
        ),
        (
            "segmentation",
            "compare demo --out RUN --model.smoothing ss_conv",
            "is an option of train, compare trains each of --methods: leave it out, and write --methods ss_conv",
        ),
        ("pixel_dcn", "compare demo --out RUN --model.upsampling pixel_dcl", "write --methods pixel_dcl"),
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
                (
                    "--optim.learning-rate 0.1 --optim.rates.none 0.2",
                    "--optim.learning-rate 0.1 is the rate of every method, got --optim.rates.none 0.2 beside it",
                ),
                ("--model.head-rates 0 1", "must be ints from 1 on, got 0 1: try 6 12 18 24"),
                ("--model.width 0", "--model.width must be at least 1, got 0: 64 is the published"),
                ("--data.crop-size 97 129", "is larger than every scaled image, which has at most 122x122 pixels"),
                ("--data.scale 0", "--data.scale must be positive and finite, got 0"),
                ("--data.scale-range 1 0.5", "--data.scale-range must be 0 < low <= high, got 1.0 0.5"),
                ("--data.val-images 0", "--data.val-images must be at least 1, got 0"),
                ("--batch-size 8 --accumulate 3", "multiple of the 8 devices in 3 parts, got 8: try 24"),
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
        *[
            ("pixel_dcn", f"{command} --model.depth 9", "--model.depth is an option of U-Net, got 9 for a DeepLab")
            for command in ("train voc2012-deeplab --run RUN", "compare voc2012-deeplab --out RUN")
        ],
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
def test_refuses_before_anything_is_written(capsys, tmp_path, monkeypatch, study, arguments, message):
    monkeypatch.chdir(tmp_path)  # "." has no images
    run = tmp_path / "run"
    assert _main(study, [str(run) if word == "RUN" else word for word in arguments.split()]) == 1
    assert message in capsys.readouterr().err
    assert not run.exists()


def test_options_of_the_head_stay_in_a_comparison():
    """No method sets these options, so a comparison must not refuse them."""
    preset = PRESETS["demo"].config
    model = replace(preset.model, head="duc", head_rates=None)
    config = replace(preset, model=model, optim=replace(preset.optim, loss_at="full"))
    check_comparison(config, preset, ("ss_conv", "multigrid"), (0, 1))
    with pytest.raises(ValueError, match="--methods none would be the method duc, which other options ask for"):
        check_comparison(config, preset, ("none", "ss_conv"), (0, 1))


def test_a_damaged_file_of_weights_is_one_line(capsys, tmp_path, monkeypatch):
    """It is read without PyTorch, whatever it holds, and nothing is written."""
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "weights.pth").write_bytes(b"something")
    weights = ["--init.source", "torchvision", "--init.checkpoint", str(tmp_path / "weights.pth")]
    assert _main("segmentation", ["train", "demo", "--run", str(tmp_path / "run"), *weights]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {tmp_path}/weights.pth cannot be read: ")
    assert not (tmp_path / "run").exists()
