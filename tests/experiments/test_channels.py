"""Images with other channels than RGB, from files to masks, figures and exported networks."""

import dataclasses

import jax
import numpy as np
import pytest
import yaml
from flax import nnx
from jax import export
from PIL import Image

from experiments.common.config import with_options
from experiments.common.dense.config import InitConfig
from experiments.common.dense.export import export as export_program
from experiments.common.dense.init import initialized, normalization
from experiments.common.dense.predict import predict
from experiments.common.fork import plan_fork
from experiments.common.network import Network
from experiments.common.run_folder import load_config, with_parent
from experiments.segmentation.config import Config, DataConfig, ModelConfig
from experiments.segmentation.study import STUDY
from smoothjax import data, weights
from smoothjax.datasets._augmented import AugmentedSource
from tests.datasets.archives import labels, png, unpack
from tests.experiments.command_line import call
from tests.experiments.made_runs import classes, save_untrained
from tests.support import assert_close, random
from tests.weights.reference import tf_variables, torchvision_tensors

_MODEL = ModelConfig(encoder="resnet10", width=2, head_rates=(1,), head="large_fov")
_SIZE, _RANDOM = (24, 24), InitConfig()


def _config(channels, init=_RANDOM, **options):
    statistics = {"mean": (100.0,) * channels, "std": (50.0,) * channels}
    images = DataConfig(name="folder", channels=channels, **(statistics | options))
    return Config(model=_MODEL, data=images, init=init)


def _values(seed, channels):
    return np.random.default_rng(seed).integers(0, 256, (*_SIZE, channels)).astype(np.uint8)


def _folder(root, channels):
    """Training and validation images as arrays, each with a mask."""
    names = [f"{split}/{{}}/{i}" for split in ("train", "val") for i in range(2)]
    masks = {f"{name.format('labels')}.png": png(labels(0, [0, 1], _SIZE)) for name in names}
    unpack(root, {"classes.yaml": b"a: [255, 0, 0]\nb: [0, 0, 255]", **masks})
    for index, name in enumerate(names):
        (root / name.format("images")).parent.mkdir(exist_ok=True)
        np.save(root / f"{name.format('images')}.npy", _values(index, channels))
    return root


def test_five_channels_from_files_to_masks(tmp_path):
    """By the command line: statistics are measured and kept, then train, score, draw, and predict from an array."""
    root = _folder(tmp_path / "data", 5)
    options = ["--model.width", "2", "--model.depth", "2", "--data.size", "16", "16", "--data.channels", "5"]
    lengths = ["--steps", "1", "--batch-size", "8", "--eval-batch-size", "8", "--run", "run"]
    options += ["--data.name", "folder"]
    call("train", "demo", "--data.root", root, *options, *lengths, folder=tmp_path, study="pixel_dcn")
    kept = yaml.safe_load((tmp_path / "run/config.yaml").read_text())["data"]
    images = np.stack([_values(i, 5) for i in range(2)]).astype(float)
    np.testing.assert_allclose(kept["mean"], images.mean((0, 1, 2)), atol=0.006)
    np.testing.assert_allclose(kept["std"], images.std((0, 1, 2)), atol=0.006)
    assert (tmp_path / "run/predictions.png").is_file()
    call("predict", "run", root / "val/images", "--out", "masks", folder=tmp_path, study="pixel_dcn")
    with Image.open(tmp_path / "masks/0_mask.png") as mask, Image.open(tmp_path / "masks/0_overlay.png") as overlay:
        assert mask.size == overlay.size == _SIZE[::-1]
        assert overlay.mode == "RGB"
    out, _ = call("export", "run", "--format", "safetensors", folder=tmp_path, study="pixel_dcn")
    assert "a UNet with its weights" in out
    described = weights.describe(tmp_path / "model.safetensors")
    assert described.arguments["in_features"] == 5
    assert described.preprocessing is not None
    assert list(described.preprocessing.mean) == kept["mean"]
    # Another array is another number of channels, and that is said before anything runs.
    np.save(tmp_path / "four.npy", _values(0, 4))
    _, err = call("predict", "run", "four.npy", "--out", "masks", folder=tmp_path, study="pixel_dcn", status=1)
    assert "an array of shape [24, 24, 4], not of 5 channels" in err


