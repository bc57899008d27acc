"""The data behind a run, and which of its scores enter the tables."""

import json
from pathlib import Path

import pytest

from experiments.common.config import with_options
from experiments.common.evaluate import save_scores
from experiments.common.published import upsampling_times
from experiments.pixel_dcn.config import PRESETS as PIXEL
from experiments.segmentation.presets import PRESETS
from experiments.sequence.config import PRESETS as SEQUENCES
from experiments.tables.__main__ import main
from experiments.tables.find import find
from experiments.tables.groups import groups
from experiments.tables.hyperparameters import hyperparameters
from tests.experiments.made_runs import write


def _record(folder, **described):
    (folder / "data.json").write_text(json.dumps(described))


def _text(seed=0):
    return with_options(SEQUENCES["text"].config, {"data.file": Path("/a/book.txt"), "seed": seed})


def test_the_plain_scores_are_taken(tmp_path, capsys):
    """Averaged scores and scores of other data have other file names, and need no remark."""
    write(tmp_path / "a", PRESETS["camvid"].config, 0.5, test=0.25)
    content = json.loads((tmp_path / "a/evaluation-test.json").read_text())
    other = content | {"mean_iou": 0.99}
    save_scores(tmp_path / "a", other, "best")
    save_scores(tmp_path / "a", other, "latest", ["flip"])
    save_scores(tmp_path / "a", other, "latest", other=tmp_path / "other")
    assert len(list((tmp_path / "a").glob("evaluation-test*"))) == 4
    assert main([str(tmp_path), "--own", "--split", "test"]) == 0
    out, err = capsys.readouterr()
    assert "| 25.0 " in out
    assert "99.0" not in out
    assert err == ""


def test_two_texts_of_one_name_are_two_settings(tmp_path, capsys):
    """Before and after they are stored."""
    for name in ("one", "two", "same"):
        write(tmp_path / name, _text(), 0.5)
        (tmp_path / name / "result.json").write_text(json.dumps({"val": {"score": 1.5}}))
        _record(tmp_path / name, name=f"--data.file {name}", sha256="one" if name == "same" else name)
    kept = tmp_path / "kept.json"
    assert main([str(tmp_path), "--own", "--json", str(kept)]) == 0
    err = capsys.readouterr().err
    assert f"{tmp_path}/same is left out: {tmp_path}/one is the same run" in err
    assert "two is left out" not in err
    for found in (find([tmp_path]), find([kept])):
        assert len(found.runs) == 2
        titles = [group.title for group in groups(found.runs)]
        assert len(set(titles)) == 2
        assert all("data.sha256 " in title for title in titles)
    assert str(tmp_path) not in kept.read_text()


@pytest.mark.parametrize(("split", "fills"), [("train_aug", True), ("train", False), (None, False)])
def test_a_row_on_voc_asks_for_the_augmented_split(tmp_path, capsys, split, fills):
    """The paper trains all models on it; a run without a record of its split fills no row."""
    weights = {"init.source": "slim", "init.checkpoint": Path("/a/w.npz")}
    write(tmp_path / "a", with_options(PRESETS["voc2012"].config, weights), 0.7)
    if split is None:
        (tmp_path / "a/data.json").unlink()
    else:
        _record(tmp_path / "a", train_split=split, weights={"sha256": "0" * 64})
    assert main([str(tmp_path), "--table", "2"]) == 0
    out, err = capsys.readouterr()
    assert ("DeepLabv2, no run yet" not in out) == fills
    remark = f"fills no row; from Table 2, DeepLabv2 it differs in data.train_split {split}, not train_aug"
    assert (remark in err) == (not fills)


def test_splits_and_weights_make_settings(tmp_path):
    """Even if they have the same names."""
    config = with_options(PRESETS["voc2012"].config, {"init.source": "slim", "init.checkpoint": Path("w.npz")})
    recorded = [{"train_split": "train", "weights_sha256": "1"}, {"train_split": "train_aug", "weights_sha256": "1"},
            {"train_split": "train_aug", "weights_sha256": "2"}, {}]  # fmt: skip
    assert len({json.dumps(hyperparameters(config, data), default=str) for data in recorded}) == 4
    named = with_options(config, {"data.train_split": "train_aug"})
    assert hyperparameters(named, recorded[1]) == hyperparameters(config, recorded[1])
    camvid = PRESETS["camvid"].config
    assert hyperparameters(camvid) == hyperparameters(camvid, {"train_split": "train", "sha256": "3"})


def test_seeds_from_weights_of_one_name_are_not_pooled(tmp_path, capsys):
    weights = {"init.source": "slim", "init.checkpoint": Path("/a/w.npz")}
    for seed, value in ((0, 0.7), (1, 0.8)):
        write(tmp_path / str(seed), with_options(PRESETS["voc2012"].config, weights | {"seed": seed}), value)
        _record(tmp_path / str(seed), train_split="train_aug", weights={"sha256": str(seed) * 64})
    assert main([str(tmp_path), "--table", "2"]) == 0
    out = capsys.readouterr().out
    assert "ours, slim w.npz 000000000000" in out
    assert "ours, slim w.npz 111111111111" in out


def test_the_u_net_of_the_paper_trains_on_10582_images():
    """100 epochs in batches of two: with 1,464 images a training step of Table 2 would cost 20 predictions."""
    config = PIXEL["voc2012-unet"].config
    assert config.data.train_split == "train_aug"
    assert config.steps * config.batch_size == 100 * 10582
    times = upsampling_times()["DCL"]
    prediction, epoch = times["predict"] / 2109, times["train"] / 10
    assert [round(epoch / images / prediction, 1) for images in (1464, 10582)] == [19.5, 2.7]
