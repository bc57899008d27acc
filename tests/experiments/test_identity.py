"""The data of a run are identified by their content: moved data are accepted, other data refused."""

import importlib
import json
import shutil
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from experiments.common.compare import compare
from experiments.common.config import with_options
from experiments.common.dense.sources import note_on_split
from experiments.common.dry_run import dry_compare, dry_run
from experiments.common.evaluate import save_scores
from experiments.common.identity import check_data, describe_weights, is_other_data
from experiments.common.run_folder import check_run, describe_run
from experiments.common.train import train
from experiments.restoration.config import Config as Restoration
from experiments.restoration.config import DataConfig as Pairs
from experiments.segmentation.config import Config, DataConfig
from experiments.vae.config import Config as Faces
from experiments.vae.config import DataConfig as FacesData
from smoothjax import data, datasets
from tests.datasets.archives import jpeg, pixels, unpack, zipped
from tests.experiments.made_runs import mark_learnt
from tests.experiments.test_common import SHORT, Mean


class Learning(Mean):
    """A study whose data are set from outside."""

    def __init__(self, content="a", weights="w"):
        super().__init__()
        self.known: Any = {"name": "--data.root somewhere", "splits": {"val": {"images": 3, "files_sha256": content}}}
        self.known |= {"weights": {"name": "w.npz", "sha256": weights}}

    def describe_data(self, config):
        return self.known


def _folder(root, kinds=("images", "labels"), splits=("train", "val"), classes=True):
    """Three images of noise per split, with the kinds and splits that a study needs."""
    rng = np.random.default_rng(0)
    for split in splits:
        for kind in kinds:
            (root / split / kind).mkdir(parents=True)
            for index in range(3):
                noise = rng.integers(0, 2, (16, 16), np.uint8)
                Image.fromarray(noise).save(root / split / kind / f"{index}.png")
    if classes:
        (root / "classes.yaml").write_text("road: [0, 0, 0]\ncar: [1, 2, 3]\n")
    return root


def _study(name):
    return importlib.import_module(f"experiments.{name}.study").STUDY


# Training.


@pytest.mark.parametrize("finished", [True, False])
def test_a_run_on_other_data_or_weights_is_refused(tmp_path, finished):
    result = train(Learning(), SHORT, tmp_path / "run", progress=False)
    if not finished:
        (tmp_path / "run/result.json").unlink()
    moved = Learning()
    moved.known["name"] = "--data.root elsewhere"
    assert train(moved, SHORT, tmp_path / "run", progress=False)["val"] == result["val"]
    if not finished:
        (tmp_path / "run/result.json").unlink()
    for other, line in (
        (Learning("b"), "splits.val.files_sha256: a there, b now"),
        (Learning(weights="v"), "weights.sha256: w there, v now"),
    ):
        with pytest.raises(ValueError, match="holds a run on other data") as error:
            train(other, SHORT, tmp_path / "run", progress=False)
        assert [text.strip() for text in str(error.value).splitlines()[1:-1]] == [line]
        assert "name the first ones (with --data.root, " in str(error.value)


def test_keys_missing_on_either_side_are_ignored(tmp_path):
    """A run without a record, or without some entries, continues and then gets them."""
    train(Mean(), SHORT, tmp_path / "run", progress=False)
    assert not (tmp_path / "run/data.json").exists()
    assert train(Learning(), SHORT, tmp_path / "run", progress=False)
    record = tmp_path / "run/data.json"
    record.write_text(json.dumps({"splits": {"val": {"images": 3}}}))
    (tmp_path / "run/result.json").unlink()
    train(Learning(), SHORT, tmp_path / "run", progress=False)
    assert json.loads(record.read_text())["weights"]["sha256"] == "w"


