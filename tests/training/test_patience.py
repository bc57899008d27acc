"""Runs that end early."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from smoothjax.training import LoopConfig, Problem, TrainState, data_mesh, fit

# The second best is no improvement, nor is the best again.
SCORES = {2: 0.5, 4: 0.4, 6: 0.6, 8: 0.6, 10: 0.5, 12: 0.9}


def _evaluate(stop_at: int | None = None) -> Callable[[TrainState], dict[str, float]]:
    def evaluate(state: TrainState) -> dict[str, float]:
        if int(state.step) == stop_at:
            raise RuntimeError("the machine is gone")
        return {"mean_iou": SCORES[int(state.step)]}

    return evaluate


def test_ends_early_and_counts_as_finished(toy: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = {"max_steps": 12, "evaluate_every": 2, "patience": 2}
    result = toy.fit(tmp_path, evaluate=_evaluate(), **options)
    assert (int(result.state.step), result.best_value, result.metrics) == (10, 0.6, {"mean_iou": 0.5})
    said = f"{tmp_path} ends early, after step 10 of 12: 2 evaluations without improvement of mean_iou"
    assert said in capsys.readouterr().out
    again = toy.fit(tmp_path, evaluate=_evaluate(stop_at=12), **options)
    assert (int(again.state.step), again.metrics) == (10, {"mean_iou": 0.5})
    said = f"{tmp_path} is finished: it holds step 10 of 12, 2 evaluations without improvement of mean_iou"
    assert said in capsys.readouterr().out


def test_a_resumed_run_counts_on(toy: ModuleType, tmp_path: Path) -> None:
    """Its log holds the evaluations before the interruption; counting anew would let it run to the end."""
    options = {"max_steps": 12, "evaluate_every": 2, "patience": 2}
    with pytest.raises(RuntimeError, match="the machine is gone"):
        toy.fit(tmp_path, evaluate=_evaluate(stop_at=10), **options)
    assert int(toy.fit(tmp_path, evaluate=_evaluate(), **options).state.step) == 10


def test_without_patience_a_run_goes_to_its_end(toy: ModuleType, tmp_path: Path) -> None:
    assert int(toy.fit(tmp_path, max_steps=12, evaluate=_evaluate(), evaluate_every=2).state.step) == 12


def test_bad_patience(toy: ModuleType, tmp_path: Path) -> None:
    problem = Problem(toy.loss_fn, toy.make_optimizer(), toy.SCHEDULE, toy.make_state(), toy.make_iterator())
    with pytest.raises(ValueError, match=r"fit: config.patience must be an int, at least 1, got 0; None never ends"):
        fit(LoopConfig(10, patience=0), problem, tmp_path, mesh=data_mesh())
    with pytest.raises(ValueError, match=r"fit: config.patience counts evaluations, got 2 and no evaluator; give one"):
        fit(LoopConfig(10, patience=2), problem, tmp_path, mesh=data_mesh())
