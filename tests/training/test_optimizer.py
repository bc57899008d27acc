from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from smoothjax.training import adamw, label_parameters, poly_schedule, sgd


def _params() -> Any:
    rng = np.random.default_rng(0)
    return {
        "encoder": {"kernel": rng.normal(size=(3, 2)), "smoother": rng.normal(size=4)},
        "head": {0: {"kernel": rng.normal(size=(2, 2)), "bias": rng.normal(size=2)}},
    }


def _multiplier(path: tuple) -> float:
    return 1.0 if path[0] == "encoder" else {"kernel": 10.0, "bias": 20.0}[path[-1]]


def _decays(path: tuple) -> bool:
    return path[-1] == "kernel"


def test_is_the_loop_written_by_hand(x64: None) -> None:
    params, steps, initial, momentum, decay = _params(), 12, 0.003, 0.9, 0.05
    optimizer = sgd(
        poly_schedule(initial, 20),
        momentum=momentum,
        weight_decay=decay,
        decay_mask=label_parameters(params, _decays),
        multipliers=label_parameters(params, _multiplier),
    )
    rng = np.random.default_rng(1)
    gradients = [jax.tree.map(lambda w: rng.normal(size=w.shape), params) for _ in range(steps)]

    current: Any = jax.tree.map(jnp.asarray, params)
    state = optimizer.init(params)
    for gradient in gradients:
        updates, state = optimizer.update(gradient, state, current)
        current = optax.apply_updates(current, updates)

    for path in (("encoder", "kernel"), ("encoder", "smoother"), ("head", 0, "kernel"), ("head", 0, "bias")):
        w, velocity = _at(params, path).copy(), 0.0
        for step, gradient in enumerate(gradients):
            rate = (1 - step / 20) ** 0.9 * initial * _multiplier(path)
            velocity = momentum * velocity + _at(gradient, path) + (decay if _decays(path) else 0.0) * w
            w = w - rate * velocity
        np.testing.assert_allclose(_at(current, path), w, rtol=1e-7, err_msg=str(path))


def test_adamw_is_the_loop_written_by_hand(x64: None) -> None:
    """With decoupled decay, multipliers of rate and decay, and clipping of the whole gradient."""
    params, rate, decay, norm = _params(), 0.01, 0.1, 2.0
    optimizer = adamw(
        optax.constant_schedule(rate),
        weight_decay=decay,
        decay_mask=label_parameters(params, _decays),
        multipliers=label_parameters(params, _multiplier),
        clip_norm=norm,
    )
    rng = np.random.default_rng(2)
    gradients = [jax.tree.map(lambda w: rng.normal(size=w.shape), params) for _ in range(5)]
    current: Any = jax.tree.map(jnp.asarray, params)
    state = optimizer.init(params)
    for gradient in gradients:
        updates, state = optimizer.update(gradient, state, current)
        current = optax.apply_updates(current, updates)
    norms = [np.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(gradient))) for gradient in gradients]
    assert min(norms) > norm

    for path in (("encoder", "kernel"), ("encoder", "smoother"), ("head", 0, "kernel"), ("head", 0, "bias")):
        w, first, second = _at(params, path).copy(), 0.0, 0.0
        for step, gradient in enumerate(gradients, 1):
            g = _at(gradient, path) * norm / norms[step - 1]
            first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g**2
            direction = first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
            w = w - rate * _multiplier(path) * (direction + (decay if _decays(path) else 0.0) * w)
        np.testing.assert_allclose(_at(current, path), w, rtol=1e-7, err_msg=str(path))


def test_adamw_without_decay_is_adam() -> None:
    """To the last bit, so earlier presets are unchanged."""
    params: Any = jax.tree.map(jnp.asarray, _params())
    moved = []
    for optimizer in (adamw(poly_schedule(0.1, 10)), optax.adam(poly_schedule(0.1, 10))):
        current, state = params, optimizer.init(params)
        for _ in range(3):
            updates, state = optimizer.update(jax.tree.map(jnp.sin, current), state, current)
            current = optax.apply_updates(current, updates)
        moved.append(current)
    jax.tree.map(np.testing.assert_array_equal, *moved)


def test_clipping_comes_before_decay_and_momentum() -> None:
    params: Any = {"w": jnp.array([3.0, 4.0])}
    optimizer = sgd(optax.constant_schedule(1.0), weight_decay=1.0, clip_norm=1.0)
    updates: Any
    updates, _ = optimizer.update({"w": jnp.array([6.0, 8.0])}, optimizer.init(params), params)
    np.testing.assert_allclose(updates["w"], [-3.6, -4.8], rtol=1e-6)


def _at(tree: Any, path: tuple) -> np.ndarray:
    for key in path:
        tree = tree[key]
    return tree


def test_decay_is_coupled_and_masked() -> None:
    # Without a gradient, the masked leaf rests and the other one shrinks faster and faster, through the momentum.
    params: Any = {"kernel": jnp.ones(()), "smoother": jnp.ones(())}
    updates: Any
    mask = {"kernel": True, "smoother": False}
    optimizer = sgd(optax.constant_schedule(0.1), weight_decay=0.1, decay_mask=mask)
    state, zero, moves = optimizer.init(params), jax.tree.map(jnp.zeros_like, params), []
    for _ in range(3):
        updates, state = optimizer.update(zero, state, params)
        params = optax.apply_updates(params, updates)
        moves.append(float(updates["kernel"]))
    assert float(params["smoother"]) == 1.0
    assert moves[0] == pytest.approx(-0.01)
    assert moves[2] < moves[1] < moves[0] < 0


def test_keeps_the_dtype_of_the_parameters() -> None:
    params: Any = {"w": jnp.ones(3)}
    updates: Any
    optimizer = sgd(poly_schedule(0.1, 10), weight_decay=0.1, multipliers={"w": 10.0})
    updates, _ = optimizer.update(params, optimizer.init(params), params)
    assert updates["w"].dtype == jnp.float32


def test_label_parameters_gives_plain_paths() -> None:
    assert label_parameters(_params(), lambda path: path)["head"][0]["bias"] == ("head", 0, "bias")


def test_bad_arguments() -> None:
    schedule = optax.constant_schedule(0.1)
    with pytest.raises(ValueError, match=r"momentum must be in \[0, 1\), got 1\.0; the paper has 0\.9"):
        sgd(schedule, momentum=1.0)
    with pytest.raises(ValueError, match=r"weight_decay must be finite and not negative, got -0\.1; 0 turns it off"):
        sgd(schedule, weight_decay=-0.1)
    with pytest.raises(ValueError, match=r"multipliers\['w'\] must be finite and not negative, got nan; 0 freezes"):
        sgd(schedule, multipliers={"w": float("nan")})
    with pytest.raises(ValueError, match=r"sgd: clip_norm must be positive and finite, got 0\.0; None turns it off"):
        sgd(schedule, clip_norm=0.0)
    with pytest.raises(ValueError, match=r"adamw: b2 must be in \[0, 1\), got 1\.0; leave it out"):
        adamw(schedule, b2=1.0)
    with pytest.raises(ValueError, match=r"adamw: eps must be positive and finite, got 0\.0"):
        adamw(schedule, eps=0.0)
    params = {"w": jnp.ones(3), "b": jnp.ones(3)}
    other = {"w": 1, "c": 1}
    for name, optimizer in (
        ("decay_mask", sgd(schedule, decay_mask=other)),
        ("multipliers", sgd(schedule, multipliers=other)),
    ):
        with pytest.raises(
            ValueError, match=rf"{name} must have one leaf.*missing .*'b'.*unknown .*'c'.*build it with"
        ):
            optimizer.init(params)
