"""Run folders from elsewhere, damaged ones, and ones abandoned before anything was learnt."""

import dataclasses
import json
import math
import os
from pathlib import Path
from typing import NoReturn

import matplotlib.pyplot as plt
import numpy as np
import pytest
import yaml

from experiments import runs
from experiments.common.compare import report_run
from experiments.common.config import with_options
from experiments.common.identity import check_data
from experiments.common.limits import LIMITS, check_limits
from experiments.common.plain import to_dict
from experiments.common.run_files import (
    damage_named,
    read_data,
    read_evaluation,
    read_examples,
    read_log,
    read_result,
    read_starts,
)
from experiments.common.run_folder import check_run, describe_run, load_config, note_on_start
from experiments.common.train import train
from experiments.common.writing import write, write_arrays, write_figure, write_json
from experiments.pixel_dcn import study as pixel_dcn
from experiments.restoration import study as restoration
from experiments.segmentation import study as segmentation
from experiments.segmentation.config import Config, OptimizerConfig
from experiments.segmentation.presets import PRESETS
from experiments.sequence import study as sequence
from experiments.sequence.config import PRESETS as SEQUENCE
from experiments.vae import study as vae
from smoothjax import data, training
from tests.experiments.made_runs import mark_learnt
from tests.experiments.test_common import SHORT, Mean

RESULT = {"method": "none", "steps": 3, "seconds_per_step": None, "val": {"error": None, "iou": {"a": 0.5}}}


def _described(folder: Path, config: Config | None = None) -> Path:
    describe_run(folder, config or Config())
    mark_learnt(folder)
    return folder


# Writing.


