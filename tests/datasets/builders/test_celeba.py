"""CelebA: the zip and the folder, with and without attributes, in the layouts of its authors and of Kaggle."""

import numpy as np
import pytest

from smoothjax import data, datasets
from tests.datasets.archives import assert_holds, assert_refused, jpeg, pixels, stored, unpack, zipped

_IMAGES = {f"{i:06d}": jpeg(pixels(i, (22, 18))) for i in range(1, 6)}
_SPLITS = {"train": ["000001", "000002", "000005"], "val": ["000003"], "test": ["000004"]}
_PARTITION = b"000001.jpg 0\n000002.jpg 0\n000003.jpg 1\n000004.jpg 2\n000005.jpg 0\n"
_NAMES = ("Bald", "Smiling", "Young")
_VALUES = {name: np.random.default_rng(i).integers(0, 2, 3).astype(np.uint8) for i, name in enumerate(_IMAGES)}
_ATTRIBUTES = "5\nBald Smiling Young \n" + "".join(
    f"{name}.jpg {' '.join(f'{2 * int(v) - 1:2d}' for v in values)}\n" for name, values in _VALUES.items()
)


def _files(folder):
    return {f"{folder}/{name}.jpg": content for name, content in _IMAGES.items()}


def _assert_all(out):
    assert data.prepared_splits(out) == ("train", "val", "test")
    for split, names in _SPLITS.items():
        assert_holds(out, split, _IMAGES, dict.fromkeys(names))


def test_zip_with_attributes(tmp_path, capsys):
    root = unpack(tmp_path / "in", {"Eval/list_eval_partition.txt": _PARTITION})
    unpack(root, {"Anno/list_attr_celeba.txt": _ATTRIBUTES.encode()})
    zipped(root / "Img/img_align_celeba.zip", _files("img_align_celeba"))
    datasets.prepare("celeba", root, tmp_path / "out")
    _assert_all(tmp_path / "out")
    source = data.PreparedSource(tmp_path / "out", "train")
    assert source.attributes == _NAMES
    for index, name in enumerate(_SPLITS["train"]):
        np.testing.assert_array_equal(source[index]["attributes"], _VALUES[name])
    assert "split train has 3 examples, the published one 162,770" in capsys.readouterr().err


def test_folder_without_attributes(tmp_path):
    root = unpack(tmp_path / "in", {**_files("img_align_celeba"), "list_eval_partition.txt": _PARTITION})
    datasets.prepare("celeba", root, tmp_path / "out")
    _assert_all(tmp_path / "out")
    assert data.PreparedSource(tmp_path / "out", "val").attributes == ()
    # There are no label maps to store.
    assert set(stored(tmp_path / "out", "val", 0)) == {"image"}


def test_tables_of_kaggle(tmp_path):
    lines = ["image_id,partition", *(line.replace(" ", ",") for line in _PARTITION.decode().split("\n") if line)]
    table = [",".join(("image_id", *_NAMES))]
    table += [",".join((f"{name}.jpg", *(str(2 * int(v) - 1) for v in values))) for name, values in _VALUES.items()]
    files = {
        **_files("img_align_celeba/img_align_celeba"),
        "list_eval_partition.csv": "\r\n".join(lines).encode(),
        "list_attr_celeba.csv": "\n".join(table).encode(),
    }
    datasets.prepare("celeba", zipped(tmp_path / "archive.zip", files), tmp_path / "out")
    _assert_all(tmp_path / "out")
    source = data.PreparedSource(tmp_path / "out", "test")
    np.testing.assert_array_equal(source[0]["attributes"], _VALUES["000004"])


def test_what_is_wrong(tmp_path):
    files = _files("img_align_celeba")
    files["img_align_celeba/000002.jpg"] = b""
    partition = _PARTITION + b"000009.jpg 0\n000001.jpg 3\n"
    attributes = _ATTRIBUTES.replace("000003.jpg", "000033.jpg").replace("000005.jpg ", "000005.jpg 1 ")
    root = unpack(tmp_path / "in", {**files, "list_eval_partition.txt": partition})
    unpack(root, {"list_attr_celeba.txt": attributes.encode()})
    assert_refused(
        "celeba",
        root,
        tmp_path / "out",
        "000002.jpg: cannot be read as an image (not in a format that Pillow supports)",
        "000009.jpg: missing, named by",
        "line 7 must be NAME and 0, 1 or 2, is '000001.jpg 3'",
        "000003.jpg: has no line in the list of attributes",
        "000005.jpg must have 3 values 1 or -1",
        "split val is empty",
    )


def test_another_folder(tmp_path):
    root = unpack(tmp_path / "in", _files("img_align_celeba"))
    with pytest.raises(FileNotFoundError, match=r"img_align_celeba/000001\.jpg +found\n +list_eval_\S+ .* MISSING\n"):
        datasets.prepare("celeba", root, tmp_path / "out")


def test_the_real_faces(shared_data, tmp_path):
    """Only some faces: a partition names those to prepare."""
    archive = shared_data("celeba_10k/img_align_celeba.zip")
    root = unpack(tmp_path / "in", {"list_eval_partition.txt": b"".join(_PARTITION.splitlines(True)[:4])})
    (root / "img_align_celeba.zip").symlink_to(archive)
    datasets.prepare("celeba", root, tmp_path / "out")
    record = data.PreparedSource(tmp_path / "out", "test")[0]
    assert record["image"].shape == (109, 89, 3)
    face = data.CelebASource(root, "test")
    assert face.name(0) == data.PreparedSource(tmp_path / "out", "test").name(0) == "000004"
