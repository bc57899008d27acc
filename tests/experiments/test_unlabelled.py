"""Smoothers fitted without labels, tiny and from end to end: choices are valid, and each method has a row."""

import json

import pytest

from experiments.gridding import unlabelled
from experiments.gridding.config import Training
from experiments.gridding.unlabelled import CHOICES, Options, main, run, tables_of

_TINY = Training(steps=2, batch_size=1, width=2, size=16, test_pictures=2)


@pytest.mark.slow
def test_from_end_to_end(tmp_path, monkeypatch):
    """Trains, fits and scores; numbers of such small networks mean nothing. A complete file is only read."""
    options = Options(seeds=2, pictures=2, out=tmp_path / "scores.json")
    content = run(options, _TINY)
    assert json.loads(options.out.read_text()) == json.loads(json.dumps(content))
    assert {method: value in CHOICES[method] for method, value in content["chosen"].items()} == dict.fromkeys(
        CHOICES, True
    )
    table, chosen = tables_of(content)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    methods = ["baseline", "fitted", "fixed filter"]
    assert [row[:2] for row in rows] == [[stem, method] for stems in (("1x1", "", ""), ("3x3", "", ""))
                                         for stem, method in zip(stems, methods, strict=True)]  # fmt: skip
    assert all(("[" in cell) is (row[1] != "baseline") for row in rows for cell in row[2:])
    assert chosen.startswith("Chosen behind 1x1: fitted ")
    monkeypatch.setattr(unlabelled, "train", None)
    assert run(options, _TINY)["rows"] == json.loads(options.out.read_text())["rows"]
    with pytest.raises(ValueError, match=r"scores\.json holds no comparison with these options: name another file"):
        run(Options(seeds=3, pictures=2, out=options.out), _TINY)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "1"], "--seeds must be at least 2"),
        (["--pictures", "0"], "--pictures must"),
        (["--out", "nowhere/scores.json"], "--out nowhere/scores.json: there is no folder nowhere, make it or name"),
    ],
)
def test_refuses_before_it_trains(arguments, message, capsys):
    assert main(arguments) != 0
    assert message in capsys.readouterr().err
