"""Figures 8 and 9: the paper's statements about them in numbers, and in the figures."""

import json
from typing import Any

import jax
import numpy as np
import optax
import pytest
from flax import nnx
from PIL import Image

from experiments.common.dense.field_figures import ENLARGEMENT
from experiments.common.dense.fields import Images, fit, whole_blocks
from experiments.common.dense.init import normalization
from experiments.common.dense.sources import scaled
from experiments.common.run_folder import describe_run
from experiments.common.study import Trained
from experiments.erf import study
from experiments.erf.__main__ import main
from experiments.erf.fields import blocks
from experiments.segmentation.config import Config, DataConfig, ModelConfig
from experiments.segmentation.study import STUDY
from experiments.vae.config import Config as VaeConfig
from smoothjax import data, models, nn, training
from tests.experiments.made_runs import classes
from tests.support import build, random

BASELINE, INTERACTION, SHARED = range(3)


def _network(config):
    """An untrained network whose smoothing has left the identity, as in training."""
    network = STUDY.build_network(config, classes(3))
    flags = training.label_parameters(network.params, nn.is_smoother)
    moved = jax.tree.map(lambda leaf, flag: leaf + 0.05 * random(0, *leaf.shape) * flag, network.params, flags)
    state = training.create_state(moved, network.model_state, optax.identity())
    return Trained(config, classes(3), network, state, 0, training.data_mesh())


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The command with networks of two channels and a single image."""
    folder = tmp_path_factory.mktemp("erf")
    runs = {}
    for method in study.METHODS:
        model = ModelConfig(encoder="resnet18", width=2, head_rates=(1,))
        config = Config(model=model, data=DataConfig(name="shapes", val_images=3)).with_method(method)
        runs[folder / method] = _network(config)
        describe_run(folder / method, config)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "read_run", lambda study, folder, checkpoint, data_root: runs[folder])
        assert main(["--runs", *map(str, runs), "--images", "1", "--out", str(folder / "out")]) == 0
    return folder / "out"


def check(out):
    """Asserts the statements of Sec. 4.4 about both figures."""
    content = json.loads((out / "erf.json").read_text())
    for figure, rate in (("fig8", 4), ("fig9", 2)):
        rows = content[figure]
        assert [row["label"] for row in rows] == ["baseline", "group interaction", "SS convolution"]
        # "Only the leftmost visualization for the baseline has black pixels that represent zero weights."
        assert rows[BASELINE]["zero_share"] > 0.7
        assert rows[INTERACTION]["zero_share"] == rows[SHARED]["zero_share"] == 0
        # "Both methods expand the rectangular size of the ERF due to the SS operations."
        for row in rows[1:]:
            assert row["support"] > rows[BASELINE]["support"]
            assert min(row["theoretical"]) > max(rows[BASELINE]["theoretical"])
            assert row["phase_imbalance"] < rows[BASELINE]["phase_imbalance"]
            assert row["fewest"][-1] > rows[BASELINE]["fewest"][-1]
        assert rows[BASELINE]["phase_imbalance"] == pytest.approx(1)
        # "'SS FC' still has a grid-like visualization [...] the block-wise operation": whole blocks, and nothing else.
        assert rows[INTERACTION]["whole_blocks"] == 1
        assert rows[BASELINE]["whole_blocks"] == 0
        assert rows[SHARED]["whole_blocks"] < 1
        with np.load(out / f"{figure}.npz") as arrays:
            for index, row in enumerate(rows):
                field, connected = arrays[f"erf_{index}"], arrays[f"connected_{index}"]
                np.testing.assert_array_equal(field > 0, connected)
                assert row["whole_blocks"] == whole_blocks(field, rate)
    return content


def test_what_the_paper_says(measured):
    content = check(measured)
    # 3x3 at rate 4: nine taps; three blocks of 4x4; a filter of 7x7 around each tap.
    assert [row["support"] for row in content["fig8"]] == [9, 12**2, 15**2]
    # "It corresponds to a 3x3 filter with zeros inserted between non-zero weights."
    assert content["fig8"][BASELINE]["zero_share"] == pytest.approx(1 - 9 / 81)
    # Four layers of rate 2 and four of rate 4: 4 * (2 * 2 + 2 * 4) + 1 cells, only even offsets.
    assert [row["theoretical"] for row in content["fig9"]] == [[49, 49], [52, 52], [81, 81]]
    assert content["fig9"][BASELINE]["support"] == 25**2


def test_group_interaction_repeats_one_pattern_in_all_blocks(measured):
    """After one layer the field is the product of a pattern within blocks and a factor for each block."""
    with np.load(measured / "fig8.npz") as arrays:
        interaction, shared = (arrays[f"erf_{index}"] for index in (INTERACTION, SHARED))

    def likeness(field):
        rows, columns = (length // 4 for length in field.shape)
        blocks = field.reshape(rows, 4, columns, 4).swapaxes(1, 2).reshape(rows * columns, 16)
        energy = np.linalg.svd(blocks, compute_uv=False) ** 2
        return energy[0] / energy.sum()

    assert likeness(interaction) == pytest.approx(1, abs=1e-6)
    assert likeness(shared) < 0.99


def test_a_cell_is_ten_by_ten_pixels_and_zeros_are_black(measured):
    with Image.open(measured / "fig8.png") as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    # The window is the field of SS convolution and a cell more on every side. Nothing above the panels is black wholly.
    side = 17 * ENLARGEMENT
    black = (pixels == 0).all(-1)
    top = next(row for row in range(len(black)) if black[row].sum() > 2 * side)
    left = int(np.nonzero(black[top + 15])[0][0])
    while not black[top + 2 : top + 8, left : left + side].all():
        left += 1
    # Only inner pixels: the outline lies on the borders of cells.
    panel = pixels[top : top + side, left : left + side].reshape(17, ENLARGEMENT, 17, ENLARGEMENT, 3)
    inner = panel[:, 2:8, :, 2:8].transpose(0, 2, 1, 3, 4).reshape(17, 17, -1, 3)
    assert (inner == inner[:, :, :1]).all()
    with np.load(measured / "fig8.npz") as arrays:
        shown = arrays["erf_0"][36:53, 36:53]
    np.testing.assert_array_equal((inner[:, :, 0] > 0).any(-1), shown > 0)


@pytest.mark.parametrize(
    ("length", "expected"),
    [(2, [0, 0, 1, 1, 0]), (5, [0, 1, 2, 3, 4]), (6, [0, 1, 2, 3, 4]), (9, [2, 3, 4, 5, 6])],
)
def test_images_are_cropped_or_mirrored_about_their_centre(length, expected):
    image = np.arange(length).reshape(length, 1, 1)
    assert fit(image, (5, 1)).ravel().tolist() == expected
    assert fit(image.swapaxes(0, 1), (1, 5)).ravel().tolist() == expected
    assert fit(image, (64, 3)).shape == (64, 3, 1)


def test_images_of_many_sizes_are_resized_without_compiling(monkeypatch):
    """As in evaluation: linearly, and smoothed where they shrink."""
    sizes = [(40, 56), (57, 41), (64, 64)]
    source: Any = [data.ShapesSource(length=1, size=size)[0] for size in sizes]
    config = Config(data=DataConfig(name="shapes", scale=0.5))
    mean, std = (np.asarray(values) for values in normalization(config))
    expected = []
    for record in source:
        height, width = (scaled(length, 0.5) for length in record["label"].shape)
        resized = jax.image.resize((record["image"] - mean) / std, (height, width, 3), "linear")
        expected.append(fit(np.asarray(resized), (48, 48)))

    def refuse(*_, **__):
        raise AssertionError("compiled for every size")

    monkeypatch.setattr(jax.image, "resize", refuse)
    (found,) = Images(source, config, (48, 48), None, 3, 0.5)
    # Pillow rounds to whole levels, in each of the two directions.
    np.testing.assert_allclose(found * std, np.stack(expected) * std, atol=1.01)


def test_the_data_set_may_have_moved(tmp_path, monkeypatch):
    """`--data-root` works as for `evaluate`; the remaining error is that nothing has been trained."""
    describe_run(tmp_path / "run", Config())
    asked = []

    def read_run(study, folder, checkpoint, data_root):
        asked.append((folder, data_root))
        raise ValueError("no checkpoint")

    monkeypatch.setattr(study, "read_run", read_run)
    assert main(["--runs", str(tmp_path / "run"), "--data-root", str(tmp_path)]) == 1
    assert asked == [(tmp_path / "run", tmp_path)]


def test_runs_of_other_studies_and_networks_are_refused(tmp_path, capsys):
    describe_run(tmp_path / "vae", VaeConfig())
    describe_run(tmp_path / "run", Config())
    for arguments, message in (
        (["--runs", tmp_path / "vae"], "holds a run of the study vae: use python -m experiments.vae"),
        (["--runs", tmp_path / "nothing"], "holds no run (config.yaml is missing); runs beside it: "),
        (["--runs", tmp_path / "run", tmp_path / "run"], "more than once: a run has one panel"),
        (["--images", 0], "--images must be at least 1, got 0"),
        (["--size", 40, 704], "--size must be at least 48 48, to show anything, got 40 704"),
        (["--out", tmp_path / "run/config.yaml"], "--out must be a folder"),
    ):
        assert main(list(map(str, arguments))) == 1
        assert message in capsys.readouterr().err


def test_a_network_without_rate_4_is_refused():
    class Coarse(nnx.Module):
        def __init__(self, rngs):
            self.encoder = models.ResNetEncoder(18, output_stride=16, width=2, rngs=rngs)

        def __call__(self, x):
            return self.encoder(x)

    with pytest.raises(ValueError, match="its encoder has no 3x3 convolution of rate 4"):
        blocks(build(Coarse), (136, 136))


def test_all_dilated_layers_are_those_of_the_coarse_grid():
    """Also for EfficientNet-Lite, whose stages have other numbers: a field is in cells of 8 pixels."""
    abstract = nnx.eval_shape(
        lambda: models.DeepLab(encoder="efficientnet_lite0", width=8, num_classes=2, rngs=nnx.Rngs(0))
    )
    graph, state = nnx.split(abstract)
    leaves = [(path, leaf.replace(np.zeros(leaf.shape, np.float32))) for path, leaf in nnx.to_flat_state(state)]
    found = blocks(nnx.merge(graph, nnx.from_flat_state(leaves)), (136, 136))
    for block in found.values():
        features = jax.eval_shape(block.features, jax.ShapeDtypeStruct((1, 136, 136, 3), np.float32))
        assert features.shape[1:3] == (17, 17)
