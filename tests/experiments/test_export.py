"""An exported run gives the same masks: as a program without Flax and this library, and as loaded weights."""

import importlib
import subprocess
import sys
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from experiments.common.config import with_options
from experiments.common.dense.export import export
from experiments.common.dense.predict import predict
from experiments.pixel_dcn import config as pixel_dcn
from experiments.pixel_dcn.study import STUDY as PIXEL_DCN
from experiments.segmentation.config import Config, DataConfig, ModelConfig
from experiments.segmentation.study import STUDY as SEGMENTATION
from smoothjax import data, models, weights
from tests.experiments.command_line import call, run
from tests.experiments.made_runs import save_untrained

# Hides all but what an exported program may need.
_RELOAD = """
import sys, numpy
for name in ("flax", "smoothjax", "experiments", "optax"):
    sys.modules[name] = None
from jax import export
images = numpy.load(sys.argv[2])
model = export.deserialize(open(sys.argv[1], "rb").read())
assert model.platforms == ("cpu", "cuda", "tpu"), model.platforms
numpy.savez(sys.argv[3], *[model.call(images[name]) for name in images.files])
"""


def _reload(folder, images):
    np.savez(folder / "images.npz", *images)
    arguments = [folder / "model.stablehlo", folder / "images.npz", folder / "masks.npz"]
    subprocess.run([sys.executable, "-c", _RELOAD, *map(str, arguments)], cwd=folder, check=True, capture_output=True)
    with np.load(folder / "masks.npz") as masks:
        return [masks[name] for name in masks.files]


def _random(*shape):
    return np.random.default_rng(sum(shape)).integers(0, 256, (*shape, 3), np.uint8)


def _predicted(study, folder, image):
    """The mask that the command `predict` writes."""
    Image.fromarray(image).save(folder / "image.png")
    predict(study, folder / "run", [folder / "image.png"], folder / "out", "latest")
    with Image.open(folder / "out/image_mask.png") as mask:
        expected = np.asarray(mask)
    assert len(np.unique(expected)) > 1
    return expected


@pytest.mark.parametrize("smoothing", [pytest.param("ss_conv", marks=pytest.mark.slow), "group_interaction"])
def test_any_number_of_images_of_any_size(tmp_path, smoothing):
    model = ModelConfig(encoder="resnet10", width=4, head_rates=(1, 2), smoothing=smoothing)
    save_untrained(SEGMENTATION, tmp_path / "run", Config(model=model, data=DataConfig(name="shapes", scale=0.5)))
    out = export(SEGMENTATION, tmp_path / "run", tmp_path / "model.stablehlo", "latest")
    assert "images of any size from 16 pixels on, for cpu, cuda, tpu" in out
    images = [_random(3, 64, 128), _random(1, 37, 51)]
    for image, masks in zip(images, _reload(tmp_path, images), strict=True):
        assert (masks.shape, masks.dtype) == (image.shape[:3], np.uint8)
        np.testing.assert_array_equal(masks[-1], _predicted(SEGMENTATION, tmp_path, image[-1]))


@pytest.mark.slow
def test_the_command(tmp_path):
    """For a network that sees only one size."""
    model = pixel_dcn.ModelConfig(width=4, depth=2, upsampling="fast_pixel_dcl")
    config = pixel_dcn.Config(model=model, data=pixel_dcn.DataConfig(name="shapes", size=(16, 24)))
    save_untrained(PIXEL_DCN, tmp_path / "run", config)
    options = {"folder": tmp_path, "study": "pixel_dcn"}
    out, _ = run("export", tmp_path / "run", **options)
    assert "model.stablehlo: step 0, images of 16x24 pixels" in out
    image = _random(3, 16, 24)
    (masks,) = _reload(tmp_path, [image])
    np.testing.assert_array_equal(masks[-1], _predicted(PIXEL_DCN, tmp_path, image[-1]))


