"""Forks in the other studies: up-sampling, characters, and the command line from one run to all methods."""

import importlib
import json
import shlex

import pytest

from experiments import runs
from experiments.common.config import with_options
from experiments.common.fork import plan_fork
from experiments.common.run_folder import check_run, describe_run, load_config
from experiments.sequence.tasks import Characters
from tests.experiments.command_line import call
from tests.experiments.made_runs import classes


def _plan(study, tmp_path, before, now, targets=(None, None)):
    """The weights that one preset of a study takes from another run; needs only the folder's record."""
    config, module = (importlib.import_module(f"experiments.{study}.{part}") for part in ("config", "study"))
    start = config.PRESETS["demo"].config
    describe_run(tmp_path / "run", with_options(start, before), targets[0] if study == "pixel_dcn" else None)
    init = {"init.source": "run", "init.checkpoint": tmp_path / "run"}
    return plan_fork(module.STUDY, with_options(start, {**before, **now, **init}), targets[1], tmp_path / "run")


def test_up_sampling_is_exchanged(tmp_path):
    """In a U-Net and in an auto-encoder; the order of its phases is part of the method."""
    small = {"model.width": 2, "model.depth": 3, "model.upsampling": "pixel_dcl"}
    both = (classes(4), classes(4))
    plan = _plan("pixel_dcn", tmp_path / "a", small, {"model.upsampling": "sub_pixel"}, both)
    assert {place[0] for place in plan.new_layers} == {place[0] for place in plan.left_out} == {"upsampling"}
    assert not plan.new_outputs
    assert _plan("pixel_dcn", tmp_path / "b", small, {"model.order": "equations"}, both).new_layers
    assert not _plan("pixel_dcn", tmp_path / "c", small, {}, both).new_layers
    other = _plan("pixel_dcn", tmp_path / "d", small, {}, (classes(4), classes(5)))
    assert {place[:3] for place in other.new_outputs} == {("up", 1, "conv2"), ("up", 1, "bn2")}
    plan = _plan("vae", tmp_path / "e", {"model.width": 2}, {"model.upsampling": "resize_conv"})
    assert {place[0] for place in plan.new_layers} == {"up"}
    with pytest.raises(ValueError, match=r"--model.latent-features 64 there, 8 here"):
        _plan("vae", tmp_path / "f", {"model.width": 2}, {"model.latent_features": 8})


def test_behind_a_deeplab_all_that_follows_has_the_classes(tmp_path):
    small = {"model.network": "deeplab", "model.encoder": "resnet10", "model.width": 2}
    plan = _plan("pixel_dcn", tmp_path / "a", small, {}, (classes(4), classes(5)))
    assert {place[0] for place in plan.taken} == {"deeplab"}
    assert {place[1] for place in plan.taken} == {"encoder"}
    plan = _plan("pixel_dcn", tmp_path / "b", small, {"model.upsampling": "sub_pixel"}, (classes(4), classes(4)))
    assert ("deeplab", "head", "branches", 0, "kernel") in plan.taken
    assert not plan.new_outputs


def test_restoration(tmp_path):
    plan = _plan("restoration", tmp_path, {"model.width": 2}, {"model.smoothing": "ss_conv", "model.task": "derain"})
    assert len(plan.new_smoothers) == 12
    assert "other than there: --model.task dehaze there, derain here" in str(plan)


def test_a_run_of_another_network_asks_for_the_options_that_it_reads(tmp_path):
    """The advice for a fork of GCANet named the stem, too, which GCANet refuses."""
    stack = {"model.network": "dilated_stack", "model.stem": 3, "model.rates": (2, 2)}
    with pytest.raises(ValueError, match="is a run of another network") as raised:
        _plan("restoration", tmp_path, {"model.width": 2}, {"model.width": 4, **stack})
    assert "give the options of that run, --model.network gcanet --model.width 2, or leave" in str(raised.value)


