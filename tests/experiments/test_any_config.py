"""Any configuration that validates trains two steps on drawn images, and says nothing strange."""

import importlib
import json
import math
import tempfile
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from experiments.common.train import train
from experiments.pixel_dcn import config as pixel_dcn
from experiments.segmentation import config as segmentation

_RUN = {
    "steps": st.just(2),
    "batch_size": st.just(16),
    "eval_batch_size": st.just(8),
    "log_every": st.just(1),
    "accumulate": st.sampled_from([1, 2]),
    "evaluate_every": st.sampled_from([1, 7]),
    "evaluate_images": st.sampled_from([None, 1, 3]),
    "checkpoint_every": st.sampled_from([1, 7]),
    "seed": st.integers(0, 2**32 - 1),
}
_DEEPLAB = {
    "encoder": st.sampled_from(["resnet18", "resnet50"]),
    "width": st.sampled_from([2, 4]),
    "head": st.sampled_from(["aspp", "large_fov"]),
    "head_rates": st.sampled_from([None, (1,), (1, 2)]),
    "smoothing": st.sampled_from(["none", "multigrid", "group_interaction", "ss_conv"]),
    "stride_in": st.sampled_from(["1x1", "3x3"]),
    "batch_norm": st.sampled_from(["trained", "frozen"]),
    "precision": st.sampled_from(["float32", "bf16"]),
    "remat": st.booleans(),
}
_IMAGES = {
    "name": st.just("shapes"),
    "train_images": st.integers(1, 20),
    "val_images": st.integers(1, 9),
    "image_size": st.tuples(st.integers(16, 40), st.integers(16, 40)),
    "mirror": st.booleans(),
}
_OPTIM = {
    "optimizer": st.sampled_from(["sgd", "adamw"]),
    "schedule": st.sampled_from(["poly", "one_cycle", "cosine", "constant"]),
    "clip_norm": st.sampled_from([None, 1.0]),
    "loss": st.sampled_from(["cross_entropy", "cross_entropy + 0.5 dice", "ohem + lovasz_softmax", "bce", "focal"]),
    "class_weights": st.sampled_from([None, "enet", "median_frequency", (1.0,) * 8, (0.0, 2.0) * 4]),
    "label_smoothing": st.sampled_from([0.0, 0.1]),
    "momentum": st.sampled_from([0.0, 0.9]),
}
_SEGMENTATION = st.builds(
    segmentation.Config,
    **_RUN,
    model=st.builds(segmentation.ModelConfig, **_DEEPLAB),
    data=st.builds(
        segmentation.DataConfig,
        **_IMAGES,
        scale=st.sampled_from([0.5, 1.0]),
        crop_size=st.tuples(st.integers(9, 40), st.integers(9, 40)),
        scale_range=st.sampled_from([(0.5, 1.5), (1.0, 1.0)]),
    ),
    optim=st.builds(segmentation.OptimizerConfig, **_OPTIM, loss_at=st.sampled_from(["grid", "full"])),
)
_U_NET = {"width": st.sampled_from([2, 4]), "depth": st.integers(2, 4), "batch_norm": _DEEPLAB["batch_norm"]}
_UPSAMPLING = st.sampled_from(get_args(pixel_dcn.Method))
_PIXEL_DCN = st.builds(
    pixel_dcn.Config,
    **_RUN,
    model=st.builds(pixel_dcn.ModelConfig, **_U_NET, upsampling=_UPSAMPLING, precision=_DEEPLAB["precision"])
    | st.builds(pixel_dcn.ModelConfig, **_DEEPLAB, network=st.just("deeplab"), upsampling=_UPSAMPLING),
    data=st.builds(pixel_dcn.DataConfig, **_IMAGES, size=st.sampled_from([(16, 24), (32, 16), (24, 24)])),
    optim=st.builds(
        pixel_dcn.OptimizerConfig,
        **_OPTIM,
        power=st.sampled_from([None, 0.9]),
        weight_decay=st.sampled_from([0.0, 0.1]),
    ),
)


def _valid(config: segmentation.Config | pixel_dcn.Config) -> bool:
    try:
        config.validate()
    except ValueError as error:
        message = str(error)
    else:
        return True
    # It says which option, and what to do.
    assert message.startswith("--")
    assert ": " in message
    return False


@pytest.mark.slow
@pytest.mark.parametrize(("study", "configs"), [("segmentation", _SEGMENTATION), ("pixel_dcn", _PIXEL_DCN)])
def test_what_validates_trains(study, configs):
    # Few examples, and a failing one is shown as it is: each costs a compilation.
    @settings(
        max_examples=4,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
    )
    @given(configs.filter(_valid))
    def trains(config):
        module = importlib.import_module(f"experiments.{study}.study")
        with tempfile.TemporaryDirectory() as folder:
            result = train(module.STUDY, config, Path(folder) / "run", progress=False)
            log = [json.loads(line) for line in (Path(folder) / "run/metrics.jsonl").read_text().splitlines()]
        assert all(math.isfinite(value) for value in result["val"].values() if value is not None)
        assert [line["step"] for line in log if line["split"] == "train"] == [1, 2]

    trains()
