import dataclasses
import json
import math
import os
import time
from pathlib import Path
from types import ModuleType

import chex
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from smoothjax.training import Checkpoints, TrainState, check_folder, data_mesh, replicate
from smoothjax.training._state import to_save

# After the first error of a damaged checkpoint, TensorStore's other reads end in threads whose event loop is gone.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def test_restores_state_data_and_metrics(tmp_path: Path, toy: ModuleType) -> None:
    iterator, fresh = toy.make_iterator(), toy.make_iterator()
    for _ in range(8):  # into the second epoch
        next(iterator)
    state = dataclasses.replace(toy.make_state(), step=jnp.int32(8))
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.restore_latest(state, fresh) is None
        checkpoints.save(8, state, iterator, metrics={"mean_iou": 0.5, "iou_sky": math.nan})
    with Checkpoints(tmp_path) as checkpoints:
        restored = checkpoints.restore_latest(toy.at(state, 0), fresh)
    assert restored is not None
    assert restored.step == 8
    assert restored.metrics["mean_iou"] == 0.5
    assert math.isnan(restored.metrics["iou_sky"])
    chex.assert_trees_all_equal(restored.state, state)
    chex.assert_trees_all_equal(next(fresh), next(iterator))
    chex.assert_trees_all_equal(next(fresh), next(iterator))


def test_keeps_the_best_and_the_latest_two(tmp_path: Path, toy: ModuleType) -> None:
    values = {1: 0.1, 2: 0.9, 3: 0.5, 4: None, 5: math.nan, 6: 0.3, 7: None}
    toy.save(tmp_path, {step: {} if value is None else {"mean_iou": value} for step, value in values.items()})
    assert toy.kept(tmp_path) == [2, 6, 7]
    with Checkpoints(tmp_path) as checkpoints:
        assert (checkpoints.best_step, checkpoints.best_value) == (2, 0.9)
        restored = checkpoints.restore_best(toy.make_state())
    assert (restored.step, int(restored.state.step), restored.metrics) == (2, 2, {"mean_iou": 0.9})
    summary = json.loads((tmp_path / "7" / "summary" / "metadata").read_text())
    assert summary == {"metrics": {}, "best": {"metric": "mean_iou", "step": 2, "value": 0.9}}


def test_the_best_survives_a_restart_and_is_replaced(tmp_path: Path, toy: ModuleType) -> None:
    toy.save(tmp_path, {1: {"loss": 0.1}, 2: {"loss": 0.4}, 3: None}, metric="loss", mode="min")
    toy.save(tmp_path, {4: None, 5: None}, metric="loss", mode="min")
    assert toy.kept(tmp_path) == [1, 4, 5]
    toy.save(tmp_path, {6: {"loss": 0.1}}, metric="loss", mode="min")  # as good, and newer
    assert toy.kept(tmp_path) == [5, 6]


def test_a_donated_state_is_saved_as_it_was(tmp_path: Path, toy: ModuleType) -> None:
    size, mesh = 1 << 22, data_mesh()
    add = jax.jit(lambda tree: jax.tree.map(lambda x: x + 1, tree), donate_argnums=0)
    state = replicate(TrainState(jnp.int32(0), {"w": jnp.zeros(size)}, {}, ()), mesh)
    iterator = toy.make_iterator()
    with Checkpoints(tmp_path) as checkpoints:
        for before in (0, 5):
            held = to_save(state)
            checkpoints.save(before, state, iterator)
            for _ in range(5):  # overwrites the buffers while the save is running
                state = add(state)
            jax.block_until_ready(state)
            np.testing.assert_array_equal(held.params["w"], before)  # nor are the host's views
    with Checkpoints(tmp_path) as checkpoints:
        restored = checkpoints.restore_latest(state)
    assert restored is not None
    np.testing.assert_array_equal(restored.state.params["w"], 5)


