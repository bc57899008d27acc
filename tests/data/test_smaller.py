"""Images that will shrink are decoded smaller: the same choices, windows and labels, almost the same pixels."""

from functools import partial
from itertools import islice

import numpy as np
import pytest
from PIL import Image

from smoothjax import data, datasets
from tests.datasets.archives import jpeg, labels, png, unpack

_SIZE = (90, 130)
_CLASSES = data.Classes(("a", "b", "c"), data.default_colors(3))


class _Whole:
    """A source without the method that reads smaller images."""

    def __init__(self, source):
        self._source, self.classes = source, source.classes
        self.name, self.size = source.name, source.size

    def __len__(self):
        return len(self._source)

    def __getitem__(self, index):
        return self._source[index]


def _photograph(seed):
    """Shapes under soft light: edges as in a photograph, without noise that a smaller decoding would average out."""
    drawn = data.ShapesSource(length=9, size=_SIZE)[seed]["image"]
    return Image.fromarray(drawn).resize((65, 45), Image.Resampling.BOX).resize((130, 90), Image.Resampling.BICUBIC)


def _files(kind="jpg"):
    encode = {"jpg": partial(jpeg, quality=95), "png": png}[kind]
    files = {f"train/images/{i}.{kind}": encode(_photograph(i)) for i in range(5)}
    return files | {f"train/labels/{i}.png": png(labels(i, [0, 1, 2, 255], _SIZE)) for i in range(5)}


@pytest.fixture(params=["files", "prepared"], scope="module")
def source(request, tmp_path_factory):
    root = tmp_path_factory.mktemp(request.param)
    unpack(root / "in", _files())
    if request.param == "files":
        return data.FolderSource(root / "in", "train", _CLASSES)
    datasets.prepare("folder", root / "in", root / "out")
    return data.PreparedSource(root / "out", "train")


def _batches(source, scale_range, count=4, **options):
    options = {"augmentation": data.Augmentation((33, 33), scale_range), "batch_size": 3, "seed": 2, **options}
    return list(islice(data.train_iterator(source, **options), count))


def _error(first, second):
    return np.abs(first.astype(float) - second).mean()


def _assert_same(first, second):
    for a, b in zip(first, second, strict=True):
        for key in a:
            np.testing.assert_array_equal(a[key], b[key])


def test_the_label_is_always_whole(source):
    whole, smaller = source[1], source.read(1, (40, 50))
    assert smaller["image"].shape == (45, 65, 3)
    np.testing.assert_array_equal(smaller["label"], whole["label"])
    np.testing.assert_array_equal(source.read(1)["image"], whole["image"])


def test_training_sees_the_same_views(source):
    """Sizes, mirroring, windows and labels bit for bit; pixels nearly."""
    smaller, whole = (_batches(s, (0.2, 0.5)) for s in (source, _Whole(source)))
    differ = False
    for a, b in zip(smaller, whole, strict=True):
        np.testing.assert_array_equal(a["label"], b["label"])
        assert (a["image"].shape, a["image"].dtype) == (b["image"].shape, b["image"].dtype)
        # In units of some 57 grey levels.
        assert _error(a["image"], b["image"]) < 4 / 57
        differ |= not np.array_equal(a["image"], b["image"])
    assert differ, "nothing was decoded smaller"


def test_it_is_a_function_of_the_seed_alone(source):
    reference = _batches(source, (0.2, 1.0))
    for threads in (0, 4):
        _assert_same(reference, _batches(source, (0.2, 1.0), threads=threads))
    shared = [_batches(source, (0.2, 1.0), process_index=i, process_count=3) for i in range(3)]
    for i, part in enumerate(shared):
        _assert_same([{key: value[i::3] for key, value in batch.items()} for batch in reference], part)


def test_nothing_changes_above_a_half(source):
    _assert_same(_batches(source, (0.51, 1.5)), _batches(_Whole(source), (0.51, 1.5)))


def test_nothing_changes_for_png(tmp_path):
    source = data.FolderSource(unpack(tmp_path, _files("png")), "train", _CLASSES)
    assert source.read(0, (10, 10))["image"].shape == (*_SIZE, 3)
    _assert_same(_batches(source, (0.1, 0.5)), _batches(_Whole(source), (0.1, 0.5)))
    small, whole = (data.ResizedSource(s, (20, 30)) for s in (source, _Whole(source)))
    _assert_same([small[0]], [whole[0]])


@pytest.mark.parametrize("size", [(45, 65), (20, 30), (44, 10)])
def test_one_size_for_all(source, size):
    """The same in training and evaluation, which both use it."""
    smaller, whole = (data.ResizedSource(s, size) for s in (source, _Whole(source)))
    for index in range(len(source)):
        a, b = smaller[index], whole[index]
        assert a["image"].shape == (*size, 3)
        np.testing.assert_array_equal(a["label"], b["label"])
        # In the same place: half a pixel off would be worse.
        assert _error(a["image"], b["image"]) < _error(a["image"][1:], b["image"][:-1]) / 2


