"""Pixel deconvolution from end to end, through the command line, and its parts."""

import dataclasses
import json
import re
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from experiments.common.parameters import masked_taps
from experiments.pixel_dcn.config import PRESETS, Config, DataConfig, Method, ModelConfig, OptimizerConfig
from experiments.pixel_dcn.published import published_section
from experiments.pixel_dcn.study import STUDY
from smoothjax import data
from tests.experiments.command_line import TINY_U_NET, call, call_on_one, check_pictures, check_rows
from tests.experiments.made_runs import classes
from tests.support import random

#: Of the methods, those that are trained here; the others train among the slow tests.
TRAINED = ("dcl", "fast_pixel_dcl")


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Two methods, one seed."""
    folder = tmp_path_factory.mktemp("compare")
    return folder, _compare(folder, TRAINED)


def _compare(folder, methods):
    options = ["--steps", "16", "--evaluate-every", "8", "--optim.learning-rate", "0.01", "--methods", *methods]
    out, _ = call_on_one("compare", "demo", *TINY_U_NET, *options, folder=folder, study="pixel_dcn")
    return out


def test_compare_ends_with_a_table_a_report_and_figures(compared):
    folder, out = compared
    _check_comparison(folder, out, TRAINED)
    assert "Table 1 of the paper (Gao et al., 2017) has no row for U-Net on shapes." in out
    report = folder / "runs/pixel_dcn/demo"
    assert "scored at 16x24 after 16 steps" in (report / "report.md").read_text()
    check_pictures(report, "predictions.png", "curves.png")


@pytest.mark.slow
def test_every_other_method_trains(tmp_path):
    methods = [method for method in get_args(Method) if method not in TRAINED]
    _check_comparison(tmp_path, _compare(tmp_path, methods), methods)


def _check_comparison(folder, out, methods):
    """Asserts that every method has learnt, and has its row and its number of parameters."""
    report = folder / "runs/pixel_dcn/demo"
    check_rows(report, out, [*(STUDY.labels[method] for method in methods), "always the most frequent class"])
    for method in methods:
        log = (report / f"{method}-seed0/metrics.jsonl").read_text().splitlines()
        losses = [line["loss"] for line in map(json.loads, log) if line["split"] == "train"]
        assert len(losses) == 8
        assert losses[-1] < 0.8 * losses[0], method
    # Two levels, 4 to 4 channels: 6x6 | 9 sets of 3x3 | 6 sets | two sets and four taps.
    pair = 4 * 4
    expected = {
        "dcl": 36 * pair,
        "ipixel_dcl": 9 * 9 * pair,
        "pixel_dcl": 6 * 9 * pair,
        "fast_pixel_dcl": (9 + 9 + 4) * pair,
        "resize_conv": 9 * pair,
        "sub_pixel": 9 * 4 * pair,
        "sub_pixel_blur": 9 * 4 * pair,
        "carafe": (4 + 1) * 64 + (9 * 64 + 1) * 4 * 25,
        "dysample": (4 + 1) * 4 * 4 * 2,
    }
    results = json.loads((report / "report.json").read_text())["results"]
    counts = {method: result["upsampling_parameters"] for method, (result,) in results.items()}
    assert counts == {method: expected[method] for method in methods}
    rest = {result["parameters"] - result["masked_parameters"] - result["upsampling_parameters"]
            for (result,) in results.values()}  # fmt: skip
    assert len(rest) == 1


def test_evaluate(compared):
    folder, _ = compared
    path = folder / "runs/pixel_dcn/demo/fast_pixel_dcl-seed0"
    # Without averaged weights the raw network is the only one: its scores need no file of their own.
    out, _ = call("evaluate", path, "--network", "raw", folder=folder, study="pixel_dcn")
    evaluated = json.loads((path / "evaluation-val.json").read_text())
    assert evaluated["mean_iou"] == json.loads((path / "result.json").read_text())["val"]["mean_iou"]
    for name in (*data.SHAPES.names, "IoU %  Dice %", "pixel accuracy %", "step 16"):
        assert name in out


def test_predict_answers_at_the_size_of_the_image(compared, tmp_path):
    folder, _ = compared
    sizes = {"small": (7, 9), "wide": (90, 31), "same": (24, 16)}
    for name, size in sizes.items():
        pixels = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    images = [tmp_path / f"{name}.png" for name in sizes]
    arguments = (folder / "runs/pixel_dcn/demo/dcl-seed0", *images, "--out", tmp_path / "out")
    call("predict", *arguments, folder=folder, study="pixel_dcn")
    for name, size in sizes.items():
        with Image.open(tmp_path / f"out/{name}_mask.png") as mask:
            assert (mask.mode, mask.size) == ("P", size)
            assert np.asarray(mask).max() < 8


def test_published_rows_stand_beside_ours():
    text = published_section(PRESETS["voc2012-unet"].config)
    assert "U-Net on PASCAL 2012" in text
    assert re.findall(r"^\| (\w+) +\| ([\d.]+) +\| ([\d.]+) +\|$", text, re.MULTILINE) == [
        ("DCL", "81.6", "41.5"), ("iPixelDCL", "81.7", "44.9"), ("PixelDCL", "82.3", "45.6")
    ]  # fmt: skip
    assert "U-Net on MSCOCO 2015" in published_section(PRESETS["coco-unet"].config)
    assert "| 72.7 " in published_section(PRESETS["voc2012-deeplab"].config)
    for preset in ("demo", "camvid"):
        assert "has no row for U-Net on" in published_section(PRESETS[preset].config)


def test_the_papers_recipes():
    unet, coco, deeplab = (PRESETS[name].config for name in ("voc2012-unet", "coco-unet", "voc2012-deeplab"))
    for config in (unet, coco):
        assert (config.model.network, config.model.depth, config.data.size) == ("unet", 5, (256, 256))
        assert (config.optim.learning_rate, config.batch_size, config.optim.power) == (0.001, 2, None)
    assert (unet.model.width, coco.model.width) == (64, 128)
    assert (deeplab.model.network, deeplab.model.encoder, deeplab.data.size) == ("deeplab", "resnet101", (256, 256))
    assert (len(data.VOC2012), len(data.COCO)) == (21, 81)


def test_deeplab_predicts_every_pixel():
    model = ModelConfig(network="deeplab", encoder="resnet10", width=4, head_rates=(1, 2), upsampling="ipixel_dcl")
    config = Config(model=model, data=DataConfig(name="shapes", size=(33, 41)))
    network = STUDY.build_network(config, data.SHAPES)
    batch = {"image": random(0, 2, 33, 41, 3), "label": jnp.zeros((2, 33, 41), jnp.int32).at[0, :3].set(255)}
    out = jax.jit(STUDY.make_loss(config, network))(network.params, network.model_state, batch)
    assert int(out.valid_count) == 2 * 33 * 41 - 3 * 41
    assert np.isfinite(float(out.loss_sum))
    assert jax.tree.structure(out.model_state) == jax.tree.structure(network.model_state)
    masks = jax.jit(lambda images: STUDY.segment(config, network.model(), images, (50, 35)))(batch["image"])
    assert (masks.shape, masks.dtype) == ((2, 50, 35), jnp.int32)


def test_masked_taps_get_no_gradient():
    """Taps that are not counted as parameters do not move."""
    config = Config(model=ModelConfig(width=2, depth=2, upsampling="fast_pixel_dcl"), data=DataConfig(size=(8, 8)))
    network = STUDY.build_network(config, classes(3))
    loss_fn = STUDY.make_loss(config, network)
    batch = {"image": random(0, 2, 8, 8, 3), "label": jnp.asarray(np.random.default_rng(0).integers(0, 3, (2, 8, 8)))}

    def loss(upsampling):
        return loss_fn({**network.params, "upsampling": upsampling}, network.model_state, batch).loss_sum

    gradients = jax.jit(jax.grad(loss))(network.params["upsampling"])
    dead = sum(int((np.asarray(leaf) == 0).sum()) for leaf in jax.tree.leaves(gradients[0]["kernels"]))
    assert dead == masked_taps(network.params["upsampling"]) == 5 * 2 * 2


@pytest.mark.parametrize(("schedule", "power"), [("constant", None), ("poly", 0.9)])
def test_the_rate(schedule, power):
    config = dataclasses.replace(Config(steps=100), optim=OptimizerConfig(schedule=schedule, power=power))
    params = {"w": jnp.ones(2)}
    optimizer, schedule = STUDY.make_optimizer(config, params)
    assert [float(jnp.asarray(schedule(step))) for step in (0, 50)] == pytest.approx(
        [0.001, 0.001 if power is None else 0.001 * 0.5**0.9]
    )
    updates, _ = optimizer.update({"w": jnp.array([3.0, -2.0])}, optimizer.init(params), params)
    np.testing.assert_allclose(jax.tree.leaves(updates)[0], [-0.001, 0.001], rtol=1e-4)  # Adam's first step is the rate