@pytest.mark.parametrize("name", ["config.yaml", "metrics.jsonl", "tensorboard", "curves.png", "checkpoints", "a/b"])
def test_a_link_out_of_a_run_is_refused_before_anything_is_written(tmp_path, name):
    """Otherwise a received folder could overwrite any file of the user."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "canary").write_text("alive")
    run = tmp_path / "run"
    (run / name).parent.mkdir(parents=True)
    (run / name).symlink_to(outside if name in ("tensorboard", "checkpoints") else outside / "canary")
    for call in (lambda: train(Mean(), SHORT, run, progress=False), lambda: load_config(run, Config)):
        with pytest.raises(ValueError, match=r"is a link to .*, out of its folder, where writing would follow it"):
            call()
    assert [path.name for path in outside.iterdir()] == ["canary"]
    assert (outside / "canary").read_text() == "alive"


def test_no_writer_follows_a_link(tmp_path):
    canary = tmp_path / "canary"
    canary.write_text("alive")
    run = tmp_path / "run"
    run.mkdir()
    for name in ("a.md", "a.json", "a.npz", "a.png"):
        for planted in (name, f"{name}.tmp", f".{name}.tmp"):
            (run / planted).symlink_to(canary)
    write(run / "a.md", "text")
    write_json(run / "a.json", {"score": math.nan, "more": [math.inf, 1.5]})
    write_arrays(run / "a.npz", {"x": np.arange(3)})
    write_figure(run / "a.png", plt.figure(figsize=(1, 1)), dpi=20)
    assert canary.read_text() == "alive"
    assert not any((run / name).is_symlink() for name in ("a.md", "a.json", "a.npz", "a.png"))
    assert json.loads((run / "a.json").read_text()) == {"score": None, "more": [None, 1.5]}
    assert plt.get_fignums() == []


# Reading.


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[: text.index("optim:")], "it lacks .* and more, the file is cut off"),
        (lambda text: text.replace("wandb: null\n", ""), "it lacks wandb, the file is cut off"),
        (lambda text: text[:-1], "it lacks the end of a line"),
        (lambda text: text.replace("steps: 20000", "steps: many"), "steps must be int, got 'many'"),
        (lambda text: text.replace("smoothing: none", "smoothing: 3"), "model.smoothing must be one of none, "),
        (lambda text: "model: 3\n" + text[text.index("data:") :], "."),
        (lambda text: "[" * 100_000, "more than 64 deep"),
        (lambda text: "a: &a [1]\n" + text, "unknown fields a"),
        (lambda text: "3\n", "must hold options by name"),
        (lambda text: "", "must hold options by name"),
    ],
)
def test_a_damaged_configuration_is_named(tmp_path, change, message):
    """A truncated one would be completed with defaults."""
    run = _described(tmp_path / "run")
    path = run / "config.yaml"
    path.write_text(change(path.read_text()))
    for call in (lambda: load_config(run, Config), lambda: check_run(run, Config())):
        with pytest.raises(ValueError, match=message) as raised:
            call()
        assert str(path) in str(raised.value)
        assert "\n" not in str(raised.value)


def test_a_run_of_an_earlier_version_has_the_defaults_of_newer_options(tmp_path):
    """Otherwise each new option would make all trained networks unreadable."""
    run = _described(tmp_path / "run")
    path = run / "config.yaml"
    text = path.read_text()
    for line in ("primary: mean_iou\n", "  smoothing_multiplier: 1.0\n"):
        assert line in text
        text = text.replace(line, "")
    path.write_text(text)
    assert load_config(run, Config) == Config()


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b"\xff", b"[" * 10_000, b'{"val": {}}', b'{"val": {"a": "high"}, "steps": 1}', b"1" * 9999],
)
def test_a_damaged_result_is_named(tmp_path, content):
    (tmp_path / "result.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"result\.json is damaged, .*delete it"):
        read_result(tmp_path)


@pytest.mark.parametrize(
    "study", [segmentation, pixel_dcn, vae, restoration, sequence], ids=lambda study: study.__package__
)
def test_a_result_without_the_entries_of_its_study_is_named(tmp_path, study):
    """A result edited by hand, or of another study, would end in a KeyError."""
    write_json(tmp_path / "result.json", RESULT)
    result = read_result(tmp_path)
    with (
        pytest.raises(ValueError, match=r"result\.json cannot be shown, .* is missing\): delete it, "),
        damage_named([tmp_path]),
    ):
        study.STUDY.outcome(result)


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"- {name: a", b"a: [1, 2, 3]\na: [4, 5, 6]", b"[" * 9999, b"a: &x [*x]"]
)
def test_damaged_classes_of_a_run_are_named(tmp_path, content):
    describe_run(tmp_path / "run", Config(), data.SHAPES)
    assert segmentation.STUDY.read_target(Config(), tmp_path / "run") == data.SHAPES
    (tmp_path / "run/classes.yaml").write_bytes(content)
    with pytest.raises(ValueError, match=r"run/classes\.yaml[:,] "):
        segmentation.STUDY.read_target(Config(), tmp_path / "run")


def test_a_score_that_is_null_is_nan(tmp_path):
    write_json(tmp_path / "result.json", RESULT)
    found = read_result(tmp_path)
    assert math.isnan(found["val"]["error"])
    assert math.isnan(found["seconds_per_step"])
    assert found["val"]["iou"] == {"a": 0.5}


@pytest.mark.parametrize("tail", [b"\xff\xfe", b'{"step": "a", "split": "train"}', b'{"step": 9}\n\0\0', b"[" * 9999])
def test_the_damaged_end_of_a_log_is_left_out(tmp_path, tail):
    good = b'{"step": 1, "split": "train", "loss": null}\n'
    (tmp_path / "metrics.jsonl").write_bytes(good + tail)
    assert read_log(tmp_path) == [{"step": 1, "split": "train", "loss": None}]
    with training.RunLog(tmp_path, resume_step=5, console=False):
        assert (tmp_path / "metrics.jsonl").read_bytes() == good
    (tmp_path / "metrics.jsonl").write_bytes(tail + b"\n" + good)
    with pytest.raises(ValueError, match=r"line 1 of .* is damaged"):
        read_log(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[3]", b"[" * 9999])
def test_other_damaged_files_are_named_or_made_again(tmp_path, content):
    run = _described(tmp_path / "run")
    for name in ("environment.json", "evaluation-val.json", "examples.npz"):
        (run / name).write_bytes(content)
    assert read_starts(run) == []
    assert read_evaluation(run / "evaluation-val.json") is None
    with pytest.raises(ValueError, match=r"examples\.npz: .*delete .*result\.json"):
        read_examples(run)
    describe_run(run, Config())
    assert len(read_starts(run)) == 1
    for damaged in (b'{"splits": [1]}', b'{"weights": 3}', b'{"name": []}', b"[" * 9999):
        (run / "data.json").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"data\.json is damaged"):
            read_data(run)


def test_a_bad_run_costs_no_other_its_line(tmp_path, capsys):
    for name, content in (("a", None), ("b", "3\n"), ("c", "study: [\n"), ("d", "study: {}\n"), ("e", b"\xff")):
        _described(tmp_path / name)
        if content is not None:
            (tmp_path / name / "config.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    (tmp_path / "f/checkpoints/9/summary").mkdir(parents=True)
    (tmp_path / "f/config.yaml").write_text((tmp_path / "a/config.yaml").read_text())
    (tmp_path / "f/checkpoints/9/summary/metadata").write_text('{"best": {"value": "x", "step": []}}')
    assert runs.main([str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert [line.split("|")[1].strip() for line in out.splitlines() if line.startswith("|")][2:] == ["a", "f"]
    for name in "bcde":
        assert f"{tmp_path / name}/config.yaml cannot be read as a configuration" in out


def test_an_address_is_not_a_folder():
    for call in (check_run, lambda run, config: load_config(run, Config)):
        with pytest.raises(ValueError, match="must be on a file system of this machine, got 's3:/bucket/run'"):
            call(Path("s3://bucket/run"), Config())


# Changes.


def test_the_rate_of_an_unfinished_run_may_change(tmp_path):
    """A run that diverges advises to lower the learning rate and to repeat the command."""
    run = _described(tmp_path / "run")
    lower = dataclasses.replace(Config(), optim=OptimizerConfig(learning_rate=1e-5))
    check_run(run, lower)
    assert note_on_start(run, Config()) is None
    changed = "initial rate 0.00025 until step 1, 1e-05 since"
    assert note_on_start(run, lower) == f"{run} continues with another rate: {changed}"
    describe_run(run, lower)
    assert [start.get("changed") for start in read_starts(run)] == [None, changed]
    assert load_config(run, Config) == lower
    # The rates of other methods are none of its business; a finished run has the rate that it had.
    (run / "result.json").write_text("{}")
    check_run(run, with_options(lower, {"optim.rates.ss_conv": 0.5}))
    with pytest.raises(ValueError, match=r"initial rate: 1e-05 there, 0\.00025 now"):
        check_run(run, Config())


def test_what_patience_counts_may_not_change(tmp_path):
    """Twice as many evaluations would end a run after half the steps; without patience they end nothing."""
    patient = dataclasses.replace(Config(), patience=3)
    for config, refused in ((Config(), False), (patient, True)):
        run = _described(tmp_path / str(refused), config)
        changed = dataclasses.replace(config, evaluate_every=7)
        if refused:
            with pytest.raises(ValueError, match="evaluate_every: 1000 there, 7 now"):
                check_run(run, changed)
        else:
            check_run(run, changed)


@pytest.mark.parametrize("damaged", [False, True])
def test_a_run_without_a_checkpoint_is_replaced(tmp_path, damaged):
    """Otherwise a first attempt, stopped at once, would block its folder."""
    run, other = tmp_path / "run", dataclasses.replace(Config(), steps=5)
    describe_run(run, Config(), described={"splits": {"val": {"images": 3}}})
    if damaged:
        (run / "config.yaml").write_text("study: seg")
        (run / ".data.json.0123456789abcdef").touch()
    check_run(run, other)
    check_data(run, {"splits": {"val": {"images": 4}}})
    assert (
        note_on_start(run, other) == f"{run} holds a run that was stopped before its first checkpoint: it is replaced"
    )
    describe_run(run, other, described={"splits": {"val": {"images": 4}}})
    assert load_config(run, Config) == other
    assert read_data(run)["splits"]["val"]["images"] == 4
    assert len(read_starts(run)) == 1
    mark_learnt(run)
    with pytest.raises(ValueError, match="steps: 5 there, 20000 now"):
        check_run(run, Config())
    # Files that do not belong to a run are never replaced.
    mine = tmp_path / "mine"
    describe_run(mine, Config())
    (mine / "thesis.tex").touch()
    with pytest.raises(ValueError, match="steps: 20000 there, 5 now"):
        check_run(mine, other)


def test_a_second_process_is_refused_before_it_does_anything(tmp_path):
    def never(*arguments: object, **options: object) -> NoReturn:
        raise AssertionError("it has begun to work")

    with training.lock_folder(tmp_path / "run"), pytest.raises(BlockingIOError) as raised:
        train(Mean(), SHORT, tmp_path / "run", make_job=never)
    assert f"is in use by process {os.getpid()} on " in str(raised.value)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["run.lock"]


def test_the_report_of_a_run_is_made_again_where_a_part_is_missing(tmp_path):
    result = train(Mean(), SHORT, tmp_path / "run", progress=False)
    for name in ("report.md", "report.json", "curves.png"):
        report_run(Mean(), SHORT, tmp_path / "run", result)
        (tmp_path / "run" / name).unlink()
    report_run(Mean(), SHORT, tmp_path / "run", result)
    assert all((tmp_path / "run" / name).is_file() for name in ("report.md", "report.json", "curves.png"))


# Extreme options.


@pytest.mark.parametrize("name", sorted(LIMITS))
def test_options_end_where_no_run_can_go(name):
    """For an option of each limit, in a section or not; the limit itself is accepted."""
    kind = dataclasses.make_dataclass("Section", [(name, float)])
    outer = dataclasses.make_dataclass("Outer", [("part", kind)])
    check_limits(outer(kind(LIMITS[name])))
    for value in (LIMITS[name] + 1, math.inf, 10**30):
        with pytest.raises(ValueError, match=rf"--part\.{name.replace('_', '-')} must be at most "):
            check_limits(outer(kind(value)))


def test_extreme_options_are_refused():
    demo, copying = PRESETS["demo"].config, SEQUENCE["demo"].config
    for config, options, message in (
        (demo, {"steps": 10**20}, "--steps must be at most 1,000,000,000, got 100,000,000"),
        (demo, {"data.scale": 1e9}, "--data.scale must be at most 16"),
        (demo, {"data.scale_range": (0.5, math.inf)}, "--data.scale-range must be at most 16, got inf"),
        (demo, {"optim.weight_decay": 1e30}, "--optim.weight-decay must be at most"),
        (demo, {"batch_size": 9000, "data.crop_size": (900, 900)}, "--batch-size 9,000 times --data.crop-size must"),
        (copying, {"batch_size": 16384, "data.delay": 65536 * 2}, "--data.delay must be at most 65,536"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            with_options(config, options).validate()


def test_a_configuration_survives_yaml():
    for preset in PRESETS.values():
        text = yaml.safe_dump(to_dict(preset.config))
        assert "!!" not in text
