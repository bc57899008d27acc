"""Smoothers fitted without labels, tiny and from end to end: choices are valid, and each method has a row."""

import pytest

from experiments.gridding.config import Training
from experiments.gridding.unlabelled import CHOICES, Options, main, run


@pytest.mark.slow
def test_from_end_to_end():
    """Trains, fits and scores; numbers of such small networks mean nothing."""
    tiny = Training(steps=2, batch_size=1, width=2, size=16, test_pictures=2)
    lines = run(Options(seeds=2, pictures=2), tiny).splitlines()
    assert lines[0].endswith("chosen behind 1x1")
    fitted = float(lines[0].split(",")[0].removeprefix("fitted: "))
    assert fitted in CHOICES["fitted"]
    rows = [line.split(":")[0].strip() for line in lines[1:]]
    behind = [f"{stem} before rates 2,2,2,4,4,4, noise 0.6, both" for stem in ("1x1", "3x3")]
    assert rows == [behind[0], "fitted", "fixed", behind[1], "fitted", "fixed"]
    assert all(line.count("[") == 3 for line in lines if line.startswith("  "))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--seeds", "1"], "--seeds must be at least 2"), (["--pictures", "0"], "--pictures must")],
)
def test_refuses_before_it_trains(arguments, message, capsys):
    assert main(arguments) != 0
    assert message in capsys.readouterr().err
