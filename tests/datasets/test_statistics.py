"""The frequency of classes, and the weights that follow."""

import numpy as np
import pytest

from smoothjax import data, datasets
from tests.datasets.archives import jpeg, labels, pixels, png, unpack

_LABELS = [labels(0, [0, 0, 1, 255]), labels(1, [0, 2], (20, 10)), np.full((4, 4), 255, np.uint8)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("statistics")
    files = {"classes.yaml": b"[a, b, c, d]"}
    for i, label in enumerate(_LABELS):
        files |= {f"train/images/{i}.jpg": jpeg(pixels(i, label.shape)), f"train/labels/{i}.png": png(label)}
    return unpack(root / "in", files)


@pytest.fixture(scope="module", params=["prepared", "read"])
def source(request, folder):
    if request.param == "read":
        return data.FolderSource(folder, "train")
    datasets.prepare("folder", folder, folder.parent / "out", allow_empty_classes=True)
    return data.PreparedSource(folder.parent / "out", "train")


def test_counts(source):
    counts = datasets.count_labels(source)
    everything = np.concatenate([label.ravel() for label in _LABELS])
    assert counts.pixels.tolist() == [int((everything == label).sum()) for label in range(4)]
    assert counts.ignored == int((everything == 255).sum())
    assert counts.images.tolist() == [2, 1, 1, 0]
    assert counts.pixels_around.tolist() == [12 * 16 + 20 * 10, 12 * 16, 20 * 10, 0]


def test_weights(source):
    """By hand: the pixels of a class over all pixels of the images that contain it."""
    counts = datasets.count_labels(source)
    frequencies = counts.pixels[:3] / [12 * 16 + 20 * 10, 12 * 16, 20 * 10]
    weights = datasets.median_frequency_weights(counts)
    np.testing.assert_allclose(weights[:3], np.median(frequencies) / frequencies)
    assert weights[3] == 0
    assert not datasets.median_frequency_weights(data.LabelCounts.none(3)).any()


def test_bad_data_is_named_in_full(tmp_path):
    files = {}
    for name in "ab":
        files |= {f"train/images/{name}.png": png(pixels(0)), f"train/labels/{name}.png": png(labels(0, [0, 9]))}
    source = data.FolderSource(unpack(tmp_path, files), "train", data.Classes(("a",), ((0, 0, 0),)))
    with pytest.raises(data.InvalidDataError, match="2 of 2 examples cannot be used"):
        datasets.count_labels(source)


def test_description(source):
    lines = datasets.describe({"train": source, "again": source}).splitlines()
    assert lines[1].split() == ["train", "3", "4", "..", "20", "x", "4", "..", "16", "3", "17.9", "%"]
    table = [line.split() for line in lines[4:9]]
    assert table[0] == ["class", "colour", "train", "%", "images", "again", "%", "images", "weight"]
    pixels_of_a = datasets.count_labels(source).pixels
    share = f"{100 * pixels_of_a[0] / pixels_of_a.sum():.2f}"
    assert table[1][:7] == ["0", "a", "#000000", share, "2", share, "2"]
    assert table[4][-1] == "-"
    assert "median frequency balancing on train" in lines[-3]
    weights = datasets.median_frequency_weights(datasets.count_labels(source))
    np.testing.assert_allclose([float(weight) for weight in lines[-1].split()], weights, rtol=1e-3)


class _Own:
    """A user's own source of two examples; `change` spoils the second record."""

    classes = data.Classes(("a", "b"), ((0, 0, 0), (1, 1, 1)))

    def __init__(self, change, length=2):
        self._change, self._length = change, length

    def __len__(self):
        return self._length

    def __getitem__(self, index):
        record = {"image": np.zeros((4, 4, 3), np.uint8), "label": np.zeros((4, 4), np.uint8)}
        return self._change(record) if index else record

    def name(self, index):
        return f"x{index}"

    def size(self, index):
        return (4, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda record: record | {"label": record["label"] + 7}, "x1: label 7 in 16 pixels is outside the 2 classes"),
        (lambda record: {"image": record["image"]}, "x1: the record has no 'label', it holds 'image'"),
        (
            lambda record: record | {"label": np.full((4, 4), -1)},
            r"x1: expected .* a label uint8 .*, got .* int64",
        ),
        (lambda record: 1 / 0, "x1: ZeroDivisionError"),
    ],
)
def test_no_label_is_lost_in_silence(change, message):
    with pytest.raises(data.InvalidDataError, match=f"1 of 2 examples cannot be used:\n{message}"):
        datasets.count_labels(_Own(change))


