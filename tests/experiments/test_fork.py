"""A run that starts from another one takes the weights that fit, and nothing else."""

import dataclasses
from pathlib import Path

import grain
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from experiments.common.comparison import Comparison
from experiments.common.config import with_options
from experiments.common.dense.config import InitConfig
from experiments.common.dense.init import architecture, normalization
from experiments.common.dense.report import parent_scores
from experiments.common.fork import check_forks, describe, forked, plan_fork
from experiments.common.network import Network
from experiments.common.run_folder import describe_run, load_config, with_parent
from experiments.segmentation.config import Config, DataConfig, ModelConfig
from experiments.segmentation.study import SmoothedDilation
from smoothjax import data, models, nn, training, weights
from tests.experiments.made_runs import classes, mark_learnt, save_untrained, write
from tests.support import random

_MODEL = ModelConfig(encoder="resnet10", width=2, head_rates=(1,), head="large_fov")
_CONFIG = Config(model=_MODEL, data=DataConfig(name="shapes"))


class _Quick(SmoothedDilation):
    """A study whose initial weights need no compilation."""

    def build_network(self, config: Config, target: data.Classes) -> Network[models.DeepLab]:
        model = nnx.eval_shape(lambda: self.make_model(config, target, nnx.Rngs(0)))
        smoothers, rng = nn.smoothers(model), np.random.default_rng(config.seed)

        def value(path, shape):
            drawn = 0.3 * rng.standard_normal(shape)
            return smoothers[path].initial if path in smoothers else 0.5 + abs(drawn) if path[-1] == "var" else drawn

        graph, state = nnx.split(model)
        leaves = [(path, leaf.replace(jnp.asarray(value(path, leaf.shape), jnp.float32)))
                  for path, leaf in nnx.to_flat_state(state)]  # fmt: skip
        return Network.of(nnx.merge(graph, nnx.from_flat_state(leaves)))


STUDY = _Quick()


def _other(params):
    """Weights that differ from their initial values in every array, including smoothing."""
    leaves, structure = jax.tree.flatten(params)
    return structure.unflatten([leaf + 0.1 * random(i, *leaf.shape) for i, leaf in enumerate(leaves)])


def _child(parent, **options):
    """The configuration of a run with another seed that starts from a given run."""
    named = {name.replace("__", "."): value for name, value in options.items()}
    return with_parent(with_options(_CONFIG, {"init": InitConfig("run", parent), "seed": 1, **named}))


def _network(config, target=data.SHAPES):
    return forked(STUDY, config, target, STUDY.build_network(config, target))


def _logits(network, images):
    model = network.model()
    return jax.jit(lambda x: model(x))(images)


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    """A run without smoothing."""
    folder = tmp_path_factory.mktemp("parents") / "none"
    save_untrained(STUDY, folder, _CONFIG, change=_other)
    return folder


@pytest.fixture(scope="module")
def smoothed(tmp_path_factory):
    """A run with SS convolutions that are no longer the identity."""
    folder = tmp_path_factory.mktemp("parents") / "ss_conv"
    save_untrained(STUDY, folder, with_options(_CONFIG, {"model.smoothing": "ss_conv"}), change=_other)
    return folder


def test_added_smoothing_changes_no_output_before_the_first_step(parent, capsys):
    """Train, smooth, fine-tune, as in the papers. Weights of another seed, or a lost array, would show."""
    images = random(0, 1, 33, 40, 3)
    expected = _logits(_network(_child(parent)), images)
    assert "new, " not in capsys.readouterr().out
    for smoothing in ("ss_conv", "group_interaction"):
        np.testing.assert_allclose(_logits(_network(_child(parent, model__smoothing=smoothing)), images), expected,
                                   atol=1e-5 * np.abs(expected).max())  # fmt: skip
        out = capsys.readouterr().out
        assert "new, starting as the identity: encoder.stages.*.*.conv*.smoother (4)" in out
        assert "step 0 with a new optimizer; there: step 0, none" in out
        assert "left out" not in out


