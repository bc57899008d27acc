"""Tables of any runs: methods side by side, and paired with their baseline seed by seed."""

import importlib
import json
import re
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from experiments.common.config import with_options
from experiments.segmentation.presets import PRESETS
from experiments.sequence.config import PRESETS as SEQUENCES
from experiments.tables.__main__ import main
from experiments.tables.find import find
from experiments.tables.groups import chosen_rate, groups, protocols
from experiments.tables.hyperparameters import setting
from tests.experiments.made_runs import evaluate, write


def _camvid(method: str, seed: int, rate: float = 0.05, options: Any = MappingProxyType({})) -> Any:
    usual = {"steps": 20000, "batch_size": 8, "model.width": 64, "optim.learning_rate": rate, "seed": seed}
    config = with_options(PRESETS["camvid"].config, usual | options)
    return config.with_method(method)


@pytest.fixture
def compared(tmp_path):
    """Two methods with two rates and three seeds; at 0.1, SS convolution is better on val and worse on test."""
    for seed in range(3):
        for method, rate, val, test in (
            ("none", 0.05, 0.60, 0.50),
            ("none", 0.1, 0.50, 0.60),
            ("ss_conv", 0.05, 0.61, 0.52),
            ("ss_conv", 0.1, 0.70, 0.51),
        ):
            noise = seed / 100
            write(tmp_path / f"{method}-{rate}-{seed}", _camvid(method, seed, rate), val + noise, test + noise)
    return tmp_path


