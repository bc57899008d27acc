"""The engine that all studies share, on a study of one number."""

import json
import signal
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from experiments.common.compare import compare, report_run
from experiments.common.comparison import Curve, Page
from experiments.common.config import RunConfig
from experiments.common.learner import Loss
from experiments.common.report import align, median_seconds, spread
from experiments.common.run_files import read_examples, read_log, read_result
from experiments.common.study import Study, Summary
from experiments.common.train import train
from experiments.runs import _best
from smoothjax import training


@dataclass(frozen=True)
class MeanConfig(RunConfig):
    study: ClassVar[str] = "mean"
    compared: ClassVar[str] = "descent"

    descent: str = "slow"

    @property
    def initial_rate(self):
        return 0.1


class Number(nnx.Module):
    """One parameter."""

    def __init__(self):
        self.w = nnx.Param(jnp.zeros(()))


class Mean(Study[MeanConfig, None, Any, Number]):
    """Finds the number closest to 0 .. 7; the validation split has ten examples."""

    config = MeanConfig
    labels: ClassVar[Any] = {"slow": "slow descent", "fast": "fast descent"}
    metric, mode = "error", "min"
    curves = (Curve("train", "loss", "Loss", "squared"), Curve("val", "error", "Error", "none", from_zero=False))

    def __init__(self):
        self.passes: list[int | None] = []

    def open_split(self, config, split, target=None):
        return range(8 if split == "train" else 10)

    def target(self, config, source):
        return None

    def read_target(self, config, folder):
        return None

    def augmentation(self, config, target):
        return lambda number, rng: {"x": np.asarray(number, np.float32)}

    def batches(self, config, source, limit):
        self.passes.append(limit)
        yield {"x": np.zeros(config.eval_batch_size), "index": np.arange(config.eval_batch_size)}

    def make_model(self, config, target, rngs):
        return Number()

    def loss(self, config, model, batch):
        return Loss(((model.w[...] - batch["x"]) ** 2).sum(), jnp.asarray(batch["x"].size))

    def make_optimizer(self, config, params):
        schedule = optax.constant_schedule({"slow": 0.01, "fast": 0.1}[config.method])
        return optax.sgd(schedule), schedule

    def score(self, config, model, batch):
        return {"error": jnp.abs(model.w[...] - 3.5)}, None

    def scores(self, totals):
        return {"error": float(totals["error"])}

    def summarize(self, trained, source, found):
        return Summary({"seen": self.passes[-1] or len(source)}, {"w": np.asarray(trained.state.params["w"])})

    def score_table(self, result):
        return f"error {result['error']}"

    def outcome(self, result):
        return ""

    def title(self, config):
        return "Means"

    def report(self, comparison):
        rows = [[method, spread([run["val"]["error"] for run in runs])] for method, runs in comparison.results.items()]
        return Page(align(["method", "error"], rows), "Ten numbers.", ("More.",))


SHORT = MeanConfig(steps=4, batch_size=8, eval_batch_size=8, evaluate_every=2)


@pytest.mark.parametrize(("limit", "passes"), [(None, [None, None]), (3, [3, None])])
def test_the_result_is_of_the_whole_split(tmp_path, limit, passes):
    """The loop's last evaluation becomes the result, and sees the whole split whatever earlier ones see."""
    study = Mean()
    config = replace(SHORT, evaluate_images=limit)
    result = train(study, config, tmp_path / "run", progress=False)
    assert study.passes == passes
    assert result == json.loads((tmp_path / "run/result.json").read_text())
    assert list(result) == ["method", "seed", "steps", "val", "seen", "parameters", "seconds_per_step"]
    assert (result["method"], result["seen"], result["parameters"]) == ("slow", 10, 1)
    assert abs(read_examples(tmp_path / "run")["w"] - 3.5) == pytest.approx(result["val"]["error"])
    # Stopped between the last checkpoint and its result, it looks again.
    (tmp_path / "run/result.json").unlink()
    assert train(study, config, tmp_path / "run", progress=False)["val"] == result["val"]
    assert study.passes == [*passes, None]


def test_only_evaluations_of_the_whole_split_rank(tmp_path):
    """On three examples the error looks smaller: ranked beside evaluations of all ten, the part would win."""

    class Flattered(Mean):
        def scores(self, totals):
            return {"error": 0.1 if self.passes[-1] else 2.0}

    for limit in (3, None):
        folder = tmp_path / str(limit)
        train(Flattered(), replace(SHORT, evaluate_images=limit), folder, progress=False)
        with training.Checkpoints(folder / "checkpoints", metric="error", mode="min", read_only=True) as checkpoints:
            assert (checkpoints.best_step, checkpoints.best_value) == (4, 2.0)
        logged = [line["error"] for line in read_log(folder) if line["split"] == "val"]
        assert logged == ([0.1, 2.0] if limit else [2.0, 2.0])
        assert _best(folder) == "error 2 at 4"


