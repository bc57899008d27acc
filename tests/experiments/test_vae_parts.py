"""The parts of the study of auto-encoders: faces, batches, latents, the loss and the figures."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from experiments.common.plain import from_dict, to_dict
from experiments.vae.__main__ import PROGRAM
from experiments.vae.config import PRESETS, Config, DataConfig, Method, OptimizerConfig
from experiments.vae.figures import draw_strips, grid, pairs
from experiments.vae.sources import Augment, Pictures, draw_latents, fit, held_out_batches, open_source
from experiments.vae.study import STUDY
from smoothjax import data, datasets, models, nn
from tests.datasets.archives import jpeg, pixels, png, unpack, zipped
from tests.experiments.made_runs import assert_survives_its_file

METHODS = get_args(Method)


def test_a_prepared_celeba_gives_the_same_faces(tmp_path, monkeypatch):
    """The same as its archive; it is found where `prepare` puts it."""
    monkeypatch.chdir(tmp_path)
    files = {f"img_align_celeba/{i:06d}.jpg": jpeg(pixels(i, (218, 178))) for i in range(6)}
    zipped(tmp_path / "in/img_align_celeba.zip", files)
    lines = "\n".join(f"{i:06d}.jpg {i // 2}" for i in range(6))
    (tmp_path / "in/list_eval_partition.txt").write_text(lines)
    datasets.prepare("celeba", tmp_path / "in")
    for split in ("train", "val", "test"):
        sources = [
            open_source(DataConfig(name="celeba", root=root), split)
            for root in (tmp_path / "in", None, Path("data/celeba"))
        ]
        for source in sources:
            assert (len(source), source.name(1), source.size(1)) == (2, sources[0].name(1), (64, 64))
            for index in range(2):
                np.testing.assert_array_equal(source[index]["image"], sources[0][index]["image"])
    with pytest.raises(ValueError, match="has no split 'valid'; it has train, val, test"):
        open_source(DataConfig(name="celeba"), "valid")


def test_another_prepared_data_set_is_refused(tmp_path):
    unpack(tmp_path / "in", {"images/a.png": png(pixels(0)), "labels/a.png": png(pixels(0)[..., 0] // 128)})
    datasets.prepare("folder", tmp_path / "in", tmp_path / "out", val_fraction=0)
    with pytest.raises(ValueError, match="out is a prepared data set, but not celeba"):
        open_source(DataConfig(name="celeba", root=tmp_path / "out"), "train")


def test_choices_are_those_of_the_library():
    assert nn.UPSAMPLINGS == METHODS
    assert set(STUDY.labels) == set(METHODS)
    assert set(PROGRAM.compared.methods) <= set(METHODS)
    for likelihood in models.LIKELIHOODS:
        model = dataclasses.replace(PRESETS["demo"].config.model, likelihood=likelihood)
        assert from_dict(type(model), to_dict(model)) == model


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_configurations_survive_their_file(preset, tmp_path):
    assert_survives_its_file(PRESETS[preset].config, tmp_path / "run")


def test_a_batch_holds_all_the_chance():
    """Mirroring, dequantisation within the bin, and noise depend only on the generator."""
    source = open_source(dataclasses.replace(PRESETS["demo"].config.data, train_images=4), "train")
    pixels = source[0]["image"]
    for likelihood in models.LIKELIHOODS:
        prepare = Augment(likelihood, 5, mirror=True)
        drawn = [prepare(source[0], np.random.default_rng(seed)) for seed in range(8)]
        again = prepare(source[0], np.random.default_rng(3))
        for name, value in drawn[3].items():
            np.testing.assert_array_equal(again[name], value)
        assert {(v["image"].dtype.name, v["noise"].dtype.name, v["noise"].shape) for v in drawn} == {
            ("float32", "float32", (5,))
        }
        scale = 256 if likelihood == "gaussian" else 255
        values = [np.floor(scale * v["image"] + (0 if likelihood == "gaussian" else 0.5)) for v in drawn]
        mirrored = [not np.array_equal(value, pixels) for value in values]
        assert {*mirrored} == {True, False}
        for value, turned in zip(values, mirrored, strict=True):
            np.testing.assert_array_equal(value, pixels[:, ::-1] if turned else pixels)
    plain = Augment("discretized_logistic", 5, mirror=False)(source[0], np.random.default_rng(1))["image"]
    np.testing.assert_array_equal(np.rint(255 * plain), pixels)


def test_held_out_noise_belongs_to_the_image():
    """Whatever the batch size, and whichever part of the split is seen."""
    config = dataclasses.replace(PRESETS["demo"].config, eval_batch_size=4)
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, val_images=6))
    source = open_source(config.data, "val")
    whole = _by_index(held_out_batches(source, config))
    assert sorted(whole) == list(range(6))
    part = _by_index(held_out_batches(source, config, limit=2, batch_size=3))
    assert sorted(part) == [0, 3]
    for index, row in part.items():
        for name, value in row.items():
            np.testing.assert_array_equal(value, whole[index][name])
    assert len({row["noise"].tobytes() for row in whole.values()}) == 6


def _by_index(batches):
    rows = {}
    for batch in batches:
        for row in np.flatnonzero(batch["valid"]):
            assert batch["index"][row] >= 0
            rows[int(batch["index"][row])] = {name: batch[name][row] for name in ("image", "pixels", "noise")}
    return rows


def test_latents_are_the_same_for_every_run():
    np.testing.assert_array_equal(draw_latents(8, 5, 0), draw_latents(16, 5, 0)[:8])
    assert (draw_latents(8, 5, 0) != draw_latents(8, 5, 1)).all()


def test_the_loss_weighs_the_divergence():
    model = dataclasses.replace(PRESETS["demo"].config.model, width=2, latent_features=4, upsampling="resize_conv")
    batch = {"image": jnp.full((2, 64, 64, 3), 0.4), "noise": jnp.ones((2, 4))}
    config = Config(model=model)
    network = STUDY.build_network(config, None)
    losses = {}
    for beta in (1.0, 3.0):
        loss_fn = STUDY.make_loss(dataclasses.replace(config, optim=OptimizerConfig(beta=beta)), network)
        out = jax.jit(loss_fn)(network.params, network.model_state, batch)
        losses[beta] = {name: float(value) for name, value in out.metrics.items()} | {"loss": float(out.loss_sum)}
        assert float(out.valid_count) == 2
        assert jax.tree.structure(out.model_state) == jax.tree.structure(network.model_state)
    for beta, out in losses.items():
        assert out["elbo"] == pytest.approx(losses[1.0]["elbo"])
        assert out["loss"] == pytest.approx(beta * out["kl"] - out["reconstruction"])
    assert losses[3.0]["loss"] > losses[1.0]["loss"]


def test_the_rate_falls_to_zero_and_the_scale_has_its_own():
    config = Config(steps=100, optim=OptimizerConfig(learning_rate=0.01, scale_multiplier=5))
    params: dict[str, Any] = {"log_scale": jnp.zeros(()), "to_mean": {"kernel": jnp.zeros(2)}}
    optimizer, schedule = STUDY.make_optimizer(config, params)
    assert [float(jnp.asarray(schedule(step))) for step in (0, 50, 100)] == pytest.approx([0.01, 0.005, 0])
    gradient = {"log_scale": jnp.ones(()), "to_mean": {"kernel": jnp.ones(2)}}
    updates, _ = optimizer.update(gradient, optimizer.init(params), params)
    # Adam's first step is the rate; leaves are in the order of their names.
    scale, kernel = jax.tree.leaves(updates)
    assert float(scale) == pytest.approx(-0.05, rel=1e-4)
    np.testing.assert_allclose(kernel, -0.01, rtol=1e-4)


def test_faces_are_cropped_as_in_training():
    aligned = np.random.default_rng(0).integers(0, 256, (109, 89, 3), np.uint8)
    np.testing.assert_array_equal(fit(aligned, faces=True), data.crop_face(aligned, 64))
    square = fit(aligned, faces=False)
    assert square.shape == (64, 64, 3)
    np.testing.assert_array_equal(square, fit(aligned[10:99], faces=True))
    source: Any = [{"image": aligned}]
    pictures = Pictures(source, partial(fit, faces=True))
    assert pictures[0]["image"].shape == (64, 64, 3)
    assert pictures[0]["label"].shape == pictures.size(0) == (64, 64)


def test_grids_repeat_pixels_and_never_mix_them(tmp_path):
    images = np.random.default_rng(0).integers(0, 250, (5, 6, 4, 3), np.uint8)
    canvas = grid(images, 3, scale=2)
    assert canvas.shape == (2 * 14 - 2, 3 * 10 - 2, 3)
    for index, image in enumerate(images):
        top, left = index // 3 * 14, index % 3 * 10
        cell = canvas[top : top + 12, left : left + 8]
        for offset in (0, 1):
            np.testing.assert_array_equal(cell[offset::2, offset::2], image)
    assert grid(images[:2], 3).shape == (12, 2 * 10 - 2, 3)

    both = pairs(images, 255 - images, columns=3)
    assert both.shape == (4 * 14 - 2, 3 * 10 - 2, 3)
    np.testing.assert_array_equal(both[28:40:2, 10:18:2], images[4])
    np.testing.assert_array_equal(both[42:54:2, 10:18:2], 255 - images[4])
    assert (both[28:, 20:] == 255).all()

    draw_strips({"one": canvas, "another": canvas}, tmp_path / "strips.png", title="Strips")
    drawn = np.asarray(Image.open(tmp_path / "strips.png").convert("RGB"))
    np.testing.assert_array_equal(drawn[44 : 44 + canvas.shape[0], 190 : 190 + canvas.shape[1]], canvas)
