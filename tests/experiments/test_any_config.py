"""Any configuration that validates trains two steps on drawn images, without a strange message."""

import importlib
import json
import math
import random
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias, get_args

import pytest

from experiments.common.config import RunConfig, with_options
from experiments.common.train import train
from experiments.pixel_dcn import config as pixel_dcn
from experiments.segmentation import config as segmentation
from tests.experiments.command_line import first_devices

Values: TypeAlias = Sequence[Any] | Callable[[random.Random], Any]
"""Of an option: all that are tried, each at least once; or one that is drawn."""


def _size(low: int, high: int) -> Callable[[random.Random], tuple[int, int]]:
    return lambda rng: (rng.randint(low, high), rng.randint(low, high))


def _count(high: int) -> Callable[[random.Random], int]:
    return lambda rng: rng.randint(1, high)


_FIXED = {"steps": 2, "batch_size": 16, "eval_batch_size": 8, "log_every": 1, "data.name": "shapes"}
_RUN: dict[str, Values] = {
    "accumulate": [1, 2],
    "evaluate_every": [1, 7],
    "evaluate_images": [None, 1, 3],
    "checkpoint_every": [1, 7],
    "seed": lambda rng: rng.getrandbits(32),
    "data.train_images": _count(20),
    "data.val_images": _count(9),
    "data.image_size": _size(30, 40),
    "data.mirror": [False, True],
    "optim.optimizer": ["sgd", "adamw"],
    "optim.schedule": ["poly", "one_cycle", "cosine", "constant"],
    "optim.clip_norm": [None, 1.0],
    "optim.loss": ["cross_entropy", "cross_entropy + 0.5 dice", "ohem + lovasz_softmax", "bce", "focal"],
    "optim.class_weights": [None, "enet", "median_frequency", (1.0,) * 8, (0.0, 2.0) * 4],
    "optim.label_smoothing": [0.0, 0.1],
    "optim.momentum": [0.0, 0.9],
    "model.batch_norm": ["trained", "frozen"],
    "model.precision": ["float32", "bf16"],
    "model.width": [2, 4],
}
_DEEPLAB: dict[str, Values] = {
    "model.encoder": ["resnet10", "resnet50"],
    "model.head": ["aspp", "large_fov"],
    "model.head_rates": [None, (1,), (1, 2)],
    "model.smoothing": ["none", "multigrid", "group_interaction", "ss_conv"],
    "model.stride_in": ["1x1", "3x3"],
    "model.remat": [False, True],
}
_OPTIONS: dict[str, dict[str, Values]] = {
    "segmentation": {
        **_RUN,
        **_DEEPLAB,
        "data.scale": [0.5, 1.0],
        "data.crop_size": _size(9, 40),
        "data.scale_range": [(0.5, 1.5), (1.0, 1.0)],
        "optim.loss_at": ["grid", "full"],
    },
    "pixel_dcn": {
        **_RUN,
        **_DEEPLAB,
        "model.network": ["unet", "deeplab"],
        "model.depth": [2, 3, 4],
        "model.upsampling": get_args(pixel_dcn.Method),
        "data.size": [(16, 24), (32, 16), (24, 24)],
        "optim.power": [None, 0.9],
        "optim.weight_decay": [0.0, 0.1],
    },
}
# Of the network that is not chosen: they stay at their defaults.
_OTHERS = {"unet": set(_DEEPLAB), "deeplab": {"model.depth"}}
_PLAIN: Mapping[str, RunConfig] = {"segmentation": segmentation.Config(), "pixel_dcn": pixel_dcn.Config()}


def _choices(options: Mapping[str, Values]) -> set[tuple[str, Any]]:
    return {(name, value) for name, values in options.items() if not callable(values) for value in values}


#: Every listed choice must occur. The options of DeepLab need not occur again in the second study.
_LISTED = {
    "segmentation": _choices(_OPTIONS["segmentation"]),
    "pixel_dcn": _choices(_OPTIONS["pixel_dcn"]) - _choices(_DEEPLAB),
}
#: How long a DeepLab is compiled, in units of a level of the U-Net.
_COSTS = {"resnet10": 4, "resnet50": 16}
#: Configurations that are drawn, and of these the most that it takes for every choice to occur.
_DRAWN, _TRAINED = 1000, 12


@cache
def _drawn(study: str) -> list[tuple[RunConfig, frozenset[tuple[str, Any]], int]]:
    """Random valid configurations, the choices of each, and its cost; others must be refused with a remedy."""
    rng, found = random.Random(0), []
    for _ in range(_DRAWN):
        options = {name: v(rng) if callable(v) else rng.choice(v) for name, v in _OPTIONS[study].items()}
        network = options.get("model.network", "deeplab")
        for name in _OTHERS[network] & options.keys():
            del options[name]
        config = with_options(_PLAIN[study], _FIXED | options)
        if (refusal := _refusal(config)) is not None:
            # The message names the option and the remedy.
            assert refusal.startswith("--")
            assert ": " in refusal
            continue
        choices = frozenset((name, value) for name, value in options.items() if not callable(_OPTIONS[study][name]))
        cost = options["model.depth"] if network == "unet" else _COSTS[options["model.encoder"]]
        found.append((config, choices, cost))
    return found


def _refusal(config: RunConfig) -> str | None:
    try:
        config.validate()
    except ValueError as error:
        return str(error)
    return None


@cache
def _covering(study: str) -> list[RunConfig]:
    """A few of these in which every choice occurs, and which compile quickly."""
    missing, chosen = set(_LISTED[study]), []
    while missing:
        config, choices, _ = max(_drawn(study), key=lambda drawn: len(drawn[1] & missing) / drawn[2])
        assert choices & missing, f"no valid configuration has one of {missing}"
        chosen.append(config)
        missing -= choices
    return chosen


@pytest.mark.parametrize("study", _OPTIONS)
def test_few_configurations_have_every_choice(study):
    assert len(_covering(study)) <= _TRAINED


@pytest.mark.slow
@pytest.mark.parametrize("index", range(_TRAINED))
@pytest.mark.parametrize("study", _OPTIONS)
def test_what_validates_trains(study, index, tmp_path):
    if index >= len(_covering(study)):
        pytest.skip("every choice has occurred")
    module = importlib.import_module(f"experiments.{study}.study")
    # A program for eight devices takes longer to compile: how they share a batch is seen in tests of each loss, layer
    # and network, and here in the first configuration.
    with first_devices(None if index == 0 else 1):
        result = train(module.STUDY, _covering(study)[index], tmp_path / "run", progress=False)
    log = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert all(math.isfinite(value) for value in result["val"].values() if value is not None)
    assert [line["step"] for line in log if line["split"] == "train"] == [1, 2]
