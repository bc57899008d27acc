"""Reading prepared data: in pipelines, from threads and processes, and the message for each mistake."""

import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
import pytest

from smoothjax import data, datasets
from tests.datasets.archives import jpeg, labels, pixels, png, unpack

_SIZES = [(12, 16), (20, 10), (9, 9), (30, 14), (8, 17), (12, 16)]
_IMAGES = {f"{i}": pixels(i, size) for i, size in enumerate(_SIZES)}
_LABELS = {name: labels(i, [0, 1, 2, 255], image.shape[:2]) for i, (name, image) in enumerate(_IMAGES.items())}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images of several sizes, prepared in data/pictures."""
    root = tmp_path_factory.mktemp("pictures")
    files = {f"images/{name}.png": png(image) for name, image in _IMAGES.items()}
    files |= {f"labels/{name}.png": png(label) for name, label in _LABELS.items()}
    unpack(root / "in", files)
    datasets.prepare("folder", root / "in", root / "data/pictures", val_fraction=0.3)
    return root / "data/pictures"


@pytest.fixture(scope="module")
def source(folder):
    return data.PreparedSource(folder, "train")


def test_a_name_and_a_folder_of_data_sets(folder, source, monkeypatch):
    for prepared in (
        data.PreparedSource("pictures", "train", data_dir=folder.parent),
        data.PreparedSource(str(folder), "train"),
    ):
        assert repr(prepared) == f"PreparedSource({str(folder)!r}, 'train')"
        assert [prepared.name(i) for i in range(len(prepared))] == [source.name(i) for i in range(len(source))]
    monkeypatch.chdir(folder.parent.parent)
    assert len(data.PreparedSource("pictures", "train")) == len(source) == 4
    monkeypatch.chdir(folder.parent)
    assert len(data.PreparedSource("pictures", "train")) == 4


def test_is_a_source(source):
    datasets.check_source(source)
    with pytest.raises(IndexError, match="index 4 is outside the split of 4"):
        source[4]
    for index, record in enumerate(source):
        np.testing.assert_array_equal(record["image"], _IMAGES[source.name(index)])
        np.testing.assert_array_equal(record["label"], _LABELS[source.name(index)])


def test_many_threads_and_another_process(source):
    copy = pickle.loads(pickle.dumps(source))
    with ThreadPoolExecutor(8) as pool:
        for records in (pool.map(source.__getitem__, [i % 4 for i in range(200)]), map(copy.__getitem__, range(4))):
            for index, record in enumerate(records):
                np.testing.assert_array_equal(record["image"], _IMAGES[source.name(index % 4)])


def test_training_batches(source):
    """Equal to the batches of the same images in memory."""

    class InMemory:
        classes, name, size = source.classes, source.name, source.size

        def __len__(self):
            return len(source)

        def __getitem__(self, index):
            return {"image": _IMAGES[source.name(index)], "label": _LABELS[source.name(index)]}

    options = {"augmentation": data.Augmentation(crop_size=(15, 15)), "batch_size": 2, "seed": 0, "threads": 2}
    batches, expected = (islice(data.train_iterator(s, **options), 10) for s in (source, InMemory()))
    for batch, other in zip(batches, expected, strict=True):
        np.testing.assert_array_equal(batch["image"], other["image"])
        np.testing.assert_array_equal(batch["label"], other["label"])


def test_evaluation_batches(source):
    options = {"batch_size": 2, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    seen = []
    for batch in data.evaluation_batches(source, **options):
        for image, label, index, size in zip(*(batch[k] for k in ("image", "label", "index", "size")), strict=True):
            if index >= 0:
                seen.append(int(index))
                window = np.s_[: size[0], : size[1]]
                np.testing.assert_array_equal(image[window], _IMAGES[source.name(int(index))])
                np.testing.assert_array_equal(label[window], _LABELS[source.name(int(index))])
    assert sorted(seen) == list(range(4))


def test_an_image_at_less_than_its_size(tmp_path):
    files = {"images/a.jpg": jpeg(pixels(0, (64, 96))), "labels/a.png": png(labels(0, [0, 1], (64, 96)))}
    datasets.prepare("folder", unpack(tmp_path / "in", files), tmp_path / "out", val_fraction=0)
    source = data.PreparedSource(tmp_path / "out", "train")
    assert source.image(0).shape == (64, 96, 3)
    assert source.image(0, at_least=(30, 20)).shape == (32, 48, 3)


def test_either_kind_of_folder(folder, tmp_path):
    prepared = data.open_split(folder, "train")
    assert isinstance(prepared, data.PreparedSource)
    assert data.open_split(folder, "train", prepared.classes).classes == prepared.classes
    with pytest.raises(ValueError, match=r"with the classes class 0, class 1, class 2 \(3\), not with sky, .* \(11\)"):
        data.open_split(folder, "train", data.CAMVID)
    unpack(tmp_path, {"train/images/a.png": png(pixels(0)), "train/labels/a.png": png(labels(0, [0, 1]))})
    assert isinstance(data.open_split(tmp_path, "train", data.CAMVID), data.FolderSource)


def test_a_folder_that_has_moved(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "elsewhere")
    source = data.PreparedSource(tmp_path / "elsewhere", "val")
    np.testing.assert_array_equal(source[0]["image"], _IMAGES[source.name(0)])


def test_no_such_split(folder):
    with pytest.raises(ValueError, match=r"pictures has no split 'test'; it has train, val"):
        data.PreparedSource(folder, "test")


def test_no_such_data_set(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        data.PreparedSource("voc2012", "train", data_dir=tmp_path)
    assert f"no prepared data set in {tmp_path}/voc2012; prepare it:\n" in str(caught.value)
    assert f"prepare voc2012 --source DIR --out {tmp_path}/voc2012\n" in str(caught.value)
    assert not data.is_prepared(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"has_labels": true, "format": 9}', "its format is 9, this version reads 1"),
        ('{"has_labels": true, "format": 1}', "'name'"),
        ("{", "Expecting property name"),
    ],
)
def test_damaged_metadata(tmp_path, content, message):
    unpack(tmp_path, {"metadata.json": content.encode(), "dataset_info.json": b"{}"})
    with pytest.raises(ValueError, match=rf"metadata\.json cannot be used \(.*{message}.*prepare the data set again"):
        data.PreparedSource(tmp_path, "train")


def test_another_data_set_of_tfds_is_none_of_ours(tmp_path):
    unpack(tmp_path, {"metadata.json": b"{}", "dataset_info.json": b"{}"})
    assert not data.is_prepared(tmp_path)


def test_missing_records(tmp_path):
    files = {"images/a.png": png(pixels(0)), "labels/a.png": png(labels(0, [0, 1]))}
    datasets.prepare("folder", unpack(tmp_path / "in", files), tmp_path / "out", val_fraction=0)
    next((tmp_path / "out").glob("*.array_record*")).unlink()
    with pytest.raises(FileNotFoundError, match=r"array_record\S+ is missing: the data set is damaged, prepare"):
        data.PreparedSource(tmp_path / "out", "train")