def test_rates_are_chosen_on_val_and_shown_on_test(compared, capsys):
    assert main([str(compared), "--own", "--split", "test"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines() if line.startswith("| ")]
    assert "one initial rate, the best of the baseline on val; test" in out
    assert "an initial rate for each method, the best on val of 0.05, 0.1; test" in out
    scores = [line for line in lines if line[2:3] == ["0, 1, 2"]]
    shared, chosen = scores[:2], scores[2:4]
    assert [line[:5] for line in shared] == [
        ["none", "0.05", "0, 1, 2", "51.0 ± 1.0", "90.0 ± 0.0"],
        ["ss_conv", "0.05", "0, 1, 2", "53.0 ± 1.0", "90.0 ± 0.0"],
    ]
    assert [line[:4] for line in chosen] == [
        ["none", "0.05", "0, 1, 2", "51.0 ± 1.0"],
        ["ss_conv", "0.1", "0, 1, 2", "52.0 ± 1.0"],
    ]
    pairs = [line[:4] for line in lines if line[2:3] == ["3"]]
    assert pairs[:2] == [
        ["ss_conv", "0.05", "3", "+2.0 [+2.0, +2.0]"],
        ["ss_conv", "0.1", "3", "+1.0 [+1.0, +1.0]"],
    ]
    assert ["", "", "difference", "+2.0", "+2.0"] in lines  # of the classes; one that does not occur is left out
    assert "boundary IoU" in out
    assert "1 x NVIDIA H100, x86_64, 16 cores" in out
    assert "0123456" in out
    assert "/home/me" not in out


def test_the_declared_primary_score_chooses_rates_and_is_tested_first(tmp_path, capsys):
    """By mean IoU the rate of SS convolution would be 0.1, and Holm's correction be about mean IoU."""
    for seed in range(3):
        for rate, method, mean, near in (
            (0.05, "none", 0.60, 0.30),
            (0.05, "ss_conv", 0.61, 0.35),
            (0.1, "ss_conv", 0.70, 0.32),
        ):
            config = _camvid(method, seed, rate, {"primary": "mean_boundary_iou"})
            boundary = {"distance": 0.02, "mean_boundary_iou": near + seed * rate / 10, "trimap_mean_iou": 0.5}
            write(tmp_path / f"{method}-{rate}-{seed}", config, mean, boundary=boundary)
    assert main([str(tmp_path), "--own"]) == 0
    shared = capsys.readouterr().out.split("every initial rate")[0]
    header, difference = (
        next(line for line in shared.splitlines() if line.startswith(start))
        for start in ("| method  | initial rate | pairs", "| ss_conv | 0.05         | 3")
    )
    assert header.split("|")[4].strip() == "boundary IoU"
    assert difference.split("|")[4].strip() == "+5.0 [+5.0, +5.0]"
    assert "Distinguishable from chance in boundary IoU, with Holm's correction over the one test" in shared


def test_every_rate_is_compared_at_its_own(tmp_path, capsys):
    """A method at a rate without a baseline has no difference; it was once taken to the baseline's only rate."""
    for seed in range(3):
        for method, rate, score in (("none", 0.01, 0.6), ("ss_conv", 0.01, 0.7), ("ss_conv", 0.04, 0.5)):
            write(tmp_path / f"{method}-{rate}-{seed}", _camvid(method, seed, rate), score)
    figure = tmp_path / "differences.png"
    assert main([str(tmp_path), "--own", "--figure", str(figure)]) == 0
    every = capsys.readouterr().out.split("differences at the same one")[2]
    assert re.search(r"\| ss_conv +\| 0.01 +\| 3 +\| \+10.0 ", every)
    assert re.search(r"\| ss_conv +\| 0.04 +\| 0 +\| - ", every)
    assert "Holm's correction over the one test" in every


def test_scores_that_an_evaluation_of_val_leaves_out_are_those_of_the_end_of_training(tmp_path, capsys):
    """An evaluation with another distance from contours once took the primary score away, and with it the choice."""
    for rate, near in ((0.05, 0.3), (0.5, 0.4)):
        folder = tmp_path / f"none-{rate}"
        boundary = {"distance": 0.02, "mean_boundary_iou": near, "trimap_mean_iou": 0.5}
        write(folder, _camvid("none", 0, rate, {"primary": "mean_boundary_iou"}), 0.6, boundary=boundary)
        evaluate(folder, "val", 0.6, {}, boundary={"distance": 0.05, "mean_boundary_iou": 0.9})
    (group,) = groups(find([tmp_path]).runs)
    assert chosen_rate(group, "none") == 0.5
    assert main([str(tmp_path), "--own"]) == 0
    assert re.search(r"\| none +\| 0.5 +\| 0 +\| 40.0 ", capsys.readouterr().out)


def test_the_scored_network_is_named(tmp_path, capsys):
    """Scores of raw and averaged weights stood side by side without a word."""
    for seed, network in enumerate(("averaged", "averaged", "raw")):
        write(tmp_path / str(seed), _camvid("none", seed), 0.5, network=network)
    main([str(tmp_path), "--own"])
    named = "Of raw and averaged weights those of the better mean IoU on val are scored: 2 averaged and 1 raw."
    assert named in capsys.readouterr().out


def test_a_figure_has_one_primary_score(tmp_path, capsys):
    """Its title counts differences of one score, which must be that of all that is drawn."""
    boundary = {"distance": 0.02, "mean_boundary_iou": 0.3, "trimap_mean_iou": 0.5}
    for steps, primary in ((10, "mean_iou"), (20, "mean_boundary_iou")):
        for method in ("none", "ss_conv"):
            for seed in range(2):
                config = _camvid(method, seed, options={"steps": steps, "primary": primary})
                write(tmp_path / f"{steps}-{method}-{seed}", config, 0.5, boundary=boundary)
    assert main([str(tmp_path), "--own", "--figure", str(tmp_path / "both.png")]) == 1
    assert "--figure draws runs of one primary score, these declare" in capsys.readouterr().err


def test_rates_that_were_not_chosen_need_no_scores_on_test(compared, capsys):
    """They appear only in the table of val."""
    write(compared / "low", _camvid("none", 0, 0.01), 0.4)
    row = re.compile(r"^\| none +\| 0\.01 ", re.MULTILINE)
    main([str(compared), "--own", "--split", "test"])
    assert not row.search(capsys.readouterr().out.split(": runs")[0])
    main([str(compared), "--own"])
    assert row.search(capsys.readouterr().out.split(": runs")[0])


def test_commands_that_differ_in_their_seed_are_one_loop(tmp_path, capsys):
    for seed in (1, 0):
        write(tmp_path / str(seed), _camvid("none", seed), 0.5)
        start = {"command": f"train camvid --seed {seed} --steps {seed} --run runs/none-seed{seed}"}
        (tmp_path / str(seed) / "environment.json").write_text(json.dumps([start]))
    main([str(tmp_path), "--own"])
    out = capsys.readouterr().out
    assert "`train camvid --seed 0 --steps 0 --run runs/none-seed0`" in out  # another length: not alike
    for seed in (1, 0):
        start = {"command": f"train camvid --seed {seed} --steps 10 --run runs/none-seed{seed}"}
        (tmp_path / str(seed) / "environment.json").write_text(json.dumps([start]))
    main([str(tmp_path), "--own"])
    loop = "for seed in 0 1; do train camvid --seed $seed --steps 10 --run runs/none-seed$seed; done"
    assert f"none, made by `{loop}`" in capsys.readouterr().out


def test_rates_without_a_common_seed_are_not_chosen_from(tmp_path, capsys):
    """Tables and figure need no choice: both show every rate beside the baseline at the same rate."""
    for rate, seeds in ((0.05, (0, 1)), (0.1, (2, 3))):
        for method, score in (("none", 0.5), ("ss_conv", 0.6)):
            for seed in seeds:
                write(tmp_path / f"{method}-{seed}", _camvid(method, seed, rate), score + (seed % 2) / 100)
    (group,) = groups(find([tmp_path]).runs)
    reason = "The initial rates 0.05, 0.1 of none have no seed in common, so none can be chosen: train one seed"
    with pytest.raises(ValueError, match=reason):
        chosen_rate(group, "none")
    write(tmp_path / "short", _camvid("none", 0, options={"steps": 10}), 0.5)
    figure = tmp_path / "differences.png"
    assert main([str(tmp_path), "--own", "--figure", str(figure)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "every initial rate, differences at the same one; val" in out
    assert reason in out
    assert re.search(r"\| ss_conv +\| 0.1 +\| 2 +\| \+10.0 ", out)
    assert "10 steps of 8; one initial rate; val" in out
    assert figure.stat().st_size > 1000


def test_rates_are_chosen_on_all_seeds(tmp_path, capsys):
    """0.1 is best on seed 0, but not on all three; a rate with only seed 0 takes no part."""
    scores = {0.05: (0.50, 0.60, 0.60), 0.1: (0.55, 0.40, 0.40), 0.2: (0.58,)}
    for rate, values in scores.items():
        for seed, value in enumerate(values):
            write(tmp_path / f"{rate}-{seed}", _camvid("ss_conv", seed, rate), value)
    for seed in range(3):
        write(tmp_path / f"none-{seed}", _camvid("none", seed), 0.5)
    (group,) = groups(find([tmp_path]).runs)
    assert chosen_rate(group, "ss_conv") == 0.05
    (protocol, every) = protocols(group)
    assert protocol.arms == (("none", 0.05), ("ss_conv", 0.05))
    assert every.title.startswith("every initial rate")
    write(tmp_path / "low", _camvid("none", 0, 0.01), 0.4)
    write(tmp_path / "other-0", _camvid("multigrid", 0, 0.1), 0.5)
    (group,) = groups(find([tmp_path]).runs)
    of_each = protocols(group)[1]
    assert of_each.note == (
        "Rates are chosen by the mean over seeds 0, 1, 2. Not in the choice, because they have fewer seeds: "
        "none at 0.01 (seed 0), ss_conv at 0.2 (seed 0); ahead on the seeds it has: ss_conv at 0.2 (seed 0)."
    )
    main([str(tmp_path), "--own"])
    assert of_each.note in capsys.readouterr().out


def test_differences_are_drawn(compared, tmp_path, capsys):
    figure = tmp_path / "differences.png"
    assert main([str(compared), "--own", "--split", "test", "--figure", str(figure)]) == 0
    assert figure.stat().st_size > 1000
    capsys.readouterr()
    assert main([str(compared), "--figure", str(figure)]) == 1
    assert "draws what --own compares: add --own" in capsys.readouterr().err
    assert main([str(compared), "--own", "--figure", "a.txt"]) == 1
    assert "--figure must end in .png, .pdf, .svg or .jpg, got a.txt" in capsys.readouterr().err


def test_settings_are_not_mixed(tmp_path):
    for name, options in (("long", {}), ("short", {"steps": 10}), ("wide", {"model.head": "large_fov"})):
        write(tmp_path / name, _camvid("none", 0, options=options), 0.5)
    found = groups(find([tmp_path]).runs)
    assert [len(group.arms) for group in found] == [1, 1, 1]
    assert len({group.title for group in found}) == 3


@pytest.mark.parametrize(("study", "preset"), [("segmentation", "wires"), ("restoration", "noise")])
def test_stems_are_not_mixed(study, preset):
    """What precedes the dilated layers decides whether there is gridding."""
    config = importlib.import_module(f"experiments.{study}.__main__").PRESETS[preset].config
    assert len({str(setting(with_options(config, {"model.stem": stem}))) for stem in (1, 3)}) == 2


def test_titles_name_small_images(tmp_path):
    write(tmp_path / "half", _camvid("none", 0, options={"data.scale": 0.5}), 0.5)
    (group,) = groups(find([tmp_path]).runs)
    assert group.title == "segmentation on camvid: resnet18, aspp, 20,000 steps of 8, data.scale 0.5"


def test_duc_stands_beside_the_baseline(tmp_path):
    """Its own head and loss do not make it another setting."""
    for method in ("duc", "none", "ss_conv"):
        write(tmp_path / method, _camvid(method, 0), 0.5)
    (group,) = groups(find([tmp_path]).runs)
    assert [method for method, _ in group.arms] == ["none", "duc", "ss_conv"]


def test_results_are_read_back_and_name_no_machine(compared, tmp_path, capsys):
    kept = tmp_path / "results.json"
    main([str(compared), "--own", "--split", "test", "--json", str(kept)])
    before = capsys.readouterr().out
    assert main([str(kept), "--own", "--split", "test"]) == 0
    assert capsys.readouterr().out == before
    assert "/home/me" not in kept.read_text()
    assert str(tmp_path) not in kept.read_text()


def test_what_cannot_be_compared_is_left_out_with_a_remark(tmp_path, capsys):
    write(tmp_path / "a", _camvid("none", 0), 0.5)
    evaluate(tmp_path / "a", "test", 0.9, {}, averaging={"tile": None, "scales": [1.0], "flip": True})
    evaluate(tmp_path / "a", "val", 0.9, {}, checkpoint="best")
    write(tmp_path / "b", _camvid("none", 0), 0.6)
    write(tmp_path / "c", _camvid("ss_conv", 0), 0.6)
    (tmp_path / "c/result.json").unlink()
    assert main([str(tmp_path), "--own"]) == 0
    out, err = capsys.readouterr()
    assert "| 50.0 " in out
    assert "60.0" not in out
    assert "| 90.0     | 90.0" not in out
    assert "a/evaluation-test.json is left out: it averages over scales or mirror images" in err
    assert "a/evaluation-val.json is left out: it scores the checkpoint --checkpoint best" in err
    assert f"{tmp_path}/b is left out: {tmp_path}/a is the same run" in err
    assert f"{tmp_path}/c is not finished" in err
    assert main([str(tmp_path), "--own", "--split", "test"]) == 0
    assert "a has no scores on test: python -m experiments.segmentation evaluate" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"step": 100}, "it scores step 100, the run has 20000; evaluate again"),
        ({"averaging": {"tile": [65, 65], "scales": [1.0], "flip": False}}, "it sees images in tiles"),
        ({"averaging": {"tile": None, "scales": [0.5, 1.0], "flip": False}}, "it averages over scales"),
        ({"step": None}, "it scores step None"),
    ],
)
def test_another_evaluation_does_not_replace_the_result(tmp_path, capsys, more, reason):
    write(tmp_path / "a", _camvid("none", 0), 0.5)
    evaluate(tmp_path / "a", "val", 0.8, {}, **more)
    assert main([str(tmp_path), "--own"]) == 0
    out, err = capsys.readouterr()
    assert "| 50.0 " in out
    assert "| 80.0 " not in out
    assert f"{tmp_path}/a/evaluation-val.json is left out: {reason}" in err


