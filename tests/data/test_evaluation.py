"""One pass over a split: every pixel once, full batches, images at their own size or in few shapes."""

from collections import Counter
from itertools import combinations
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from smoothjax import ops
from smoothjax.data import IMAGENET_MEAN, IMAGENET_STD, SHAPES, ShapesSource, evaluation_batches
from smoothjax.data._evaluation import _added, _shapes
from smoothjax.data._transforms import normalize

_PLAIN: dict[str, Any] = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


class _Sized:
    """Examples of given sizes and random pixels, or of given images."""

    classes = SHAPES

    def __init__(self, sizes, images=None):
        rng = np.random.default_rng(0)
        if images is None:
            images = [rng.integers(1, 256, (*size, 3)).astype(np.uint8) for size in sizes]
        self._records = [
            {"image": image, "label": rng.choice([0, 1, 2, 255], image.shape[:2]).astype(np.uint8)} for image in images
        ]

    def __len__(self):
        return len(self._records)

    def __getitem__(self, index):
        return self._records[index]

    def name(self, index):
        return str(index)

    def size(self, index):
        return self._records[index]["label"].shape


def _job(source, processes, **options):
    """The batches of every process."""
    return [
        list(evaluation_batches(source, process_index=i, process_count=processes, **{**_PLAIN, **options}))
        for i in range(processes)
    ]


def _assert_covers_once(source, job, expected=None):
    seen = []
    for batch in (batch for batches in job for batch in batches):
        for image, label, index, size in zip(*(batch[k] for k in ("image", "label", "index", "size")), strict=True):
            valid = np.zeros(label.shape, bool)
            if index >= 0:
                seen.append(int(index))
                record = source[int(index)]
                assert tuple(size) == record["label"].shape
                valid[: size[0], : size[1]] = True
                np.testing.assert_array_equal(label[: size[0], : size[1]], record["label"])
                np.testing.assert_array_equal(image[: size[0], : size[1]], record["image"])
            assert (label[~valid] == 255).all()
            assert not image[~valid].any()
    assert sorted(seen) == list(range(len(source)) if expected is None else expected)


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.sampled_from([(3, 4), (4, 3), (5, 5), (3, 130), (140, 6), (1, 1)]), min_size=1, max_size=12),
    st.sampled_from([(1, 1), (3, 1), (2, 2), (4, 2), (4, 4)]),
    st.sampled_from([0, 2]),
)
def test_every_pixel_once_for_any_number_of_processes(sizes, shares, threads):
    batch_size, processes = shares
    source = _Sized(sizes)
    job = _job(source, processes, batch_size=batch_size, threads=threads)
    _assert_covers_once(source, job)
    shapes = [[batch["image"].shape for batch in batches] for batches in job]
    assert all(other == shapes[0] for other in shapes)
    assert all(shape[0] == batch_size // processes for shape in shapes[0])
    assert {shape[1:3] for shape in shapes[0]} == set(sizes)


def test_few_sizes_are_kept_exactly():
    """Eight sizes, in full batches and in batches with empty examples: no image is padded."""
    sizes = [(3, 4), (4, 3), (5, 5), (6, 2), (6, 3), (1, 9), (200, 3), (7, 7)]
    for batch_size in (1, 2, 3):
        batches = _job(_Sized(sizes * 2), 1, batch_size=batch_size, most_shapes=8)[0]
        assert {batch["image"].shape for batch in batches} == {(batch_size, *size, 3) for size in sizes}
        for batch in batches:
            assert all(tuple(size) in (batch["image"].shape[1:3], (0, 0)) for size in batch["size"].tolist())


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=9, max_size=9, unique=True),
    st.lists(st.integers(1, 20), min_size=9, max_size=9),
)
def test_one_size_too_many_costs_the_fewest_pixels(sizes, numbers):
    """Nine sizes: joins the two that need the least padding; the others stay exact."""
    counts = Counter(dict(zip(sizes, numbers, strict=True)))

    def joined(pair):
        common = tuple(map(max, *pair))
        return {size: common if size in pair else size for size in sizes}

    exact = _seen({size: size for size in sizes}, counts)
    costs = {pair: _seen(joined(pair), counts) - exact for pair in combinations(sizes, 2)}
    assert costs == {pair: _added(pair, counts) for pair in costs}
    shape_of = _shapes(counts, 8)
    assert _seen(shape_of, counts) - exact == min(costs.values())
    assert sum(shape != size for size, shape in shape_of.items()) <= 2


