"""One size for every example."""

import numpy as np
import pytest

from smoothjax import data
from smoothjax.data import Augmentation, ResizedSource, ShapesSource


@pytest.fixture
def shapes():
    return ShapesSource(length=5, size=(33, 44))


def test_it_is_the_source_resized(shapes):
    source = ResizedSource(shapes, (16, 24))
    assert (len(source), source.classes, source.name(3)) == (5, data.SHAPES, shapes.name(3))
    for index in range(5):
        expected = data.resize(shapes[index], (16, 24))
        for key in ("image", "label"):
            np.testing.assert_array_equal(source[index][key], expected[key])
        assert source.size(index) == source[index]["label"].shape == (16, 24)
    with pytest.raises(IndexError, match="index 5 is outside the split"):
        source[5]
    assert repr(source).endswith(", (16, 24))")


def test_at_its_own_size_nothing_changes(shapes):
    source = ResizedSource(shapes, (33, 44))
    np.testing.assert_array_equal(source[0]["image"], shapes[0]["image"])
    np.testing.assert_array_equal(source[0]["label"], shapes[0]["label"])


def test_the_pipelines_take_it(shapes):
    """Whole images of one size, neither cropped nor padded."""
    source = ResizedSource(shapes, (16, 24))
    whole = Augmentation(crop_size=(16, 24), scale_range=(1, 1), mirror=False)
    batch = next(data.train_iterator(source, augmentation=whole, batch_size=5, seed=0))
    expected = {data.normalize(source[index])["image"].tobytes() for index in range(5)}
    assert {image.tobytes() for image in batch["image"]} == expected
    sizes = {tuple(size) for batch in data.evaluation_batches(source, batch_size=2, mean=whole.mean, std=whole.std)
             for size in batch["size"].tolist()}  # fmt: skip
    assert sizes == {(16, 24), (0, 0)}


@pytest.mark.parametrize("size", [(0, 5), (4,)])
def test_refuses(shapes, size):
    with pytest.raises(ValueError, match="size must be a positive height and width in pixels"):
        ResizedSource(shapes, size)
