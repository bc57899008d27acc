"""Images with other channels than RGB: read exactly, and through resampling, augmentation, batches and pictures."""

import numpy as np
import pytest
from PIL import Image

from smoothjax import data, datasets
from tests.datasets.archives import labels, png, unpack

_CLASSES = data.Classes(("a", "b"), ((255, 0, 0), (0, 0, 255)))


def _values(channels, size=(6, 9), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*size, channels)).astype(np.uint8)


def _write(path, values, kind):
    """Writes an image to a file of a type that keeps every number."""
    if kind == "array":
        np.save(path, values)
    elif kind == "bands":
        Image.fromarray(values[..., 0] if values.shape[-1] == 1 else values).save(path)
    else:
        first, *others = (Image.fromarray(np.ascontiguousarray(plane)) for plane in np.moveaxis(values, -1, 0))
        first.save(path, save_all=True, append_images=others)


@pytest.mark.parametrize(
    ("name", "kind", "channels", "sixteen"),
    [
        ("grey.png", "bands", 1, False),
        ("grey.png", "bands", 1, True),
        ("rgba.png", "bands", 4, False),
        ("rgba.tif", "bands", 4, False),
        ("pages.tif", "pages", 5, False),
        ("pages.tif", "pages", 5, True),
        ("array.npy", "array", 1, False),
        ("array.npy", "array", 7, False),
        ("array.npy", "array", 7, True),
    ],
)
def test_every_number_is_read(tmp_path, name, kind, channels, sixteen):
    """Of 16 bits, the upper eight."""
    values = _values(channels)
    _write(tmp_path / name, values.astype(np.uint16) * 257 if sixteen else values, kind)
    np.testing.assert_array_equal(data.read_image(tmp_path / name, channels=channels), values)
    assert data.read_size(tmp_path / name) == (6, 9)


def test_twelve_bits_need_their_white(tmp_path):
    np.save(tmp_path / "a.npy", _values(5).astype(np.uint16) * 16)
    with pytest.raises(ValueError, match=r"state what is white: --data\.white 4095"):
        data.read_image(tmp_path / "a.npy", channels=5)
    np.testing.assert_array_equal(data.read_image(tmp_path / "a.npy", channels=5, white=4095), _values(5))


def test_grey_of_colours_is_their_luminance(tmp_path):
    """A grey image stays as it is; an image on its side is turned."""
    Image.fromarray(_values(3)).save(tmp_path / "a.png")
    found, weights = data.read_image(tmp_path / "a.png", channels=1), [0.299, 0.587, 0.114]
    np.testing.assert_allclose(found[..., 0], _values(3) @ weights, atol=0.51)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(_values(1)[..., 0]).save(tmp_path / "b.png", exif=exif)
    np.testing.assert_array_equal(data.read_image(tmp_path / "b.png", channels=1), np.rot90(_values(1), -1))


@pytest.mark.parametrize(
    ("name", "kind", "values", "channels", "message"),
    [
        ("a.png", "bands", _values(4), 5, r"an image of mode RGBA \(R, G, B, A\), not of 5 channels; state the number"),
        ("a.png", "bands", _values(1), 2, r"an image of mode L \(L\), not of 2 channels"),
        ("a.tif", "pages", _values(5), 4, "a TIFF of more than 4 pages, not of 4 channels"),
        ("a.tif", "pages", _values(2), 4, "a TIFF of 2 pages, not of 4 channels"),
        ("a.npy", "array", _values(5), 4, r"an array of shape \[6, 9, 5\], not of 4 channels; state"),
        ("a.npy", "array", _values(5) / 255, 5, "must be of uint8 or uint16, this one is of float64; scale its values"),
        ("a.npy", "array", _values(5)[None], 5, r"must be one array \[H, W\] or \[H, W, C\]; store"),
        ("a.npy", "array", np.array([[[{}]]], object), 1, "cannot be read as a NumPy array .*; replace or remove"),
        ("a.npy", "array", _values(3), 3, "an RGB image was expected, not a NumPy array; store it as PNG, or"),
        ("a.npy", "array", _values(5), 0, "channels must be 1 .. 256, got 0; 3 is RGB, 1 is grey"),
    ],
)
def test_other_files_are_refused(tmp_path, name, kind, values, channels, message):
    _write(tmp_path / name, values, kind)
    with pytest.raises(ValueError, match=message):
        data.read_image(tmp_path / name, channels=channels)


