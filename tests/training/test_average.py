"""The exponential average of the weights: in the step, in the checkpoint, and with its estimated statistics."""

from pathlib import Path
from types import ModuleType
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smoothjax.training import Checkpoints, TrainState, average_weights, averaged_state


def test_is_the_average_written_by_hand(toy: ModuleType, tmp_path: Path) -> None:
    """With the decay of the first steps, and the given decay once it is smaller."""
    seen: list[Any] = [jax.device_get(toy.make_state().params)]

    def evaluate(state: TrainState) -> dict[str, float]:
        seen.append(jax.tree.map(np.array, jax.device_get(state.params)))
        return {"mean_iou": 0.0}

    state = toy.make_state(average=True)
    result = toy.fit(tmp_path, max_steps=6, evaluate=evaluate, evaluate_every=1, state=state, average=0.35)
    expected = seen[0]
    for step, params in enumerate(seen[1:]):
        decay = min(0.35, (1 + step) / (10 + step))
        expected = jax.tree.map(lambda a, p, d=decay: d * a + (1 - d) * p, expected, params)
    chex.assert_trees_all_close(jax.device_get(result.state.average["params"]), expected, rtol=1e-5, atol=1e-7)
    shown = averaged_state(result.state)
    assert shown.params is result.state.average["params"]
    plain = toy.fit(tmp_path / "plain", max_steps=6)
    chex.assert_trees_all_equal(jax.device_get(result.state.params), jax.device_get(plain.state.params))
    assert plain.state.average == {}


def test_a_resumed_run_goes_on_with_its_average(toy: ModuleType, tmp_path: Path) -> None:
    """Bitwise, with the statistics estimated at the last evaluation."""

    def refresh(state: TrainState) -> TrainState:
        return TrainState(**{**vars(state), "average": {**state.average, "measured_at": jnp.copy(state.step)}})

    def run(folder: Path, steps: int) -> Any:
        every: dict[str, Any] = {"evaluate": lambda _: {"mean_iou": 0.0}, "evaluate_every": 4, "refresh": refresh}
        return toy.fit(folder, max_steps=steps, state=toy.make_state(average=True), average=0.9, **every)

    run(tmp_path / "twice", 6)
    twice, whole = run(tmp_path / "twice", 11), run(tmp_path / "whole", 11)
    chex.assert_trees_all_equal(jax.device_get(twice.state.average), jax.device_get(whole.state.average))
    with Checkpoints(tmp_path / "whole/checkpoints", read_only=True) as checkpoints:
        assert checkpoints.steps == [10, 11]
        restored = checkpoints.restore_latest(whole.state)
    assert restored is not None
    assert int(restored.state.average["measured_at"]) == 11
    chex.assert_trees_all_equal(jax.device_get(restored.state.average), jax.device_get(whole.state.average))


def test_bad_arguments(toy: ModuleType) -> None:
    state = toy.make_state()
    with pytest.raises(ValueError, match=r"average_weights: decay must be between 0 and 1, got 1\.0; try 0\.999"):
        average_weights(state, state.params, 1.0)
    for function in (averaged_state, lambda state: average_weights(state, state.params, 0.9)):
        with pytest.raises(ValueError, match=r"the state holds no average; make it with create_state\(\.\.\., average"):
            function(state)
