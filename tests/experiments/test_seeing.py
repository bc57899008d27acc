"""Views of a run, on a study of one number: lists, costs, reports, pictures, and logs elsewhere."""

import importlib.util
import json
import sys
import types
from dataclasses import replace

import numpy as np
import pytest

from experiments import runs
from experiments.common.cost import describe_batch_norm
from experiments.common.dry_run import dry_compare, dry_run
from experiments.common.run_files import read_log
from experiments.common.run_folder import describe_run
from experiments.common.train import train
from experiments.pixel_dcn.config import Config as UNet
from experiments.pixel_dcn.config import DataConfig as UNetData
from experiments.pixel_dcn.config import ModelConfig as UNetConfig
from experiments.pixel_dcn.study import STUDY as UPSAMPLING
from experiments.segmentation.__main__ import main
from experiments.segmentation.config import Config, ModelConfig
from smoothjax import data
from smoothjax.training import RunLog
from tests.experiments.test_common import SHORT, Mean
from tests.support import board_values


def test_pictures_and_histograms_are_in_tensorboard(tmp_path):
    picture = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    with RunLog(tmp_path, console=False) as log:
        log.pictures(3, {"predictions/0": picture})
        log.histograms(4, {"smoothing/filter": np.array([[0.0, 1.0], [0.0, 3.0]])})
    values = _events(tmp_path)
    assert (values[0][:2], values[0][2].image.width, values[0][2].image.height) == ((3, "predictions/0"), 5, 4)
    histogram = values[1][2].histo
    assert (values[1][:2], histogram.num, histogram.sum, histogram.max) == ((4, "smoothing/filter"), 4, 4, 3)


def _events(folder):
    return [(step, value.tag, value) for step, value in board_values(folder)]


def test_a_dry_run_shows_the_cost_and_leaves_nothing(tmp_path):
    text = dry_run(Mean(), SHORT, tmp_path / "run")
    for words in (
        "| all           | 1      | 0 ",
        "A step of 8 images, on each of 8 x cpu",
        "| FLOPs ",
        "| peak memory ",
    ):
        assert words in text
    assert "not reported" not in text
    assert list(tmp_path.iterdir()) == []
    text = dry_run(Mean(), replace(SHORT, batch_size=32, accumulate=4), tmp_path / "run")
    assert "A step of 32 images in 4 parts, of which the compiler counts one" in text
    assert dry_run(Mean(), replace(SHORT, eval_batch_size=1), tmp_path / "run")  # rounded up, never refused
    with pytest.raises(
        ValueError, match="--batch-size must be a positive multiple of the 8 devices in 2 parts, got 8: try 16"
    ):
        dry_run(Mean(), replace(SHORT, accumulate=2), tmp_path / "run")


def test_the_costs_say_whether_batch_norm_is_frozen(tmp_path):
    """The command lines of recipes do not show it."""
    model = UNetConfig(width=2, depth=2)
    config = UNet(model=model, data=UNetData(name="shapes", size=(16, 16), image_size=(32, 32)))
    # One down, the bottom, one up: two of each block, and one behind the up-sampling layer.
    for mode in ("trained", "frozen"):
        one = replace(config, model=replace(model, batch_norm=mode))
        network = UPSAMPLING.build_network(one, data.SHAPES)
        assert describe_batch_norm(network) == f"{mode} in 7 layers"


def test_the_costs_of_methods_side_by_side(tmp_path):
    text = dry_compare(Mean(), SHORT, ("slow", "fast"), tmp_path / "runs")
    header, _, *rows = text.splitlines()[-4:]
    cells = [[cell.strip() for cell in row.split("|")[1:4]] for row in rows]
    assert cells == [["slow descent", "1", "0"], ["fast descent", "1", "0"]]
    assert all(header.count(words) == 1 for words in ("FLOPs", "bytes read", "peak memory", "temporaries"))
    assert "not reported" not in text
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_runs_dry(tmp_path, monkeypatch, capsys):
    def cost(study, config, folder):
        return f"{study.metric} {config.steps} {folder.name}"

    monkeypatch.setattr("experiments.common.dry_run.dry_run", cost)
    assert main(["train", "demo", "--dry-run", "--run", str(tmp_path / "run")]) == 0
    assert capsys.readouterr().out == "mean_iou 400 run\n"

    monkeypatch.setattr("experiments.common.dry_run.dry_compare", lambda *arguments: " ".join(arguments[2]))
    arguments = ["compare", "demo", "--dry-run", "--methods", "none", "ss_conv", "--out", str(tmp_path / "runs")]
    assert main(arguments) == 0
    assert capsys.readouterr().out == "none ss_conv\n"
    assert list(tmp_path.iterdir()) == []