def test_what_pillow_does_not_know_may_be_stored_as_an_array(tmp_path):
    """Such as a TIFF with five numbers per pixel: the message names the alternative."""
    (tmp_path / "a.tif").write_bytes(b"another kind")
    with pytest.raises(ValueError, match=r"nor are TIFFs of several .* colours; store it as an array \[H, W, 5\]"):
        data.read_image(tmp_path / "a.tif", channels=5)


def test_a_truncated_array_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", _values(5))
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"a.npy: cannot be read as a NumPy array"):
        data.read_image(tmp_path / "a.npy", channels=5)


def test_pages_of_other_sizes_and_colours_are_refused(tmp_path):
    first, other, color = (Image.new(mode, size) for mode, size in (("L", (9, 6)), ("L", (6, 9)), ("RGB", (9, 6))))
    for page, message in ((other, "stored upright, all of one size"), (color, "must be grey, this one has mode RGB")):
        first.save(tmp_path / "a.tif", save_all=True, append_images=[page])
        with pytest.raises(ValueError, match=message):
            data.read_image(tmp_path / "a.tif", channels=2)


@pytest.mark.parametrize("channels", [1, 3])
def test_further_pages_are_not_dropped_silently(tmp_path, channels):
    """The first page of a stack was taken for the image. Thumbnails do not count as pages."""
    pages = [Image.new("L", (9, 6), value) for value in (1, 2, 3)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(ValueError, match="a TIFF of several pages, of which only the first would be read"):
        data.read_image(tmp_path / "a.tif", channels=channels)
    thumbnail = Image.new("L", (4, 3))
    thumbnail.encoderinfo = {"tiffinfo": {254: 1}}
    pages[0].save(tmp_path / "b.tif", save_all=True, append_images=[thumbnail])
    assert data.read_image(tmp_path / "b.tif", channels=channels).shape == (6, 9, channels)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of arrays with five channels, and their values."""
    root = tmp_path_factory.mktemp("channels")
    masks = {f"train/labels/{i}.png": png(labels(i, [0, 1], (6, 9))) for i in range(3)}
    unpack(root, {"classes.yaml": b"a: [255, 0, 0]\nb: [0, 0, 255]", **masks})
    (root / "train/images").mkdir()
    for i in range(3):
        np.save(root / f"train/images/{i}.npy", _values(5, seed=i))
    return root


def test_a_folder_of_arrays(folder):
    source = data.FolderSource(folder, "train", channels=5)
    np.testing.assert_array_equal(source[1]["image"], _values(5, seed=1))
    assert datasets.check_source(source, channels=5).images.tolist() == [3, 3]
    # For RGB they are what they were: files that are not read.
    with pytest.raises(ValueError, match=r"0.npy: files of this kind are not read here"):
        data.FolderSource(folder, "train")
    with pytest.raises(data.InvalidDataError, match=r"not of 4 channels"):
        data.FolderSource(folder, "train", channels=4)[0]


def test_a_mask_of_another_size_is_named(folder, tmp_path):
    unpack(tmp_path, {"train/labels/a.png": png(labels(0, [0, 1], (9, 6)))})
    (tmp_path / "train/images").mkdir()
    np.save(tmp_path / "train/images/a.npy", _values(5))
    with pytest.raises(data.InvalidDataError, match="the mask is 9 x 6 pixels high and wide, its image 6 x 9"):
        data.FolderSource(tmp_path, "train", _CLASSES, channels=5)[0]


def test_statistics_are_those_of_all_pixels(folder):
    """Against NumPy over the whole split; a constant channel is not divided by 0."""
    statistics = datasets.channel_statistics(data.FolderSource(folder, "train", channels=5))
    images = np.stack([_values(5, seed=i) for i in range(3)]).astype(float)
    np.testing.assert_allclose(statistics.mean, images.mean((0, 1, 2)), atol=0.006)
    np.testing.assert_allclose(statistics.std, images.std((0, 1, 2)), atol=0.006)
    flat = datasets.channel_statistics([{"image": np.full((2, 2, 1), 7, np.uint8)}])
    assert flat == ((7.0,), (1.0,))
    with pytest.raises(ValueError, match="must have one number of channels, got 5 and 4"):
        datasets.channel_statistics([{"image": _values(5)}, {"image": _values(4)}])
    with pytest.raises(ValueError, match="source has no examples to measure"):
        datasets.channel_statistics([])


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_channels_are_resampled_like_colours(channels):
    """A channel resampled by itself equals the same channel resampled as red, green or blue."""
    values, label = _values(channels, (12, 10)), np.zeros((12, 10), np.uint8)
    found = data.resize({"image": values, "label": label}, (7, 5))["image"]
    assert found.shape == (7, 5, channels)
    for channel in range(channels):
        colors = np.repeat(values[..., channel : channel + 1], 3, -1)
        expected = data.resize({"image": colors, "label": label}, (7, 5))["image"]
        np.testing.assert_array_equal(found[..., channel], expected[..., 0])


def test_batches_have_the_channels_of_the_images(folder):
    """In training and evaluation; padding is the mean of each channel."""
    source, mean, std = data.FolderSource(folder, "train", channels=5), (1.0, 2, 3, 4, 5), (1.0, 2, 1, 2, 1)
    vary = data.Augmentation((8, 12), scale_range=(1, 1), mirror=False, mean=mean, std=std)
    batch = next(data.train_iterator(source, augmentation=vary, batch_size=3, seed=0, threads=0))
    assert batch["image"].shape == (3, 8, 12, 5)
    assert not batch["image"][:, 6:].any()
    (whole,) = data.evaluation_batches(source, batch_size=3, mean=mean, std=std, threads=0)
    np.testing.assert_allclose(whole["image"][0], (_values(5) - np.array(mean)) / std, rtol=1e-6)
    with pytest.raises(ValueError, match="a number for each of the 5 channels of an image of shape"):
        data.normalize(source[0])
    with pytest.raises(ValueError, match="a number for each of the 1 channels"):  # which NumPy would broadcast
        data.normalize_image(_values(1))


def test_pictures_of_any_number_of_channels():
    label = np.full((6, 9), 255, np.uint8)
    for channels, shown in ((1, [0, 0, 0]), (2, [0, 0, 0]), (3, [0, 1, 2]), (5, [0, 1, 2])):
        image = _values(channels)
        np.testing.assert_array_equal(data.to_rgb(image), image[..., shown])
        np.testing.assert_array_equal(data.overlay(image, label, _CLASSES), image[..., shown])
    with pytest.raises(ValueError, match=r"image must be \[H, W, C\], got shape \(6, 9\)"):
        data.to_rgb(label)


def test_a_prepared_data_set_is_read_in_grey(tmp_path):
    files = {"train/images/a.png": png(_values(3)), "train/labels/a.png": png(labels(0, [0, 1], (6, 9)))}
    root = unpack(tmp_path / "in", {"classes.yaml": b"[a, b]", **files})
    datasets.prepare("folder", root, tmp_path / "out")
    source, direct = (data.open_split(place, "train", channels=1) for place in (tmp_path / "out", root))
    np.testing.assert_array_equal(source[0]["image"], direct[0]["image"])
    assert source[0]["image"].shape == (6, 9, 1)
    with pytest.raises(ValueError, match=r"channels of a prepared data set must be 3, .* or 1 for grey, got 4"):
        data.open_split(tmp_path / "out", "train", channels=4)
