"""Figures: nothing is cut off, and everything drawn was measured."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.text import Text

from experiments.common.comparison import Comparison, Curve
from experiments.common.config import RunConfig
from experiments.common.curves import draw_curves
from experiments.common.dense.figures import draw_legend, draw_predictions
from experiments.common.differences import draw_differences
from experiments.common.forest import Block, Row, draw_forest
from experiments.common.statistics import Difference
from experiments.common.table import Score
from experiments.figures import main
from experiments.segmentation.config import Config
from smoothjax import data

_NAMES = ("sky", "building", "pole", "road", "sidewalk", "tree", "sign", "fence", "car", "pedestrian", "bicyclist")


class _Source(list):
    classes = data.Classes(_NAMES, tuple((20 * index, 0, 0) for index in range(len(_NAMES))))

    def size(self, index):
        return self[index]["label"].shape


@pytest.mark.parametrize("methods", [1, 4])
def test_the_legend_fits_the_figure(tmp_path, monkeypatch, methods):
    label = np.zeros((36, 48), np.uint8)
    label[0] = 255
    source: Any = _Source([{"image": np.zeros((36, 48, 3), np.uint8), "label": label}] * 2)
    masks = {f"method {index}": {0: source[0]["label"], 1: source[1]["label"]} for index in range(methods)}
    figures = []
    monkeypatch.setattr(plt, "close", figures.append)
    draw_predictions(source, masks, tmp_path / "predictions.png", title="Title")
    monkeypatch.undo()
    (figure,) = figures
    box, page = figure.legends[0].get_window_extent(), figure.bbox
    plt.close(figure)
    assert page.x0 <= box.x0 < box.x1 <= page.x1
    assert page.y0 <= box.y0 < box.y1 <= page.y1
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [*_NAMES, "ignored"]


@pytest.fixture
def drawn(monkeypatch):
    """The figures that a function writes; they are closed after the test."""
    figures, close = [], plt.close
    monkeypatch.setattr(plt, "close", figures.append)
    yield figures
    for figure in figures:
        close(figure)


def _log(*scores, key="score"):
    return [{"step": 10 * (i + 1), "split": "val", key: value, "examples": n} for i, (value, n) in enumerate(scores)]


_PANEL = Curve("val", "score", "Validation", "score (%)")


def _segments(axes):
    """The points of every line that joins points."""
    return [line.get_xydata().tolist() for line in axes.lines if line.get_linestyle() not in ("None", "")]


def test_scores_of_unlike_numbers_of_examples_are_not_joined(tmp_path, drawn):
    """The last evaluation takes all images, so a jump there would not come from the network."""
    logs = {"a": [_log((1.0, 8), (2.0, 8), (3.0, 8), (9.0, 101))]}
    draw_curves(logs, [_PANEL], tmp_path / "curves.png", title="T")
    axes = drawn[0].axes[0]
    assert _segments(axes) == [[[10, 1], [20, 2], [30, 3]]]
    assert [40, 9] in [point for line in axes.lines for point in line.get_xydata().tolist()]
    assert axes.get_title() == "Validation, on 8 examples (open: on 101)"


def test_two_evaluations_are_no_curve(tmp_path, drawn):
    draw_curves({"a": [_log((1.0, 8), (2.0, 8))]}, [_PANEL], tmp_path / "curves.png", title="T")
    assert _segments(drawn[0].axes[0]) == []


def test_a_single_evaluation_is_drawn_method_by_method(tmp_path, drawn):
    """It was once a pile of dots at the right border."""
    logs = {"a": [_log((1.0, 8)), _log((2.0, 8))], "b": [_log((3.0, 8)), _log((None, 8))]}
    draw_curves(logs, [_PANEL], tmp_path / "curves.png", title="T")
    axes = drawn[0].axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    assert axes.get_xlabel() == "score (%) after step 10"
    assert axes.lines[0].get_xydata().tolist() == [[1, 0], [2, 0]]


def test_methods_differ_without_colours(tmp_path, drawn):
    logs = {name: [_log((1.0, 8), (2.0, 8), (3.0, 8))] for name in "abcdefg"}
    draw_curves(logs, [_PANEL], tmp_path / "curves.png", title="T")
    handles = drawn[0].legends[0].legend_handles
    assert len({(handle.get_marker(), handle.get_linestyle()) for handle in handles}) == 7


def test_a_forest_shows_every_interval(tmp_path, drawn):
    """The mean, the ends, and whether it is distinguishable from chance; a single pair has no bar."""
    better, unclear, alone = Difference(2.0, 0.5, 3, 0.2), Difference(-0.5, 1.0, 3, 0.4), Difference(1.0, None, 1)
    rows = [Row("x", {"loss": better}, ("loss",)), Row("y", {"loss": unclear}), Row("z", {"loss": alone}), Row("w", {})]
    block = Block("a heading that is longer than a panel is wide, and so goes over its border", rows)
    draw_forest(
        [block],
        [Score("loss", ("loss",), lower=True), Score("gain", ("gain",))],
        tmp_path / "f.png",
        title="T",
        note="",
    )
    (figure,) = drawn
    panel = figure.axes[0]
    bars = [container.lines for container in panel.containers]
    assert [marker.get_xdata()[0] for marker, _, _ in bars] == [2.0, -0.5, 1.0]
    ends = [lines[0].get_segments()[0][:, 0].tolist() if lines else None for _, _, lines in bars]
    assert ends == [[1.5, 2.5], [-1.5, 0.5], None]
    filled = [marker.get_markerfacecolor() for marker, _, _ in bars]
    assert filled[1] == "white" != filled[0]
    assert filled[0] == "#D55E00"  # more loss is worse
    assert panel.get_xlabel() == "loss: ← better"
    assert [text.get_text() for text in panel.texts] == ["+2.0 [+1.5, +2.5]", "-0.5 [-1.5, +0.5]", "+1.0 (one pair)"]
    assert not figure.axes[1].containers
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    assert named == ["worse, significant (Holm)", "not significant; bars: 95 % intervals", "one pair: no interval"]
    page = figure.bbox
    assert all(text.get_window_extent().x1 <= page.x1 for text in figure.texts)


def test_a_comparison_over_seeds_draws_its_differences(tmp_path, drawn):
    """Shows the scores that all runs have, over shared seeds; nothing without a pair of seeds."""
    runs = {
        "none": [{"val": {"mean_iou": value, "pixel_accuracy": 0.5}} for value in (0.2, 0.3, math.nan)],
        "ss_conv": [{"val": {"mean_iou": value, "pixel_accuracy": None}} for value in (0.3, 0.4, 0.5)],
    }
    labels = {"none": "baseline", "ss_conv": "SS"}
    comparison = Comparison[RunConfig](Config(), runs, labels, (0, 1, 2), tmp_path, "Degridding")
    assert draw_differences(comparison, tmp_path / "d.png")
    (figure,) = drawn
    (panel,) = figure.axes
    assert [text.get_text() for text in panel.texts] == ["+10.0 [+10.0, +10.0]"]
    assert figure.get_suptitle() == "Of 1 difference in mean IoU to the baseline, 1 is better"
    alone = replace(comparison, results={name: found[:1] for name, found in runs.items()}, seeds=(0,))
    assert not draw_differences(alone, tmp_path / "none.png")
    assert not draw_differences(replace(comparison, results={"ss_conv": runs["ss_conv"]}), tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


def test_stored_results_are_drawn_by_one_command(tmp_path, capsys, drawn, repository):
    """The figures of RESULTS.md, with the numbers of its tables; headings speak of networks, not of options."""
    stored = Path(repository, "experiments/results")
    assert main(["--out", str(tmp_path)]) == 0
    names = [Path(line).name for line in capsys.readouterr().out.splitlines()]
    assert names == [
        "camvid_deeplab.png",
        "camvid_denoiser.png",
        "camvid_forks.png",
        "camvid_forks_resnet18.png",
        "camvid_unet.png",
        "camvid_unet_rivals.png",
        "celeba_vae.png",
        "drive_deeplab.png",
        "em_deeplab.png",
        "em_unet.png",
        "gridding.png",
        "voc_forks.png",
    ]
    page = Path(repository, "experiments/RESULTS.md").read_text()
    for name in names:
        assert f"](results/{name})" in page
        assert (stored / name).is_file()
    texts = [text.get_text() for figure in drawn for text in figure.findobj(Text)]
    assert "segmentation on CamVid, ResNet-18, 500 steps of 6, scale 0.5, width 32; test" in texts
    # Both protocols choose one rate for two of the methods: a difference counts once.
    counted = "Of 3 differences in boundary IoU to the baseline, 1 is better and 1 is worse; the other is not"
    assert f"{counted} distinguishable from chance" in texts
    texts = [re.sub("the folder (isbi2012_em|drive)", "", text) for text in texts]  # a name that a user gave
    assert not [text for text in texts if re.search(r"_|\b(data|init|model|optim)\.", text)]
    assert "DRN" in texts  # and a method has the name of its table
    assert main([str(stored / "timing.json")]) == 1
    assert "holds no comparison" in capsys.readouterr().err
    (tmp_path / "a.json").write_text(json.dumps({"runs": []}))
    assert main([str(tmp_path / "a.json")]) == 1
    assert "nothing to draw" in capsys.readouterr().err


def test_two_files_of_one_name_are_refused(tmp_path, capsys, repository):
    """The second figure overwrote the first."""
    stored = Path(repository, "experiments/results/gridding.json")
    copy = tmp_path / "gridding.json"
    copy.write_text(stored.read_text())
    assert main([str(stored), str(copy), "--out", str(tmp_path / "out")]) == 1
    assert f"{stored} and {copy} would both be drawn as {tmp_path}/out/gridding.png" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_legend_of_masks_names_every_class(tmp_path, drawn):
    draw_legend(_Source.classes, tmp_path / "legend.png")
    (figure,) = drawn
    assert [text.get_text() for text in figure.legends[0].get_texts()][:2] == ["0 sky", "1 building"]
    box, canvas = figure.legends[0].get_window_extent(), figure.bbox
    assert canvas.x0 <= box.x0 < box.x1 <= canvas.x1
    assert canvas.y0 <= box.y0 < box.y1 <= canvas.y1
