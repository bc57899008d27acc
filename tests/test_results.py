"""No number in RESULTS.md, the README or the page of costs is typed by hand: all come from stored runs."""

import csv
import json
import re
import shlex
from pathlib import Path
from statistics import fmean

import pytest

from experiments.erf.study import tables_of
from experiments.gridding import report, unlabelled
from experiments.segmentation.presets import PRESETS
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


def test_the_published_network_scores_as_measured():
    """The means of RESULTS.md are those of the stored rows."""
    rows = list(csv.DictReader((ROOT / "experiments/results/gcanet_sots.csv").read_text().splitlines()))
    psnr, ssim, before, ssim_before = (
        fmean(float(row[name]) for row in rows) for name in ("psnr", "ssim", "degraded_psnr", "degraded_ssim")
    )
    assert (
        f"{len(rows)} images of test, PSNR {psnr:.2f} dB, SSIM {ssim:.4f} (the degraded images: {before:.2f} dB, "
        f"{ssim_before:.4f})"
    ) in " ".join(RESULTS.read_text().split())


def test_where_degridding_helps_is_as_measured():
    """Tables, significant differences, and power match the stored cases."""
    page, content = _plain(RESULTS.read_text()), json.loads((ROOT / "experiments/results/gridding.json").read_text())
    for part in report.tables_of(content):
        assert _plain(part) in page
    cells, guide = report.cells_of(content), " ".join((ROOT / "docs/pages/guides/when.md").read_text().split())
    for page in (" ".join((ROOT / "README.md").read_text().split()), guide):
        assert report.headline(cells) in page
        assert report.verdict(cells) in page
    measured = {
        difference.text(digits)
        for cell in cells
        for name, (_, digits) in report.SCORES.items()
        if (difference := cell.differences[name]) is not None
    }
    quoted = re.findall(r"[+-][\d.]+ \[[+-][\d.]+, [+-][\d.]+\]", guide.partition("## What follows")[0])
    assert len(quoted) > 15
    assert set(quoted) <= measured


def test_denoising_is_quoted_as_measured():
    """README and guide name the differences of the stored runs."""
    results = " ".join(RESULTS.read_text().split("## Denoising photographs")[1].split("\n## ")[0].split())
    guide = (ROOT / "docs/pages/guides/when.md").read_text().split("## On photographs")[1].split("\n## ")[0]
    readme = (ROOT / "README.md").read_text().split("*A denoiser of dilated layers")[1].split("\n\n")[0]
    for page in (guide, readme):
        quoted = re.findall(r"[+-][\d.]+ \[[+-][\d.]+, [+-][\d.]+\]|\d+\.\d\d (?=dB|, SS)", " ".join(page.split()))
        assert len(quoted) >= 3
        assert all(words in results for words in quoted)


def test_recipes_are_quoted_as_measured():
    """The search and the scores of RESULTS.md, the lab notes of the presets, and the page of studies."""
    section = RESULTS.read_text().split("## Recipes for CamVid")[1].split("\n## ")[0]
    rows = [line[2:-2].split(" | ") for line in section.splitlines() if re.match(r"\| (EfficientNet|ResNet)", line)]
    runs = json.loads((ROOT / "experiments/results/camvid_recipe.json").read_text())["runs"]
    found = {(f"{run['config']['steps']:,}", f"{100 * run['result']['val']['mean_iou']:.1f}"): run for run in runs}
    assert sorted(found) == sorted((row[2], row[4]) for row in rows)
    for row in rows:
        run = found[row[2], row[4]]
        assert row[3] == str(run["config"]["batch_size"])
        assert row[5] == f"{run['result']['seconds_per_step']:.2f}"
    studies = (ROOT / "docs/pages/studies.md").read_text()
    for preset in ("camvid", "camvid-pretrained"):
        config = PRESETS[preset].config
        (run,) = (run for run in runs if run["config"]["steps"] == config.steps)
        test, val = (
            f"{100 * scores['mean_iou']:.1f} %" for scores in (run["evaluations"]["test"], run["result"]["val"])
        )
        assert test in " ".join(section.split())
        assert test in " ".join(studies.split())
        note = PRESETS[preset].describe(preset)
        assert f"{test} mean IoU on test ({val} on val" in note