def test_frequent_sizes_stay_exact_among_many():
    """As in VOC, where most photographs have one of three sizes, and the others any of hundreds."""
    counts = Counter({(375, 500): 700, (500, 375): 220, (333, 500): 150})
    counts |= Counter({(short, 500): 1 + short % 3 for short in range(250, 500) if short not in (333, 375)})
    counts |= Counter({(500, short): 1 for short in range(300, 500) if short != 375})
    shape_of = _shapes(counts, 8)
    assert all(shape_of[size] == size for size in ((375, 500), (500, 375), (333, 500)))
    exact = _seen({size: size for size in counts}, counts)
    assert _seen(shape_of, counts) < 1.04 * exact


def _seen(shape_of, counts):
    """How many pixels a network sees."""
    return sum(shape[0] * shape[1] * counts[size] for size, shape in shape_of.items())


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.integers(1, 3000), st.integers(1, 3000)), min_size=5, max_size=300))
def test_a_handful_of_shapes_for_any_sizes(sizes):
    counts = Counter(sizes)
    shape_of = _shapes(counts, 8)
    assert set(shape_of) == set(sizes)
    assert len(set(shape_of.values())) <= 8
    assert all(shape[0] >= size[0] and shape[1] >= size[1] for size, shape in shape_of.items())
    assert shape_of == _shapes(Counter(dict(reversed(counts.items()))), 8)


