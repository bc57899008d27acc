"""Options as people type them: other spellings, values from habit, and a file of options."""

import importlib
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tyro

from experiments.common.cli import Compare, Program, Train
from experiments.common.config import with_options
from experiments.common.dense.cli import EvaluateAveraged, Export, PredictAveraged
from experiments.common.options import HABITS, take_file
from experiments.common.run_folder import describe_run
from experiments.segmentation.__main__ import main
from experiments.segmentation.config import Config, Method
from experiments.segmentation.presets import PRESETS
from smoothjax.command_line import options_of, respell, words_of


def test_other_spellings_of_an_option():
    """Dots, hyphens and underscores are equal, in both forms of a switch; values stay."""
    options = list(options_of(Train[Config], Train(PRESETS["demo"].config)))
    given = [
        "--data-root",
        "a--b",
        "--data_root=--x",
        "--batch_size",
        "8",
        "--model-head_rates",
        "1",
        "--no-data.mirror",
    ]
    given += ["--data-no-check", "--no-dry-run", "--precision", "bf16", "-h"]
    expected = ["--data.root", "a--b", "--data.root=--x", "--batch-size", "8", "--model.head-rates", "1"]
    expected += ["--data.no-mirror", "--data.no-check", "--no-dry-run", "--precision", "bf16", "-h"]
    assert respell(given, options) == expected
    assert respell(["RUN", "--data.root", "x"], list(options_of(EvaluateAveraged))) == ["RUN", "--data-root", "x"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("--data.mirror False", "--data.mirror is on or off and takes no value, got False: write --data.no-mirror"),
        ("--data-no-mirror=0", "--data.no-mirror is on or off and takes no value, got 0: write --data.mirror"),
        ("-lr 0.01", "unknown option -lr: did you mean --optim.learning-rate?"),
        ("-steps 3", "unknown option -steps: did you mean --steps?"),
        ("-b 4", "unknown option -b: did you mean --batch-size?"),
        ("--optim adamw", "unknown option --optim: did you mean --optim.optimizer?"),
        ("--clip 1", "unknown option --clip: did you mean --optim.clip-norm?"),
        ("--shuffle", "unknown option --shuffle: training images are always shuffled, by --seed"),
        ("--verbose", "unknown option --verbose: --help-all lists every option"),
        ("--rotat 3", "unknown option --rotat: did you mean --data.augment.rotate?"),
        ("--model.smoothing ss", "write --model.smoothing ss_conv"),
        ("--model.encoder efficientnet", "dilated_stack, got efficientnet"),
        ("--seeds 1,2", "--seeds takes whole numbers with spaces between them, got 1,2: write --seeds 1 2"),
        ("--seeds [0, 1]", "got [0, 1]: write --seeds 0 1"),
        ("--methods none,ss-conv", "with spaces between them, got none,ss-conv: write --methods none ss_conv"),
        ("--steps 1e4", "--steps takes a whole number, got 1e4: write --steps 10000"),
        ("--steps 20k", "write --steps 20000"),
        ("--steps --seeds 0", "--steps takes a whole number, got nothing"),
        ("--batch-size 8.5", "--batch-size takes a whole number, got 8.5"),
        ("--optim.learning-rate 0,01", "takes a number or None, got 0,01: write --optim.learning-rate 0.01"),
        ("--optim.class-weights 1,2", "write --optim.class-weights 1 2"),
        ("--data.crop-size 97x65", "--data.crop-size takes 2 whole numbers, got 97x65: write --data.crop-size 97 65"),
        ("--data.crop-size 97", "write --data.crop-size 97 97"),
        ("--model.encoder ResNet-18", "write --model.encoder resnet18"),
        ("--precision bfloat16", "--precision takes one of float32, bf16, got bfloat16: write --precision bf16"),
        ("--precision float16", "--precision takes one of float32, bf16, got float16"),
        ("--patience null", "--patience takes a whole number or None, got null: write --patience None"),
    ],
)
def test_habits_of_values_get_the_right_spelling(given, message):
    """In one sentence, instead of the parser's box about its types."""
    options = list(options_of(Compare[Config, Method], Compare(PRESETS["demo"].config, ("none",))))
    with pytest.raises(ValueError, match=re.escape(message) + "$"):
        respell(given.split(), options, habits=HABITS)