def test_runs_are_listed_with_what_they_differ_in(tmp_path, capsys):
    describe_run(tmp_path / "a/none", Config())
    describe_run(tmp_path / "a/ss_conv", Config(seed=1, model=ModelConfig(smoothing="ss_conv")))
    (tmp_path / "a/none/metrics.jsonl").write_text('{"step": 40, "split": "train", "loss": 1.0}\n')
    summary = tmp_path / "a/none/checkpoints/40/summary"
    summary.mkdir(parents=True)
    best = {"metric": "mean_iou", "step": 20, "value": 0.5}
    (summary / "metadata").write_text(json.dumps({"metrics": {}, "best": best}))
    (tmp_path / "a/ss_conv/result.json").touch()
    (tmp_path / "b").mkdir()
    (tmp_path / "b/config.yaml").write_text("study: segmentation\nstepz: 1\n")
    (tmp_path / "c").mkdir()
    (tmp_path / "c/config.yaml").write_text("study: astrology\n")
    assert runs.main([str(tmp_path)]) == 0
    out = capsys.readouterr().out
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines() if line.startswith("|")]
    assert [table[0], *table[2:]] == [
        ["run", "method", "step", "best", "model.smoothing", "seed"],
        ["a/none", "none", "40 of 20,000", "mean_iou 0.5 at 20", "none", "0"],
        ["a/ss_conv", "ss_conv", "20,000, finished", "-", "ss_conv", "1"],
    ]
    assert "b/config.yaml cannot be read as a configuration of this version: unknown fields stepz" in out
    assert "astrology:" in out
    assert runs.main([str(tmp_path / "a/none/checkpoints")]) == 1
    assert "name the folder that holds them" in capsys.readouterr().err


def test_a_torn_or_damaged_log_costs_no_other_run_its_line(tmp_path, capsys):
    """A kill tears the last line; any other damage is named, and the list continues."""
    good, torn = '{"step": 40, "split": "train"}\n', '{"step": 60, "spl'
    for name, text in (("a", good), ("b", good + torn), ("c", torn + "\n" + good)):
        describe_run(tmp_path / name, Config())
        (tmp_path / name / "metrics.jsonl").write_text(text)
    assert [line["step"] for line in read_log(tmp_path / "b")] == [40]
    with pytest.raises(ValueError, match=r"line 1 of .*c/metrics\.jsonl is damaged.*delete the line"):
        read_log(tmp_path / "c")
    assert runs.main([str(tmp_path)]) == 0
    out = capsys.readouterr().out
    steps = [[cell.strip() for cell in line.split("|")[1:4:2]] for line in out.splitlines() if line.startswith("|")]
    assert steps[2:] == [["a", "40 of 20,000"], ["b", "40 of 20,000"], ["c", "unknown of 20,000"]]
    assert out.count("metrics.jsonl is damaged") == 1


def test_scalars_are_mirrored_and_continued(tmp_path, monkeypatch):
    started, logged = [], []

    class Run:
        def log(self, values, step):
            logged.append((step, values))

        def finish(self):
            logged.append("finished")

    fake = types.SimpleNamespace(
        init=lambda **options: started.append(options) or Run(), Image=lambda picture: ("picture", picture.shape)
    )
    monkeypatch.setitem(sys.modules, "wandb", fake)
    pictures = {"predictions/0": np.zeros((2, 3, 3), np.uint8)}
    monkeypatch.setattr(Mean, "pictures", lambda *_: pictures)
    config = replace(SHORT, wandb="means", log_every=4, evaluate_every=4)
    train(Mean(), config, tmp_path / "run", progress=False)
    assert [entry[0] for entry in logged[:-1]] == [4, 4, 4]
    first, second, shown = (entry[1] for entry in logged[:-1])
    assert {"train/grad_norm", "train/epoch"} <= set(first)
    assert "val/error" in second
    assert shown == {"predictions/0": ("picture", (2, 3, 3))}
    assert logged[-1] == "finished"
    (tmp_path / "run/result.json").unlink()
    # The project may change when a run is resumed; the identity stays.
    train(Mean(), replace(config, wandb="others"), tmp_path / "run", progress=False)
    assert [options["project"] for options in started] == ["means", "others"]
    assert started[0]["id"] == started[1]["id"]
    assert started[0]["config"]["descent"] == "slow"


@pytest.mark.skipif(importlib.util.find_spec("wandb") is not None, reason="the library is installed")
def test_without_the_library_the_extra_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"--wandb needs .*pip install 'smoothjax\[wandb\]'"):
        train(Mean(), replace(SHORT, wandb="means"), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()