def test_a_score_that_is_nan_is_a_gap(tmp_path):
    """An evaluation without a score ended a comparison with a TypeError, and lost its report."""

    class Blind(Mean):
        def scores(self, totals):
            # None at step 2 of both seeds, and none at step 4 of the second.
            return {"error": 2.0 if len(self.passes) == 2 else float("nan")}

    for _ in range(2):  # as trained, and as read back
        text = compare(Blind(), SHORT, ["slow"], [0, 1], tmp_path / "runs")
        assert "| slow   | 2.0 (1 of 2) |" in text
    for name in ("report.json", "slow-seed1/result.json"):
        assert "NaN" not in (tmp_path / "runs" / name).read_text()
    assert "| slow   | 2.0 (1 of 2) |" in (tmp_path / "runs/report.md").read_text()
    assert (tmp_path / "runs/curves.png").exists()
    assert [line["error"] for line in read_log(tmp_path / "runs/slow-seed0") if line["split"] == "val"] == [None, 2.0]
    # The report of a single run without any score.
    folder = tmp_path / "runs/slow-seed1"
    report_run(Blind(), replace(SHORT, seed=1), folder, read_result(folder))
    assert "| slow   | -     |" in (folder / "report.md").read_text()


def test_a_stop_in_the_last_evaluation_costs_no_score(tmp_path, monkeypatch):
    """Repeating the command adds the result, its line in the log, and the rank of its checkpoint."""
    study, whole = Mean(), Mean()
    batches = study.batches

    def stopped(config, source, limit):
        if len(study.passes) == 1:  # the last evaluation comes
            signal.raise_signal(signal.SIGTERM)
        return batches(config, source, limit)

    monkeypatch.setattr(study, "batches", stopped)
    with pytest.raises(training.Stopped):
        train(study, SHORT, tmp_path / "run", progress=False)
    monkeypatch.undo()
    result = train(study, SHORT, tmp_path / "run", progress=False)
    assert result["val"] == train(whole, SHORT, tmp_path / "whole", progress=False)["val"]
    assert study.passes == [None, None]
    logged = [[line for line in read_log(tmp_path / name) if line["split"] == "val"] for name in ("run", "whole")]
    assert logged[0] == logged[1]
    assert _best(tmp_path / "run") == _best(tmp_path / "whole") != "-"


def test_a_finished_run_is_left_alone(tmp_path, capsys):
    study = Mean()
    result = train(study, SHORT, tmp_path / "run", progress=False)
    assert train(study, SHORT, tmp_path / "run", progress=False) == result
    assert study.passes == [None, None]
    assert f"{tmp_path / 'run'} is finished" in capsys.readouterr().out
    with pytest.raises(ValueError, match="descent: slow there, fast now"):
        train(study, SHORT.with_method("fast"), tmp_path / "run")


def test_any_study_is_compared(tmp_path):
    text = compare(Mean(), SHORT, ("slow", "fast"), (0, 1), tmp_path)
    assert "| slow   | 3.2 ± 0.0 |" in text
    assert text.splitlines()[-1] == f"{tmp_path}/report.md and curves.png show it."
    report = (tmp_path / "report.md").read_text()
    for words in ("# Means", "\nMore.\n", "Ten numbers. Seeds 0, 1; mean ± standard deviation.", "![Training curves]"):
        assert words in report
    assert (tmp_path / "curves.png").stat().st_size > 500


def test_a_single_run_is_reported(tmp_path):
    result = train(Mean(), SHORT, tmp_path / "run", progress=False)
    assert report_run(Mean(), SHORT, tmp_path / "run", result) == ["curves.png"]
    report = (tmp_path / "run/report.md").read_text()
    for words in ("# Means", "| slow ", "Seeds 0.", "Command: `", "![Training curves](curves.png)"):
        assert words in report
    assert (tmp_path / "run/curves.png").stat().st_size > 500


def test_the_same_seed_gives_the_same_result(tmp_path):
    results = [train(Mean(), SHORT, tmp_path / str(time), progress=False) for time in range(2)]
    first, second = ({**result, "seconds_per_step": None} for result in results)
    assert first == second


def test_tables_are_aligned():
    assert align(["a", "bcd"], [["efg", "h"]]) == "| a   | bcd |\n| --- | --- |\n| efg | h   |"
    assert median_seconds([{"seconds_per_step": value} for value in (0.5, float("nan"))]) == "0.500"
    assert median_seconds([{"seconds_per_step": float("nan")}]) == "-"
    assert (spread([1.0]), spread([1.0, 3.0]), spread([0.5], 3)) == ("1.0", "2.0 ± 1.4", "0.500")