def test_nothing_to_describe(tmp_path):
    empty = _Own(None, length=0)
    with pytest.raises(ValueError, match="splits must hold at least one split, got none"):
        datasets.describe({})
    with pytest.raises(ValueError, match="split 'val' has no examples; leave it out"):
        datasets.describe({"train": _Own(lambda record: record), "val": empty})
    with pytest.raises(ValueError, match="source has no examples"):
        datasets.draw_grid(empty, tmp_path / "grid.png")


def test_enet_weights(source):
    """1 / ln(1.02 + share of the labelled pixels); a class that never occurs has the largest."""
    pixels = datasets.count_labels(source).pixels
    weights = datasets.enet_weights(datasets.count_labels(source))
    np.testing.assert_allclose(weights, 1 / np.log(1.02 + pixels / pixels.sum()))
    assert weights[3] == weights.max() == pytest.approx(1 / np.log(1.02))


def test_weights_by_a_rule():
    counts = data.LabelCounts.of(np.array([[0, 0, 0, 1]], np.uint8), 2)
    np.testing.assert_array_equal(datasets.class_weights(counts), datasets.enet_weights(counts))
    found = datasets.class_weights(counts, "median_frequency")
    np.testing.assert_array_equal(found, datasets.median_frequency_weights(counts))
    with pytest.raises(ValueError, match="class_weights: rule must be one of auto, enet, median_frequency, got 'x'"):
        datasets.class_weights(counts, "x")  # pyright: ignore[reportArgumentType]


def _records(*images):
    return [{"image": image} for image in images]


def test_statistics_of_channels_are_those_of_all_pixels():
    """Also of images of different sizes, each of which counts by its pixels."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (*size, 3)).astype(np.uint8) for size in ((5, 7), (20, 3), (1, 1))]
    found = datasets.channel_statistics(_records(*images))
    whole = np.concatenate([image.reshape(-1, 3) for image in images]).astype(float)
    np.testing.assert_allclose(found.mean, whole.mean(0), atol=0.005)
    np.testing.assert_allclose(found.std, whole.std(0), atol=0.005)


def test_a_channel_that_hardly_changes_is_not_one_that_never_does():
    """A deviation of 0.0032 was rounded to 0, and then became 1, the sign of a constant channel."""
    image = np.zeros((320, 300, 3), np.uint8)
    image[0, 0, 0] = 1
    image[..., 1] = 7
    image[:160, :, 2] = 1
    assert datasets.channel_statistics(_records(image)) == ((0.0, 7.0, 0.5), (0.0032, 1.0, 0.5))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 6), np.uint8), r"got uint8 \(4, 6\); a grey image has one channel, \[H, W, 1\]"),
        (np.zeros((0, 6, 3), np.uint8), r"got uint8 \(0, 6, 3\)"),
        (np.zeros((4, 6, 3), np.uint16), "got uint16"),
        (np.full((4, 6, 3), 0.5), "got float64"),
    ],
)
def test_images_that_have_no_channels_of_bytes_are_named(image, message):
    """The columns of a grey image were its channels, no pixels gave NaN, and other types an error of NumPy."""
    with pytest.raises(ValueError, match=rf"example 1: expected an image uint8 \[H, W, C\] with pixels, .*{message}"):
        datasets.channel_statistics(_records(np.zeros((4, 6, 3), np.uint8), image))


def test_statistics_refuse_to_read_nothing():
    with pytest.raises(ValueError, match="most must be at least 1, got 0: it counts the images to read"):
        datasets.channel_statistics(_records(np.zeros((4, 6, 3), np.uint8)), most=0)
    with pytest.raises(ValueError, match="source has no examples to measure"):
        datasets.channel_statistics([])
    images = [np.zeros((4, 6, channels), np.uint8) for channels in (3, 1)]
    with pytest.raises(ValueError, match="images must have one number of channels, got 3 and 1"):
        datasets.channel_statistics(_records(*images))
