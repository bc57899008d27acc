"""No number of RESULTS.md, the README or the page of costs is typed by hand: all are printed from stored runs."""

import json
import re
import shlex
from pathlib import Path

import pytest

from experiments.erf.study import tables_of
from experiments.gridding import report
from experiments.tables.__main__ import main

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "experiments/RESULTS.md"
STORED = sorted((ROOT / "experiments/results").glob("*.json"))


def _plain(text: str) -> str:
    """Without the padding of cells."""
    return re.sub(r"-{3,}", "---", re.sub(r" +\|", " |", text))


def _commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", RESULTS.read_text(), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if "experiments.tables" in line]


@pytest.mark.parametrize("command", _commands())
def test_tables_are_what_their_command_prints(monkeypatch, capsys, command):
    monkeypatch.chdir(ROOT)
    assert main(shlex.split(command)[3:]) == 0
    page = _plain(RESULTS.read_text())
    for part in _plain(capsys.readouterr().out).split("\n\n"):
        assert part.lstrip("#") in page


def test_every_stored_file_is_shown():
    text = RESULTS.read_text()
    assert STORED
    for path in STORED:
        assert f"experiments/results/{path.name}" in text


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_stored_results_are_small_and_name_no_machine(path):
    text = path.read_text()
    assert len(text) < 1_000_000
    assert not re.search(r"(?<!\w)/\w", text)  # no absolute path, of whatever root


def test_receptive_fields_are_those_measured():
    page = _plain(RESULTS.read_text())
    for table in tables_of(json.loads((ROOT / "experiments/results/erf.json").read_text())):
        assert _plain(table) in page


def test_where_degridding_helps_is_as_measured():
    """Tables, what is distinguishable from chance, and the power, of the stored cases."""
    page, content = _plain(RESULTS.read_text()), json.loads((ROOT / "experiments/results/gridding.json").read_text())
    for part in report.tables_of(content):
        assert _plain(part) in page
    told = " ".join((ROOT / "README.md").read_text().split())
    assert report.headline(report.cells_of(content)) in told


def test_the_tables_of_the_readme_are_excerpts():
    """Every row of results in the README is a row of RESULTS.md."""
    section = _plain((ROOT / "README.md").read_text()).split("## What the data say")[1].split("\n## ")[0]
    rows = {line for line in section.splitlines() if line.startswith("| ") and "---" not in line}
    assert len(rows) >= 4
    assert rows <= set(_plain(RESULTS.read_text()).splitlines())


def test_costs_are_those_measured():
    section = (ROOT / "docs/pages/costs.md").read_text()
    rows = [line[2:-2].split(" | ") for line in section.splitlines() if line.startswith("| ")]
    layers = _ratios("timing_layers.json", "forward", "forward + backward")
    assert [row for row in rows if len(row) == 4][1:] == layers
    narrow = [row[2:] for row in _ratios("timing_layers_jax_0_10.json", "forward", "forward + backward")
              if row[1] == "2x64x64x64" and "pixel" in row[0]]  # fmt: skip
    told = re.search(
        r"takes ([\d.]+) \(fast\), ([\d.]+) \(general\)\s+and ([\d.]+) times .*? forward, (.*?) times", section, re.S
    )
    assert told
    assert [list(told.groups()[:3]), re.findall(r"[\d.]+", told[4])] == [
        list(part) for part in zip(*narrow, strict=True)
    ]
    networks = _ratios("timing.json", "training step", "prediction")
    assert [(row[2], row[4]) for row in rows if len(row) == 6][1:] == [(step, rest) for _, _, step, rest in networks]


def _ratios(name: str, *parts: str) -> list[list[str]]:
    """Title, size and the ratio of every part, by case."""
    cases: dict[tuple[str, str], dict[str, float]] = {}
    for row in json.loads((ROOT / "experiments/results" / name).read_text())["rows"]:
        cases.setdefault((row["title"], row["size"]), {})[row["part"]] = row["ratio"]
    return [[*case, *(f"{ratios[part]:.2f}" for part in parts)] for case, ratios in cases.items()]