def test_fits_without_labels_are_as_measured():
    """The tables of the guide and of RESULTS.md, and the shares of the gain by training that the guide names."""
    content, trained = (
        json.loads((ROOT / f"experiments/results/{name}.json").read_text()) for name in ("unlabelled", "gridding")
    )
    guide = (ROOT / "docs/pages/guides/when.md").read_text()
    sentences = " ".join(guide.split())
    table, chosen = unlabelled.tables_of(content)
    assert _plain(table) in _plain(guide)
    for part in (table, chosen):
        assert _plain(part) in _plain(RESULTS.read_text())
    preserved, strength = content["chosen"]["fitted"], content["chosen"]["fixed"]
    assert f"preserves ({preserved:g}, its default) and the strength of the fixed filter ({strength:g})" in sentences
    shares = [
        _gain(content["rows"][0], "fitted", name) / _gain(trained["rows"][0], "ss_conv", name)
        for name in ("mean_iou", "isolated")
    ]
    assert shares == [pytest.approx(1 / 5, abs=0.05), pytest.approx(3 / 4, abs=0.05)]
    words = "about a fifth of the mean IoU that training with smoothers gains, and three quarters of the isolated"
    assert words in sentences


def _gain(row, method, score):
    """The mean difference to the baseline."""
    return fmean(row["scores"][method][score]) - fmean(
        row["scores"]["baseline" if method == "fitted" else "none"][score]
    )


_INTERVAL = re.compile(r"[+-][\d.]+ \[[+-][\d.]+, [+-][\d.]+\]")


def _quoted(text: str) -> list[str]:
    """The differences with intervals in prose."""
    return _INTERVAL.findall(" ".join(text.split()))


def _measured(section: str) -> dict[str, str]:
    """The differences in the first score by method, from the first table of differences."""
    rows = section.split("difference to ", 1)[1].split("\n### ")[0].splitlines()
    cells = [[cell.strip() for cell in line.split("|")] for line in rows if line.startswith("| ")]
    return {row[1]: row[4] for row in cells}


def test_forks_are_quoted_as_measured():
    """README, guide and RESULTS.md name the differences of the stored runs, by method."""
    order = ("ss_conv", "group_interaction", "multigrid")
    section = RESULTS.read_text().split("## Forks of a trained network")[1].split("\n## ")[0]
    first, second, voc = re.split("### Forks of a second network|### Forks on PASCAL VOC", section)
    guide = (ROOT / "docs/pages/guides/when.md").read_text().split("## In a trained network")[1]
    readme = (ROOT / "README.md").read_text().split("*A trained network goes on")[1].split("\n\n")[0]
    for tables, pages in (
        (
            first.split("an initial rate for each method")[2],
            (first.split("**The result.**")[1].split("\n\n")[0], guide.split("\n\n")[1], readme),
        ),
        (second, (second.split("```")[0],)),
        (voc, (voc.split("```")[0], guide.split("\n\n")[2])),
    ):
        measured = _measured(tables)
        for page in pages:
            assert _quoted(page) == [measured[method] for method in order]
    rows = [[cell.strip() for cell in line.split("|")] for line in first.splitlines() if line.startswith("| ")]
    without, smoothed = (next(row[5].split()[0] for row in rows if row[1] == name) for name in ("none", "ss_conv"))
    assert f"{without} % without and {smoothed} % with SS convolution" in " ".join(readme.split())
    assert "0.5 with 94 %" in second  # the power that the page and the guide name
    assert "0.5 with 12 %" in voc


