"""The study of when degridding helps: pictures, networks, resumption of cases, and reports."""

import json
import shlex
import shutil
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from experiments.gridding import study
from experiments.gridding.__main__ import main
from experiments.gridding.config import LABELS, METHODS, PRESETS, Case, Config, Objects, Training
from experiments.gridding.figures import draw_heat_map
from experiments.gridding.network import DilatedStack
from experiments.gridding.pictures import CLASSES, THIN, draw
from experiments.gridding.report import SCORES, cells_of, conclusions, headline, tables_of
from experiments.gridding.training import extra_parameters, mean_iou, pictures_of, programs_of, score
from smoothjax import analysis
from tests.experiments.command_line import check_pictures
from tests.support import assert_close, build

TINY = Training(steps=2, batch_size=1, width=2, size=16, test_pictures=2)
ARGUMENTS = shlex.split(
    "compare demo --methods ss_conv --seeds 2 --first 1 --training.steps 2 --training.batch-size 1 "
    "--training.width 2 --training.size 16 --training.test-pictures 2 --out"
)


def test_pictures_hold_what_their_case_says():
    key = jax.random.key(0)
    expected: dict[Objects, set[int]] = {"both": {0, 1, 2}, "thin": {0, 2}, "massive": {0, 1}}
    for objects, classes in expected.items():
        pictures = draw(key, 8, 48, noise=0.0, objects=objects)
        assert set(np.unique(pictures.labels)) == classes
        colors = np.asarray(pictures.images)
        for label in classes:
            (found,) = np.unique(colors[np.asarray(pictures.labels) == label], axis=0)
            assert found.shape == (3,)  # one colour a class
    assert CLASSES[THIN] == "wire"


def test_noise_changes_no_label_and_wires_are_thin():
    key = jax.random.key(1)
    clean, noisy = (draw(key, 8, 48, noise=noise, objects="thin") for noise in (0.0, 0.5))
    np.testing.assert_array_equal(clean.labels, noisy.labels)
    assert np.std(np.asarray(noisy.images - clean.images)) == pytest.approx(0.5, rel=0.02)
    # Where no three pixels in a row and no three in a column are of a wire, it is at most two wide; where wires
    # meet or turn there are more.
    wire = np.asarray(clean.labels) == THIN
    wide = (wire[:, 1:-1, :-2] & wire[:, 1:-1, 1:-1] & wire[:, 1:-1, 2:]) & (
        wire[:, :-2, 1:-1] & wire[:, 1:-1, 1:-1] & wire[:, 2:, 1:-1]
    )
    assert wide.sum() < 0.3 * wire.sum()


def test_methods_share_pictures_and_initial_weights():
    """Runs of one seed form a pair; other seeds share nothing with it."""
    how = TINY
    (first, test), (other, _) = (pictures_of(Case(), seed, how) for seed in (0, 1))
    assert not np.array_equal(first.labels, other.labels)
    assert not np.array_equal(first.labels[:2], test.labels)
    networks = [build(lambda rngs, m=m: DilatedStack(Case(), m, 2, rngs)) for m in ("none", "ss_conv")]
    leaves = [dict(nnx.to_flat_state(nnx.state(network, nnx.Param))) for network in networks]
    assert set(leaves[0]) < set(leaves[1])
    assert all(np.array_equal(leaves[0][path][...], leaves[1][path][...]) for path in leaves[0])


def test_behind_a_1x1_stem_the_phases_never_meet():
    """The premise of the study: without smoothing, four pictures are classified side by side, by construction."""
    model = build(lambda rngs: DilatedStack(Case(rates=(2, 4)), "none", 4, rngs))
    images = jax.random.normal(jax.random.key(0), (1, 16, 16, 3))
    phase = images.at[:, 1::2].add(1.0).at[:, ::2, 1::2].add(1.0)  # all phases but (0, 0)
    assert_close(model(phase)[:, ::2, ::2], model(images)[:, ::2, ::2])
    mixing = build(lambda rngs: DilatedStack(Case(stem=3, rates=(2, 4)), "none", 4, rngs))
    assert abs(mixing(phase)[:, ::2, ::2] - mixing(images)[:, ::2, ::2]).max() > 0.01


