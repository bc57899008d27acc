"""The tables of the papers beside ours: which runs fill which rows, and the printed text."""

import csv
import importlib
import io
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import tyro

from experiments.common.cli import Compare
from experiments.common.config import RunConfig, with_options
from experiments.common.published import FILE, published
from experiments.common.recipe import Recipe
from experiments.pixel_dcn.config import PRESETS as PIXEL
from experiments.tables.__main__ import main
from experiments.tables.formats import Table, render
from experiments.tables.hyperparameters import hyperparameters, mismatches
from experiments.tables.rows import Row, rows
from experiments.tables.studies import PRESETS
from experiments.tables.timing import timing_table, title
from experiments.vae.config import PRESETS as FACES
from tests.experiments.made_runs import START, evaluate, write

#: Study, preset and the rows that it fills.
RECIPES = [
    (preset.config.study, name, recipe)
    for presets in PRESETS
    for name, preset in presets.items()
    for recipe in preset.recipes
]


def _config(row: Row, options: Mapping[str, object] = MappingProxyType({}), seed: int = 0) -> RunConfig:
    """The configuration that the command of a row makes."""
    weights = {"init.source": row.recipe.weights[0]} if row.recipe.weights else {}
    return with_options(row.config, {**weights, "seed": seed, **options})


def _mismatches(row: Row, options: Mapping[str, object]) -> list[str]:
    return mismatches(hyperparameters(_config(row, options), {"train_split": "train_aug"}), row.expected)


def _row(table: str, model: str) -> Row:
    return next(row for row in rows() if (row.recipe.table, row.model) == (table, model))


@pytest.mark.parametrize("paper", ["smoothed_dilated_convolutions", "pixel_deconvolutional_networks"])
def test_published_numbers_are_the_papers(shared_data, paper):
    assert published()[paper] == json.loads(shared_data(f"published/{paper}.json").read_text())


def test_published_means_are_those_of_the_classes():
    """Each is printed to one digit, so a mistyped number shows."""
    for table in published()["smoothed_dilated_convolutions"]["tables"]:
        for row in table["rows"].values():
            assert np.mean(row["iou"]) == pytest.approx(row["miou"], abs=0.1)


def test_published_classes_are_those_of_the_data_sets():
    from smoothjax import data

    classes = published()["smoothed_dilated_convolutions"]["classes"]
    assert {name: tuple(names) for name, names in classes.items()} == {
        "voc2012": tuple(data.VOC2012.names),
        "cityscapes": tuple(data.CITYSCAPES.names),
    }


def test_every_published_row_has_a_recipe():
    printed = [len(table["rows"]) for table in published()["smoothed_dilated_convolutions"]["tables"]]
    assert len(rows()) == sum(printed) + len(published()["pixel_deconvolutional_networks"]["table1"])
    assert len({(row.recipe.table, row.model) for row in rows()}) == len(rows())


def test_the_initial_rates_are_the_papers():
    rates = {
        number: [row.expected["initial rate"] for row in rows() if row.recipe.table == number] for number in "123456"
    }
    assert rates["1"] == [0.00025, 0.00025, 0.001, 0.001]
    assert rates["2"] == [0.00025, 0.00025, 0.001, 0.00075]
    assert rates["3"] == [0.00025, 0.001, 0.001]
    assert rates["4"] == [0.00025, 0.001, 0.00075]
    assert rates["5"] == rates["6"] == [0.0005] * 3


def _parsed(study: str, preset: str, recipe: Recipe) -> Any:
    """The parsed options of a recipe's command `compare`."""
    words = recipe.command(study, preset).split()
    assert words[:5] == ["python", "-m", f"experiments.{study}", "compare", preset]
    program = importlib.import_module(f"experiments.{study}.__main__").PROGRAM
    kind: Any = Compare
    default = Compare(program.presets[preset].config, program.compared.methods)
    return tyro.cli(kind[program.config, program.compared.method], args=words[5:], default=default)


@pytest.mark.parametrize(("study", "preset", "recipe"), RECIPES)
def test_a_command_makes_the_runs_of_its_rows_and_of_no_other(study, preset, recipe):
    options = _parsed(study, preset, recipe)
    assert len(options.methods) == len(recipe.scores())
    for method in options.methods:
        run = hyperparameters(options.config.with_method(method), {"train_split": "train_aug"})
        filled = [row for row in rows() if not mismatches(run, row.expected)]
        assert [(row.recipe, row.config.method) for row in filled] == [(recipe, method)]


