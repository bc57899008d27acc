"""A step of DeepLab on several devices, in parts, in bfloat16 or with less memory equals the plain float32 step.

Tolerances: 1e-5 of the largest entry for parts (batch normalisation frozen), recomputed activations, and devices (one
step); 1e-8 for devices after 20 steps in float64; 5 % of the norm of the gradient in bfloat16.
"""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.segmentation.config import Config, DataConfig, ModelConfig
from experiments.segmentation.study import STUDY
from smoothjax import data, nn, training

_SIZE, _ROWS = 33, 8


def _config(**model: Any) -> Config:
    options = {"encoder": "resnet10", "width": 4, "smoothing": "ss_conv", "head_rates": (1, 2)} | model
    return Config(model=ModelConfig(**options), data=DataConfig(name="shapes"))


def _batch(dtype: Any) -> dict[str, np.ndarray]:
    """A batch in which the first image has few valid pixels, and the second none."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(_ROWS, _SIZE, _SIZE, 3)).astype(dtype)
    labels = rng.integers(0, 8, (_ROWS, _SIZE, _SIZE)).astype(np.int32)
    labels[0, 3:], labels[1], labels[2:5, :, :20] = 255, 255, 255
    return {"image": images, "label": labels}


def _train(
    config: Config, *, devices: int = 1, steps: int = 1, dtype: Any = jnp.float32, accumulate: int = 1
) -> tuple[training.TrainState, list[Any]]:
    """Plain SGD at rate 1, so that one step shows the gradient; 0.01 for more."""
    network = STUDY.build_network(config, data.SHAPES)
    wide = lambda leaf: leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf
    params, model_state = jax.tree.map(wide, (network.params, network.model_state))
    optimizer = optax.sgd(1.0 if steps == 1 else 0.01)
    mesh = training.data_mesh(jax.devices()[:devices])
    loss_fn = STUDY.make_loss(config, network)
    step = training.compile_step(loss_fn, optimizer, mesh, accumulate=accumulate)
    state = training.replicate(training.create_state(params, model_state, optimizer), mesh)
    metrics = []
    for _ in range(steps):
        state, measured = step(state, training.shard_batch(_batch(dtype), mesh))
        metrics.append(jax.device_get(measured))
    return jax.device_get(state), metrics


def _assert_close(found: Any, reference: Any, tolerance: float) -> None:
    for path, expected in jax.tree_util.tree_leaves_with_path(reference):
        leaf = dict(jax.tree_util.tree_leaves_with_path(found))[path]
        assert leaf.dtype == expected.dtype, path
        scale = max(np.abs(expected).max(), 1)
        np.testing.assert_allclose(leaf / scale, expected / scale, rtol=0, atol=tolerance, err_msg=str(path))


@pytest.fixture(scope="module")
def frozen() -> Any:
    """The plain step."""
    return _train(_config(batch_norm="frozen"))


def test_the_step_in_parts(frozen: Any) -> None:
    _assert_close(_train(_config(batch_norm="frozen"), accumulate=4), frozen, 1e-5)


def test_the_step_with_recomputed_activations(frozen: Any) -> None:
    _assert_close(_train(_config(batch_norm="frozen", remat=True)), frozen, 1e-5)


def test_recomputed_activations_are_not_kept() -> None:
    """The memory that the backward pass keeps from the forward pass shrinks to less than half."""
    kept = {}
    for remat in (False, True):
        config = _config(remat=remat, encoder="resnet18")
        network, batch = STUDY.build_network(config, data.SHAPES), jax.eval_shape(lambda: _batch(np.float32))
        loss_fn = STUDY.make_loss(config, network)
        loss = lambda params, batch, f=loss_fn, state=network.model_state: f(params, state, batch).loss_sum
        backward = jax.eval_shape(lambda p, batch, f=loss: jax.vjp(lambda p: f(p, batch), p)[1], network.params, batch)
        kept[remat] = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(backward))
    assert kept[True] < 0.5 * kept[False]


@pytest.mark.slow
@pytest.mark.skipif(
    jax.__version_info__ < (0, 11), reason="XLA of jax 0.10 merges equal computations on CPU, the recomputed ones too"
)
def test_recomputed_activations_save_memory() -> None:
    """By the compiler's count: 47 to 28 MiB of temporaries in a step of the demo on CPU, 141 to 51 with ResNet-50."""
    memory = {}
    for remat in (False, True):
        config = _config(remat=remat, width=16, encoder="resnet18")
        network, optimizer, mesh = (
            STUDY.build_network(config, data.SHAPES),
            optax.sgd(0.1),
            training.data_mesh(jax.devices()[:1]),
        )
        state = training.create_state(network.params, network.model_state, optimizer)
        step: Any = training.compile_step(STUDY.make_loss(config, network), optimizer, mesh)
        batch = training.shard_batch(_batch(np.float32), mesh)
        memory[remat] = step.lower(state, batch).compile().memory_analysis().temp_size_in_bytes
    assert memory[True] < 0.75 * memory[False]


@pytest.mark.slow
def test_batch_statistics_are_updated_once_though_computed_twice() -> None:
    _assert_close(_train(_config(remat=True)), _train(_config()), 1e-5)


def test_the_step_in_bfloat16() -> None:
    # In a smaller encoder the smoothers' gradients are so small that rounding errors are a tenth of their size.
    config = _config(batch_norm="frozen", encoder="resnet18")
    rounded = replace(config, model=replace(config.model, precision="bf16"))
    state, (metrics,) = _train(rounded)
    plain_state, (plain,) = _train(config)
    start = STUDY.build_network(config, data.SHAPES).params
    assert float(metrics["loss"]) == pytest.approx(float(plain["loss"]), rel=2e-2)
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves((state.params, state.model_state)) if leaf.ndim)
    gradient, reference = (jax.tree.map(np.subtract, start, s.params) for s in (state, plain_state))
    assert 0 < _norm(jax.tree.map(np.subtract, gradient, reference)) < 0.05 * _norm(reference)
    smoothers = training.label_parameters(start, nn.is_smoother)
    for is_smoother, found, expected in zip(*map(jax.tree.leaves, (smoothers, gradient, reference)), strict=True):
        if is_smoother:
            assert found.dtype == np.float32
            assert _norm(found - expected) < 0.05 * _norm(expected)


def _norm(tree: Any) -> float:
    return float(optax.tree.norm(tree))


@pytest.mark.slow
@pytest.mark.usefixtures("no_compilation_cache")
@pytest.mark.parametrize("smoothing", ["ss_conv", "group_interaction"])
def test_devices_share_the_batch(smoothing: str) -> None:
    """Batch normalisation and the number of valid pixels are global."""
    config = _config(smoothing=smoothing)
    _assert_close(_train(config, devices=8), _train(config), 1e-5)
    with jax.enable_x64(True):
        one = _train(config, steps=20, dtype=jnp.float64)
        for devices in (2, 8):
            _assert_close(_train(config, devices=devices, steps=20, dtype=jnp.float64), one, 1e-8)