def test_a_coarse_network_is_scored_at_full_size():
    case = Case(stem=3, stride=2, rates=(2,))
    model = nnx.eval_shape(lambda: DilatedStack(case, "ss_conv", 2, nnx.Rngs(0)))
    images = jax.ShapeDtypeStruct((2, 16, 16, 3), np.float32)
    assert nnx.eval_shape(lambda model, x: model(x), model, images).shape == (2, 16, 16, len(CLASSES))


def test_cases_that_differ_in_data_alone_share_their_programs():
    """Otherwise every noise and every kind of object would compile all methods again."""
    case = Case(rates=(2,))
    assert programs_of(case, "none", TINY) is programs_of(replace(case, noise=1.0, objects="thin"), "none", TINY)
    assert programs_of(case, "none", TINY) is not programs_of(replace(case, stem=3), "none", TINY)


def test_scores_are_those_of_the_library():
    """The field, for which all seeds share a program, equals `analysis.effective_receptive_field`."""
    case = Case(rates=(2,))
    programs = programs_of(case, "none", TINY)
    _, test = pictures_of(case, 0, TINY)
    state = programs.start(jax.random.key(0))
    counts = programs.tally(state, test)
    model = build(lambda rngs: DilatedStack(case, "none", 2, rngs))
    nnx.update(model, state.params, state.model_state)
    expected = analysis.effective_receptive_field(model, test.images)
    assert_close(np.asarray(counts.field, np.float64), expected, 1e-5)
    found = score(counts, case)
    assert found["imbalance"] == pytest.approx(analysis.phase_imbalance(expected, rate=2))
    assert found["imbalance"] == 1
    assert found["zeros"] == pytest.approx(100 * (1 - np.count_nonzero(expected) / 25))
    assert extra_parameters(case, "ss_conv", TINY) == 9
    # A network that has died loses two scores, not the whole case.
    dead = score(counts._replace(field=jnp.zeros_like(counts.field)), case)
    assert dead == {**found, "zeros": None, "imbalance": None}


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """The folder of a tiny comparison."""
    out = tmp_path_factory.mktemp("gridding") / "run"
    assert main([*ARGUMENTS, str(out)]) == 0
    return out


def test_from_end_to_end(compared, capsys):
    content = json.loads((compared / "results.json").read_text())
    (row,) = content["rows"]
    assert set(row["scores"]) == {"none", "ss_conv"}
    assert all(len(values) == 2 for scores in row["scores"].values() for values in scores.values())
    assert content["environment"]["command"].startswith("python -m experiments.gridding")
    check_pictures(compared, "heat_map.png", "differences.png")
    assert main(["show", str(compared / "results.json")]) == 0
    out = capsys.readouterr().out
    assert "SS convolution: differences to the baseline" in out
    assert "\n| 1x1 " in out
    assert out.count("\n| ") == 3


def test_finished_cases_are_not_run_again(compared, capsys, monkeypatch):
    def fail(*_):
        raise AssertionError("run again")

    monkeypatch.setattr(study, "run_case", fail)
    assert main([*ARGUMENTS, str(compared)]) == 0
    assert "done before" in capsys.readouterr().out


CIRCULANT = "circulant_group_interaction"