def _ramp(size):
    """An image that rises to the right and downwards: a shift makes it brighter or darker."""
    y, x = np.mgrid[: size[0], : size[1]]
    return np.stack([255 * y / size[0], 255 * x / size[1], np.full(size, 90)], -1).astype(np.uint8)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("factor", [2, 4, 8])
def test_the_picture_stays_in_its_place_at_any_size(tmp_path, factor, orientation):
    """One pixel more than the decoder's blocks: it decodes a whole last block, most of it outside the picture."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "a.jpg").write_bytes(jpeg(_ramp((8 * factor + 1, 6 * factor + 1)), exif=exif, quality=100))
    whole = data.read_image(tmp_path / "a.jpg")
    label = np.zeros(whole.shape[:2], np.uint8)
    size = (whole.shape[0] // factor, whole.shape[1] // factor)
    smaller = data.read_view(tmp_path / "a.jpg", size)
    assert smaller["image"].shape == (size[0] + 1, size[1] + 1, 3)
    views = [{"image": whole}, smaller, {"image": smaller["image"]}]
    expected, aligned, stretched = (data.resize({**view, "label": label}, size)["image"].astype(int) for view in views)
    # A pixel is some 30 and 40 levels darker or brighter than the next one.
    assert np.abs(aligned - expected).max() <= 7
    assert np.abs(stretched - expected).max() > 12


def test_what_fills_its_pixels_has_no_box(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg(_ramp((16, 24))))
    for at_least in (None, (16, 24), (2, 3)):
        assert set(data.read_view(tmp_path / "a.jpg", at_least)) == {"image"}


@pytest.mark.parametrize("kind", ["files", "prepared"])
def test_image_and_mask_of_an_odd_size_stay_aligned(tmp_path, kind):
    """In training and at one size for all, from files and records: the mask has the right half of the ramp."""
    size = (65, 65)
    mask = np.zeros(size, np.uint8)
    mask[:, 33:] = 1
    files = {"train/images/a.jpg": jpeg(_ramp(size), quality=100), "train/labels/a.png": png(mask)}
    source = data.FolderSource(unpack(tmp_path / "in", files), "train", _CLASSES)
    if kind == "prepared":
        datasets.prepare("folder", tmp_path / "in", tmp_path / "out")
        source = data.PreparedSource(tmp_path / "out", "train")
    vary = data.Augmentation((8, 8), (0.125, 0.125), mirror=False, mean=(0, 0, 0), std=(1, 1, 1))
    rng = np.random.default_rng(0)
    pairs = [(vary.read(source, 0, rng), vary(source[0], rng))]
    pairs += [tuple(data.ResizedSource(s, (8, 8))[0] for s in (source, _Whole(source)))]
    for smaller, whole in pairs:
        np.testing.assert_array_equal(smaller["label"], whole["label"])
        assert np.abs(smaller["image"].astype(float) - whole["image"]).max() <= 5


def test_a_photograph_on_its_side(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = np.asarray(_photograph(0))
    stored = np.rot90(upright)  # turned back by 90 degrees to the right
    files = {
        "train/images/a.jpg": jpeg(np.ascontiguousarray(stored), exif=exif, quality=95),
        "train/labels/a.png": png(labels(0, [0], _SIZE)),
    }
    source = data.FolderSource(unpack(tmp_path, files), "train", _CLASSES)
    smaller = source.read(0, (45, 65))["image"]
    assert smaller.shape == (45, 65, 3)
    half = np.asarray(Image.fromarray(upright).resize((65, 45), Image.Resampling.BOX))
    assert _error(smaller, half) < 3


def test_a_mask_as_large_as_the_smaller_image_is_still_wrong(tmp_path):
    files = {"train/images/a.jpg": jpeg(_photograph(0)), "train/labels/a.png": png(labels(0, [0], (45, 65)))}
    source = data.FolderSource(unpack(tmp_path, files), "train", _CLASSES)
    with pytest.raises(data.InvalidDataError, match="the mask is 45 x 65 pixels high and wide, its image 90 x 130"):
        source.read(0, (45, 65))


@pytest.mark.parametrize("factor", [0.5, 0.4, 0.25, 0.2])
def test_photographs_keep_their_statistics(shared_data, factor):
    """Streets, compared with decoding them whole: within the bounds that `Augmentation` states."""
    source = data.FolderSource(shared_data("camvid"), "val", data.CAMVID)
    size = (round(360 * factor), round(480 * factor))
    smaller, whole = (data.ResizedSource(s, size) for s in (source, _Whole(source)))
    for index in range(0, len(source), 25):
        a, b = (view[index]["image"].astype(float) for view in (smaller, whole))
        assert 0 < _error(a, b) < 3.9
        assert np.abs(a.mean((0, 1)) - b.mean((0, 1))).max() < 1
        assert a.std() / b.std() == pytest.approx(1, abs=0.025)
        np.testing.assert_array_equal(smaller[index]["label"], whole[index]["label"])
