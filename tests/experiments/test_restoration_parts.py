"""The parts of the restoration study: haze, noise, sources, batches and tiles."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image

from experiments.restoration.batches import Augment, check_sources, held_out_batches
from experiments.restoration.config import PRESETS, Config, DataConfig, HazeConfig, NoiseConfig
from experiments.restoration.degradation import WHOLE
from experiments.restoration.haze import Haze, random_depth, scatter
from experiments.restoration.noise import Noise
from experiments.restoration.restore import InputWindows
from experiments.restoration.sources import open_source
from experiments.restoration.statistics import apply_with, measure, sample
from experiments.restoration.tiles import tiled_rows, windows
from smoothjax import models
from smoothjax.data import InvalidDataError
from tests.support import assert_close, build


def _pixels(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)


def _save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.mark.parametrize("kind", ["haze", "noise"])
def test_any_folder_of_images_is_degraded(kind, tmp_path):
    for i in range(12):
        _save(tmp_path / f"flat/{i:02}.png", _pixels(12, 14, seed=i))
    flat = {
        split: open_source(DataConfig(name=kind, root=tmp_path / "flat"), split) for split in ("train", "val", "test")
    }
    names = {split: [source.name(i) for i in range(len(source))] for split, source in flat.items()}
    assert (names["val"], names["test"]) == (["00", "10"], ["01", "11"])
    assert names["train"] == [f"{i:02}" for i in range(2, 10)]
    for place in ("val", "val/images", "val/clean"):
        _save(tmp_path / f"{place}/one.jpg", _pixels(12, 14))
        source = open_source(DataConfig(name=kind, root=tmp_path), "val")
        assert (len(source), source.name(0), set(source[0])) == (1, "one", {"clean"})
    with pytest.raises(FileNotFoundError, match=r"split 'test' of .* is missing: make the folder"):
        open_source(DataConfig(name=kind, root=tmp_path), "test")


def test_problems_of_a_folder_for_all_splits_are_told_once(tmp_path):
    """Every split is made of the same folder, and each repeated them."""
    for i in range(12):
        _save(tmp_path / f"{i:02}.png", _pixels(12, 14, seed=i))
    (tmp_path / "inner").mkdir()
    config = Config(data=DataConfig(name="haze", root=tmp_path, check=False))
    sources = {split: open_source(config.data, split) for split in ("train", "val")}
    with pytest.raises(
        InvalidDataError, match=r"^1 problem with the images of .*:\n.*inner: a folder, which is not read"
    ):
        check_sources(sources, config)


def test_the_law_of_haze():
    clean, rng = _pixels(9, 7), np.random.default_rng(1)
    t = rng.random((9, 7))
    expected = np.stack([clean[..., c] * t + 0.8 * 255 * (1 - t) for c in range(3)], -1)
    np.testing.assert_allclose(scatter(clean, t, 0.8), expected, rtol=1e-5)
    np.testing.assert_array_equal(scatter(clean, np.ones((9, 7)), 0.8), clean)
    np.testing.assert_allclose(scatter(clean, np.zeros((9, 7)), 0.8), 0.8 * 255)


def test_haze_stays_in_its_ranges_and_is_smooth():
    config = HazeConfig(airlight=(0.75, 0.9), beta=(0.5, 1.5), depth=(0.3, 2.0))
    drawn = [Haze(config).draw(np.random.default_rng(seed), (60, 80)) for seed in range(20)]
    for t, airlight in drawn:
        assert 0.75 <= airlight <= 0.9
        # The nearest and the farthest point have the same beta, and it is in its range.
        betas = -np.log([t.max(), t.min()]) / [0.3, 2.0]
        assert betas[0] == pytest.approx(betas[1], rel=1e-3)
        assert 0.5 <= betas[0] <= 1.5
        assert max(np.abs(np.diff(t, axis=axis)).max() for axis in (0, 1)) < 0.06
    assert len({airlight for _, airlight in drawn}) == 20
    depth = random_depth(np.random.default_rng(0), (40, 50), 1, 3)
    assert (depth.shape, depth.dtype, depth.min(), depth.max()) == ((40, 50), np.float32, 1, 3)
    np.testing.assert_array_equal(random_depth(np.random.default_rng(0), (1, 1), 1, 3), [[1]])


def _noise(sigma, clean, window, seed=0):
    return Noise(NoiseConfig(sigma)).prepare(np.random.default_rng(seed), clean.shape[:2])(clean, window)


def test_the_law_of_noise():
    """The image in the mean, the deviation asked for, independent values; nothing is clipped or rounded."""
    clean = np.full((60, 80, 3), 250, np.uint8)
    clean[::2] = 5
    noisy = _noise(20, clean, WHOLE)
    assert noisy.dtype == np.float32
    noise = noisy - clean
    assert abs(noise.mean()) < 0.5
    assert noise.std() == pytest.approx(20, rel=0.02)
    assert noisy.min() < -20
    assert noisy.max() > 275
    for moved in (np.roll(noise, 1, axis) for axis in range(3)):
        assert abs(np.corrcoef(noise.ravel(), moved.ravel())[0, 1]) < 0.03
    np.testing.assert_array_equal(_noise(20, clean, WHOLE), noisy)
    assert (_noise(20, clean, WHOLE, seed=1) != noisy).all()
    np.testing.assert_allclose(_noise(10, clean, WHOLE) - clean, noise / 2, atol=1e-4)
    assert _noise(20, clean, (slice(3, 9), slice(2, 12))).shape == (6, 10, 3)


def test_training_on_noise_draws_it_for_every_example():
    clean = _pixels(40, 30)
    prepare = Augment((24, 20), mirror=True, degradation=Noise(NoiseConfig(30)))
    examples = [prepare({"clean": clean}, np.random.default_rng(seed)) for seed in range(6)]
    noise = [example["image"] - example["clean"] for example in examples]
    assert all(values.std() == pytest.approx(30, rel=0.1) for values in noise)
    assert len({values.mean() for values in noise}) == 6
    again = prepare({"clean": clean}, np.random.default_rng(0))
    np.testing.assert_array_equal(again["image"], examples[0]["image"])


def test_a_batch_holds_all_the_chance():
    """Haze belongs to the image, both images share crop and mirroring, and only the generator decides."""
    record = {"clean": _pixels(40, 30)}
    prepare = Augment((24, 20), mirror=True, degradation=Haze(HazeConfig(depth=(0, 0))))
    for seed in range(6):
        example, again = (prepare(record, np.random.default_rng(seed)) for _ in range(2))
        np.testing.assert_array_equal(example["image"], example["clean"])  # no depth, no haze
        np.testing.assert_array_equal(example["clean"], again["clean"])
        assert example["clean"].shape == (24, 20, 3)
        assert example["clean"].dtype == np.float32
    hazy = Augment((24, 20), mirror=True, degradation=Haze(HazeConfig()))
    examples = [hazy(record, np.random.default_rng(seed)) for seed in range(6)]
    assert all((example["image"] == np.rint(example["image"])).all() for example in examples)
    assert all(np.abs(example["image"] - example["clean"]).mean() > 10 for example in examples)
    pair = {"image": _pixels(40, 30, seed=1), "clean": 255 - _pixels(40, 30, seed=1)}
    for seed in range(6):
        example = hazy(pair, np.random.default_rng(seed))
        np.testing.assert_array_equal(example["image"], 255 - example["clean"])
    with pytest.raises(ValueError, match="40 x 30 pixels high and wide, less than the 24 x 31 that are needed"):
        Augment((24, 31), mirror=True, degradation=Haze(HazeConfig()))(record, np.random.default_rng(0))


@pytest.mark.parametrize("kind", ["haze", "noise"])
def test_held_out_images_are_degraded_by_their_place(kind, tmp_path):
    """Whatever the batch size and the seed of the run, and whichever part of the split is seen."""
    for i in range(6):
        _save(tmp_path / f"val/{i}.png", _pixels(32, 33, seed=i))
    config = dataclasses.replace(PRESETS[kind].config, eval_batch_size=4)
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, root=tmp_path))
    source = open_source(config.data, "val")
    whole = _by_index(held_out_batches(source, config))
    assert sorted(whole) == list(range(6))
    part = _by_index(held_out_batches(source, dataclasses.replace(config, eval_batch_size=3, seed=1), limit=2))
    assert sorted(part) == [0, 3]
    for index, (image, clean) in part.items():
        np.testing.assert_array_equal(image, whole[index][0])
        np.testing.assert_array_equal(clean, source[index]["clean"])
    gains = [np.corrcoef(image.ravel(), clean.ravel())[0, 1] for image, clean in whole.values()]
    assert len(set(gains)) == 6


def _by_index(batches):
    rows = {}
    for batch in batches:
        np.testing.assert_array_equal(batch["valid"], batch["index"] >= 0)
        for row in np.flatnonzero(batch["valid"]):
            rows[int(batch["index"][row])] = (batch["image"][row], batch["clean"][row])
    return rows


def test_the_statistics_of_a_sample_take_the_place_of_a_tiles_own():
    """Statistics of the input itself change nothing; a sample takes patches from all over the image."""
    x = np.random.default_rng(0).standard_normal((1, 200, 90, 4)).astype(np.float32)
    patches = sample(x, (132, 96))
    np.testing.assert_array_equal(patches, np.concatenate([x[:, :64], x[:, 136:]], 1))
    assert sample(x, (32, 40)).shape == (1, 32, 40, 4)
    np.testing.assert_array_equal(sample(x, (200, 90)), x)
    graph, state = nnx.split(build(lambda rngs: models.GCANet(task="dehaze", width=2, rngs=rngs)))

    @jax.jit
    def outputs(x, other):
        found = measure(nnx.merge(graph, state), x)
        held = [apply_with(nnx.merge(graph, state), found, y) for y in (x, other)]
        return nnx.merge(graph, state)(x), nnx.merge(graph, state)(other), *held

    own, of_other, held, held_other = outputs(x[:, :32, :32], 3 * x[:, 32:64, :32])
    assert_close(held, own)
    assert float(np.abs(held_other - of_other).max()) > 1e-2


@pytest.mark.parametrize("size", [(11, 8), (6, 9)])
def test_windows_of_the_input(size):
    """The edge map of a window equals that of the whole image, also at its borders."""
    image = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    whole, parts = np.asarray(models.gcanet_input(jnp.asarray(image, jnp.float32)[None])), InputWindows(image)
    assert parts.shape == whole.shape
    for rows, columns in ((slice(0, 4), slice(2, 8)), (slice(2, 6), slice(0, 4)), (slice(4, 6), slice(4, 8))):
        assert_close(parts[slice(None), rows, columns], whole[:, rows, columns])
    assert_close(parts[slice(None), slice(0, whole.shape[1]), slice(0, whole.shape[2])], whole)


@pytest.mark.parametrize(("size", "tile"), [((64, 64), (32, 32)), ((50, 130), (34, 48)), ((40, 33 * 2), (512, 40))])
def test_tiles_cover_the_image_and_add_up(size, tile):
    """A function of single pixels gives the same by tiles."""
    x = np.random.default_rng(0).standard_normal((1, *size, 4)).astype(np.float32)
    seen = []

    def network(part):
        seen.append(part.shape)
        return 2 * part[..., :3] + 1

    rows = np.concatenate([part.copy() for _, part in tiled_rows(network, x, tile)])
    np.testing.assert_allclose(rows[None], 2 * x[..., :3] + 1, rtol=1e-4, atol=1e-5)
    assert set(seen) == {(1, *(min(s, t) for s, t in zip(size, tile, strict=True)), 4)}
    for (starts, window), length in zip(windows(size, tile), size, strict=True):
        assert (starts[0], starts[-1] + window) == (0, length)
        assert all(start % 2 == 0 for start in starts)
        assert all(b - a <= 2 * window / 3 + 2 for a, b in itertools.pairwise(starts))