def test_photographs_of_many_sizes_are_padded_little():
    """Long side 500 or 640, all ratios from 1 to 2, either way up: fewer pixels than with one shape for all."""
    for side in (500, 640):
        sizes = [size for short in range(side // 2, side) for size in ((short, side), (side, short))]
        counts = Counter(sizes)
        assert len(set(_shapes(counts, 8).values())) <= 8
        largest = -(-side // 128) * 128
        assert _seen(_shapes(counts, 8), counts) < 0.9 * len(sizes) * largest**2


def test_a_split_of_many_sizes_is_whole():
    """Merged shapes also hold every pixel."""
    sizes = [(1 + 129 * i, 1 + 129 * j) for i in range(4) for j in range(3)]
    job = _job(_Sized(sizes), 1, batch_size=2, most_shapes=8)
    _assert_covers_once(_Sized(sizes), job)
    assert len({batch["image"].shape for batch in job[0]}) == 8
    exact = _job(_Sized(sizes), 1, batch_size=2)
    _assert_covers_once(_Sized(sizes), exact)
    assert {batch["image"].shape[1:3] for batch in exact[0]} == set(sizes)


def test_real_photographs_are_seen_as_if_alone(shared_data):
    """A network that averages over the image gives the same classes as with one image at a time; padding would not."""
    photographs = sorted(shared_data("voc2012_sample").rglob("*.jpg"))
    # Cut to ten sizes, more than any limit of shapes that would be hidden.
    images = [np.asarray(Image.open(path))[: -8 * index or None : 2, ::2] for index, path in enumerate(photographs)]
    source = _Sized([], images=images)
    assert len({image.shape for image in images}) == 10
    kernel = jnp.asarray(np.random.default_rng(0).standard_normal((3, 3, 3, 5)), jnp.float32)

    @jax.jit
    def classes(images):
        maps = jax.nn.relu(ops.dilated_conv(images, kernel, rate=6))
        return jnp.argmax(maps - maps.mean((1, 2), keepdims=True), -1)

    def segmented(**options):
        batches = evaluation_batches(source, batch_size=1, mean=IMAGENET_MEAN, std=IMAGENET_STD, **options)
        found = {}
        for batch in batches:
            for index, mask, (height, width) in zip(
                batch["index"], classes(batch["image"]), batch["size"], strict=True
            ):
                found[int(index)] = np.asarray(mask[:height, :width])
        return found

    exact, padded = segmented(), segmented(most_shapes=2)
    for index in range(len(source)):
        image = normalize(source[index], mean=IMAGENET_MEAN, std=IMAGENET_STD)["image"]
        np.testing.assert_array_equal(exact[index], classes(image[None])[0])
    assert any((exact[index] != padded[index]).any() for index in range(len(source)))


def test_types_and_order():
    source = ShapesSource(length=5, size=(32, 40))
    batches = _job(source, 1, batch_size=2)[0]
    assert [batch["index"].tolist() for batch in batches] == [[0, 1], [2, 3], [4, -1]]
    last = batches[-1]
    assert {key: str(value.dtype) for key, value in last.items()} == {
        "image": "float32",
        "label": "int32",
        "index": "int32",
        "size": "int32",
    }
    assert last["size"].tolist() == [[32, 40], [0, 0]]


def test_normalizes_as_training_does():
    source = ShapesSource(length=1, size=(32, 32))
    (batch,) = evaluation_batches(source, batch_size=1, mean=(10, 20, 30), std=(2, 3, 4))
    np.testing.assert_allclose(batch["image"][0] * (2, 3, 4) + (10, 20, 30), source[0]["image"], atol=1e-3)


@pytest.mark.parametrize(("limit", "expected"), [(1, [0]), (3, [0, 3, 6]), (10, range(10)), (99, range(10))])
def test_limit_spreads_over_the_split(limit, expected):
    source = _Sized([(3, 3)] * 10)
    _assert_covers_once(source, _job(source, 2, batch_size=4, limit=limit), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 3, "process_count": 2}, "positive multiple of the 2 processes, got 3"),
        ({"limit": 0}, "limit must be at least 1, got 0; leave it out"),
        ({"std": (1, 1, 0)}, "std positive"),
        ({"most_shapes": 0}, "most_shapes must be at least 1, got 0; leave it out to pad no image"),
        ({"threads": -1}, "threads must not be negative, got -1"),
    ],
)
def test_refuses(options, message):
    source = _Sized([(3, 3)])
    with pytest.raises(ValueError, match=message):
        evaluation_batches(source, **{**_PLAIN, "batch_size": 2, **options})
    with pytest.raises(ValueError, match="has no examples to evaluate"):
        evaluation_batches(_Sized([]), batch_size=1, **_PLAIN)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": np.ones((1, 1, 3), np.uint8)}, r"image of shape \(1, 1, 3\) does not fit a label of shape \(4, 6\)"),
        ({"label": np.full((4, 6), np.nan)}, "label must be whole numbers, got float64; store labels as uint8"),
        ({"label": np.full((4, 6), 2**32 - 1, np.uint32)}, "label must be .*, got uint32 from 4294967295"),
        ({"image": np.ones((4, 6, 4), np.uint8)}, "mean and std must have a number for each of the 4 channels"),
    ],
)
def test_an_example_that_does_not_fit_is_named(change, message):
    """One pixel filled the image, NaN became a label; other sizes ended in a broadcast of NumPy, without a name."""
    source = _Sized([(4, 6), (4, 6)])
    source._records[1] |= change
    with pytest.raises(ValueError, match=rf"example 1 \(1\): {message}"):
        list(evaluation_batches(source, batch_size=2, **_PLAIN))


def test_a_source_whose_sizes_are_wrong_is_named():
    source = _Sized([(4, 6), (4, 6)])
    source.size = lambda index: (4, 5)
    with pytest.raises(ValueError, match=r"example 0 \(0\): size\(\) of the source says at most 4 x 5 .* is \(4, 6\)"):
        list(evaluation_batches(source, batch_size=2, **_PLAIN))
