"""Prepared data sets from others, or damaged: no code of theirs runs, and messages name the fault."""

import json
import shutil

import numpy as np
import pytest

from smoothjax import data, datasets
from smoothjax.datasets.__main__ import main
from tests.datasets.archives import labels, pixels, png, unpack


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("received")
    files = {f"images/{i}.png": png(pixels(i)) for i in range(3)}
    files |= {f"labels/{i}.png": png(labels(i, [0, 1])) for i in range(3)}
    datasets.prepare("folder", unpack(root / "in", files), root / "out", val_fraction=0.3)
    return root / "out"


@pytest.fixture
def received(made, tmp_path):
    shutil.copytree(made, tmp_path / "received")
    return tmp_path / "received"


def _edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def _name_class(content):
    content["featuresDict"]["features"]["label"]["pythonClassName"] = "canary.Canary"


def _name_class_of_all(content):
    content["pythonClassName"] = "canary.Canary"


def _add_feature(content):
    content["featuresDict"]["features"]["more"] = {"pythonClassName": "canary.Canary", "image": {}}


def _other_spelling(content):
    content["featuresDict"]["features"]["label"]["python_class_name"] = "canary.Canary"


def _old_spelling(content):
    content["type"], content["content"] = "canary.Canary", {}


@pytest.mark.parametrize("change", [_name_class, _name_class_of_all, _add_feature, _other_spelling, _old_spelling])
@pytest.mark.parametrize("use", ["info", "show", "train", "builder"])
def test_no_class_of_a_received_folder_is_imported(received, tmp_path, monkeypatch, capsys, change, use):
    """TFDS imports any module that features.json names: a canary module would reveal it."""
    (tmp_path / "canary.py").write_text(f"open({str(tmp_path / 'sang')!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(tmp_path)
    _edit(received / "features.json", change)
    if use in ("info", "show"):
        assert main([use, str(received), *(["--out", str(tmp_path / "grid.png")] if use == "show" else [])]) == 1
        message = capsys.readouterr().err
    else:
        with pytest.raises(ValueError, match=r"features\.json") as caught:
            data.open_split(received, "train") if use == "train" else data.open_builder(received)
        message = str(caught.value)
    assert "features.json: " in message
    assert "Traceback" not in message
    assert not (tmp_path / "sang").exists()


def _template(content):
    content["splits"][0]["filepathTemplate"] = "../../{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_INDEX}"


def _format(content):
    content["fileFormat"] = "tfrecord"


def _lengths(content):
    content["splits"][0]["shardLengths"] = ["7"]


def _no_lengths(content):
    content["splits"][0]["shardLengths"] = "many"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_template, "the split 'train' is not described as a name"),
        (_format, "in files of the format 'tfrecord'"),
        (_lengths, "states 7 examples in split train, metadata.json 2"),
        (_no_lengths, "the split 'train' is not described as a name"),
        (lambda content: content.pop("splits"), "splits must be a mapping"),
        (lambda content: content.update(name=3), "describes 3 in files"),
        (lambda content: content.update(unknownField=1), "cannot be read"),
    ],
)
def test_a_damaged_description_is_named(received, change, message):
    _edit(received / "dataset_info.json", change)
    with pytest.raises(ValueError, match=message) as caught:
        data.PreparedSource(received, "train")
    assert str(received / "dataset_info.json") in str(caught.value)


@pytest.mark.parametrize("name", ["dataset_info.json", "features.json", "metadata.json"])
@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 10_000, b"3"])
def test_a_damaged_file_is_named(received, name, content):
    (received / name).write_bytes(content)
    with pytest.raises(ValueError, match=str(received / name)):
        data.PreparedSource(received, "train")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda split: split["names"].append(3), "an entry of names of split train must be text, is int"),
        (lambda split: split["names"].pop(), "split train has 1 names and 2 sizes"),
        (lambda split: split["sizes"].__setitem__(0, [0, 4]), "an image without pixels"),
        (lambda split: split["sizes"].__setitem__(0, "ab"), "sizes? in split train must be a list"),
        (lambda split: split.update(pixels=[1]), "pixels of split train must be 2 whole numbers"),
        (lambda split: split.update(ignored=-1), "ignored of split train must be 1 whole numbers"),
        (lambda split: split.update(images=[10**30, 0]), "images of split train must be 2 whole numbers"),
    ],
)
def test_metadata_is_checked(received, change, message):
    _edit(received / "metadata.json", lambda content: change(content["splits"]["train"]))
    with pytest.raises(ValueError, match=rf"metadata\.json cannot be used \(.*{message}"):
        data.PreparedSource(received, "train")


def _cut(content):
    return content[:-100]


def _flip(content):
    return content[:65560] + bytes([content[65560] ^ 255]) + content[65561:]


@pytest.mark.parametrize("change", [_cut, _flip, lambda content: b"", lambda content: bytes(len(content))])
def test_every_file_of_records_is_opened_at_start(received, change):
    """A damaged file must not surface in the middle of training."""
    path = next(received.glob("*train.array_record*"))
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ValueError, match=rf"{path.name}: its 2 records cannot be read .*prepare it again"):
        data.PreparedSource(received, "train")


def test_an_image_of_another_size_than_its_record(received):
    _edit(received / "metadata.json", lambda content: content["splits"]["train"]["sizes"].__setitem__(0, [9, 9]))
    source = data.PreparedSource(received, "train")
    with pytest.raises(data.InvalidDataError, match="is 12 x 16 pixels high and wide, not 9 x 9"):
        source[0]
    assert np.asarray(source[1]["image"]).shape == (12, 16, 3)