def test_thin_structures_are_quoted_as_measured():
    """RESULTS.md and the guide name differences of Dice of the stored runs."""
    section = RESULTS.read_text().split("## Thin structures")[1].split("\n## ")[0]
    guide = (ROOT / "docs/pages/guides/when.md").read_text().split("## On thin structures")[1].split("\n## ")[0]
    parts = re.split(r"### (?=[A-Z])", section)
    assert len(parts) == 3
    everywhere = set[str]()
    for part in parts:
        measured = set(_measured(part).values())
        quoted = _quoted(part.split("```")[0])
        assert len(quoted) >= 5
        assert set(quoted) <= measured
        everywhere |= measured
    quoted = _quoted(guide)
    assert len(quoted) >= 6
    assert set(quoted) <= everywhere
    for part, power in zip(parts, (83, 76, 5), strict=True):
        assert f"probability of {power} %" in " ".join(part.split("```")[0].split())
        assert f"and 0.5 with {power} %" in part


def test_costs_are_those_measured():
    """Every ratio on the page, and those that the README quotes."""
    page = (ROOT / "docs/pages/costs.md").read_text()
    tables = [_cells(part) for part in re.findall(r"^\|.*?\n\n", f"{page}\n\n", re.M | re.S)]
    peers = [("training step", "prediction"), ("forward", "gradient of the maps", "gradient of the kernel")]
    beside_pytorch = [_ratios("timing_peers.json", *parts) for parts in peers]
    networks = _ratios("timing.json", "training step", "prediction")
    layers = _ratios("timing_layers.json", "forward", "forward + backward")
    on_huge_pages = _ratios("timing_peers_huge_pages.json", *peers[0])
    assert [tables[0], tables[1], tables[2], tables[4]] == [*beside_pytorch, on_huge_pages, layers]
    assert [(row[2], row[4]) for row in tables[3]] == [(step, rest) for _, _, step, rest in networks]

    readme = " ".join((ROOT / "README.md").read_text().split())
    deeplab, small, unet = (row[2] for row in beside_pytorch[0][:3])
    others = [row[2] for row in on_huge_pages[:3]]
    filters = next(row[2:] for row in layers if row[0].startswith("ss_conv 7x7 / depthwise convolution of PyTorch"))
    for sentence in (
        f"{deeplab} times as long as in PyTorch for DeepLab with ResNet-50, {unet} times for a U-Net and {small} times",
        f"AVX-512 and huge pages, {others[0]}, {others[2]} and {others[1]} times",
        f"{filters[0]} times as long forward and {filters[1]} times forward and backward",
    ):
        assert sentence in readme


def _cells(table: str) -> list[list[str]]:
    """The rows of a Markdown table without its head."""
    return [line[2:-2].split(" | ") for line in table.splitlines() if line.startswith("| ")][1:]


def test_costs_of_rivals_are_those_measured():
    """The guide's table is an excerpt of the layers that have been timed."""
    guide = (ROOT / "docs/pages/guides/upsampling.md").read_text().split("## What they cost")[1].split("\n## ")[0]
    rows = [line[2:-2].split(" | ") for line in guide.splitlines() if line.startswith("| ")]
    rivals = ("resize convolution", "CARAFE", "DySample", "blurred sub-pixel")
    assert rows[1:] == [
        row for row in _ratios("timing_layers.json", "forward", "forward + backward") if row[0].startswith(rivals)
    ]


def _ratios(name: str, *parts: str) -> list[list[str]]:
    """Title, size and ratios of all cases with exactly these parts."""
    cases: dict[tuple[str, str], dict[str, float]] = {}
    for row in json.loads((ROOT / "experiments/results" / name).read_text())["rows"]:
        cases.setdefault((row["title"], row["size"]), {})[row["part"]] = row["ratio"]
    return [
        [*case, *(f"{ratios[part]:.2f}" for part in parts)]
        for case, ratios in cases.items()
        if set(parts) == set(ratios)
    ]