def test_classes_are_counted_in_images_of_five_channels(tmp_path):
    """For weights in the loss and for balanced crops: every file was refused because it is not RGB."""
    options = {"optim.class_weights": "auto", "data.augment.balanced": 0.5}
    config = with_options(_config(5, root=_folder(tmp_path, 5)), options)
    source = STUDY.open_split(config, "train")
    learnt, *_ = STUDY.measured(config, source, {}, progress=False)
    assert isinstance(learnt.optim.class_weights, tuple)
    assert len(STUDY.training_augmentation(config, source.classes, source).crop_weights) == 2
    assert len(AugmentedSource(source, (8, 8), (1.0, 1.0), config.data.augment)) == 2


@pytest.fixture(scope="module")
def grey_run(tmp_path_factory):
    """A run on grey images, of no steps."""
    folder = tmp_path_factory.mktemp("grey") / "run"
    save_untrained(STUDY, folder, _config(1), classes(2))
    return folder


def test_grey_images_are_exported_and_predicted_alike(grey_run, tmp_path):
    """The program takes grey images; a colour image enters as its luminance, in tiles and whole."""
    export_program(STUDY, grey_run, tmp_path / "model.stablehlo", "latest", size=_SIZE)
    program = export.deserialize(bytearray((tmp_path / "model.stablehlo").read_bytes()))
    assert program.in_avals[0].shape[1:] == (*_SIZE, 1)
    Image.fromarray(_values(0, 3)).save(tmp_path / "color.png")
    predict(STUDY, grey_run, [tmp_path / "color.png"], tmp_path / "out", "latest")
    grey = data.read_image(tmp_path / "color.png", channels=1)
    with Image.open(tmp_path / "out/color_mask.png") as mask:
        np.testing.assert_array_equal(np.asarray(mask), program.call(grey[None])[0])
    with Image.open(tmp_path / "out/color_overlay.png") as overlay:
        assert overlay.mode == "RGB"


def test_a_fork_takes_the_statistics_of_its_parent(grey_run):
    """Unless others are given; RGB images do not fit, and the message names the option."""
    init = InitConfig("run", grey_run)
    child = with_options(_config(1, init), {"data.mean": None, "data.std": None})
    assert normalization(with_parent(child)) == ((100.0,), (50.0,))
    own = with_options(child, {"data.mean": (1.0,), "data.std": (2.0,)})
    assert normalization(with_parent(own)) == ((1.0,), (2.0,))
    assert load_config(grey_run, Config).data.channels == 1
    color = with_parent(Config(model=_MODEL, init=init))
    assert color.data.mean is None
    with pytest.raises(ValueError, match=r"encoder\.conv1.kernel \[7, 7, 1, 2\] there, \[7, 7, 3, 2\] here"):
        plan_fork(STUDY, color, classes(2), grey_run)
    with pytest.raises(ValueError, match=r"--data\.channels 1 there, 3 here"):
        plan_fork(STUDY, color, classes(2), grey_run)


def test_statistics_are_measured_where_they_are_needed(tmp_path):
    root = _folder(tmp_path, 2)
    config = _config(2, root=root, mean=None, std=None)
    with pytest.raises(ValueError, match=r"images of 2 channels need --data\.mean and --data\.std"):
        normalization(config)
    measured = STUDY.completed(config).data
    assert measured.mean is not None
    assert len(measured.mean) == 2
    given, color = _config(2, root=root), Config(data=DataConfig(name="folder", root=root))
    assert STUDY.completed(given) is given
    assert STUDY.completed(color) is color