@pytest.mark.parametrize(("study", "preset", "recipe"), RECIPES)
def test_a_command_trains_or_freezes_batch_norm_as_its_lab_note_says(study, preset, recipe):
    """The paper fine-tunes with frozen statistics: a recipe that trains them would also measure another effect."""
    options = _parsed(study, preset, recipe)
    options.config.check_given(options.config)
    assert options.config.model.batch_norm == ("frozen" if recipe.weights else "trained")
    (declared,) = (presets[preset] for presets in PRESETS if preset in presets)
    assert f"Batch normalization is {options.config.model.batch_norm}" in declared.lab_note


@pytest.mark.parametrize("presets", [*PRESETS, FACES])
def test_every_preset_says_whether_batch_norm_is_trained(presets):
    for name, preset in presets.items():
        mode = getattr(preset.config.model, "batch_norm", "trained")
        assert f"Batch normalization is {mode}" in preset.describe(name)


def test_commands_keep_tables_apart():
    """A folder of runs refuses another configuration: two tables of one preset need two."""
    folders = [recipe.folder(study, preset) for study, preset, recipe in RECIPES]
    assert len(set(folders)) == len(folders)


@pytest.mark.parametrize(
    ("study", "preset"), sorted({(study, preset) for study, preset, _ in RECIPES} | {("vae", "celeba")})
)
def test_the_help_of_a_recipe_states_rows_command_time_and_scores(study, preset, capsys):
    program = importlib.import_module(f"experiments.{study}.__main__")
    with pytest.raises(SystemExit, match="0"):
        program.main(["train", preset, "--help-all"])
    text = " ".join(capsys.readouterr().out.split())
    assert "Time of a run on one GPU: not measured by us" in text
    assert f"python -m experiments.{study} compare {preset} " in text
    for _, name, recipe in RECIPES:
        if name == preset:
            for row, scores in recipe.scores().items():
                assert f"{row} {scores['mean IoU']:.1f}" in text


def test_the_help_of_a_recipe_says_what_the_paper_gives():
    """The U-Nets after 50 and 100 epochs of Sec. 3.1, and the faces of Sec. 3.2; other recipes are marked as ours."""
    unet, faces = PIXEL["voc2012-unet"], FACES["celeba"]
    assert "ahead of iPixelDCL after 50 epochs (--steps 264550)" in unet.lab_note
    assert 264550 * unet.config.batch_size == 50 * 10582
    assert "Length and split are ours" in unet.lab_note
    assert "Sec. 3.2 gives the task" in faces.lab_note
    assert "rate, batch size and length are ours" in faces.lab_note


def test_a_row_shows_mean_spread_and_difference(tmp_path, capsys):
    row = _row("2", "SS Conv")
    for seed, miou in ((0, 0.72), (1, 0.74)):
        write(tmp_path / f"runs/{seed}", _config(row, seed=seed), miou)
        evaluate(tmp_path / f"runs/{seed}", "val", miou, {name: miou for name in row.scores if name != "mean IoU"})
    (printed, *lines) = _lines(tmp_path, capsys, row.model)
    assert (printed[1], printed[-1]) == ("published", "72.1")
    assert [line[1:3] + line[-1:] for line in lines] == [
        ["ours", "73.0", "73.0"],
        ["± over seeds", "1.4", "1.4"],
        ["difference", "-20.0", "+0.9"],
    ]


def _lines(folder: Any, capsys: Any, row: str) -> list[list[str]]:
    """The lines of a row of Table 2, starting with the published one."""
    assert main([str(folder), "--table", "2", "--format", "csv"]) == 0
    lines = [line for line in csv.reader(io.StringIO(capsys.readouterr().out)) if len(line) == 24]
    first = next(index for index, line in enumerate(lines) if line[0] == row)
    return [lines[first], *(line for line in lines[first + 1 :] if not line[0])]


