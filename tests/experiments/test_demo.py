"""The studies without arguments: the README's first command at full length, the others on fewer images."""

import json
import shutil

import numpy as np
import pytest

from tests.experiments.command_line import check_pictures, run
from tests.experiments.test_erf import check

pytestmark = pytest.mark.slow


def _results(study, folder, *arguments, preset="demo"):
    """Runs the study's demo, checks its files, and returns the results."""
    out, _ = run(*arguments, folder=folder, study=study)
    report = folder / "runs" / study / preset
    for name in ("report.md", "curves.png"):
        assert (report / name).stat().st_size > 500
    return json.loads((report / "report.json").read_text())["results"], out, report


def _check_masks(results, report, least=3.0):
    """Asserts that each score is far above that of a constant answer."""
    assert (report / "predictions.png").stat().st_size > 500
    for method, (result, *_) in results.items():
        assert result["val"]["mean_iou"] >= least * result["majority"]["mean_iou"], method


@pytest.fixture(scope="module")
def main_job(tmp_path_factory):
    folder = tmp_path_factory.mktemp("main_job")
    return folder, *_results("segmentation", folder, preset="wires")


def test_the_main_job(main_job):
    """It shows what it promises: the baseline's holes, and fewer isolated pixels without them."""
    _, results, out, report = main_job
    _check_masks(results, report, 1.5)
    assert list(results) == ["none", "group_interaction", "ss_conv"]
    fields = {method: runs[0]["receptive_field"] for method, runs in results.items()}
    isolated = {method: np.array([run["val"]["isolated_pixels"] for run in runs]) for method, runs in results.items()}
    assert fields["none"]["zero_share"] > 0.7
    assert fields["none"]["phase_imbalance"] == pytest.approx(1)
    for method in ("group_interaction", "ss_conv"):
        assert all(run["extra_parameters"] > 0 and run["largest_move"] > 1e-3 for run in results[method])
        assert fields[method]["zero_share"] == 0
        assert fields[method]["phase_imbalance"] < 0.9
    assert (isolated["ss_conv"] < isolated["none"]).all()
    assert "| SS convolution " in out
    assert "- SS convolution - baseline: mean IoU +" in out
    for words in (
        "Zeros in the receptive field are",
        "experiments.gridding",
        "smoothjax.diagnose",
        "--data.root FOLDER",
    ):
        assert words in out
    check_pictures(report, "data.png", "receptive_fields.png", "predictions.png")


def test_receptive_fields(main_job):
    """Trains missing runs and confirms the paper; the second time it finds the runs."""
    folder = main_job[0]
    shutil.rmtree(folder / "runs/segmentation/wires/ss_conv-seed0")
    out, _ = run("--images", 1, folder=folder, study="erf")
    assert "runs/segmentation/wires/none-seed0 is finished" in out
    assert "| SS convolution    | 33x33 " in out
    check(folder / "runs/erf")
    again, _ = run("--images", 1, folder=folder, study="erf")
    assert "runs/segmentation/wires/ss_conv-seed0 is finished" in again
    assert out[out.index("Figure 8") :] == again[again.index("Figure 8") :]


def test_pixel_deconvolution(tmp_path):
    results, out, report = _results("pixel_dcn", tmp_path, "compare", "demo", "--steps", 60)
    _check_masks(results, report)
    assert list(results) == ["dcl", "ipixel_dcl", "fast_pixel_dcl"]
    counts = {method: result["upsampling_parameters"] for method, (result,) in results.items()}
    assert counts["fast_pixel_dcl"] < counts["dcl"] < counts["ipixel_dcl"]
    assert "| PixelDCL (fast, Fig. 6) " in out


def test_auto_encoder(tmp_path):
    results, out, report = _results("vae", tmp_path, "compare", "demo", "--steps", 200)
    assert list(results) == ["dcl", "ipixel_dcl", "fast_pixel_dcl"]
    assert "| PixelDCL (fast, Fig. 6) " in out
    for method, (result,) in results.items():
        # A code of independent uniform pixels takes 8 bits; the best single colour for all images, 14 dB.
        assert result["val"]["bits_per_dimension"] < 7.2, method
        assert result["val"]["psnr"] > 16, method
        assert result["val"]["kl"] > 10, method
    for name in ("samples.png", "reconstructions.png"):
        assert (report / name).stat().st_size > 500


def test_restoration(tmp_path):
    results, out, report = _results("restoration", tmp_path, "compare", "demo", "--batch-size", 4, "--steps", 260)
    assert list(results) == ["none", "group_interaction", "ss_conv"]
    assert "| SS convolution " in out
    for method, (result,) in results.items():
        assert result["val"]["psnr"] > result["val"]["degraded_psnr"] + 5, method
        assert result["val"]["ssim"] > result["val"]["degraded_ssim"] + 0.05, method
    assert (report / "restored.png").stat().st_size > 500