def _quick(config):
    """The network, with initial weights that need no compilation."""
    model = nnx.eval_shape(lambda: STUDY.make_model(config, classes(2), nnx.Rngs(0)))
    graph, state = nnx.split(model)
    leaves = [(path, leaf.replace(np.zeros(leaf.shape, np.float32))) for path, leaf in nnx.to_flat_state(state)]
    return Network.of(nnx.merge(graph, nnx.from_flat_state(leaves)))


@pytest.fixture(scope="module")
def torchvision(tmp_path_factory):
    path, tensors = tmp_path_factory.mktemp("weights") / "resnet10.npz", torchvision_tensors(10, width=2)
    np.savez(path, **tensors)  # pyright: ignore[reportArgumentType]
    return path, np.asarray(tensors["conv1.weight"]).transpose(2, 3, 1, 0)


def test_published_weights_see_grey_as_they_saw_it_in_colour(torchvision, capsys):
    path, kernel = torchvision
    config = _config(1, InitConfig("torchvision", path))
    network = initialized(_quick(config), config.init)
    assert "first kernel for 1 channel: averaged over red, green and blue and times 3" in capsys.readouterr().out
    grey = random(0, 1, 9, 9, 1)
    found, expected = (
        jax.lax.conv(images.transpose(0, 3, 1, 2), weight.transpose(3, 2, 0, 1), (2, 2), "SAME")
        for images, weight in ((grey, network.params["encoder"]["conv1"]["kernel"]), (grey.repeat(3, -1), kernel))
    )
    assert_close(found, expected)


def test_published_weights_for_more_channels_repeat_the_colours(torchvision, capsys):
    """In the order red, green, blue, red, ..., also for weights that take BGR; outputs keep about their size."""
    path, kernel = torchvision
    config = _config(5, InitConfig("torchvision", path))
    network = initialized(_quick(config), config.init)
    assert (
        "first kernel for 5 channels: red, green, blue, red, ... repeated and scaled by 3/5" in capsys.readouterr().out
    )
    found = network.params["encoder"]["conv1"]["kernel"]
    np.testing.assert_allclose(found, 0.6 * kernel[:, :, [0, 1, 2, 0, 1]], rtol=1e-6)
    assert normalization(config) == ((100.0,) * 5, (50.0,) * 5)


def test_bgr_weights_for_more_channels(tmp_path):
    """Caffe's weights expect values of 0 .. 255 minus a mean: the inputs keep that spread."""
    variables = tf_variables("caffe", 50, width=2, classes=2, smoothing="none")
    np.savez(tmp_path / "caffe.npz", **variables)  # pyright: ignore[reportArgumentType]
    config = _config(4, InitConfig("deeplab", tmp_path / "caffe.npz"))
    config = dataclasses.replace(config, model=dataclasses.replace(_MODEL, encoder="resnet50"))
    network = initialized(_quick(config), config.init)
    bgr = np.asarray(variables["conv1/weights"])
    np.testing.assert_allclose(network.params["encoder"]["conv1"]["kernel"], 0.75 * bgr[:, :, [2, 1, 0, 2]], rtol=1e-6)
    np.testing.assert_allclose(normalization(config)[1], [50 * 3 / sum(data.IMAGENET_STD)] * 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 0}, "--data.channels must be 1 .. 256, got 0: 1 is grey"),
        ({"name": "shapes", "channels": 1}, "--data.channels 1 is for images in files, drawn shapes are RGB"),
        ({"channels": 4, "mean": (1.0,) * 4}, "--data.mean and --data.std go together"),
        ({"mean": (1.0,), "std": (1.0,)}, "--data.mean must have a number for each of the 3 channels"),
        ({"channels": 1, "mean": (1.0,), "std": (0.0,)}, "--data.std must be positive"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        DataConfig(**({"name": "folder"} | options)).validate()