def test_the_best_checkpoint_is_taken_where_it_is_asked_for(tmp_path, parent):
    """By default the latest, as for evaluate and predict; the folder of the child records the choice."""
    folder, study = tmp_path / "scored", STUDY
    save_untrained(study, folder, _CONFIG)
    network = study.build_network(_CONFIG, data.SHAPES)
    optimizer, _ = study.make_optimizer(_CONFIG, network.params)
    later = training.create_state(_other(network.params), network.model_state, optimizer)
    with training.Checkpoints(folder / "checkpoints", metric=study.metric, mode=study.mode) as checkpoints:
        checkpoints.measure(0, {"mean_iou": 0.5})
        iterator = iter(grain.MapDataset.range(1).to_iter_dataset())
        checkpoints.save(
            1, dataclasses.replace(later, step=jnp.ones((), jnp.int32)), iterator, metrics={"mean_iou": 0.4}
        )
    for take, params, step in (("latest", later.params, 1), ("best", network.params, 0)):
        child = _child(folder, init__take=take)
        jax.tree.map(np.testing.assert_array_equal, _network(child).params, params)
        assert describe(STUDY, child)["weights"]["step"] == step
    with pytest.raises(FileNotFoundError, match=r"holds no checkpoint that was scored .*: add --init.take latest"):
        describe(STUDY, _child(parent, init__take="best"))
    with pytest.raises(ValueError, match=r"--init.take best chooses a checkpoint of a run: add --init.source run"):
        InitConfig("slim", Path("x.npz"), take="best").validate()
    with pytest.raises(ValueError, match=r"--init.take best chooses a checkpoint of a run: add --init.source run"):
        InitConfig("efficientnet_lite0", take="best").validate()
    InitConfig("efficientnet_lite0").validate()


def test_a_report_has_the_score_of_the_parent(tmp_path):
    """Without it a fork that got worse looks like one that learnt; scores on other images would mean nothing."""
    write(tmp_path / "parent", _CONFIG, 0.261, steps=200)
    child = _child(tmp_path / "parent")
    majority = {"majority": {"mean_iou": 0.02, "pixel_accuracy": 0.3}}
    comparison = Comparison(child, {"none": [majority]}, STUDY.labels, [0], tmp_path, "")
    assert STUDY.reference_rows(comparison, 5) == [
        [f"{tmp_path / 'parent'}, before", "26.1", "90.0", "-", "-"],
        ["always the most frequent class", "2.0", "30.0", "-", "-"],
    ]
    near = {"distance": 0.02, "mean_boundary_iou": 0.123, "trimap_mean_iou": 0.1}
    write(tmp_path / "near", _CONFIG, 0.261, steps=200, boundary=near)
    declared = with_options(_child(tmp_path / "near"), {"primary": "mean_boundary_iou"})
    rows = STUDY.reference_rows(dataclasses.replace(comparison, config=declared), 5)
    assert [row[3] for row in rows] == ["12.3", "-"]
    for other in ({"data.root": Path("other")}, {"init.take": "best"}, {"init": InitConfig()}):
        assert parent_scores(with_options(child, other)) is None
    (tmp_path / "parent/result.json").unlink()
    assert parent_scores(child) is None


def test_kept_smoothing_is_taken_and_exchanged_smoothing_is_named(smoothed, capsys):
    kept = _network(_child(smoothed, model__smoothing="ss_conv"))
    smoother = kept.params["encoder"]["stages"][3][0]["conv2"]["smoother"]
    assert float(jnp.abs(smoother - jnp.zeros((7, 7)).at[3, 3].set(1)).max()) > 0.05
    assert "new, " not in capsys.readouterr().out
    _network(_child(smoothed, model__smoothing="group_interaction"))
    out = capsys.readouterr().out
    assert "new, starting as the identity: encoder.stages.*.*.conv*.smoother (4)" in out
    assert "left out of the run: encoder.stages.*.*.conv*.smoother (4)" in out


