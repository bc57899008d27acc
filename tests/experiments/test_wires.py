"""The first command, made tiny: seeds share programs, and receptive fields are drawn and listed."""

import json
import shlex

import numpy as np
import pytest

from experiments.common import train
from experiments.common.comparison import Comparison
from experiments.common.dense import seen
from experiments.common.dense.seen import COLUMNS, verdict
from experiments.segmentation.presets import WIRES
from smoothjax import training
from smoothjax.datasets import _statistics
from tests.experiments.command_line import call, check_pictures, parameters

_TINY = shlex.split(
    "--batch-size 8 --eval-batch-size 8 --model.width 2 --data.image-size 32 32 --data.crop-size 32 32 --steps 2 "
    "--data.train-images 16 --data.val-images 8 --evaluate-every 2 --checkpoint-every 2 --log-every 1"
)
_COMPARE = ("compare", "wires", *_TINY, "--methods", "none", "ss_conv", "--seeds", "0", "1")


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """The folder, the output, and how many steps were compiled and how often all labels were read."""
    folder, made, read = tmp_path_factory.mktemp("wires"), [], []

    def noted(original, calls):
        return lambda *arguments, **options: (calls.append(1), original(*arguments, **options))[1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train.training, "compile_step", noted(training.compile_step, made))
        patch.setattr(_statistics, "check_source", noted(_statistics.check_source, read))
        out, _ = call(*_COMPARE, folder=folder)
    return folder, out, len(made), len(read)


def test_seeds_share_programs_and_nothing_else(compared, tmp_path):
    """A run in a comparison equals the same run by itself, bitwise."""
    folder, _, made, _ = compared
    assert made == 2  # one a method
    call(
        "train",
        "wires",
        *_TINY,
        "--model.smoothing",
        "ss_conv",
        "--seed",
        1,
        "--run",
        tmp_path / "run",
        folder=tmp_path,
    )
    alone, together = parameters(tmp_path / "run"), parameters(folder / "runs/segmentation/wires/ss_conv-seed1")
    other = parameters(folder / "runs/segmentation/wires/ss_conv-seed0")
    assert any((other[path] != leaf).any() for path, leaf in alone.items())
    for path, leaf in alone.items():
        np.testing.assert_array_equal(leaf, together[path], err_msg=path)


def test_labels_are_counted_and_class_weights_printed_once(compared):
    """Each run opened the data anew, counted, and printed the same lines; each keeps the weights for a later start."""
    folder, out, _, read = compared
    assert (read, out.count("class weights by the rule median_frequency, counted on train:")) == (1, 1)
    runs = sorted((folder / "runs/segmentation/wires").glob("*/class_weights.json"))
    assert len(runs) == 4
    assert len({path.read_text() for path in runs}) == 1


def test_what_networks_see_is_drawn_and_listed(compared):
    folder, out, *_ = compared
    report = folder / "runs/segmentation/wires"
    check_pictures(report, "data.png", "receptive_fields.png", "predictions.png", "curves.png")
    assert out.index("data.png shows") < out.index("compiling")
    for words in (*COLUMNS, "Paired differences over seeds", "- SS convolution - baseline: mean IoU", *WIRES.following):
        assert words in out
    results = json.loads((report / "report.json").read_text())["results"]
    for method, runs in results.items():
        assert (runs[0]["receptive_field"]["zero_share"] > 0.7) is (method == "none")
        assert all(0 <= run["val"]["isolated_pixels"] <= 1 for run in runs)


def test_what_was_measured_is_not_measured_again_nor_missed(compared, monkeypatch):
    """A finished run without the count of isolated pixels shows a dash in its row."""
    folder = compared[0]
    path = folder / "runs/segmentation/wires/none-seed0/result.json"
    stored = path.read_text()
    result = json.loads(stored)
    del result["val"]["isolated_pixels"]
    path.write_text(json.dumps(result))
    monkeypatch.setattr(seen, "read_run", None)
    out, _ = call(*_COMPARE, folder=folder)
    path.write_text(stored)
    (row,) = (line for line in out.splitlines() if line.startswith("| baseline "))
    assert row.split("|")[4].strip() == "-"
    assert row.split("|")[5].strip() == "73"


def _comparison(tmp_path, isolated):
    results = {
        method: [
            {"seed": seed, "val": {"mean_iou": 0.5, "isolated_pixels": share}} for seed, share in enumerate(shares)
        ]
        for method, shares in isolated.items()
    }
    labels = {"none": "baseline", "ss_conv": "SS convolution"}
    seeds = range(len(isolated["none"]))
    return Comparison(WIRES.config, results, labels, seeds, tmp_path, "title")


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ((0.001, 0.002, 0.001), "fewer isolated pixels with SS convolution (over 3 seeds)"),
        ((0.021, 0.022, 0.020), "more isolated pixels with SS convolution (over 3 seeds)"),
        ((0.001, 0.020, 0.014), "no distinguishable difference over 3 seeds"),
    ],
)
def test_the_title_says_whether_there_is_a_difference_to_see(tmp_path, method, said):
    comparison = _comparison(tmp_path, {"none": (0.009, 0.010, 0.011), "ss_conv": method})
    title, (line,) = verdict(comparison, "none")
    assert title == said
    assert line.startswith("SS convolution - baseline: mean IoU +0.0 [+0.0, +0.0], isolated pixels ")


def test_the_title_names_harm_beside_benefit(tmp_path):
    """Fewer isolated pixels once hid a loss in the score that the comparison is about."""
    comparison = _comparison(tmp_path, {"none": (0.009, 0.010, 0.011), "ss_conv": (0.001, 0.002, 0.001)})
    for seed, run in enumerate(comparison.results["ss_conv"]):
        run["val"]["mean_iou"] = 0.4 + 0.001 * seed
    title, _ = verdict(comparison, "none")
    assert title == "lower mean IoU with SS convolution, fewer isolated pixels with SS convolution (over 3 seeds)"


def test_of_one_seed_nothing_is_claimed(tmp_path):
    title, _ = verdict(_comparison(tmp_path, {"none": (0.01,), "ss_conv": (0.001,)}), "none")
    assert title == "one seed: differences may be chance"