def test_a_case_file_gets_only_the_methods_that_it_lacks(compared, tmp_path, monkeypatch):
    """Methods added later equal those trained at once, and nothing is trained twice or lost."""
    copy, whole = shutil.copytree(compared, tmp_path / "copy"), tmp_path / "whole"
    (path,) = copy.glob("stem*.json")
    before, trained = json.loads(path.read_text()), []
    here = study.environment("gridding")
    monkeypatch.setattr(study, "environment", lambda _: {**here, "commit": "later"})
    monkeypatch.setattr(
        study, "programs_of", lambda case, method, how: trained.append(method) or programs_of(case, method, how)
    )
    assert main([*ARGUMENTS, str(copy), "--methods", "ss_conv", CIRCULANT]) == 0
    assert trained == [CIRCULANT]
    after = json.loads(path.read_text())
    assert after["commits"] == {"none": here["commit"], "ss_conv": here["commit"], CIRCULANT: "later"}
    assert after["environment"] == before["environment"]
    assert all(after["scores"][method] == before["scores"][method] for method in ("none", "ss_conv"))
    assert after["over_images"]["ss_conv"] == before["over_images"]["ss_conv"]
    assert json.loads((copy / "results.json").read_text())["environment"]["commit"] == f"{here['commit']} and later"

    assert main([*ARGUMENTS, str(whole), "--methods", "ss_conv", CIRCULANT]) == 0
    at_once = json.loads((whole / path.name).read_text())
    for part in ("scores", "over_images", "extra_parameters", "counts"):
        assert after[part] == at_once[part]
    assert list(after["scores"]) == after["config"]["methods"] == ["none", "ss_conv", CIRCULANT]

    # A file of the earlier form, of one commit and without what was counted.
    older = {key: value for key, value in before.items() if key not in ("commits", "counts")}
    path.write_text(json.dumps(older))
    assert main([*ARGUMENTS, str(copy), "--methods", "ss_conv", CIRCULANT]) == 0
    extended = json.loads(path.read_text())
    assert extended["commits"] == after["commits"]
    assert extended["scores"] == after["scores"]
    assert extended["over_images"] == before["over_images"] | {CIRCULANT: None}
    # Asked for fewer methods, it keeps and shows all that it holds.
    trained.clear()
    assert main([*ARGUMENTS, str(copy)]) == 0
    assert (trained, json.loads(path.read_text())) == ([], extended)


def test_a_method_is_not_added_by_another_jax(compared, tmp_path, capsys):
    """It may draw other pictures from a seed, so runs would not be pairs."""
    copy = shutil.copytree(compared, tmp_path / "copy")
    (path,) = copy.glob("stem*.json")
    content = json.loads(path.read_text())
    content["environment"]["packages"]["jax"] = "0.1"
    path.write_text(json.dumps(content))
    assert main([*ARGUMENTS, str(copy)]) == 0
    assert main([*ARGUMENTS, str(copy), "--methods", "ss_conv", CIRCULANT]) == 1
    assert f"lacks {CIRCULANT} and was made with JAX 0.1, this is " in capsys.readouterr().err
    del content["scores"]
    path.write_text(json.dumps(content))
    assert main([*ARGUMENTS, str(copy)]) == 1
    assert "is damaged, it lacks scores: remove it" in capsys.readouterr().err


def test_tables_and_heat_map_name_the_cases_without_a_method(tmp_path):
    content = _content((3.0, 0.0))
    assert not any("has not been run" in part for part in tables_of(content))
    row = content["rows"][0]
    row["scores"][CIRCULANT], row["over_images"][CIRCULANT] = row["scores"]["ss_conv"], None
    parts = tables_of(content)
    assert parts[3].splitlines()[2].split(" | ")[4].strip() == "-"
    missing = f"3x3 before {Case(objects='massive').condition}"
    assert parts[4] == (
        f"circulant group interaction has not been run in 1 of 2 cases ({missing}): the command of these cases with "
        f"--methods {CIRCULANT} adds it."
    )
    draw_heat_map(cells_of(content), tmp_path / "heat_map.png")
    check_pictures(tmp_path, "heat_map.png")