def test_other_classes_get_a_new_output_layer(parent, capsys):
    """Also for as many classes with other names, since a channel of the logits would mean something else."""
    before, config = _network(_child(parent)), _child(parent)
    capsys.readouterr()
    for target in (classes(3), classes(8)):
        network = _network(config, target)
        assert "new, because the outputs differ: head.branches.0.bias, head.branches.0.kernel" in (
            capsys.readouterr().out
        )
        jax.tree.map(np.testing.assert_array_equal, network.params["encoder"], before.params["encoder"])
        assert network.params["head"]["branches"][0]["kernel"].shape[-1] == len(target)
    assert np.abs(
        network.params["head"]["branches"][0]["kernel"] - before.params["head"]["branches"][0]["kernel"]
    ).max()


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        (
            {"model__width": 4},
            [
                r"encoder.bn1.bias \[2\] there, \[4\] here",
                "--model.width 2 there, 4 here",
                "that run, --model.width 2, or",
            ],
        ),
        ({"model__encoder": "resnet34"}, ["missing there, ", "--model.encoder resnet10 there, resnet34 here"]),
    ],
)
def test_another_network_is_refused_with_the_shapes(options, lines, parent):
    with pytest.raises(ValueError, match=r"is a run of another network; its arrays differ in\n") as caught:
        plan_fork(STUDY, _child(parent, **options), data.SHAPES, parent)
    for line in lines:
        assert caught.match(line)


def test_a_comparison_is_checked_before_its_first_run(parent):
    """Otherwise its last method would be refused hours later."""
    config = _child(parent, model__width=4)
    with pytest.raises(ValueError, match="is a run of another network"):
        check_forks(STUDY, config, ["none", "ss_conv"])
    check_forks(STUDY, _child(parent), ["none", "multigrid", "drn", "duc", "ss_conv", "aggregated_filters"])


def test_layers_of_a_method_are_new(parent):
    """DRN adds layers before a head of the same form; a DUC has another head."""
    plan = plan_fork(STUDY, _child(parent, model__smoothing="drn"), data.SHAPES, parent)
    assert {place[0] for place in plan.new_layers} == {"degridding"}
    assert {place[0] for place in plan.taken} == {"encoder", "head"}
    plan = plan_fork(STUDY, _child(parent).with_method("duc"), data.SHAPES, parent)
    assert {place[0] for place in plan.new_outputs} == {place[0] for place in plan.left_out} == {"head"}


def test_another_scale_of_the_images_is_said(parent):
    plan = plan_fork(STUDY, _child(parent, data__scale=0.5), data.SHAPES, parent)
    assert "other than there: --data.scale 1.0 there, 0.5 here" in str(plan)


def test_a_difference_that_no_shape_shows_is_said(parent):
    plan = plan_fork(STUDY, _child(parent, model__head_rates=(2,)), data.SHAPES, parent)
    assert "other than there: --model.head-rates [1] there, [2] here" in str(plan)


def test_preprocessing_and_padding_come_with_it(tmp_path):
    """Even if published weights lie many runs back; a run can be read when its parents are gone."""
    first, second = tmp_path / "first", tmp_path / "second"
    describe_run(first, with_options(_CONFIG, {"init": InitConfig("slim", Path("w.npz"))}), data.SHAPES)
    describe_run(second, _child(first), data.SHAPES)
    third = _child(second)
    assert normalization(third)[0] == weights.SLIM_PREPROCESSING.mean
    assert architecture(third.init)["stride_unit"] == "last"
    for path in first.iterdir():
        path.unlink()
    assert normalization(load_config(second, Config))[0] == weights.SLIM_PREPROCESSING.mean


def test_a_parent_without_a_checkpoint(tmp_path):
    describe_run(tmp_path / "run", _CONFIG, data.SHAPES)
    mark_learnt(tmp_path / "run")
    (tmp_path / "run/checkpoints/1").rmdir()
    with pytest.raises(FileNotFoundError, match="run holds no checkpoint yet: let it train until the first one"):
        describe(STUDY, _child(tmp_path / "run"))