def test_other_recipes_fill_no_row(tmp_path, capsys):
    """A run from scratch, or of another length, is not the paper's; the remark names the difference."""
    row = _row("2", "SS Conv")
    write(tmp_path / "short", _config(row, {"steps": 100}), 0.5)
    write(tmp_path / "scratch", _config(row, {"init.source": None}), 0.5)
    write(tmp_path / "torchvision", _config(row, {"init.source": "torchvision"}, seed=3), 0.7)
    main([str(tmp_path), "--table", "2"])
    out, err = capsys.readouterr()
    assert f"{tmp_path}/short fills no row; from Table 2, SS Conv it differs in steps 100, not 20000" in err
    sources = "slim-as-authors or slim or torchvision"
    assert f"scratch fills no row; from Table 2, SS Conv it differs in init.source None, not {sources}" in err
    assert "| SS Conv    | 3 " in out
    assert "SS Conv, no run yet" not in out
    assert f"`python -m experiments.segmentation evaluate {tmp_path}/torchvision --split val`" in out


def test_runs_from_different_weights_are_not_a_spread_of_seeds(tmp_path, capsys):
    row = _row("2", "SS Conv")
    for name, score in (("slim", 0.70), ("torchvision", 0.76)):
        options = {"init.source": name, "init.checkpoint": Path(f"/w/{name}.npz")}
        write(tmp_path / name, _config(row, options), score)
    assert main([str(tmp_path), "--table", "2"]) == 0
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    means = {line[1]: line[-1] for line in lines if len(line) > 20 and line[1].startswith("ours, ")}
    assert means == {"ours, slim slim.npz": "70.0", "ours, torchvision torchvision.npz": "76.0"}
    assert [line[:2] for line in lines if line[0:1] == ["SS Conv"] and len(line) == 7] == [["SS Conv", "0"]] * 2


def test_kept_results_are_not_replaced_by_none(tmp_path, capsys):
    (tmp_path / "kept.json").write_text("kept")
    (tmp_path / "runs").mkdir()
    assert main([str(tmp_path / "runs"), "--json", str(tmp_path / "kept.json")]) == 1
    assert "no finished run: name the folders that hold them" in capsys.readouterr().err
    assert (tmp_path / "kept.json").read_text() == "kept"


def test_a_csv_file_has_one_table(tmp_path):
    for seed in (0, 1):
        write(tmp_path / f"runs/{seed}", _config(_row("2", "SS Conv"), seed=seed), 0.5)
    assert main([str(tmp_path / "runs"), "--table", "2", "--format", "csv", "--out", str(tmp_path / "t.csv")]) == 0
    texts = {path.name: path.read_text().splitlines() for path in tmp_path.glob("*.csv")}
    widths = {name: {len(row) for row in csv.reader(x for x in text if x[0] != "#")} for name, text in texts.items()}
    assert widths == {"t-1.csv": {24}, "t-2.csv": {7}}


def test_a_row_without_a_run_shows_the_command(capsys, tmp_path):
    assert main([str(tmp_path), "--table", "4"]) == 0
    out = capsys.readouterr().out
    for row in ("DeepLabv2", "G Interact", "SS Conv"):
        assert f"{row}, no run yet; fill it with `{_row('4', row).command}`" in out


def test_what_does_not_change_the_network_does_not_change_the_row():
    row = _row("1", "G Interact")
    for option in ("evaluate_every", "log_every", "seed", "eval_batch_size"):
        assert not _mismatches(row, {option: 9})
    assert not _mismatches(row, {"optim.rates.ss_conv": 9.0})  # of a method that this run does not have
    assert _mismatches(row, {"optim.learning_rate": 0.002}) == ["initial rate 0.002, not 0.001"]


def test_a_row_takes_weights_of_any_name():
    row = _row("2", "SS Conv")
    for name in ("/a/resnet.npz", "/b/resnet101.npz"):
        assert not _mismatches(row, {"init.checkpoint": Path(name)})


_PATHS = "segmentation folder data.root, restoration folder data.root, sequence text data.file"
_PATHS += ", segmentation voc2012 init.checkpoint"


@pytest.mark.parametrize(("study", "preset", "option"), [case.split() for case in _PATHS.split(", ")])
def test_other_data_and_weights_make_another_run(study, preset, option):
    """They are known by their names, so the same data or weights may be moved."""
    config = importlib.import_module(f"experiments.{study}.__main__").PRESETS[preset].config
    first, moved, other = (
        hyperparameters(with_options(config, {option: Path(path)})) for path in ("/a/mine", "/b/mine", "/a/other")
    )
    assert first == moved
    assert first != other


def test_named_data_are_the_same_anywhere():
    config = importlib.import_module("experiments.segmentation.presets").PRESETS["camvid"].config
    assert hyperparameters(config) == hyperparameters(with_options(config, {"data.root": Path("/a/mine")}))


