"""What the studies do without arguments, at full length; the first is the README's first command."""

import json

import pytest

from tests.experiments.command_line import run


def _results(study, folder):
    """Runs the study's demo, checks its files, and returns the results, each far above a constant answer."""
    out, _ = run(folder=folder, study=study)
    report = folder / "runs" / study / "demo"
    for name in ("report.md", "predictions.png", "curves.png"):
        assert (report / name).stat().st_size > 500
    results = json.loads((report / "report.json").read_text())["results"]
    for method, (result,) in results.items():
        assert result["val"]["mean_iou"] >= 3 * result["majority"]["mean_iou"], method
    return results, out


@pytest.mark.slow
def test_the_main_job(tmp_path):
    results, out = _results("segmentation", tmp_path)
    assert list(results) == ["none", "multigrid", "group_interaction", "ss_conv"]
    for method, (result,) in results.items():
        assert (result["extra_parameters"] > 0) is (method in ("group_interaction", "ss_conv"))
        assert (result["largest_move"] > 1e-3) is (method in ("group_interaction", "ss_conv"))
    assert "| SS convolution " in out


@pytest.mark.slow
def test_pixel_deconvolution(tmp_path):
    results, out = _results("pixel_dcn", tmp_path)
    assert list(results) == ["dcl", "ipixel_dcl", "fast_pixel_dcl"]
    counts = {method: result["upsampling_parameters"] for method, (result,) in results.items()}
    assert counts["fast_pixel_dcl"] < counts["dcl"] < counts["ipixel_dcl"]
    assert "| PixelDCL (fast, Fig. 6) " in out