def test_boundary_scores_of_another_distance_are_left_out(tmp_path, capsys):
    write(tmp_path / "a", _camvid("none", 0), 0.5)
    evaluate(tmp_path / "a", "val", 0.8, {}, boundary={"distance": 0.05, "mean_boundary_iou": 0.33})
    assert main([str(tmp_path), "--own"]) == 0
    out, err = capsys.readouterr()
    assert "| 80.0 " in out
    assert "33.0" not in out
    assert "evaluation-val.json: its boundary scores are left out: they use the distance 0.05, not 0.02" in err


def test_nan_is_left_out_with_a_remark(tmp_path, capsys):
    """One diverged run does not spoil the mean of the others."""
    for seed, mean in ((0, 0.5), (1, 0.7), (2, float("nan"))):
        write(tmp_path / str(seed), _camvid("none", seed), mean, seconds_per_step=float("nan"))
    assert main([str(tmp_path), "--own"]) == 0
    out, err = capsys.readouterr()
    assert "60.0 ± 14.1" in out
    assert f"{tmp_path}/2/result.json: val.mean_iou is NaN and left out" in err
    assert "seconds_per_step" not in err


#: By file: damaged contents and the printed remarks.
DAMAGED = {
    "environment.json": {
        "[]": "b/environment.json is damaged: command, commit and machine of the run are unknown",
        '[{"comm': "b/environment.json is damaged",
    },
    "evaluation-val.json": dict.fromkeys(
        ('{"split": "va', '{"mean_iou": 0.1}'), "b/evaluation-val.json is left out: it is damaged"
    ),
    "result.json": {
        '{"method": "none"}': "b is left out: {b}/result.json is damaged: it must hold an object",
        "[]": "b/result.json is damaged",
        '{"val"': "b is left out: {b}/result.json is damaged",
        '{"val": {"mean_iou": "good", "iou": 3}, "extra_parameters": null}': "b has no scores on val",
    },
    "config.yaml": dict.fromkeys(
        ("", "study: [", "study: segmentation\nmodel: 3"),
        "b is left out: {b}/config.yaml cannot be read as a configuration of this version",
    )
    | {
        "study: common": "b is left out: there is no study common",
        "steps: 3": "config.yaml cannot be read as a configuration of this version: it names no study",
        "study: segmentation\nsteps: many": "of this version: steps must be int, got 'many'",
    },
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_cost_no_other_run(tmp_path, capsys, name):
    write(tmp_path / "a", _camvid("none", 0), 0.5)
    write(tmp_path / "b", _camvid("ss_conv", 0), 0.6)
    for text, remark in DAMAGED[name].items():
        (tmp_path / "b" / name).write_text(text)
        assert main([str(tmp_path), "--own"]) == 0
        out, err = capsys.readouterr()
        assert "| 50.0 " in out
        assert remark.format(b=tmp_path / "b") in err, text
        assert f"{tmp_path}/b" in err


def test_damaged_results_cost_no_other_run(compared, tmp_path, capsys):
    kept = tmp_path / "results.json"
    main([str(compared / "none-0.05-0"), str(compared / "ss_conv-0.05-0"), "--own", "--json", str(kept)])
    entries = json.loads(kept.read_text())["runs"]
    for damaged, remark in (
        (3, "run 1 of {kept} is left out"),
        ({"name": "x"}, "x in {kept} is left out: it lacks 'config'"),
        ({name: value for name, value in entries[1].items() if name != "result"}, "is left out: it lacks 'result'"),
        ({name: value for name, value in entries[1].items() if name != "data"}, "is left out: it lacks 'data'"),
        (entries[1] | {"result": []}, "in {kept} is damaged"),
        (entries[1] | {"evaluations": {"val": 3}}, "val of ss_conv-0.05-0 in {kept} is left out: it is damaged"),
    ):
        kept.write_text(json.dumps({"runs": [entries[0], damaged]}))
        capsys.readouterr()
        assert main([str(kept), "--own"]) == 0
        out, err = capsys.readouterr()
        assert "| 60.0 " in out
        assert remark.format(kept=kept) in err


def test_no_path_of_the_machine_is_kept(tmp_path, capsys):
    """Neither in the configuration nor in the command, however its options are spelled; the run stays the same."""
    paths = {"data.name": "folder", "data.root": Path("/home/me/mine"), "data.classes": Path("/home/me/c.yaml")}
    paths |= {"init.source": "slim", "init.checkpoint": Path("../me/w.npz")}
    write(tmp_path / "a", _camvid("none", 0, options=paths), 0.5)
    evaluate(tmp_path / "a", "val", 0.5, {}, data_root="/home/me/mine")
    text = with_options(SEQUENCES["text"].config, {"data.file": Path("/home/me/book.txt")})
    write(tmp_path / "b", text, 0.5)
    command = (
        "train camvid --data.root=/home/me/x --data_root ../me/x --data.classes=../me/c.yaml --run=/home/me/runs/r"
    )
    for name in "ab":
        more = " --data.file /home/me/book.txt --init.checkpoint=w/me.npz 'unmatched"
        (tmp_path / name / "environment.json").write_text(json.dumps([{"command": command + more * (name == "b")}]))
    kept = tmp_path / "results.json"
    assert main([str(tmp_path), "--own", "--json", str(kept)]) == 0
    assert "home" not in kept.read_text()
    assert "me/" not in kept.read_text()
    assert str(tmp_path) not in kept.read_text()
    first, second = json.loads(kept.read_text())["runs"]
    assert (first["config"]["data"]["root"], first["config"]["init"]["checkpoint"]) == ("mine", "w.npz")
    assert second["config"]["data"]["file"] == "book.txt"
    options = "--data.root=FOLDER --data_root FOLDER --data.classes=FILE --run=runs/r"
    assert first["start"]["command"] == f"train camvid {options}"
    capsys.readouterr()
    assert main([str(tmp_path / "a"), str(kept), "--own"]) == 0
    assert f"a is left out: {tmp_path}/a is the same run" in capsys.readouterr().err


def test_rates_are_chosen_where_low_is_good(tmp_path, capsys):
    """A sequence is scored in bits: the rate with fewer of them wins."""
    for rate, bits in ((0.01, 1.5), (0.001, 1.25), (0.1, 2.5)):
        config = with_options(SEQUENCES["demo"].config, {"optim.learning_rate": rate}).with_method("none")
        write(tmp_path / str(rate), config, 0.0)
        content = {"val": {"score": bits, "accuracy": 0.5}, "smoothing_parameters": 3}
        (tmp_path / str(rate) / "result.json").write_text(json.dumps(content))
    (group,) = groups(find([tmp_path]).runs)
    assert chosen_rate(group, "none") == 0.001
    assert main([str(tmp_path), "--own"]) == 0
    out = capsys.readouterr().out
    assert "one initial rate, the best of the baseline on val" in out
    assert "| none   | 0.001        | 0     | 1.2500                | 50.0 " in out