def test_a_folder_of_another_configuration_is_refused(compared, capsys):
    """Otherwise cases trained for different numbers of steps would share a table."""
    assert main([*ARGUMENTS, str(compared), "--training.steps", "3"]) == 1
    assert "holds a case of another configuration, that of the command" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["compare", "demo", "--seeds", "1"], 1, "--seeds must be at least 2, got 1: one pair has no interval"),
        (["compare", "demo", "--methods", "none"], 1, "--methods must name a method beside none"),
        (["compare", "demo", "--methods", "ss_conv", "ss_conv"], 1, "--methods names a method twice"),
        (["compare", "demo", "--training.size", "18"], 1, "--training.size must be a multiple of 4"),
        (["compare", "demo", "--training.steps", "0"], 1, "--training.steps must be positive"),
        (["compare", "demo", "--first", "0"], 1, "--first must be at least 1, got 0"),
        (["compare", "demo", "--first", "-1"], 1, "--first must be at least 1, got -1"),
        (["compare", "demo", "--out", "file"], 1, "--out must be a folder, got the file file: name another"),
        (["show", "file"], 1, "file"),
        (
            ["show", "other.json"],
            1,
            "other.json is not the results.json of a comparison, or damaged (KeyError('rows'))",
        ),
        (["show", "empty.json"], 1, "empty.json holds no case: name the results.json of a comparison"),
        (["show", "damaged.json"], 1, "damaged.json is not the results.json of a comparison, or damaged"),
    ],
)
def test_refuses_before_it_trains(tmp_path, monkeypatch, capsys, arguments, status, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("text")
    (tmp_path / "other.json").write_text("{}")
    (tmp_path / "empty.json").write_text('{"rows": []}')
    (tmp_path / "damaged.json").write_text('{"rows": [{"case": {"stem": 1}, "scores": 3}]}')
    assert main(arguments) == status
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", "dmeo"], "unknown preset 'dmeo': did you mean demo?"),
        (["train"], "unknown command 'train': choose one of compare, show"),
        (["compare", "demo", "--step", "3"], "unknown option --step: did you mean --training.steps?"),
        (["compare", "--seeds", "0,1"], "--seeds takes a whole number, got 0,1"),
    ],
)
def test_suggests_what_was_meant(capsys, arguments, message):
    """As in all studies."""
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def _content(extra):
    """Results of two cases and a method that adds something to every seed."""
    rng = np.random.default_rng(0)
    rows = []
    for case, plus in zip((Case(), Case(stem=3, objects="massive")), extra, strict=True):
        scores = {name: list(50 + rng.standard_normal(6)) for name in (*SCORES, "zeros", "imbalance")}
        changed = {name: [x + plus + 0.1 * rng.standard_normal() for x in values] for name, values in scores.items()}
        if case.objects == "massive":
            scores["thin_iou"] = changed["thin_iou"] = [None] * 6
        row = {"case": {**vars(case), "rates": list(case.rates)}, "over_images": {"ss_conv": [plus - 1, plus + 1]}}
        rows.append({**row, "scores": {"none": scores, "ss_conv": changed}})
    return {"rows": rows}


def test_a_class_that_is_not_drawn_is_no_part_of_the_mean():
    """One stray pixel of that class would cost a third of the score."""
    assert mean_iou(np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]])) == pytest.approx(77.5)
    assert mean_iou(np.array([[3, 1, 0], [0, 3, 1], [0, 0, 0]])) == pytest.approx(100 * (3 / 4 + 3 / 5) / 2)


def test_what_is_significant_has_a_star():
    content = _content((3.0, 0.0))
    plain, other = cells_of(content)
    assert plain.is_distinguishable("mean_iou")
    assert not other.is_distinguishable("mean_iou")
    table = tables_of(content)[1].splitlines()
    assert "+3.0 [+2.9, +3.2] *" in table[2]
    assert "*" not in table[3]
    assert "| - " in table[3]  # no wires, no score of them
    assert "| 50" not in table[0]
    assert headline([plain, other]).startswith(
        "SS convolution changes mean IoU, in points, by +3.0 [+2.9, +3.2] behind"
    )
    assert "Of 2 differences of mean IoU, significant (Holm): 1 above 0 (behind 1x1), 0 below 0." in conclusions(
        content
    )


def test_every_smoothing_has_a_label_and_every_case_a_file():
    assert set(LABELS) == set(METHODS)
    for preset in PRESETS.values():
        preset.config.validate()
        assert len({case.name for case in preset.cases}) == len(preset.cases)
    assert Config(methods=("ss_conv",)).arms == ("none", "ss_conv")
