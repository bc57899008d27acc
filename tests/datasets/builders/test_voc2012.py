"""PASCAL VOC 2012: the devkit, its archives, and both kinds of augmented masks."""

import io

import numpy as np
import pytest
from scipy.io import savemat

from smoothjax import data, datasets
from tests.datasets.archives import assert_holds, assert_refused, jpeg, labels, pixels, png, tarred, unpack, zipped

_ROOT = "VOCdevkit/VOC2012"
_TRAIN, _VAL, _TEST, _MORE = ("2007_a", "2007_b"), ("2007_c",), ("2008_d",), ("2008_e", "2008_f")
_IMAGES = {name: jpeg(pixels(i)) for i, name in enumerate((*_TRAIN, *_VAL, *_TEST, *_MORE))}
_OWN = {name: labels(i, [0, 1, 20, 255]) for i, name in enumerate((*_TRAIN, *_VAL))}
_AUGMENTED = {name: labels(10 + i, [0, 3, 19]) for i, name in enumerate((*_MORE, "2007_a", "2007_c"))}


def _mat(label):
    """A file as SBD distributes it."""
    out = io.BytesIO()
    savemat(out, {"GTcls": {"Boundaries": np.zeros((20, 1)), "Segmentation": label, "CategoriesPresent": [3, 19]}})
    return out.getvalue()


def _lines(names):
    return "".join(f"{name}\n" for name in names).encode()


@pytest.fixture
def devkit():
    """Palette PNGs, as they are distributed."""
    return {
        **{f"{_ROOT}/JPEGImages/{name}.jpg": content for name, content in _IMAGES.items() if name not in _TEST},
        **{f"{_ROOT}/SegmentationClass/{name}.png": png(label, palette=True) for name, label in _OWN.items()},
        f"{_ROOT}/ImageSets/Segmentation/train.txt": _lines(_TRAIN),
        f"{_ROOT}/ImageSets/Segmentation/val.txt": _lines(_VAL),
    }


_TEST_FILES = {
    f"{_ROOT}/ImageSets/Segmentation/test.txt": _lines(_TEST),
    **{f"{_ROOT}/JPEGImages/{name}.jpg": _IMAGES[name] for name in _TEST},
}
_SBD = {f"benchmark_RELEASE/dataset/cls/{name}.mat": _mat(label) for name, label in _AUGMENTED.items()}
_AUG = {
    f"SegmentationClassAug/{name}.png": png(label)
    for name, label in {**_AUGMENTED, **{name: _OWN[name] for name in (*_TRAIN, *_VAL)}}.items()
}


def _assert_all(out, train_aug):
    assert set(data.prepared_splits(out)) == {"train", "val", "test", "train_aug"}
    assert data.PreparedSource(out, "train").classes == data.VOC2012
    assert_holds(out, "train", _IMAGES, {name: _OWN[name] for name in _TRAIN})
    assert_holds(out, "val", _IMAGES, {name: _OWN[name] for name in _VAL})
    assert_holds(out, "test", _IMAGES, dict.fromkeys(_TEST))
    assert_holds(out, "train_aug", _IMAGES, train_aug)


# VOC's own masks where there are any, the others from SBD, none of val.
_TRAIN_AUG = {name: _OWN.get(name, _AUGMENTED.get(name)) for name in sorted({*_TRAIN, *_MORE})}


@pytest.mark.parametrize("more", [_SBD, _AUG], ids=["mat", "png"])
@pytest.mark.parametrize("source", [".", "VOCdevkit", _ROOT])
def test_folders(tmp_path, devkit, more, source, capsys):
    unpack(tmp_path, {**devkit, **_TEST_FILES})
    # The masks lie where the source begins.
    unpack(tmp_path / source, more)
    datasets.prepare("voc2012", tmp_path / source, tmp_path / "out")
    _assert_all(tmp_path / "out", _TRAIN_AUG)
    warnings = capsys.readouterr().err
    assert "warning: split train has 2 examples, the published one 1,464\n" in warnings
    assert "warning: split train_aug has 4 examples, the published one 10,582\n" in warnings


@pytest.mark.parametrize("augmented", ["SegmentationClassAug.zip", "benchmark.tgz"])
def test_archives(tmp_path, devkit, augmented):
    """The archives as downloaded, and the mat files in a compressed one."""
    tarred(tmp_path / "VOCtrainval_11-May-2012.tar", devkit)
    tarred(tmp_path / "VOC2012test.tar", _TEST_FILES)
    if augmented.endswith(".zip"):
        zipped(tmp_path / augmented, {**_AUG, "__MACOSX/SegmentationClassAug/._2007_a.png": b"stray"})
    else:
        tarred(tmp_path / augmented, _SBD, "gz")
    datasets.prepare("voc2012", tmp_path, tmp_path / "out")
    _assert_all(tmp_path / "out", _TRAIN_AUG)