def test_a_typed_key_is_saved_and_restored(tmp_path: Path, toy: ModuleType) -> None:
    """The streams of Flax's dropout hold such keys."""
    draw = lambda key: jax.random.normal(key, (4,))
    key = jax.random.key(7)
    state = TrainState(jnp.int32(1), {"w": jnp.ones(3)}, {"dropout": {"key": key, "count": jnp.uint32(2)}}, ())
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state, toy.make_iterator())
    other = {"dropout": {"key": jax.random.key(0), "count": jnp.uint32(0)}}
    with Checkpoints(tmp_path) as checkpoints:
        restored = checkpoints.restore_latest(TrainState(state.step, state.params, other, ()))
    assert restored is not None
    found = restored.state.model_state["dropout"]
    assert found["key"].dtype == key.dtype
    np.testing.assert_array_equal(draw(found["key"]), draw(key))
    assert int(found["count"]) == 2


def test_what_is_measured_later_ranks(tmp_path: Path, toy: ModuleType) -> None:
    toy.save(tmp_path, {1: {"mean_iou": 0.5}, 2: {"mean_iou": 0.4}, 3: None})
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.measure(3, {"mean_iou": 0.7, "iou_sky": math.nan})
        assert checkpoints.best_step == 3
        with pytest.raises(ValueError, match=r"step must be one of those saved, \[1, 2, 3\], got 4"):
            checkpoints.measure(4, {"mean_iou": 0.9})
    with Checkpoints(tmp_path, read_only=True) as checkpoints:
        assert (checkpoints.best_step, checkpoints.best_value) == (3, 0.7)
        assert checkpoints.restore_best(toy.make_state()).metrics["mean_iou"] == 0.7
        with pytest.raises(RuntimeError, match="read_only"):
            checkpoints.measure(3, {"mean_iou": 0.9})


@pytest.mark.parametrize("step", [2, 3])
def test_a_step_that_is_not_later_is_refused_and_ranks_nothing(step: int, tmp_path: Path, toy: ModuleType) -> None:
    iterator, state = toy.make_iterator(), toy.make_state()
    with Checkpoints(tmp_path) as checkpoints:
        for saved, value in ((1, 0.9), (2, 0.5), (3, 0.4)):
            checkpoints.save(saved, toy.at(state, saved), iterator, metrics={"mean_iou": value})
        with pytest.raises(ValueError, match=f"step must be greater than the latest saved, 3, got {step}: use another"):
            checkpoints.save(step, toy.at(state, 7), iterator, metrics={"mean_iou": 1.0})
        checkpoints.save(4, toy.at(state, 4), iterator, metrics={"mean_iou": 0.3})
        assert (checkpoints.best_step, checkpoints.best_value) == (1, 0.9)
        assert checkpoints.restore_best(state).metrics == {"mean_iou": 0.9}
    assert toy.kept(tmp_path) == [1, 3, 4]


def test_what_orbax_does_not_take_or_write_ranks_nothing(
    tmp_path: Path, toy: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    iterator, state = toy.make_iterator(), toy.make_state()

    def fails(*arguments: object, **options: object) -> bool:
        raise OSError("no space left on device")

    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, toy.at(state, 1), iterator, metrics={"mean_iou": 0.5})
        for save, error in ((lambda *_, **__: False, "step 2 was not accepted"), (fails, "no space left on device")):
            with monkeypatch.context() as patch:
                patch.setattr(ocp.CheckpointManager, "save", save)
                with pytest.raises((ValueError, OSError), match=error):
                    checkpoints.save(2, toy.at(state, 2), iterator, metrics={"mean_iou": 0.9})
            assert checkpoints.best_step == 1
        # The same, in the background, after Orbax took it. Then there is space again.
        with monkeypatch.context() as patch:
            patch.setattr(os, "rename", fails)
            checkpoints.save(2, toy.at(state, 2), iterator, metrics={"mean_iou": 0.9})
            with pytest.raises(OSError, match="no space left on device"):
                checkpoints.wait()
        assert (checkpoints.steps, checkpoints.best_step) == ([1], 1)
        checkpoints.save(2, toy.at(state, 2), iterator, metrics={"mean_iou": 0.4})
        assert (checkpoints.steps, checkpoints.best_step) == ([1, 2], 1)
    assert toy.kept(tmp_path) == [1, 2]


