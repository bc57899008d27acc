import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from smoothjax.training import (
    LossOutput,
    TrainState,
    compile_step,
    create_state,
    data_mesh,
    replicate,
    shard_batch,
    train_step,
)

Step = Callable[[TrainState, Any], tuple[TrainState, dict[str, jax.Array]]]


def _mesh_step(toy: ModuleType, devices: int) -> Step:
    mesh = data_mesh(jax.devices()[:devices])
    step = compile_step(toy.loss_fn, toy.make_optimizer(), mesh)
    return lambda state, batch: step(replicate(state, mesh), shard_batch(batch, mesh))


def _jitted(loss_fn: Any, optimizer: Any) -> Step:
    return jax.jit(functools.partial(train_step, loss_fn=loss_fn, optimizer=optimizer))


def _mapped(toy: ModuleType) -> Step:
    return functools.partial(train_step, loss_fn=toy.loss_fn, optimizer=toy.make_optimizer(), axis_name="data")


def _pmap_step(toy: ModuleType) -> Step:
    step = jax.pmap(_mapped(toy), axis_name="data", in_axes=(None, 0), out_axes=None)  # type: ignore[arg-type]
    return lambda state, batch: step(state, jax.tree.map(lambda x: x.reshape(8, -1, *x.shape[1:]), batch))


def _shard_map_step(toy: ModuleType, *, check_vma: bool) -> Step:
    specs = {"in_specs": (P(), P("data")), "out_specs": P()}
    return jax.jit(jax.shard_map(_mapped(toy), mesh=data_mesh(), check_vma=check_vma, **specs))


_WAYS: dict[str, Callable[[ModuleType], Step]] = {
    "mesh": lambda toy: _mesh_step(toy, 8),
    "mesh of two": lambda toy: _mesh_step(toy, 2),
    "pmap": _pmap_step,
    "shard_map": lambda toy: _shard_map_step(toy, check_vma=True),
    "shard_map unchecked": lambda toy: _shard_map_step(toy, check_vma=False),
}


def _train(step: Step, state: TrainState, batch: Any, steps: int) -> tuple[TrainState, list[dict[str, jax.Array]]]:
    metrics = []
    for index in range(steps):
        shifted = jax.tree.map(lambda x, index=index: np.roll(x, index, axis=0), batch)
        state, measured = step(state, shifted)
        metrics.append(jax.device_get(measured))
    return jax.device_get(state), metrics


@pytest.mark.parametrize("way", _WAYS)
def test_several_devices_equal_one_after_twenty_steps(way: str, toy: ModuleType, x64: None) -> None:
    batch = toy.fixed_batch(16, np.float64)
    valid = (batch["label"] != 255).reshape(8, -1).sum(-1)
    assert len(set(valid.tolist())) > 1  # else the mean of the devices' means would be right as well
    state = toy.make_state(jnp.float64)
    one = _train(_mesh_step(toy, 1), state, batch, 20)
    several = _train(_WAYS[way](toy), state, batch, 20)
    chex.assert_trees_all_close(several, one, atol=1e-8, rtol=1e-8)
    assert one[1][-1]["loss"] < 0.8 * one[1][0]["loss"]


