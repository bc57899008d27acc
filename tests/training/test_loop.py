import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import chex
import grain
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smoothjax.training import (
    Checkpoints,
    Evaluation,
    Evaluator,
    LoopConfig,
    LossOutput,
    Problem,
    TrainState,
    data_mesh,
    fit,
)


def _lines(folder: Path, split: str) -> dict[int, dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in lines if line["split"] == split]
    assert steps == sorted(set(steps))
    return {line["step"]: line for line in lines if line["split"] == split}


def _kept(folder: Path) -> list[int]:
    return sorted(int(path.name) for path in (folder / "checkpoints").iterdir() if path.name.isdigit())


def test_trains_logs_and_evaluates(toy: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[int] = []

    def evaluate(state: TrainState) -> dict[str, float]:
        seen.append(int(state.step))
        return {"mean_iou": {6: 0.2, 12: 0.8, 18: 0.3, 20: 0.5}[seen[-1]]}

    given = toy.make_state()
    result = toy.fit(tmp_path, state=given, evaluate=evaluate, evaluate_every=6, progress=True)
    assert seen == [6, 12, 18, 20]
    assert int(result.state.step) == 20
    assert result.metrics == {"mean_iou": 0.5}
    assert (result.best_step, result.best_value) == (12, 0.8)
    assert _kept(tmp_path) == [12, 18, 20]  # saved were 5, 6, 10, 12, 15, 18, 20
    with Checkpoints(result.checkpoints, read_only=True) as checkpoints:
        best = checkpoints.restore_best(result.state)
    assert (int(best.state.step), best.metrics) == (12, {"mean_iou": 0.8})

    train = _lines(tmp_path, "train")
    assert list(train) == [4, 8, 12, 16, 20]
    assert list(_lines(tmp_path, "val")) == seen
    assert train[20]["loss"] < 0.6 * train[4]["loss"]
    assert train[8]["learning_rate"] == pytest.approx(0.05 * 0.93**0.9, rel=1e-5)
    assert {"loss", "accuracy", "grad_norm", "steps_per_second"} < set(train[4])
    assert "step 8  train  loss " in capsys.readouterr().out
    np.testing.assert_array_equal(given.step, 0)  # the given state is alive


def test_evaluations_that_do_not_rank_are_logged(toy: ModuleType, tmp_path: Path) -> None:
    """A part of the examples may look better than all examples."""
    scores = {2: 0.9, 4: 0.5, 6: 0.4}
    result = toy.fit(
        tmp_path,
        max_steps=6,
        evaluate=lambda state: {"mean_iou": scores[int(state.step)]},
        evaluate_every=2,
        ranks=lambda step: step > 2,
    )
    assert (result.best_step, result.best_value) == (4, 0.5)
    assert {step: line["mean_iou"] for step, line in _lines(tmp_path, "val").items()} == scores
    with Checkpoints(result.checkpoints, read_only=True) as checkpoints:
        assert checkpoints.best_step == 4


def test_a_log_line_is_the_mean_over_its_interval(toy: ModuleType, tmp_path: Path) -> None:
    toy.fit(tmp_path / "single", max_steps=8, log_every=1)
    toy.fit(tmp_path / "four", max_steps=8, log_every=4)
    single, four = _lines(tmp_path / "single", "train"), _lines(tmp_path / "four", "train")
    for name in ("loss", "accuracy", "grad_norm"):
        assert four[8][name] == pytest.approx(np.mean([single[step][name] for step in (5, 6, 7, 8)]), rel=1e-12)


def test_eight_devices_train_as_one(toy: ModuleType, tmp_path: Path) -> None:
    results = [toy.fit(tmp_path / str(devices), devices=devices) for devices in (1, 8)]
    chex.assert_trees_all_close(*(jax.device_get(result.state) for result in results), rtol=1e-5, atol=1e-5)


def test_a_run_continues_on_another_number_of_devices(toy: ModuleType, tmp_path: Path) -> None:
    toy.fit(tmp_path / "split", max_steps=10, devices=8)
    split = toy.fit(tmp_path / "split", max_steps=20, devices=2)
    whole = toy.fit(tmp_path / "whole", max_steps=20, devices=2)
    chex.assert_trees_all_close(jax.device_get(split.state), jax.device_get(whole.state), rtol=1e-5, atol=1e-5)


def test_a_finished_run_returns_at_once(toy: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = toy.fit(tmp_path, evaluate=lambda _: {"mean_iou": 0.25})
    before = (tmp_path / "metrics.jsonl").read_bytes()

    def fail(*_: Any) -> Any:
        raise AssertionError("a finished run neither trains nor evaluates")

    again = toy.fit(tmp_path, evaluate=fail, loss_fn=fail)
    assert f"{tmp_path} is finished: it holds step 20 of 20" in capsys.readouterr().out
    chex.assert_trees_all_equal(jax.device_get(again.state), jax.device_get(first.state))
    assert (again.metrics, again.best_step, again.best_value) == ({"mean_iou": 0.25}, 20, 0.25)
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


def _poison(batch_index: int, toy: ModuleType) -> Any:
    def change(index: int, batch: Any) -> Any:
        return batch | {"image": batch["image"] * np.float32(np.nan if index == batch_index else 1)}

    return toy.Wrapped(toy.make_iterator(), change)


@pytest.mark.parametrize(("batch_index", "step", "good"), [(7, 8, 5), (9, 10, 5), (10, 11, 10)])
def test_nan_stops_with_the_step_and_the_last_good_checkpoint(
    batch_index: int, step: int, good: int, toy: ModuleType, tmp_path: Path
) -> None:
    message = (
        rf"step {step}: the loss is nan \(loss nan\); training stopped. Last good checkpoint: step {good}, "
        rf"{re.escape(str(tmp_path))}/checkpoints/{good}\. Lower the learning rate"
    )
    with pytest.raises(FloatingPointError, match=message):
        toy.fit(tmp_path, iterator=_poison(batch_index, toy), log_every=100)
    assert _kept(tmp_path)[-1] == good
    # With the fault removed, the same run goes on from there.
    resumed = toy.fit(tmp_path, iterator=toy.Wrapped(toy.make_iterator(), lambda _, batch: batch))
    whole = toy.fit(tmp_path / "whole")
    chex.assert_trees_all_equal(jax.device_get(resumed.state.params), jax.device_get(whole.state.params))


def test_nan_before_the_first_checkpoint(toy: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(
        FloatingPointError, match=r"step 1: the loss is nan .*checkpoint: none was saved before\. Lower"
    ):
        toy.fit(tmp_path, iterator=_poison(0, toy))


def test_a_bad_label_stops_the_run(toy: ModuleType, tmp_path: Path) -> None:
    wrapped = toy.Wrapped(toy.make_iterator(), lambda _, batch: batch | {"label": batch["label"] + 1})
    with pytest.raises(FloatingPointError, match="correct labels that are not a class"):
        toy.fit(tmp_path, iterator=wrapped)


def test_a_gradient_that_is_not_finite_stops_the_run(toy: ModuleType, tmp_path: Path) -> None:
    def loss_fn(params: Any, model_state: Any, batch: Any) -> LossOutput:
        output = toy.loss_fn(params, model_state, batch)
        late = model_state["count"] == 6  # sqrt(0): the loss is fine, its slope is infinite
        corner = jnp.sqrt(jnp.sum(0 * jnp.abs(params["convs"][0]["kernel"])))
        return output._replace(loss_sum=output.loss_sum + jnp.where(late, corner, 0.0))

    with pytest.raises(FloatingPointError, match=r"the norm of the gradient is nan \(loss [\d.]+\)"):
        toy.fit(tmp_path, loss_fn=loss_fn)


def test_a_state_that_is_not_finite_is_not_saved(toy: ModuleType, tmp_path: Path) -> None:
    def loss_fn(params: Any, model_state: Any, batch: Any) -> LossOutput:
        output = toy.loss_fn(params, model_state, batch)
        mean = jnp.where(model_state["count"] > 6, jnp.inf, output.model_state["norm"]["mean"])
        return output._replace(model_state=output.model_state | {"norm": {"mean": mean}})

    message = r"step 10: state\.model_state\['norm'\]\['mean'\] is no longer finite; .*checkpoint: step 5,"
    with pytest.raises(FloatingPointError, match=message):
        toy.fit(tmp_path, loss_fn=loss_fn)
    assert _kept(tmp_path) == [5]


def test_a_batch_without_a_valid_pixel_does_no_harm(toy: ModuleType, tmp_path: Path) -> None:
    wrapped = toy.Wrapped(toy.make_iterator(), lambda _, batch: batch | {"label": 0 * batch["label"] + 255})
    toy.fit(tmp_path, iterator=wrapped, max_steps=4)
    assert _lines(tmp_path, "train")[4]["loss"] == 0


def test_a_state_in_mid_run_is_refused_before_training(toy: ModuleType, tmp_path: Path) -> None:
    """Its first checkpoint would be named after a different step than the state's."""
    with pytest.raises(ValueError, match=r"problem.state must be of step 0, got step 3: `create_state` begins"):
        toy.fit(tmp_path, state=toy.at(toy.make_state(), 3))


def test_data_that_ends_says_so(toy: ModuleType, tmp_path: Path) -> None:
    dataset = grain.MapDataset.source(list(range(24))).seed(0).random_map(toy.example).batch(8).to_iter_dataset()
    with pytest.raises(ValueError, match=r"the data ended before step 4 of 20; end the pipeline with \.repeat\(\)"):
        toy.fit(tmp_path, iterator=iter(dataset))


def test_a_batch_that_the_devices_do_not_divide(toy: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"batch\['image'\] on this process must be a positive multiple of the 8 dev"):
        toy.fit(tmp_path, iterator=toy.make_iterator(6))


def test_an_evaluation_without_the_metric(toy: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(KeyError, match=r"must return the metric 'mean_iou' .* got \['loss'\]; name one"):
        toy.fit(tmp_path, evaluate=lambda _: {"loss": 1.0}, evaluate_every=5)


def test_bad_intervals(toy: ModuleType, tmp_path: Path) -> None:
    problem = Problem(toy.loss_fn, toy.make_optimizer(), toy.SCHEDULE, toy.make_state(), toy.make_iterator())
    for name in ("steps", "accumulate", "log_every", "evaluate_every", "checkpoint_every"):
        for value, rule in ((0, "at least 1, got 0"), (2.5, "an int, got 2.5; give a whole number")):
            with pytest.raises(ValueError, match=f"fit: config.{name} must be {rule}"):
                fit(LoopConfig(**{"steps": 10, name: value}), problem, tmp_path, mesh=data_mesh())
    assert list(tmp_path.iterdir()) == []


def test_the_details_of_the_last_evaluation_are_returned(toy: ModuleType, tmp_path: Path) -> None:
    """Not if they were found before the run was resumed, since they would have to be computed again."""

    def evaluate(state: TrainState) -> Evaluation[str]:
        return Evaluation({"error": 1 / int(state.step)}, f"after {int(state.step)}")

    def run(iterator: Any) -> Any:
        problem = Problem(toy.loss_fn, toy.make_optimizer(), toy.SCHEDULE, toy.make_state(), iterator)
        return fit(
            LoopConfig(4, evaluate_every=2),
            problem,
            tmp_path,
            mesh=data_mesh(jax.devices()[:1]),
            evaluator=Evaluator(evaluate, metric="error", mode="min"),
            progress=False,
        )

    first, again = run(toy.make_iterator()), run(toy.make_iterator())
    assert first.evaluation == Evaluation({"error": 0.25}, "after 4")
    assert (again.evaluation, again.metrics, again.best_step) == (None, {"error": 0.25}, 4)
