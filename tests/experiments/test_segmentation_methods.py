"""The methods of the study: each has a step, counts its parameters, and trains."""

from typing import Any, get_args

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from experiments.common.comparison import Comparison, Page
from experiments.common.network import Network, Trees
from experiments.segmentation.__main__ import main
from experiments.segmentation.config import Config, DataConfig, Method, ModelConfig
from experiments.segmentation.study import STUDY
from smoothjax import data
from tests.experiments.command_line import TINY, call_on_one
from tests.experiments.command_line import TRAINED as METHODS
from tests.experiments.made_runs import measured


def _shape(*shape, dtype: Any = jnp.float32):
    return jax.ShapeDtypeStruct(shape, dtype)


def _zeros(tree):
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), tree)


@pytest.mark.parametrize("method", [method for method in get_args(Method) if method not in METHODS])
def test_every_method_has_a_step_and_logits_of_every_pixel(method):
    """By shapes, without compilation: the gradient of the loss, logits in evaluation, and the counts."""
    model = ModelConfig(encoder="resnet10", width=4, head_rates=(1, 2))
    config = Config(model=model, data=DataConfig(name="shapes")).with_method(method)
    graphs: list[Network] = []

    def build():
        graphs.append(STUDY.build_network(config, data.SHAPES))
        return graphs[0].params, graphs[0].model_state

    params, state = jax.eval_shape(build)
    loss_fn = STUDY.make_loss(config, graphs[0])
    batch = {"image": _shape(4, 33, 33, 3), "label": _shape(4, 33, 33, dtype=jnp.int32)}
    gradient = jax.eval_shape(jax.grad(lambda *arguments: loss_fn(*arguments).loss_sum), params, state, batch)
    chex.assert_trees_all_equal_shapes_and_dtypes(gradient, params)
    logits = jax.eval_shape(
        lambda trees, images: STUDY.logits(config, graphs[0].model(trees), images),
        Trees(params, state),
        _shape(2, 40, 37, 3),
    )
    assert logits.shape == (2, 40, 37, 8)
    extra = measured(STUDY, config, data.SHAPES, _zeros(params), _zeros(params))["extra_parameters"]
    assert (
        extra
        == {
            "multigrid": 0,
            "group_interaction": 2 * 16 + 2 * 256,
            "circulant_group_interaction": 2 * 4 + 2 * 16,
            "average_filter": 0,
            "gaussian_filter": 0,
            "aggregated_filters": 2 * (9 + 4) + 2 * (49 + 4),
            "drn": 4 * (9 * 32 * 32 + 2 * 32),
            "lfe": 3 * (9 * 32 * 32 + 2 * 32),
            "duc": None,  # its run does not say whether it stands for ASPP or LargeFOV
        }[method]
    )


@pytest.mark.parametrize("head", ["aspp", "large_fov"])
def test_a_duc_is_counted_against_the_head_that_it_stands_for(head, monkeypatch, tmp_path):
    """Only a comparison knows that head; smoothing is counted against the same head without it."""
    model = ModelConfig(encoder="resnet10", width=4, head=head)
    config = Config(model=model, data=DataConfig(name="shapes"))

    def result(variant):
        params = jax.eval_shape(lambda: STUDY.build_network(variant, data.SHAPES).params)
        size = sum(leaf.size for leaf in jax.tree.leaves(params))
        val = {"mean_iou": 0.5, "pixel_accuracy": 0.5}
        return {**measured(STUDY, variant, data.SHAPES, _zeros(params), _zeros(params)), "parameters": size, "val": val,
                "steps": 1, "seconds_per_step": 1.0, "majority": val}  # fmt: skip

    def extra(results):
        comparison = Comparison(config, results, STUDY.labels, (0,), tmp_path, "")
        lines = STUDY.report(comparison).table.splitlines()
        header, _, *rows, _constant = [line.split("|") for line in lines if "|" in line]
        column = [cell.strip() for cell in header].index("extra parameters")
        return [row[column].strip() for row in rows]

    monkeypatch.setattr(type(STUDY), "page", lambda study, comparison, table, scored, *_: Page(table, scored))
    none, duc, both = (
        result(variant)
        for variant in (config, config.with_method("duc"), config.with_method("duc").with_method("ss_conv"))
    )
    assert duc["parameters"] != none["parameters"]
    assert extra({"none": [none], "duc": [duc]}) == ["0", f"{duc['parameters'] - none['parameters']:,}"]
    assert extra({"duc": [duc]}) == ["-"]
    assert both["extra_parameters"] == both["parameters"] - duc["parameters"] == 2 * 9 + 2 * 49


def test_a_comparison_from_a_duc_trains_nothing_twice(tmp_path, capsys):
    options = ["--model.head", "duc", "--model.head-rates", "None", "--optim.loss-at", "full", "--out"]
    assert main(["compare", "demo", *options, str(tmp_path / "out"), "--methods", "none", "duc"]) == 1
    assert "--methods none would be the method duc, which other options ask for" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


#: Trained elsewhere: ss_conv beside the baseline in test_segmentation, group_interaction beside both by the first
#: command in test_demo, multigrid in test_any_config.
_TRAINED_ELSEWHERE = {"ss_conv", "group_interaction", "multigrid"}


@pytest.mark.slow
def test_every_other_method_trains(tmp_path):
    methods = [method for method in get_args(Method) if method not in _TRAINED_ELSEWHERE]
    options = ["--steps", "2", "--evaluate-every", "2", "--checkpoint-every", "2", "--methods", *methods]
    out, _ = call_on_one("compare", "demo", *TINY, *options, folder=tmp_path)
    table = out[out.index("| method") :].splitlines()[2 : 2 + len(methods)]
    assert [row.split("|")[1].strip() for row in table] == [STUDY.labels[method] for method in methods]
    for row in table:
        *_, extra, _, rate, seconds = (cell.strip() for cell in row.strip("|").split("|"))
        assert int(extra.replace(",", "")) >= 0
        assert float(rate) == 0.05
        assert float(seconds) > 0
    image = tmp_path / "image.png"
    Image.fromarray(np.zeros((37, 50, 3), np.uint8)).save(image)
    duc = tmp_path / "runs/segmentation/demo/duc-seed0"
    call_on_one("predict", duc, image, "--out", tmp_path / "out", folder=tmp_path)
    with Image.open(tmp_path / "out/image_mask.png") as mask:
        assert mask.size == (50, 37)