def test_pixel_rows_are_kept_apart():
    """The presets share a data set, so the network decides."""
    for name in ("voc2012-unet", "voc2012-deeplab"):
        assert PIXEL[name].config.data.name == "voc2012"
    mine = hyperparameters(PIXEL["voc2012-unet"].config)
    assert [row.model for row in rows() if not mismatches(mine, row.expected)] == ["PASCAL 2012, U-Net + DCL"]


def test_errors_say_what_to_do(tmp_path, capsys):
    for arguments, message in (
        ([tmp_path / "none"], "none does not exist: name folders of runs"),
        ([tmp_path, "--own"], "no finished run: name the folders that hold them"),
        ([tmp_path, "--table", "pixel-2", "--timing", FILE], "holds no measurements"),
        ([FILE], "holds no results: name a file written by --json"),
        ([tmp_path, "--split", "test"], "--split would change nothing, since the papers' tables have one split: add"),
        (
            [tmp_path, "--own", "--table", "1"],
            "--table would change nothing, since --own shows other tables: leave it out",
        ),
        (
            [tmp_path, "--table", "1", "--timing", FILE],
            "--timing would change nothing, since table pixel-2 is not shown",
        ),
        ([tmp_path, "--out", tmp_path], "--out must be a file, got the folder "),
        ([tmp_path, "--json", "no/a.json"], "--json no/a.json: there is no folder no, make it or name another"),
    ):
        assert main(list(map(str, arguments))) == 1
        assert message in capsys.readouterr().err


def test_timing_compares_ratios(tmp_path):
    case = {"size": "2x256x256x3", "reference": 10.0}
    rows = [
        case | {"title": title(layer), "part": part, "ours": 10 * ratio, "ratio": ratio}
        for layer, ratio in (("PixelDCL", 1.5), ("iPixelDCL", 2.0))
        for part in ("training step", "prediction")
    ]
    path = tmp_path / "timing.json"
    path.write_text(json.dumps({"environment": START, "rows": rows}))
    table = timing_table(path)
    assert table.rows[2] == ("U-Net + iPixelDCL", "training step", "30,679", "1.40", "20.0", "2.00", "+0.60")
    assert table.rows[0][4:] == ("10.0", "1.00", "+0.00")
    assert "1 x NVIDIA H100" in table.notes[1]
    assert len(table.notes) == 2
    for others in ([], [case | {"title": "a layer", "part": "forward", "ours": 1.0, "ratio": 1.0}]):
        path.write_text(json.dumps({"rows": others}))
        note = timing_table(path).notes[-1]
        assert note.startswith(f"Not measured: {path} has no rows of these networks; make it with `python -m")
    for damaged in ([3], [rows[0] | {"ours": "fast"}], [{}]):
        path.write_text(json.dumps({"rows": damaged}))
        with pytest.raises(ValueError, match=r"timing\.json holds no measurements.*make it with"):
            timing_table(path)
    path.write_text(json.dumps({"rows": [row | {"size": "2x32x32x3"} for row in rows]}))
    assert "The size differs from 2x256x256x3" in timing_table(path).notes[-1]


def test_the_benchmark_calls_its_cases_so():
    from experiments.timing.networks import network_cases

    assert {title("PixelDCL"), title("iPixelDCL")} <= {case.title for case in network_cases(quick=True)}


def test_formats():
    table = Table("A & B", ("x_1", "%"), (("a|b", "1.0 ± 0.5"),), ("See `run --a_b`.",))
    assert render([table], "markdown").splitlines()[4] == r"| a\|b | 1.0 ± 0.5 |"
    assert render([table], "csv") == "# A & B\nx_1,%\na|b,1.0 ± 0.5\n# See `run --a_b`."
    latex = render([table], "latex")
    assert r"\subsection*{A \& B}" in latex
    assert r"x\_1 & \% \\" in latex
    assert r"a|b & 1.0 $\pm$ 0.5 \\" in latex
    assert latex.endswith(r"See \texttt{run --a\_b}.\par")


def test_a_reader_that_has_seen_enough_is_no_error(repository):
    command = f"{sys.executable} -m experiments.tables --timing {FILE.parent / 'results/timing.json'} | head -n 1"
    found = subprocess.run(command, shell=True, cwd=repository, capture_output=True, text=True, check=True)
    assert found.stdout.startswith("## Table 1 ")
    assert found.stderr == ""