def test_a_comparison_finds_every_conflict_first(tmp_path):
    """Including that of the last run: another configuration, or other data."""
    train(Learning(), replace(SHORT, descent="fast", steps=2), tmp_path / "fast-seed0", progress=False)
    study = Learning()
    with pytest.raises(ValueError, match="steps: 2 there, 4 now"):
        compare(study, SHORT, ("slow", "fast"), (0,), tmp_path)
    with pytest.raises(ValueError, match=r"splits\.val\.files_sha256: a there, b now"):
        compare(Learning("b"), replace(SHORT, steps=2), ("slow", "fast"), (0,), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["fast-seed0"]
    assert study.passes == []


def test_a_dry_run_is_not_refused(tmp_path, capsys):
    """It writes nothing, but reports what training would refuse."""
    describe_run(tmp_path / "slow-seed0", replace(SHORT, steps=2))
    mark_learnt(tmp_path / "slow-seed0")
    before = {path: path.read_bytes() for path in (tmp_path / "slow-seed0").glob("*.*")}
    assert "FLOPs" in dry_run(Mean(), SHORT, tmp_path / "slow-seed0")
    assert "FLOPs" in dry_compare(Mean(), SHORT, ("slow",), tmp_path)
    assert capsys.readouterr().out.count("note: to train, another folder is needed") == 2
    assert {path: path.read_bytes() for path in (tmp_path / "slow-seed0").glob("*.*")} == before


def test_classes_are_written_once(tmp_path):
    classes = [data.Classes((name,), ((0, 0, 0),)) for name in ("road", "car")]
    for found in classes:
        describe_run(tmp_path, SHORT, found)
        mark_learnt(tmp_path)
    assert data.load_classes(tmp_path / "classes.yaml") == classes[0]


# The identities that studies report.


@pytest.mark.parametrize(
    ("study", "config", "kinds"),
    [
        ("segmentation", Config(data=DataConfig(name="folder")), ("images", "labels")),
        ("restoration", Restoration(data=Pairs(name="folder")), ("degraded", "clean")),
        ("restoration", Restoration(data=Pairs(name="haze")), ("clean",)),
        ("restoration", Restoration(data=Pairs(name="noise")), ("clean",)),
    ],
)
def test_a_folder_is_known_wherever_it_lies(tmp_path, study, config, kinds):
    root = _folder(tmp_path / "here", kinds)
    at = lambda place: _study(study).describe_data(with_options(config, {"data.root": place}))
    first = at(root)
    assert first["splits"]["train"]["images"] == 3
    describe_run(tmp_path / "run", config, described=first)
    mark_learnt(tmp_path / "run")
    shutil.move(root, tmp_path / "there")
    check_data(tmp_path / "run", at(tmp_path / "there"))
    changed = tmp_path / "there/val" / kinds[-1] / "1.png"
    changed.write_bytes(changed.read_bytes() + b"\0")
    with pytest.raises(ValueError, match=r"splits\.val\.files_sha256") as error:
        check_data(tmp_path / "run", at(tmp_path / "there"))
    assert "train." not in str(error.value)
    for kind in kinds:
        changed.with_name("2.png").parent.parent.joinpath(kind, "2.png").unlink()
    with pytest.raises(ValueError, match=r"splits\.val\.images: 3 there, 2 now"):
        check_data(tmp_path / "run", at(tmp_path / "there"))


def test_drawn_images_are_known_by_their_options():
    for study, config in (("segmentation", Config(data=DataConfig(name="shapes"))),
                          ("vae", Faces(data=FacesData(name="shapes"))),
                          ("restoration", Restoration(data=Pairs(name="shapes")))):  # fmt: skip
        assert _study(study).describe_data(config) == {}


def test_faces_are_known_in_a_zip_file(tmp_path, monkeypatch):
    """From the directory of the file, without reading an image."""
    lines = "\n".join(f"{i:06d}.jpg {i // 2}" for i in range(6))
    found = []
    for name, seed in (("one", 0), ("two", 0), ("other", 9)):
        files = {f"img_align_celeba/{i:06d}.jpg": jpeg(pixels(i + seed, (218, 178))) for i in range(6)}
        zipped(tmp_path / name / "img_align_celeba.zip", files)
        (tmp_path / name / "list_eval_partition.txt").write_text(lines)
        config = Faces(data=FacesData(root=tmp_path / name))
        with monkeypatch.context() as patch:
            patch.setattr("zipfile.ZipFile.read", None)
            found.append(_study("vae").describe_data(config)["splits"])
    assert found[0] == found[1] != found[2]


def test_a_folder_that_has_been_prepared_since_is_the_same(tmp_path):
    """Prepared files have other sizes; names and classes stay the same."""
    root = _folder(tmp_path / "raw")
    datasets.prepare("folder", root, tmp_path / "prepared")
    at = lambda place: _study("segmentation").describe_data(Config(data=DataConfig(name="folder", root=place)))
    describe_run(tmp_path / "run", Config(), described=at(root))
    mark_learnt(tmp_path / "run")
    check_data(tmp_path / "run", at(tmp_path / "prepared"))
    other = _folder(tmp_path / "other")
    Image.new("L", (16, 16)).save(other / "val/labels/0.png")
    datasets.prepare("folder", other, tmp_path / "prepared-other")
    describe_run(tmp_path / "second", Config(), described=at(tmp_path / "prepared"))
    mark_learnt(tmp_path / "second")
    with pytest.raises(ValueError, match=r"splits\.val\.records_sha256"):
        check_data(tmp_path / "second", at(tmp_path / "prepared-other"))


def test_the_training_split_of_voc_is_kept(tmp_path):
    """Whichever is the default: a run on one split does not continue on another."""
    names = {"train": "1\n", "val": "2\n"}
    masks = np.zeros((16, 16), np.uint8)
    for place, folders in (("a", ("SegmentationClass",)), ("b", ("SegmentationClass", "SegmentationClassAug"))):
        base = tmp_path / place / "VOCdevkit/VOC2012"
        unpack(base, {f"ImageSets/Segmentation/{split}.txt": text.encode() for split, text in names.items()})
        unpack(base, {f"JPEGImages/{name}.jpg": jpeg(pixels(int(name), (16, 16))) for name in "123"})
        for folder in folders:
            (base / folder).mkdir()
            for name in "123"[: 2 + (folder != "SegmentationClass")]:
                Image.fromarray(masks).save(base / folder / f"{name}.png")
        datasets.prepare("voc2012", tmp_path / place, tmp_path / f"prepared-{place}")
    at = lambda place: _study("segmentation").describe_data(
        Config(data=DataConfig(name="voc2012", root=tmp_path / f"prepared-{place}"))
    )
    assert (at("a")["train_split"], at("b")["train_split"]) == ("train", "train_aug")
    # The smaller split is never taken without a word, unless it is named.
    note = lambda place, **options: note_on_split(DataConfig(name="voc2012", root=tmp_path / place, **options))
    assert "Trained on the 1 images of train: " in str(note("prepared-a"))
    assert "has no split train_aug, the 10,582 images that published models" in str(note("prepared-a"))
    assert note("prepared-b") is note("prepared-a", train_split="train") is None
    describe_run(tmp_path / "run", Config(), described=at("a"))
    mark_learnt(tmp_path / "run")
    with pytest.raises(ValueError, match="train_split: train there, train_aug now"):
        check_data(tmp_path / "run", at("b"))
    # It goes on once the split is named that was the default before.
    check_run(tmp_path / "run", Config(data=DataConfig(train_split="train")))
    describe_run(tmp_path / "unnamed", Config())
    mark_learnt(tmp_path / "unnamed")
    with pytest.raises(ValueError, match="train_split: None there, train now"):
        check_run(tmp_path / "unnamed", Config(data=DataConfig(train_split="train")))


def test_weights_are_known_by_their_content(tmp_path):
    (tmp_path / "w.npz").write_bytes(b"one")
    (tmp_path / "v.npz").write_bytes(b"two")
    shutil.copy(tmp_path / "w.npz", tmp_path / "moved.npz")
    one, two, moved = (describe_weights(tmp_path / name)["sha256"] for name in ("w.npz", "v.npz", "moved.npz"))
    assert one == moved != two
    for suffix in ("index", "data-00000-of-00001", "meta"):
        (tmp_path / f"model.ckpt-9.{suffix}").write_bytes(suffix.encode())
    found = [describe_weights(tmp_path / f"model.ckpt-9{end}") for end in ("", ".index", ".data-00000-of-00001")]
    assert found[0] == found[1] == found[2]
    with pytest.raises(FileNotFoundError, match=r"none\.npz does not exist: check the path"):
        describe_weights(tmp_path / "none.npz")


# Scores.


def test_scores_of_other_data_do_not_replace_the_runs_own(tmp_path):
    source = lambda root: lambda split: data.FolderSource(tmp_path / root, split)
    for root in ("mine", "moved"):
        _folder(tmp_path / root)
    described = _study("segmentation").describe_data(Config(data=DataConfig(root=tmp_path / "mine")))
    describe_run(tmp_path / "run", Config(), described=described)
    mark_learnt(tmp_path / "run")
    _folder(tmp_path / "other/mine")
    (tmp_path / "other/mine/val/images/0.png").unlink()
    (tmp_path / "other/mine/val/labels/0.png").unlink()
    shutil.copytree(tmp_path / "moved/train", tmp_path / "part/train")
    foreign = {root: is_other_data(tmp_path / "run", "train", source(root)) for root in ("moved", "other/mine", "part")}
    assert foreign == {"moved": False, "other/mine": True, "part": True}
    assert not is_other_data(tmp_path / "none", "val", source("other/mine"))


def test_every_look_has_its_file(tmp_path):
    """No other evaluation overwrites the scores of whole images, of the last step and of the run's own data."""
    result = {"split": "test", "mean_iou": 0.5, "data": {"images": 3}}
    plain = save_scores(tmp_path, result, "latest")
    assert (plain.path.name, plain.before, plain.note) == ("evaluation-test.json", None, None)
    elsewhere, changed = tmp_path / "my data", result | {"mean_iou": 0.9}
    others = [
        save_scores(tmp_path, changed, "best"),
        save_scores(tmp_path, changed, "latest", ["tile-65x65", "flip"]),
        save_scores(tmp_path, changed, "latest", other=elsewhere),
        save_scores(tmp_path, changed, "best", ["flip"], elsewhere),
    ]
    names = [other.path.name for other in others]
    assert names[:2] == ["evaluation-test-best.json", "evaluation-test-tile-65x65-flip.json"]
    assert names[2].startswith("evaluation-test-of-my-data-")
    assert names[3] == names[2].replace(".json", "-flip-best.json")
    assert f"my data is not the data that {tmp_path} has learnt from" in str(others[2].note)
    assert json.loads((tmp_path / "evaluation-test.json").read_text())["mean_iou"] == 0.5
    assert save_scores(tmp_path, result, "latest").before == result
