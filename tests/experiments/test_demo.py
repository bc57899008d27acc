"""The README's first command, at full length."""

import json

import pytest

from tests.experiments.command_line import run


@pytest.mark.slow
def test_the_main_job(tmp_path):
    out, _ = run(folder=tmp_path)
    report = tmp_path / "runs/segmentation/demo"
    results = json.loads((report / "report.json").read_text())["results"]
    assert list(results) == ["none", "multigrid", "group_interaction", "ss_conv"]
    majority = results["none"][0]["majority"]["mean_iou"]
    for method, (result,) in results.items():
        assert result["val"]["mean_iou"] >= 3 * majority, method
        assert (result["extra_parameters"] > 0) is (method in ("group_interaction", "ss_conv"))
        assert (result["largest_move"] > 1e-3) is (method in ("group_interaction", "ss_conv"))
    for name in ("report.md", "predictions.png", "curves.png"):
        assert (report / name).stat().st_size > 500
    assert "| SS convolution " in out