def test_the_best_is_one_that_exists(tmp_path: Path, toy: ModuleType) -> None:
    """A deleted checkpoint does not become the best when the one that beat it turns out worse."""
    iterator, state = toy.make_iterator(), toy.make_state()
    with Checkpoints(tmp_path) as checkpoints:
        for step, value in ((1, 0.5), (2, 0.9), (3, 0.4), (4, 0.3)):
            checkpoints.save(step, toy.at(state, step), iterator, metrics={"mean_iou": value})
        assert checkpoints.steps == [2, 3, 4]
        checkpoints.measure(2, {"mean_iou": 0.1})
        assert (checkpoints.best_step, checkpoints.restore_best(state).step) == (3, 3)
        summary = json.loads((tmp_path / "2" / "summary" / "metadata").read_text())
        assert summary["best"] == {"metric": "mean_iou", "step": 3, "value": 0.4}
        # Metrics are replaced, and with them the rank.
        checkpoints.measure(3, {"loss": 1.0})
        assert (checkpoints.best_step, checkpoints.best_value) == (4, 0.3)
        checkpoints.save(5, toy.at(state, 5), iterator, metrics={"mean_iou": 0.2})
        assert checkpoints.steps == [4, 5]
    with Checkpoints(tmp_path, read_only=True) as checkpoints:
        assert checkpoints.best_step == 4


@pytest.mark.parametrize(("before", "after"), [(8, 1), (1, 8)])
def test_restores_on_another_number_of_devices(before: int, after: int, tmp_path: Path, toy: ModuleType) -> None:
    meshes = [data_mesh(jax.devices()[:count]) for count in (before, after)]
    state = replicate(toy.at(toy.make_state(), 1), meshes[0])
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state, toy.make_iterator())
    with Checkpoints(tmp_path) as checkpoints:
        restored = checkpoints.restore_latest(replicate(toy.at(state, 0), meshes[1]))
    assert restored is not None
    chex.assert_trees_all_equal(jax.device_get(restored.state), jax.device_get(state))
    for leaf in jax.tree.leaves(restored.state):
        assert leaf.sharding.device_set == set(meshes[1].devices.flat)
        assert leaf.sharding.is_fully_replicated


def test_another_model_raises_and_harms_nothing(tmp_path: Path, toy: ModuleType) -> None:
    toy.save(tmp_path, {1: None, 2: None})
    state = toy.make_state()
    other = TrainState(state.step, {"dense": jnp.zeros((2, 2))}, state.model_state, state.opt_state)
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(ValueError, match=r"dense|structure") as raised:
            checkpoints.restore_latest(other)
        assert "has changed since, use another folder" in str(raised.value)
        assert checkpoints.restore_latest(state) is not None
    assert toy.kept(tmp_path) == [1, 2]


def test_another_shape_raises(tmp_path: Path, toy: ModuleType) -> None:
    toy.save(tmp_path, {1: None})
    wider = jax.tree.map(lambda x: jnp.zeros((*x.shape[:-1], 7)) if x.ndim == 4 else x, toy.make_state())
    with Checkpoints(tmp_path) as checkpoints, pytest.raises(ValueError, match="shape"):
        checkpoints.restore_latest(wider)


def test_bad_arguments(tmp_path: Path, toy: ModuleType) -> None:
    with pytest.raises(ValueError, match="mode must be 'max' or 'min', got 'best'"):
        Checkpoints(tmp_path, mode="best")
    with pytest.raises(FileNotFoundError, match=r"no checkpoints in .*nothing, the folder is missing; train first"):
        Checkpoints(tmp_path / "nothing", read_only=True)
    toy.save(tmp_path, {1: {"loss": 0.1}})
    with (
        Checkpoints(tmp_path) as checkpoints,
        pytest.raises(
            FileNotFoundError, match=r"none of the checkpoints \[1\] .* has the metric 'mean_iou'; train until"
        ),
    ):
        checkpoints.restore_best(toy.make_state())