@pytest.mark.parametrize("way", _WAYS)
def test_several_devices_equal_one_in_float32(way: str, toy: ModuleType) -> None:
    batch, state = toy.fixed_batch(16), toy.make_state()
    chex.assert_trees_all_close(
        _train(_WAYS[way](toy), state, batch, 1), _train(_mesh_step(toy, 1), state, batch, 1), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("devices", [1, 2])
@pytest.mark.parametrize("parts", [2, 4])
def test_accumulated_gradients_are_those_of_the_whole_batch(
    parts: int, devices: int, toy: ModuleType, x64: None
) -> None:
    """With uneven numbers of valid pixels in the parts; the toy's running mean sees each part separately."""
    batch, state = toy.fixed_batch(8, np.float64), toy.make_state(jnp.float64)
    batch["label"][:3] = 255
    mesh = data_mesh(jax.devices()[:devices])
    step = compile_step(toy.loss_fn, toy.make_optimizer(), mesh, accumulate=parts)
    accumulated = _train(lambda s, b: step(replicate(s, mesh), shard_batch(b, mesh)), state, batch, 20)
    whole = _train(_mesh_step(toy, 1), state, batch, 20)
    chex.assert_trees_all_close(accumulated[0].params, whole[0].params, atol=1e-12, rtol=1e-12)
    chex.assert_trees_all_close(accumulated[1], whole[1], atol=1e-12, rtol=1e-12)
    assert int(accumulated[0].model_state["count"]) == 20 * parts


def test_a_batch_that_the_parts_do_not_divide(toy: ModuleType) -> None:
    mesh = data_mesh(jax.devices()[:1])
    step = compile_step(toy.loss_fn, toy.make_optimizer(), mesh, accumulate=3)
    with pytest.raises(
        ValueError, match="the rows of the batch must be a positive multiple of the 3 parts, got 8: try 9"
    ):
        step(replicate(toy.make_state(), mesh), shard_batch(toy.fixed_batch(8), mesh))
    with pytest.raises(ValueError, match="accumulate must be at least 1, got 0; 1 takes the batch as a whole"):
        compile_step(toy.loss_fn, toy.make_optimizer(), mesh, accumulate=0)


@pytest.mark.parametrize(
    ("accumulate", "message"),
    [
        (
            2,
            r"the rows of every array of the batch, here of shape \(5, .* a positive multiple of the 2 parts, got 5",
        ),
        (0, "accumulate must be at least 1, got 0; 1 takes the batch as a whole"),
        (2.0, r"accumulate must be an int, got 2\.0; 1 takes the batch as a whole"),
    ],
)
def test_the_step_itself_refuses_parts_too(accumulate: Any, message: str, toy: ModuleType) -> None:
    options = {"loss_fn": toy.loss_fn, "optimizer": toy.make_optimizer(), "accumulate": accumulate}
    with pytest.raises(ValueError, match=f"train_step: {message}"):
        train_step(toy.make_state(), toy.fixed_batch(5), **options)


def test_the_gradient_is_of_the_mean_over_the_valid_pixels(toy: ModuleType, x64: None) -> None:
    batch, state = toy.fixed_batch(8, np.float64), toy.make_state(jnp.float64)

    def mean_loss(params: Any) -> jax.Array:
        output = toy.loss_fn(params, state.model_state, batch)
        return output.loss_sum / output.valid_count

    loss, gradient = jax.jit(jax.value_and_grad(mean_loss))(state.params)
    _, metrics = _mesh_step(toy, 8)(state, batch)
    norm = np.sqrt(sum(float(jnp.sum(leaf**2)) for leaf in jax.tree.leaves(gradient)))
    assert float(metrics["loss"]) == pytest.approx(float(loss), rel=1e-12)
    assert float(metrics["grad_norm"]) == pytest.approx(norm, rel=1e-12)


@pytest.mark.parametrize("way", _WAYS)
def test_a_batch_without_a_valid_pixel_leaves_the_weights(way: str, toy: ModuleType) -> None:
    batch, state = toy.fixed_batch(8), toy.make_state()
    batch["label"][:] = 255
    after, (metrics,) = _train(_WAYS[way](toy), state, batch, 1)
    assert metrics["loss"] == metrics["grad_norm"] == 0
    # Only the decay of 5e-4 at a rate of 0.05 moves them.
    chex.assert_trees_all_close(after.params, state.params, rtol=1e-4)
    assert int(after.step) == 1


def test_weights_that_add_to_less_than_one_still_normalise(toy: ModuleType) -> None:
    def scaled(params: Any, model_state: Any, batch: Any) -> LossOutput:
        output = toy.loss_fn(params, model_state, batch)
        return output._replace(loss_sum=1e-4 * output.loss_sum, valid_count=1e-4 * output.valid_count)

    batch, state, optimizer = toy.fixed_batch(4), toy.make_state(), toy.make_optimizer()
    _, plain = _jitted(toy.loss_fn, optimizer)(state, batch)
    _, small = _jitted(scaled, optimizer)(state, batch)
    assert float(small["loss"]) == pytest.approx(float(plain["loss"]), rel=1e-5)


def test_a_count_that_is_not_a_number_shows(toy: ModuleType) -> None:
    """It once counted as 1, and the step went on with the sum of all losses."""

    def spoilt(params: Any, model_state: Any, batch: Any) -> LossOutput:
        return toy.loss_fn(params, model_state, batch)._replace(valid_count=jnp.float32(jnp.nan))

    batch, state = toy.fixed_batch(4), toy.make_state()
    _, metrics = _jitted(spoilt, toy.make_optimizer())(state, batch)
    assert np.isnan(float(metrics["loss"]))


def test_compute_in_bfloat16_keeps_the_state_in_float32(toy: ModuleType) -> None:
    def half(params: Any, model_state: Any, batch: Any) -> LossOutput:
        low = jax.tree.map(lambda w: w.astype(jnp.bfloat16), params)
        output = toy.loss_fn(low, model_state, batch | {"image": batch["image"].astype(jnp.bfloat16)})
        return output._replace(model_state=model_state)

    batch, state, optimizer = toy.fixed_batch(8), toy.make_state(), toy.make_optimizer()
    after, metrics = _jitted(half, optimizer)(state, batch)
    _, plain = _jitted(toy.loss_fn, optimizer)(state, batch)
    chex.assert_trees_all_equal_shapes_and_dtypes(after, state)
    assert metrics["loss"].dtype == jnp.float32
    assert float(metrics["loss"]) == pytest.approx(float(plain["loss"]), rel=2e-2)
    assert float(metrics["loss"]) != float(plain["loss"])


def test_the_state_is_donated_and_compiled_once(toy: ModuleType) -> None:
    traces = 0

    def counted(*arguments: Any) -> LossOutput:
        nonlocal traces
        traces += 1
        return toy.loss_fn(*arguments)

    mesh = data_mesh()
    step = compile_step(counted, toy.make_optimizer(), mesh)
    given = replicate(toy.make_state(), mesh)
    state, batch = given, shard_batch(toy.fixed_batch(8), mesh)
    for _ in range(3):
        state, _ = step(state, batch)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(given))
    assert traces == 1


def test_bad_loss_functions(toy: ModuleType) -> None:
    batch, optimizer = toy.fixed_batch(4), toy.make_optimizer()

    def reserved(*arguments: Any) -> LossOutput:
        return toy.loss_fn(*arguments)._replace(metrics={"loss": jnp.zeros(())})

    with pytest.raises(ValueError, match=r"the metrics \['loss'\] of the loss function are reserved; rename them"):
        _jitted(reserved, optimizer)(toy.make_state(), batch)

    def forgetful(*arguments: Any) -> LossOutput:
        return toy.loss_fn(*arguments)._replace(model_state={})

    with pytest.raises(AssertionError, match="count"):
        _jitted(forgetful, optimizer)(toy.make_state(), batch)


def test_the_state_is_a_pytree_with_names(toy: ModuleType) -> None:
    state = create_state({"w": jnp.ones(2)}, {}, toy.make_optimizer())
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(state)]
    assert paths[:2] == [".step", ".params['w']"]
    assert state.step.dtype == jnp.int32
