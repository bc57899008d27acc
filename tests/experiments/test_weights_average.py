"""Averaged weights in a study: their batch statistics, the scores of both networks, and the choice between them."""

import json
from typing import Any, cast

import jax
import numpy as np
import pytest
from flax import nnx

from experiments.common.average import BATCHES, better, statistics_estimator
from experiments.common.config import with_options
from experiments.common.evaluate import evaluate
from experiments.common.network import Network
from experiments.common.train import train
from experiments.common.trained import read_run
from experiments.pixel_dcn.config import PRESETS
from experiments.pixel_dcn.study import STUDY
from smoothjax import models, training

SMALL = with_options(
    PRESETS["demo"].config,
    {
        **{"model.width": 2, "model.depth": 2, "data.image_size": (32, 32), "data.size": (16, 16)},
        **{"data.train_images": 16, "data.val_images": 8, "batch_size": 8, "eval_batch_size": 8},
        **{"steps": 4, "evaluate_every": 2, "checkpoint_every": 1, "log_every": 1},
        **{"optim.ema": 0.9, "optim.loss": "cross_entropy + 0.5 dice", "optim.class_weights": "auto"},
    },
)


class _Normed(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.trained = models.BatchNorm(3, mode="trained", momentum=0.9, epsilon=1e-5, rngs=rngs)
        self.frozen = models.BatchNorm(3, mode="frozen", momentum=0.9, epsilon=1e-5, rngs=rngs)


class _Pass:
    """All that the estimator needs of a study: a forward pass."""

    def loss(self, config: None, model: _Normed, batch: Any) -> None:
        model.frozen(model.trained(batch["x"]))


def test_batch_statistics_are_means_over_batches():
    """Wherever they start; a frozen normalisation keeps its own."""
    rng = np.random.default_rng(0)
    batches = [{"x": rng.normal(i, 1 + i, (8, 2, 3)).astype(np.float32)} for i in range(BATCHES + 3)]
    network, mesh = Network.of(_Normed(nnx.Rngs(0))), training.data_mesh()
    estimate = statistics_estimator(cast(Any, _Pass()), cast(Any, None), network, mesh, lambda: iter(batches))
    start = jax.tree.map(lambda leaf: leaf + 7, network.model_state)
    state = training.create_state(network.params, start, cast(Any, training.sgd(lambda step: 0.1)), average=True)
    found = jax.device_get(estimate(training.replicate(state, mesh)).average)
    seen = [batch["x"].reshape(-1, 3) for batch in batches[:BATCHES]]
    trained, frozen = (found["model_state"][name] for name in ("trained", "frozen"))
    np.testing.assert_allclose(trained["mean"], np.mean([x.mean(0) for x in seen], 0), rtol=1e-4)
    np.testing.assert_allclose(trained["var"], np.mean([x.var(0) for x in seen], 0), rtol=1e-4)
    np.testing.assert_array_equal(frozen["mean"], start["frozen"]["mean"])
    assert int(found["measured_at"]) == 0


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("average") / "run"
    return folder, train(STUDY, SMALL, folder, progress=False)


def test_both_networks_are_scored_and_named(run):
    folder, result = run
    both = {name: scores["mean_iou"] for name, scores in result["val_by_network"].items()}
    assert list(both) == ["raw", "averaged"]
    assert result["network"] == better(both, "max")
    assert result["val"]["mean_iou"] == both[result["network"]]
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    last = [line for line in lines if line["split"] == "val"][-1]
    assert (last["raw_mean_iou"], last["averaged_mean_iou"]) == (both["raw"], both["averaged"])


def test_either_network_is_read_back(run, capsys):
    """By default the better one, which is reported; both have the scores found in training."""
    folder, result = run
    for name, scores in result["val_by_network"].items():
        found = evaluate(STUDY, folder, "val", "latest", weights=name)
        assert found.path.name == f"evaluation-val-{name}-network.json"
        assert found.result["mean_iou"] == pytest.approx(scores["mean_iou"], abs=1e-6)
    capsys.readouterr()
    plain = evaluate(STUDY, folder, "val", "latest")
    assert (plain.path.name, plain.result["network"]) == ("evaluation-val.json", result["network"])
    assert f"{folder} at step 4: the {result['network']} network (mean_iou on val: raw" in capsys.readouterr().out
    assert f"{result['network']} network" in STUDY.setting(plain.result)


def test_a_run_that_goes_on_counts_nothing_again(run, capsys):
    """From the checkpoint of step 3, which was not evaluated, so its averaged network is refused."""
    folder, result = run
    weights = json.loads((folder / "class_weights.json").read_text())
    assert weights["rule"] == "auto"
    for path in (folder / "checkpoints/4", folder / "checkpoints/2"):
        for part in sorted(path.rglob("*"), reverse=True) if path.exists() else ():
            part.rmdir() if part.is_dir() else part.unlink()
        if path.exists():
            path.rmdir()
    (folder / "result.json").unlink()
    with pytest.raises(ValueError, match=r"at step 3 was stopped before the batch statistics .* take --network raw"):
        read_run(STUDY, folder, "latest", weights="averaged")
    assert read_run(STUDY, folder, "latest").weights == "raw"
    capsys.readouterr()
    again = train(STUDY, SMALL, folder, progress=False)
    assert "class weights by the rule auto, as counted at the first start:" in capsys.readouterr().out
    assert again["val_by_network"] == result["val_by_network"]
    assert json.loads((folder / "class_weights.json").read_text()) == weights


def test_the_choice():
    assert better({"raw": 0.1, "averaged": 0.2}, "max") == "averaged"
    assert better({"raw": 0.1, "averaged": 0.2}, "min") == "raw"
    for values in ({"raw": 0.1, "averaged": 0.1}, {"averaged": 0.3}, {"raw": 0.1, "averaged": float("nan")}):
        assert better(values, "max") == "raw"


def test_refused_options():
    for options, message in (
        ({"optim.ema": 1.0}, r"--optim.ema must be between 0 and 1, got 1\.0: try 0\.999"),
        ({"patience": 0}, "--patience must be at least 1, got 0: leave it out"),
        (
            {"patience": 2, "evaluate_images": 4},
            "--patience compares evaluations of the whole split, got",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            with_options(SMALL, options).validate()
