"""Tables of any runs: methods side by side, and against their baseline seed by seed."""

from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import scipy.stats

from experiments.segmentation.presets import PRESETS
from experiments.tables.__main__ import main
from experiments.tables.facts import with_options
from experiments.tables.own import chosen_rate, groups
from experiments.tables.runs import find
from experiments.tables.statistics import paired_difference
from tests.experiments.made_runs import evaluate, write


def _camvid(method: str, seed: int, rate: float = 0.05, options: Any = MappingProxyType({})) -> Any:
    config = with_options(PRESETS["camvid"].config, {"optim.learning_rate": rate, "seed": seed, **options})
    return config.with_method(method)


def test_paired_differences_find_what_spreads_hide():
    """Seeds that are good or bad for all methods: means ± deviations overlap, pairs tell the methods apart."""
    rng = np.random.default_rng(0)
    luck = 3 * rng.standard_normal(5)
    baseline = dict(enumerate(60 + luck))
    method = dict(enumerate(60.5 + luck + 0.1 * rng.standard_normal(5)))
    found = paired_difference(method, baseline)
    assert found is not None
    assert found.half_width is not None
    unpaired = scipy.stats.ttest_ind(list(method.values()), list(baseline.values())).confidence_interval()
    assert unpaired.low < 0 < found.mean - found.half_width
    paired = scipy.stats.ttest_rel(list(method.values()), list(baseline.values())).confidence_interval()
    np.testing.assert_allclose([found.mean - found.half_width, found.mean + found.half_width], paired, rtol=1e-9)


def test_pairs_are_of_one_seed():
    found = paired_difference({0: 1.0, 1: 5.0, 2: 4.0}, {1: 4.0, 2: 2.0, 3: 9.0})
    assert found is not None
    assert (found.mean, found.pairs) == (1.5, 2)
    assert paired_difference({0: 1.0}, {1: 1.0}) is None
    single = paired_difference({0: 1.0}, {0: 0.5})
    assert single is not None
    assert single.text() == "+0.5 (one pair)"


@pytest.fixture
def compared(tmp_path):
    """Two rates and three seeds of two methods; SS convolution is better at 0.1 on val, and worse there on test."""
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


def test_rates_without_a_common_seed_are_not_chosen_from(tmp_path):
    for seed, rate in ((0, 0.05), (1, 0.1)):
        write(tmp_path / str(rate), _camvid("none", seed, rate), 0.5)
    (group,) = groups(find([tmp_path]).runs)
    with pytest.raises(ValueError, match=r"the initial rates 0.05, 0.1 of none have no seed in common.*train one seed"):
        chosen_rate(group, "none")


def test_settings_are_not_mixed(tmp_path):
    for name, options in (("long", {}), ("short", {"steps": 10}), ("wide", {"model.head": "large_fov"})):
        write(tmp_path / name, _camvid("none", 0, options=options), 0.5)
    found = groups(find([tmp_path]).runs)
    assert [len(group.arms) for group in found] == [1, 1, 1]
    assert len({group.title for group in found}) == 3


def test_titles_tell_small_images(tmp_path):
    write(tmp_path / "half", _camvid("none", 0, options={"data.scale": 0.5}), 0.5)
    (group,) = groups(find([tmp_path]).runs)
    assert group.title == "segmentation on camvid: resnet18, aspp, 20,000 steps of 8, data.scale 0.5"


def test_duc_stands_beside_the_baseline(tmp_path):
    """Its head and its loss are its own: they do not make another setting of it."""
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


def test_what_cannot_be_compared_is_left_out_and_told(tmp_path, capsys):
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
    assert "a/evaluation-val.json is left out: it is of the checkpoint --checkpoint best" in err
    assert f"{tmp_path}/b is left out: {tmp_path}/a is the same run" in err
    assert f"{tmp_path}/c is not finished" in err
    assert main([str(tmp_path), "--own", "--split", "test"]) == 0
    assert "a has no scores on test: python -m experiments.segmentation evaluate" in capsys.readouterr().err
