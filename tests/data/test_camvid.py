"""The folder reader on the real CamVid."""

import numpy as np
import pytest

from smoothjax.data import (
    CAMVID,
    IMAGENET_MEAN,
    IMAGENET_STD,
    Augmentation,
    FolderSource,
    evaluation_batches,
    train_iterator,
)
from smoothjax.datasets import check_source


@pytest.mark.parametrize(("split", "count"), [("train", 367), ("val", 101), ("test", 233)])
def test_split(shared_data, split, count):
    source = FolderSource(shared_data("camvid"), split, CAMVID)
    assert len(source) == count
    assert {source.size(i) for i in range(count)} == {(360, 480)}
    record = source[count // 2]
    assert record["image"].shape == (360, 480, 3)
    assert record["label"].shape == (360, 480)


def test_every_file_is_in_order(shared_data):
    check_source(FolderSource(shared_data("camvid"), "val", CAMVID))


def test_every_class_occurs(shared_data):
    source = FolderSource(shared_data("camvid"), "val", CAMVID)
    occurring = set().union(*(np.unique(source[i]["label"]).tolist() for i in range(0, len(source), 10)))
    assert occurring == {*range(11), 255}


def test_real_batches(shared_data):
    source = FolderSource(shared_data("camvid"), "val", CAMVID)
    (batch,) = evaluation_batches(source, batch_size=2, mean=IMAGENET_MEAN, std=IMAGENET_STD, limit=2)
    assert batch["image"].shape == (2, 360, 480, 3)
    assert np.abs(batch["image"].mean()) < 1.5
    assert 0.5 < batch["image"].std() < 2
    crops = next(train_iterator(source, augmentation=Augmentation(crop_size=(181, 181)), batch_size=2, seed=0))
    assert crops["image"].shape == (2, 181, 181, 3)
    assert set(np.unique(crops["label"])) <= {*range(11), 255}
