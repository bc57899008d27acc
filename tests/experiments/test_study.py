"""The training of the study: rate and decay of each parameter, and the size at which the loss is taken."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.common.dense.scores import majority_scores
from experiments.segmentation.config import Config, DataConfig, ModelConfig, OptimizerConfig
from experiments.segmentation.study import STRIDE, STUDY
from smoothjax import data, models, nn, training
from tests.experiments.made_runs import measured
from tests.support import assert_close, random

TINY = Config(
    model=ModelConfig(encoder="resnet10", width=4, smoothing="ss_conv", head_rates=(1, 2)),
    data=DataConfig(name="shapes", image_size=(33, 33)),
    optim=OptimizerConfig(learning_rate=1.0, momentum=0.0, weight_decay=0.5),
)


@pytest.fixture(scope="module")
def network():
    return STUDY.build_network(TINY, data.SHAPES)


def _flat(tree):
    return {tuple(key.key for key in path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def test_rates_and_decay_by_group(network):
    """With the gradient 0 an update is -rate * multiplier * decay * w; with decay 0 it is -rate * multiplier * g."""
    ones = jax.tree.map(jnp.ones_like, network.params)
    zeros = jax.tree.map(jnp.zeros_like, network.params)
    optimizer, _ = STUDY.make_optimizer(TINY, network.params)
    decayed, _ = optimizer.update(zeros, optimizer.init(ones), ones)
    moved, _ = optimizer.update(ones, optimizer.init(zeros), zeros)
    smoothers = 0
    for path, update in _flat(decayed).items():
        factor = {"kernel": 10.0, "bias": 20.0}[path[-1]] if path[0] == "head" else 1.0
        decay = 0.5 if path[-1] == "kernel" else 0.0
        np.testing.assert_allclose(update, -factor * decay, rtol=1e-6)
        np.testing.assert_allclose(_flat(moved)[path], -factor, rtol=1e-6)
        smoothers += nn.is_smoother(path)
    assert smoothers == 4


@pytest.mark.parametrize("loss_at", ["grid", "full"])
def test_the_loss_is_taken_where_asked(network, loss_at):
    config = dataclasses.replace(TINY, optim=dataclasses.replace(TINY.optim, loss_at=loss_at))
    images = random(0, 2, 33, 41, 3)
    labels = jnp.asarray(np.random.default_rng(0).integers(0, 8, (2, 33, 41)))
    labels = labels.at[:, :, :9].set(255)
    loss_fn = jax.jit(STUDY.make_loss(config, network))
    out = loss_fn(network.params, network.model_state, {"image": images, "label": labels})
    expected = 2 * 5 * 4 if loss_at == "grid" else 2 * 33 * 32  # columns 16, 24, 32, 40 of six are not ignored
    assert int(out.valid_count) == expected
    assert jax.tree.structure(out.model_state) == jax.tree.structure(network.model_state)
    assert any(not np.array_equal(a, b) for a, b in zip(*map(jax.tree.leaves, (out.model_state, network.model_state)),
                                                        strict=True))  # fmt: skip


def test_the_step_runs_under_pmap_and_jit_alike():
    """On eight devices, with frozen batch normalisation, since under pmap it would not be global."""
    config = dataclasses.replace(TINY, model=dataclasses.replace(TINY.model, batch_norm="frozen"))
    network = STUDY.build_network(config, data.SHAPES)
    optimizer, _ = STUDY.make_optimizer(config, network.params)
    loss_fn = STUDY.make_loss(config, network)
    state = training.create_state(network.params, network.model_state, optimizer)
    labels = np.random.default_rng(0).integers(0, 8, (8, 33, 33))
    labels[:3, :20] = 255
    batch = {"image": random(0, 8, 33, 33, 3), "label": jnp.asarray(labels)}
    mesh = training.data_mesh()
    step = training.compile_step(loss_fn, optimizer, mesh)
    sharded, metrics = step(training.replicate(state, mesh), training.shard_batch(batch, mesh))

    def mapped(state, batch):
        return training.train_step(state, batch, loss_fn=loss_fn, optimizer=optimizer, axis_name="data")

    apart = jax.tree.map(lambda x: np.asarray(x)[:, None], batch)
    replicas, mapped_metrics = jax.pmap(mapped, axis_name="data", in_axes=(None, 0))(state, apart)
    assert_close(np.asarray(mapped_metrics["loss"])[0], float(metrics["loss"]), 1e-5)
    for actual, reference in zip(jax.tree.leaves(replicas.params), jax.tree.leaves(sharded.params), strict=True):
        assert_close(np.asarray(actual)[0], reference, 1e-4)


def test_segmentation_has_the_size_of_the_image(network):
    images = random(0, 1, 50, 35, 3)
    for scale in (1.0, 0.5):
        config = dataclasses.replace(TINY, data=dataclasses.replace(TINY.data, scale=scale))
        masks = jax.jit(lambda images, config=config: STUDY.segment(config, network.model(), images, (50, 35)))(images)
        assert masks.shape == (1, 50, 35)
        assert masks.dtype == jnp.int32


def test_a_constant_answer():
    confusion = np.array([[2, 1, 0], [0, 1, 0], [3, 0, 5]])
    result = majority_scores(confusion)
    assert result["pixel_accuracy"] == pytest.approx(8 / 12)
    assert result["mean_iou"] == pytest.approx(8 / 12 / 3)


def test_how_far_the_smoothing_has_moved(network):
    assert measured(STUDY, TINY, data.SHAPES, network.params, network.params) == {
        "extra_parameters": 2 * 9 + 2 * 49, "largest_move": 0.0
    }  # fmt: skip
    moved = jax.tree_util.tree_map_with_path(lambda path, p: p - 0.25 if path[-1].key == "smoother" else p + 1,
                                             network.params)  # fmt: skip
    assert measured(STUDY, TINY, data.SHAPES, moved, network.params)["largest_move"] == pytest.approx(0.25)


def test_every_method_starts_from_the_same_weights(network):
    baseline = dataclasses.replace(TINY, model=dataclasses.replace(TINY.model, smoothing="none"))
    plain, smoothed = _flat(STUDY.build_network(baseline, data.SHAPES).params), _flat(network.params)
    assert set(smoothed) - set(plain) == {path for path in smoothed if nn.is_smoother(path)}
    for path, leaf in plain.items():
        np.testing.assert_array_equal(leaf, smoothed[path])


def test_the_grid_is_that_of_the_models():
    assert models.downsample_labels(jnp.zeros((1, 33, 41)), stride=STRIDE).shape == (1, 5, 6)