def test_a_state_of_another_step_is_not_saved(tmp_path: Path, toy: ModuleType) -> None:
    """Otherwise its folder would be named after a step that the state has not reached."""
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(ValueError, match="step must be that of the state, 2, got 3"):
            checkpoints.save(3, toy.at(toy.make_state(), 2), toy.make_iterator())
        assert checkpoints.steps == []


def test_what_was_saved_is_opened_again(tmp_path: Path, toy: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Orbax reports success even if arrays are lost; without this check only the next start would find out."""
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, toy.at(toy.make_state(), 1), toy.make_iterator())
        checkpoints.wait()
        checkpoints.save(2, toy.at(toy.make_state(), 2), toy.make_iterator())
        with monkeypatch.context() as patch:
            finish = ocp.CheckpointManager.wait_until_finished

            def lose(manager: ocp.CheckpointManager) -> None:
                finish(manager)
                for path in (tmp_path / "2" / "state" / "d").iterdir():
                    path.unlink()

            patch.setattr(ocp.CheckpointManager, "wait_until_finished", lose)
            with pytest.raises(OSError, match=r"could not be written to .*\. The checkpoints of the steps \[1, 2\]"):
                checkpoints.wait()


@pytest.mark.parametrize("name", ["lr=[0.1]", "a*", "what?", "a\\b", "b]"])
def test_folders_that_cannot_be_read_back_are_refused(name: str, tmp_path: Path) -> None:
    """Orbax writes below such names and never finds the checkpoint again."""
    (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / name)
    for folder in (tmp_path / name / "checkpoints", tmp_path / "link" / "checkpoints"):
        with pytest.raises(ValueError, match=r"folder must not contain any of the characters \[ \] \* \? ") as raised:
            Checkpoints(folder)
        assert str(tmp_path / name / "checkpoints") in str(raised.value)
    assert list((tmp_path / name).iterdir()) == []


def test_folders_elsewhere_are_refused(tmp_path: Path) -> None:
    for folder in ("s3://bucket/run", "gs:/bucket/run"):
        with pytest.raises(ValueError, match=r"--run must be on a file system of this machine, got '[sg]"):
            check_folder(folder, name="--run")
    with pytest.raises(ValueError, match="folder must be valid UTF-8"):
        check_folder(tmp_path / "a\udc80")
    assert check_folder(tmp_path / "a b=1,{2}%~'é'") == tmp_path / "a b=1,{2}%~'é'"


def test_a_clock_that_jumps_does_not_end_a_save(
    tmp_path: Path, toy: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Orbax uses wall time, so a clock synchronised during a save would cause a timeout."""
    years, now = iter([0] + 10_000 * [56]), time.time
    with Checkpoints(tmp_path) as checkpoints:
        monkeypatch.setattr(time, "time", lambda: now() + next(years) * 365 * 24 * 3600)
        checkpoints.save(1, toy.at(toy.make_state(), 1), toy.make_iterator())
        checkpoints.wait()
        years = iter(10_000 * [0])
        checkpoints.save(2, toy.at(toy.make_state(), 2), toy.make_iterator())
    assert toy.kept(tmp_path) == [1, 2]


@pytest.mark.parametrize("place", ["2", "1/summary", "1/state/d", "plan.json.tmp"])
def test_a_planted_link_is_refused(place: str, tmp_path: Path, toy: ModuleType) -> None:
    """Checkpoints would be written, and old ones deleted, in someone else's folder."""
    toy.save(tmp_path / "run", {1: None})
    (tmp_path / "precious").mkdir()
    link = tmp_path / "run" / place
    if link.exists():
        link.rename(tmp_path / "moved")
    link.symlink_to(tmp_path / "precious")
    with pytest.raises(ValueError, match=f"{place} is a link to .*precious, out of its folder, .*: remove it"):
        Checkpoints(tmp_path / "run")
    assert list((tmp_path / "precious").iterdir()) == []