def test_weights_load_as_the_network_of_the_run(tmp_path):
    """By the command and one line; the command states that the network sees RGB minus ImageNet's mean."""
    model = ModelConfig(encoder="resnet10", width=4, head_rates=(1, 2), smoothing="ss_conv")
    save_untrained(SEGMENTATION, tmp_path / "run", Config(model=model, data=DataConfig(name="shapes")))
    out, _ = call("export", tmp_path / "run", "--format", "safetensors", folder=tmp_path)
    assert "model.safetensors: step 0, a DeepLab with its weights." in out
    found, about = weights.load(tmp_path / "model.safetensors"), weights.describe(tmp_path / "model.safetensors")
    assert isinstance(found, models.DeepLab)
    assert about.classes == data.SHAPES.names
    assert about.preprocessing == weights.Preprocessing(data.IMAGENET_MEAN, data.IMAGENET_STD)
    assert about.preprocessing is not None
    image = _random(1, 37, 51)
    logits = models.upsample_logits(found(jnp.asarray(about.preprocessing(image))), image.shape[1:3], stride=8)
    np.testing.assert_array_equal(jnp.argmax(logits, -1)[0], _predicted(SEGMENTATION, tmp_path, image[0]))


def test_what_is_printed_segments_as_predict_does(tmp_path):
    """For a run at half size, which the file does not record."""
    model = ModelConfig(encoder="resnet18", width=4, head_rates=(1, 2))
    save_untrained(SEGMENTATION, tmp_path / "run", Config(model=model, data=DataConfig(name="shapes", scale=0.5)))
    out, _ = call("export", tmp_path / "run", "--format", "safetensors", "--out", tmp_path / "w.safetensors",
                  folder=tmp_path)  # fmt: skip
    assert "scales=(0.5,)" in out
    image = _random(1, 64, 96)[0]
    names: dict[str, Any] = {"image": image}
    exec("\n".join(line.strip() for line in out.partition("In Python:\n")[2].splitlines()), names)
    expected = _predicted(SEGMENTATION, tmp_path, image)
    assert (names["mask"] == expected).mean() > 0.98  # probabilities are resampled here, logits there


@pytest.mark.parametrize(("study", "network"), [("vae", "ConvVAE"), ("sequence", "TemporalConvNet")])
def test_weights_of_other_studies(study, network, tmp_path):
    config, module = (importlib.import_module(f"experiments.{study}.{part}") for part in ("config", "study"))
    small = with_options(config.PRESETS["demo"].config, {"model.width": 2})
    save_untrained(module.STUDY, tmp_path / "run", small, module.STUDY.read_target(small, tmp_path))
    out, _ = call("export", tmp_path / "run", "--out", tmp_path / "a/b.safetensors", folder=tmp_path, study=study)
    assert f"b.safetensors: step 0, a {network} with its weights." in out
    assert type(weights.load(tmp_path / "a/b.safetensors")).__name__ == network


def test_files_that_do_not_go(tmp_path):
    save = ["export", tmp_path / "run", "--format", "safetensors"]
    for arguments, message in (
        (["--out", tmp_path], "--out must be a file, got the folder"),
        (["--out", "model.npz"], "--out must end in .safetensors, got model.npz: name it e.g. model.safetensors"),
        (["--size", "32", "32"], "--size is an option of --format stablehlo, weights take images of any size: leave"),
    ):
        _, err = call(*save, *arguments, folder=tmp_path, status=1)
        assert message in err


def test_sizes_that_do_not_go(tmp_path):
    model = pixel_dcn.ModelConfig(width=4, depth=2)
    config = pixel_dcn.Config(model=model, data=pixel_dcn.DataConfig(name="shapes", size=(16, 24)))
    save_untrained(PIXEL_DCN, tmp_path / "run", config)
    for size, message in (((32, 32), "must be 16 24, which the network sees, got 32 32"), ((8, 8), "at least 16 16")):
        with pytest.raises(ValueError, match=f"--size {message}" if "16 24" in message else f"must be {message}"):
            export(PIXEL_DCN, tmp_path / "run", tmp_path / "model", "latest", size)
    with pytest.raises(ValueError, match=r"--out must be a file, got the folder"):
        export(PIXEL_DCN, tmp_path / "run", tmp_path, "latest")
