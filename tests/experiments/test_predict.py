"""A mask does not depend on the other images, or the command warns; scores do not depend on the devices."""

import jax
import numpy as np
import pytest
from PIL import Image

from experiments.common.dense import sources
from experiments.common.dense.sources import Images
from experiments.common.evaluate import Scorer
from experiments.common.trained import read_run
from experiments.segmentation.__main__ import main
from experiments.segmentation.config import Config, DataConfig, ModelConfig
from experiments.segmentation.study import STUDY
from smoothjax import data, training
from tests.experiments.made_runs import save_untrained


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run of no steps, and images of three sizes."""
    folder = tmp_path_factory.mktemp("predict")
    model = ModelConfig(encoder="resnet10", width=4, head_rates=(1, 2))
    config = Config(model=model, data=DataConfig(name="shapes"), eval_batch_size=1)
    save_untrained(STUDY, folder / "run", config)
    for index, size in enumerate([(33, 40), (35, 40), (64, 48)]):
        Image.fromarray(data.ShapesSource(length=1, size=size)[0]["image"]).save(folder / f"{index}.png")
    return folder


def _predicted(folder, indices, name):
    """The mask of the first image when all are predicted together."""
    images = [str(folder / f"{index}.png") for index in indices]
    assert main(["predict", str(folder / "run"), *images, "--out", str(folder / name)]) == 0
    with Image.open(folder / name / "0_mask.png") as mask:
        assert mask.size == (40, 33)
        return np.asarray(mask)


def test_alone_and_among_others(folder, capsys):
    """An image has the same mask whatever other sizes accompany it."""
    alone = _predicted(folder, [0], "alone")
    capsys.readouterr()
    np.testing.assert_array_equal(alone, _predicted(folder, [2, 0, 1], "three"))
    assert [line.rpartition("_")[2] for line in capsys.readouterr().out.splitlines()][-3:] == [
        "mask.png",
        "overlay.png",
        f"{folder}/three/legend.png",
    ]


def test_tiles_hold_no_image_in_floating_point_numbers(folder, capsys, monkeypatch):
    """The program for whole images is not called; the tests of `models.segment` show that tiles give the same."""
    monkeypatch.setattr(type(STUDY), "segment", lambda *_: pytest.fail("the whole image was looked at"))
    arguments = [str(folder / "2.png"), "--tile", "32", "32", "--out", str(folder / "tiled")]
    assert main(["predict", str(folder / "run"), *arguments]) == 0
    with Image.open(folder / "tiled/2_mask.png") as mask:
        assert mask.size == (48, 64)


def test_an_image_is_decoded_once(tmp_path, monkeypatch):
    """It was decoded to be checked, segmented and drawn: three times the time of a large photograph."""
    for index in range(3):
        Image.new("RGB", (9, 6), (index, 0, 0)).save(tmp_path / f"{index}.png")
    decoded, decode = [], data.decode_view

    def counted(file, *arguments, **options):
        decoded.append(file.name)
        return decode(file, *arguments, **options)

    monkeypatch.setattr(data, "decode_view", counted)
    source = Images([tmp_path / f"{index}.png" for index in range(3)], data.SHAPES)
    assert [source[index]["image"].max() for index in (0, 1, 2, 0)] == [0, 1, 2, 0]
    assert decoded == ["0.png", "1.png", "2.png"]
    monkeypatch.setattr(sources, "_KEPT_BYTES", 9 * 6 * 3)  # of many images, the latest is kept
    few = Images([tmp_path / f"{index}.png" for index in range(3)], data.SHAPES)
    assert [few[index]["image"].max() for index in (2, 0, 0)] == [2, 0, 0]
    assert decoded[3:] == ["0.png", "1.png", "2.png", "0.png"]


def test_images_made_smaller_stay_in_their_place(tmp_path):
    """For a network of one size: a JPEG with one pixel more than the decoder's blocks is not stretched."""
    ramp = np.broadcast_to(np.linspace(0, 255, 65)[None, :, None], (65, 65, 3)).astype(np.uint8)
    Image.fromarray(ramp).save(tmp_path / "a.jpg", quality=100)
    source = Images([tmp_path / "a.jpg"], data.SHAPES)
    assert source.read(0, (8, 8))["image"].shape == (9, 9, 3)
    seen = data.ResizedSource(source, (8, 8))[0]["image"]
    whole = data.resize({"image": data.read_image(tmp_path / "a.jpg"), "label": source[0]["label"]}, (8, 8))["image"]
    assert np.abs(seen.astype(int) - whole).max() <= 5


def test_any_number_of_devices_scores_a_run(folder, monkeypatch):
    """A run that evaluates one image at a time scores the same on eight devices and on one."""
    one = training.data_mesh(jax.devices()[:1])

    def confusion():
        run, source = read_run(STUDY, folder / "run", "latest"), data.ShapesSource(length=3, size=(33, 40))
        assert run.config.eval_batch_size == 1
        return Scorer(STUDY, run.config, run.network, run.mesh).score(run.state, source).totals.pixels

    several = confusion()
    monkeypatch.setattr(training, "data_mesh", lambda: one)
    np.testing.assert_array_equal(several, confusion())
