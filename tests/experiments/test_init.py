"""Published weights at the start of a run: the loaded parameters, and the preprocessing that belongs to them."""

import jax
import numpy as np
import pytest
from flax import nnx

from experiments.common.dense.config import InitConfig
from experiments.common.dense.init import architecture, deeplab_options, initialized, normalization
from experiments.common.network import build_network
from experiments.segmentation.__main__ import main
from experiments.segmentation.config import Config, ModelConfig
from smoothjax import datasets, models, weights
from tests.datasets.archives import jpeg, labels, pixels, png, unpack
from tests.experiments.command_line import TINY, call, call_on_one
from tests.support import assert_close, random
from tests.weights.reference import tf_variables, torchvision_tensors


@pytest.fixture
def checkpoint(tmp_path):
    np.savez(tmp_path / "resnet10.npz", **torchvision_tensors(10, width=4))  # pyright: ignore[reportArgumentType]
    return tmp_path / "resnet10.npz"


def test_a_run_starts_from_published_weights(checkpoint, tmp_path):
    options = [*TINY, "--steps", "2", "--init.source", "torchvision", "--init.checkpoint", checkpoint]
    out, _ = call_on_one("train", "demo", *options, "--run", tmp_path / "run", folder=tmp_path)
    assert "loaded from torchvision: " in out
    assert "left at initialisation: head." in out
    assert "not used: " in out
    # The file may go: a run remembers what it needs to be read back.
    checkpoint.unlink()
    call("evaluate", tmp_path / "run", folder=tmp_path)
    text = (tmp_path / "run/config.yaml").read_text()
    assert "source: torchvision" in text


def test_a_dry_run_of_a_recipe_shows_frozen_statistics_and_the_split(checkpoint, tmp_path, monkeypatch):
    """The command that `experiments.tables` prints shows neither."""
    base = tmp_path / "source/VOCdevkit/VOC2012"
    unpack(base, {f"ImageSets/Segmentation/{split}.txt": f"{split}\n".encode() for split in ("train", "val")})
    unpack(base, {f"JPEGImages/{split}.jpg": jpeg(pixels(0, (40, 40))) for split in ("train", "val")})
    unpack(base, {f"SegmentationClass/{split}.png": png(labels(0, [0, 1], (40, 40))) for split in ("train", "val")})
    datasets.prepare("voc2012", tmp_path / "source", tmp_path / "voc")
    monkeypatch.setattr("experiments.common.cost.step_costs", lambda *_: {})  # compiled in other tests
    options = ["--data.root", "voc", "--init.source", "torchvision", "--init.checkpoint", checkpoint]
    small = ["--model.encoder", "resnet10", "--model.width", "4", "--data.crop-size", "33", "33", "--batch-size", "8"]
    out, _ = call("train", "voc2012", *options, *small, "--dry-run", folder=tmp_path)
    assert "Batch normalization: frozen in 12 layers." in out
    assert "note: Trained on the 1 images of train: voc has no split train_aug, the 10,582 images" in out


def test_the_encoder_is_that_of_the_loader(checkpoint):
    init = InitConfig("torchvision", checkpoint)
    options = deeplab_options(ModelConfig(encoder="resnet10", width=4, head_rates=(1,)), init, 5)
    network = initialized(build_network(lambda rngs: models.DeepLab(**options, rngs=rngs), 0), init)
    model = network.model()
    reference = weights.resnet_from_torchvision(torchvision_tensors(10, width=4), 10)
    images = random(0, 1, 40, 33, 3)
    assert_close(*(jax.jit(lambda x, f=f: f(x))(images) for f in (model.encoder, reference)))


def test_colours_are_turned_with_the_first_kernel():
    """Caffe's networks take BGR; a study's takes RGB and sees the same."""
    mean, std = normalization(Config(init=InitConfig("deeplab", None)))
    assert mean == (122.67891434, 116.66876762, 104.00698793)
    assert std == (1.0, 1.0, 1.0)
    image = np.random.default_rng(0).integers(0, 256, (4, 4, 3)).astype(np.float32)
    ours = (image - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
    np.testing.assert_allclose(ours[..., ::-1], weights.CAFFE_PREPROCESSING(image), atol=1e-5)


def test_caffe_weights_in_a_study(tmp_path):
    """The encoder on RGB equals the loader's on BGR."""
    variables = tf_variables("caffe", 50, width=4, classes=5, smoothing="none")
    np.savez(tmp_path / "caffe.npz", **variables)  # pyright: ignore[reportArgumentType]
    init = InitConfig("deeplab", tmp_path / "caffe.npz")
    options = deeplab_options(ModelConfig(encoder="resnet50", width=4), init, 5)
    network = initialized(build_network(lambda rngs: models.DeepLab(**options, rngs=rngs), 0), init)
    model = network.model()
    reference, images = weights.deeplab_from_tf(variables), random(0, 1, 40, 33, 3)
    ours = jax.jit(lambda x: model.encoder(x))(images)
    theirs = jax.jit(lambda x: reference.encoder(x))(images[..., ::-1])
    assert_close(ours, theirs)


def test_without_weights_nothing_changes():
    assert architecture(InitConfig()) == {}
    network = build_network(lambda rngs: nnx.Linear(2, 2, rngs=rngs), 0)
    assert initialized(network, InitConfig()) is network
    assert Config().init == InitConfig()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--init.source", "slim"], "--init.source and --init.checkpoint go together"),
        (["--init.source", "torchvision", "--init.checkpoint", "missing.npz"], "missing.npz"),
    ],
)
def test_refuses_before_anything_is_written(arguments, message, tmp_path, capsys):
    options = ["--batch-size", "8", "--eval-batch-size", "8", "--run", str(tmp_path / "run"), *arguments]
    assert main(["train", "demo", *options]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_refuses_weights_of_another_depth(checkpoint):
    init = InitConfig("torchvision", checkpoint)
    options = deeplab_options(ModelConfig(encoder="resnet34", width=4, head_rates=(1,)), init, 5)
    model = nnx.eval_shape(lambda: models.DeepLab(**options, rngs=nnx.Rngs(0)))
    with pytest.raises(ValueError, match="the variables are of a resnet10, the encoder of the network is a resnet34"):
        weights.initialize_encoder(model, weights.read(checkpoint), source="torchvision")