def test_one_archive(tmp_path, devkit):
    datasets.prepare("voc2012", tarred(tmp_path / "any name.tar", devkit), tmp_path / "out")
    assert data.prepared_splits(tmp_path / "out") == ("train", "val")
    assert_holds(tmp_path / "out", "train", _IMAGES, {name: _OWN[name] for name in _TRAIN})


def test_a_list_says_the_order(tmp_path, devkit):
    """Some lists of train_aug contain images of val, and paths."""
    names = ["2008_f", "2007_c", "2007_b"]
    lines = "".join(f"/JPEGImages/{name}.jpg /SegmentationClassAug/{name}.png\n" for name in names)
    unpack(tmp_path, {**devkit, **_AUG, f"{_ROOT}/ImageSets/Segmentation/train_aug.txt": lines.encode()})
    datasets.prepare("voc2012", tmp_path, tmp_path / "out")
    expected = {"2008_f": _AUGMENTED["2008_f"], "2007_b": _OWN["2007_b"]}
    assert_holds(tmp_path / "out", "train_aug", _IMAGES, expected)


def test_without_the_list_of_val(tmp_path, devkit, capsys):
    """Without it nothing would keep val out of train_aug."""
    del devkit[f"{_ROOT}/ImageSets/Segmentation/val.txt"]
    root = unpack(tmp_path / "in", {**devkit, **_SBD})
    datasets.prepare("voc2012", root, tmp_path / "out")
    assert data.prepared_splits(tmp_path / "out") == ("train",)
    err = capsys.readouterr().err
    assert "no ImageSets/Segmentation/val.txt: without split train_aug, which could not be kept free of val\n" in err
    (root / _ROOT / "ImageSets/Segmentation/train.txt").rename(root / _ROOT / "ImageSets/Segmentation/train_aug.txt")
    with pytest.raises(FileNotFoundError, match=r"train\.txt, val\.txt +MISSING\n"):
        datasets.prepare("voc2012", root, tmp_path / "other")


def test_everything_wrong_in_one_report(tmp_path, devkit):
    folder = unpack(tmp_path / "in", {**devkit, **_SBD}) / _ROOT
    (folder / "JPEGImages/2007_a.jpg").unlink()
    (folder / "SegmentationClass/2007_b.png").unlink()
    (folder / "SegmentationClass/2007_c.png").write_bytes(png(labels(0, [0, 21, 254])))
    (folder / "JPEGImages/2008_e.jpg").write_bytes(_IMAGES["2008_e"][:-20])
    mat = tmp_path / "in/benchmark_RELEASE/dataset/cls/2008_f.mat"
    mat.write_bytes(b"no matrix")
    assert_refused(
        "voc2012",
        tmp_path / "in",
        tmp_path / "out",
        "cannot be prepared from",
        "2007_a.jpg: missing, named by split train",
        "2007_b.png: missing mask, named by split train",
        "2007_c.png: label 21, 254 in",
        "2008_e.jpg: cannot be read as an image (image file is truncated",
        "2008_f.mat: cannot be read as a mask of SBD",
    )
    # A val mask that is missing is never taken from SBD.
    (folder / "SegmentationClass/2007_c.png").unlink()
    with pytest.raises(data.InvalidDataError, match=r"2007_c\.png: missing mask, named by split val"):
        datasets.prepare("voc2012", tmp_path / "in", tmp_path / "out")


def test_another_folder(tmp_path):
    (tmp_path / "VOC2012/JPEGImages").mkdir(parents=True)
    with pytest.raises(FileNotFoundError) as caught:
        datasets.prepare("voc2012", tmp_path, tmp_path.parent / "out")
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{tmp_path}: not what voc2012 is prepared from; expected"
    found = {line.split()[0]: line.split()[-1] for line in lines[1:]}
    assert found["JPEGImages/NAME.jpg"] == "found"
    assert found["SegmentationClass/NAME.png"] == "MISSING"
    assert "MISSING (optional)" in str(caught.value)
    assert lines[-1] == "there is: VOC2012"


def test_the_real_images(shared_data, tmp_path):
    root = shared_data("voc2012_sample")
    datasets.prepare("voc2012", root, tmp_path)
    assert data.prepared_splits(tmp_path) == ("val", "train_aug")
    folder = root / _ROOT
    for split in ("val", "train_aug"):
        source = data.PreparedSource(tmp_path, split)
        names = (folder / f"ImageSets/Segmentation/{split}.txt").read_text().split()
        assert [source.name(i) for i in range(len(source))] == names
        for i, name in enumerate(names):
            record = source[i]
            np.testing.assert_array_equal(record["image"], data.read_image(folder / f"JPEGImages/{name}.jpg"))
            np.testing.assert_array_equal(record["label"], data.read_mask(folder / f"SegmentationClassAug/{name}.png"))