def test_the_name_of_a_group_gets_its_options():
    """`--augment` got the first of its options, by chance of spelling."""
    options = list(options_of(Train[Config], Train(PRESETS["demo"].config)))
    with pytest.raises(ValueError, match=r"unknown option --augment: it is a group of options, --data.augment.bright"):
        respell(["--augment"], options, habits=HABITS)
    with pytest.raises(ValueError, match=r"--data: it is a group of options, --data.name, .*, \.\.\.$"):
        respell(["--data"], options)


@pytest.mark.parametrize(("given", "word"), [("--weights r a.png", "RUN"), ("r --source a.png", "IMAGES")])
def test_arguments_without_a_name_are_said_to_have_none(given, word):
    """Other programs have an option where ours take a run and its images."""
    options, words = list(options_of(PredictAveraged)), list(words_of(PredictAveraged))
    with pytest.raises(ValueError, match=f"{re.escape(word.rstrip('.'))} has no name in front of it, it is written by"):
        respell(given.split(), options, words, HABITS)


@pytest.mark.parametrize(
    ("study", "options", "named"),
    [
        (
            "segmentation",
            "train wires --data.root mine",
            "--data.root is for camvid, folder, voc2012, coco2015 or cityscapes, got mine with --data.name wires: "
            "leave it out, or name one of these with --data.name",
        ),
        ("segmentation", "compare demo --data.mask-suffix _mask", "--data.mask-suffix is for camvid, "),
        ("segmentation", "train wires --data.no-check", "--data.no-check is for camvid, "),
        (
            "segmentation",
            "train camvid --data.train-images 9",
            "--data.train-images is for shapes or wires, got 9 with",
        ),
        ("pixel_dcn", "train demo --data.root mine", "--data.root is for camvid, "),
        (
            "pixel_dcn",
            "compare camvid --data.image-size 64 64",
            "--data.image-size is for shapes or wires, got 64 64 with --data.name camvid: leave it out, or",
        ),
        (
            "vae",
            "train demo --data.root mine",
            "--data.root is for celeba, got mine with --data.name shapes: leave it out, or add --data.name celeba",
        ),
        ("restoration", "train demo --data.root mine", "--data.root is for folder, haze or noise, got mine with"),
        (
            "restoration",
            "train folder --data.root mine --haze.beta 1 2",
            "--haze.beta is for shapes or haze, got 1.0 2",
        ),
        (
            "restoration",
            "train haze --data.root mine --noise.sigma 15",
            "--noise.sigma is for noise, got 15.0 with --data.name haze: leave it out, or add --data.name noise",
        ),
        (
            "restoration",
            "compare noise --data.root mine --haze.depth 0 1",
            "--haze.depth is for shapes or haze, got 0.0 1.0 with --data.name noise",
        ),
        (
            "restoration",
            "train demo --model.rates 2 4",
            "--model.rates is for dilated_stack, got 2 4 with --model.network gcanet: leave it out, or add "
            "--model.network dilated_stack",
        ),
        ("restoration", "compare demo --model.stem 3", "--model.stem is for dilated_stack, got 3 with --model.network"),
        (
            "restoration",
            "train noise --data.root mine --model.task derain",
            "--model.task is for gcanet, got derain with --model.network dilated_stack",
        ),
        ("sequence", "train demo --data.file mine", "--data.file is for text, got mine with --data.name copy: leave"),
    ],
)
def test_options_of_other_data_are_not_ignored(study, options, named, tmp_path, monkeypatch, capsys):
    """A run would train on drawn pictures and be taken for one on the user's, or on all images in place of a few."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Program, "load", lambda _: pytest.fail("went on to train"))
    assert importlib.import_module(f"experiments.{study}.__main__").main(options.split()) == 1
    assert named in capsys.readouterr().err


def test_own_data_with_the_options_of_a_drawn_run(tmp_path, monkeypatch, capsys):
    """Its file names the drawn data, too, which then took the place of the folder."""
    describe_run(tmp_path / "wires", PRESETS["wires"].config)
    monkeypatch.setattr(Program, "load", lambda _: pytest.fail("went on to train"))
    given = ["train", "folder", "--config", str(tmp_path / "wires/config.yaml"), "--data.root", "mine"]
    assert main(given) == 1
    assert "--data.root is for camvid, folder, voc2012, coco2015 or cityscapes, got mine" in capsys.readouterr().err


def test_a_run_to_start_from_needs_its_kind(tmp_path, capsys):
    describe_run(tmp_path / "wires", PRESETS["wires"].config)
    assert main(["train", "demo", "--init.checkpoint", str(tmp_path / "wires")]) == 1
    assert capsys.readouterr().err.endswith("wires is a run: add --init.source run\n")


def test_a_file_is_no_folder_of_results(tmp_path, capsys):
    """It was found out after the network was read, in words of the operating system."""
    (tmp_path / "a.png").touch()
    assert main(["predict", "RUN", "a.png", "--out", str(tmp_path / "a.png")]) == 1
    assert "--out must be a folder, got the file " in capsys.readouterr().err
    assert main(["predict", "RUN", "a.png", "--out", str(tmp_path / "a.png/b")]) == 1
    assert "a.png is no folder that you may write to: name another" in capsys.readouterr().err


def test_right_values_stay():
    """Negative numbers are not options, and words after the values of an option belong to the command."""
    options = list(options_of(Compare[Config, Method], Compare(PRESETS["demo"].config, ("none",))))
    given = "--seeds 0 1 --methods none ss_conv --optim.momentum -0.5 --data.mirror --data.classes a,b.yaml --out a-b"
    assert respell(given.split(), options) == given.split()
    given = ["--out", "x", "RUN", "a.png", "--flip", "b.png"]
    assert respell(given, list(options_of(PredictAveraged))) == given


def test_what_is_suggested_is_accepted():
    """For any option and any following word, no suggestion is refused in turn, and nothing else fails."""
    options = list(options_of(Train[Config], Train(PRESETS["demo"].config)))
    values = ["1", "2.5", "1e3", "a", "None", "none", "False", "1,2", "97x97", "[1,2]", "auto", "-1", "0,5", "20k"]
    values += ["", "ResNet-50", "=", "inf", "nan", "1_000", "'x'", "bfloat16"]
    random, suggested = np.random.default_rng(0), 0
    for _ in range(3000):
        option = options[random.integers(len(options))]
        try:
            respell([option.flag, *random.choice(values, random.integers(4))], options)
        except ValueError as error:
            _, write, text = str(error).partition(": write ")
            if write:
                suggested += 1
                assert respell(text.split(), options) == text.split()
    assert suggested > 100


class TestOptionsFromAFile:
    def test_what_a_run_wrote_is_no_option_that_was_given(self, tmp_path, capsys, monkeypatch):
        """A run of EfficientNet-Lite keeps the width of residual networks, which was once refused."""
        options = {"model.encoder": "efficientnet_lite0", "model.width": 16, "steps": 7}
        lite = with_options(PRESETS["camvid"].config, options)
        describe_run(tmp_path, lite)
        monkeypatch.setattr(Program, "load", lambda _: pytest.fail("went on to train"))
        train = ["train", "camvid", "--data.root", str(tmp_path), "--config", str(tmp_path / "config.yaml")]
        with pytest.raises(pytest.fail.Exception, match="went on"):
            main(train)
        assert main([*train, "--model.width", "24"]) == 1
        assert (
            "--model.width is an option of residual encoders and the encoder dilated_stack, got 24"
            in capsys.readouterr().err
        )

    def test_the_file_of_a_run_makes_the_same_configuration(self, tmp_path):
        config = replace(PRESETS["camvid"].config, steps=7, model=replace(PRESETS["camvid"].config.model, width=24))
        describe_run(tmp_path, config)
        given = ["--seed", "3", "--config", str(tmp_path / "config.yaml"), "--steps", "9"]
        assert take_file(given, PRESETS["demo"].config) == (["--seed", "3", "--steps", "9"], config)
        assert take_file([f"--config={tmp_path / 'config.yaml'}"], Config()) == ([], config)

    def test_the_file_of_an_earlier_version_has_the_defaults_of_newer_options(self, tmp_path):
        """The values of a preset, such as another primary score, would make it another run."""
        describe_run(tmp_path, PRESETS["camvid"].config)
        path = tmp_path / "config.yaml"
        path.write_text(
            path.read_text().replace("primary: mean_iou\n", "").replace("  smoothing_multiplier: 1.0\n", "")
        )
        assert take_file(["--config", str(path)], PRESETS["camvid-forks"].config) == ([], PRESETS["camvid"].config)

    def test_some_options_leave_those_of_the_preset(self, tmp_path):
        path = tmp_path / "mine.yaml"
        path.write_text("steps: 9\nmodel:\n  width: 24\n")
        preset = PRESETS["camvid"].config
        expected = replace(preset, steps=9, model=replace(preset.model, width=24))
        assert take_file(["--config", str(path)], preset) == ([], expected)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("study: vae\nsteps: 9\n", "is of the study vae: it must be one of segmentation"),
            ("stesp: 9\n", "unknown fields stesp"),
            ("steps: many\n", "steps"),
            ("- 1\n", "it must hold options by name"),
        ],
    )
    def test_what_is_refused(self, tmp_path, capsys, content, message):
        path = tmp_path / "mine.yaml"
        path.write_text(content)
        assert main(["train", "demo", "--config", str(path)]) == 1
        error = capsys.readouterr().err
        assert str(path) in error
        assert message in error
        assert len(error.splitlines()) == 1

    def test_a_missing_file(self, capsys):
        assert main(["train", "demo", "--config", "nowhere.yaml"]) == 1
        assert "nowhere.yaml" in capsys.readouterr().err
        assert main(["train", "demo", "--config"]) == 1
        assert "--config must be followed by a file" in capsys.readouterr().err
        assert main(["train", "demo", "--config", "a.yaml", "--config=b.yaml"]) == 1
        assert "--config must be there once" in capsys.readouterr().err

    def test_a_comparison_takes_the_seed_of_a_run_and_its_own_methods(self, tmp_path, capsys):
        config = PRESETS["camvid"].config.with_method("ss_conv")
        describe_run(tmp_path, replace(config, seed=3))
        given = ["compare", "camvid", "--config", str(tmp_path / "config.yaml"), "--data.root", "nowhere"]
        given += ["--batch-size", "8"]
        with pytest.raises(SystemExit):
            main([*given, "--help"])
        shown = capsys.readouterr().out
        assert re.search(r"--seeds .*\(3\)", shown)
        for options in ([], ["--methods", "multigrid", "--seeds", "4", "5"]):
            assert main([*given, *options]) == 1
            assert "split 'train' of nowhere is incomplete" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "arguments", "sizes"),
    [
        (PredictAveraged, "RUN --tile 64 48 a.png b.png", (64, 48)),
        (PredictAveraged, "--tile 64 48 RUN a.png b.png", (64, 48)),
        (PredictAveraged, "RUN a.png b.png", None),
        (EvaluateAveraged, "--tile 64 48 RUN", (64, 48)),
        (Export, "--size 64 48 RUN", (64, 48)),
    ],
)
def test_two_numbers_leave_the_images_alone(options, arguments, sizes):
    found = tyro.cli(options, args=arguments.split())
    assert (found.size if options is Export else found.tile) == sizes
    assert found.run == Path("RUN")
    assert list(getattr(found, "images", ())) == [Path(word) for word in arguments.split() if word.endswith(".png")]