def test_other_characters_get_new_layers_at_both_ends(tmp_path):
    """In a sequence network both the embedding and the output depend on the symbols."""
    study = importlib.import_module("experiments.sequence.study").STUDY
    text = {"data.name": "text", "data.file": tmp_path / "book.txt", "model.depth": 2}
    config = with_options(importlib.import_module("experiments.sequence.config").PRESETS["demo"].config, text)
    describe_run(tmp_path / "run", config, described={"alphabet": "abc"})
    child = with_options(config, {"init.source": "run", "init.checkpoint": tmp_path / "run"})
    assert not plan_fork(study, child, Characters("abc"), tmp_path / "run").new_outputs
    plan = plan_fork(study, child, Characters("abd"), tmp_path / "run")
    assert {place[0] for place in plan.new_outputs} == {"first", "head"}


_TINY = shlex.split(
    "--model.width 2 --model.depth 2 --data.delay 3 --data.symbols 2 --data.val-examples 8 --batch-size 8 "
    "--eval-batch-size 8"
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run, and its forks into all methods."""
    folder = tmp_path_factory.mktemp("forks")
    call("train", "demo", *_TINY, "--steps", 3, "--run", "parent", folder=folder, study="sequence")
    init = ["--init.source", "run", "--init.checkpoint", "parent"]
    options = ["--methods", "none", "ss_conv", "--out", "forks", "--steps", 2, "--optim.learning-rate", 0.1]
    out, _ = call("compare", "demo", *_TINY, *init, *options, folder=folder, study="sequence")
    return folder, out


def test_one_run_is_forked_into_all_methods(trained):
    """With a different rate and length, which the parent's folder would refuse."""
    folder, out = trained
    assert out.count("weights of the run parent: ") == 2
    assert out.count("new, starting as the identity: blocks.*.conv.smoother (2)") == 1
    assert out.count("step 0 with a new optimizer; there: step 3, none") == 2
    known = [
        json.loads((folder / f"forks/{name}-seed0/data.json").read_text())["weights"] for name in ("none", "ss_conv")
    ]
    assert known[0] == known[1]
    assert (known[0]["name"], known[0]["step"], len(known[0]["sha256"])) == ("parent", 3, 64)


def test_the_list_of_runs_shows_the_parent(trained, capsys):
    assert runs.main([str(trained[0])]) == 0
    rows = {line.split("|")[1].strip(): line for line in capsys.readouterr().out.splitlines() if line.startswith("|")}
    assert "parent at 3" in rows["forks/ss_conv-seed0"]
    assert "parent at 3" not in rows["parent"]


def test_a_finished_run_names_the_way_to_a_longer_one(trained):
    folder = trained[0]
    config = load_config(folder / "parent", importlib.import_module("experiments.sequence.config").Config)
    way = r"to continue from its weights, also add --init.source run --init.checkpoint .*/parent"
    for options in ({"steps": 9}, {"optim.learning_rate": 0.5}):
        with pytest.raises(ValueError, match=way):
            check_run(folder / "parent", with_options(config, options))
    with pytest.raises(ValueError, match=r"or delete this one to start anew$"):
        check_run(folder / "parent", with_options(config, {"model.width": 3}))


def test_another_parent_is_other_data(trained):
    """As with other published weights, a resumed run must keep its start."""
    folder = trained[0]
    (folder / "forks/none-seed0/result.json").rename(folder / "set aside")
    text = (folder / "forks/none-seed0/data.json").read_text()
    try:
        (folder / "forks/none-seed0/data.json").write_text(text.replace('"step": 3', '"step": 2'))
        options = ["--init.source", "run", "--init.checkpoint", "parent", "--steps", 2, "--optim.learning-rate", 0.1]
        _, err = call("train", "demo", *_TINY, *options, "--run", "forks/none-seed0", folder=folder, status=1,
                      study="sequence")  # fmt: skip
        assert "weights.step: 2 there, 3 now" in err
    finally:
        (folder / "forks/none-seed0/data.json").write_text(text)
        (folder / "set aside").rename(folder / "forks/none-seed0/result.json")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--init.source", "run"], "--init.source run starts from a run: add its folder with --init.checkpoint RUN"),
        (["--init.source", "run", "--init.checkpoint", "nowhere"], "must be the folder of a run: nowhere holds no run"),
    ],
)
def test_refused_before_anything_is_opened(arguments, message, tmp_path):
    _, err = call("train", "demo", *arguments, folder=tmp_path, status=1, study="sequence")
    assert message in err
    assert not list(tmp_path.iterdir())
