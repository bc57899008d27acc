"""A checkpoint that is damaged or unfinished costs itself alone: the one before is restored, nothing is overwritten."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import chex
import pytest

from smoothjax.training import Checkpoints

# After the first error of a damaged checkpoint, TensorStore's other reads end in threads whose event loop is gone.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def _truncate_all(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _truncate_arrays(folder: Path) -> None:
    for path in (folder / "state").rglob("d/*"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


_DAMAGES: dict[str, Callable[[Path], object]] = {
    "everything truncated": _truncate_all,
    "arrays truncated": _truncate_arrays,
    "arrays deleted": lambda folder: shutil.rmtree(folder / "state" / "d"),
    "manifest deleted": lambda folder: (folder / "state" / "manifest.ocdbt").unlink(),
    "tree metadata empty": lambda folder: (folder / "state" / "_METADATA").write_bytes(b""),
    "state deleted": lambda folder: shutil.rmtree(folder / "state"),
    "iterator truncated": lambda folder: next((folder / "iterator").glob("*.json")).write_text("{"),
    "iterator deleted": lambda folder: next((folder / "iterator").glob("*.json")).unlink(),
}


@pytest.mark.parametrize("damage", _DAMAGES)
def test_a_damaged_newest_falls_back_to_the_one_before(damage: str, tmp_path: Path, toy: ModuleType) -> None:
    toy.save(tmp_path, {1: {"mean_iou": 0.1}, 2: {"mean_iou": 0.2}})
    _DAMAGES[damage](tmp_path / "2")
    said: list[str] = []
    iterator, expected = toy.make_iterator(), toy.make_iterator()
    next(expected)
    with Checkpoints(tmp_path, report=said.append) as checkpoints:
        restored = checkpoints.restore_latest(toy.make_state(), iterator)
        assert restored is not None
        assert restored.step == int(restored.state.step) == 1
        chex.assert_trees_all_equal(next(iterator), next(expected))
        assert len(said) == 1
        assert said[0].startswith(f"checkpoint {tmp_path / '2'} is damaged (")
        assert said[0].endswith("using step 1 instead")
        # The run comes to step 2 again, and saves it.
        assert checkpoints.best_step == 1
        checkpoints.save(2, toy.at(toy.make_state(), 2), iterator, metrics={"mean_iou": 0.3})
    assert toy.kept(tmp_path) == [1, 2]
    assert (tmp_path / "2.damaged").is_dir()
    with Checkpoints(tmp_path) as checkpoints:
        again = checkpoints.restore_latest(toy.make_state())
    assert again is not None
    assert again.step == 2


@pytest.mark.parametrize("damage", ["deleted", "emptied"])
def test_no_file_is_missed_unseen(damage: str, tmp_path: Path, toy: ModuleType) -> None:
    """Whichever file of the newest is damaged, what is restored is right: the newest where the file is no loss."""
    toy.save(tmp_path / "whole", {1: None, 2: None})
    files = [path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole" / "2").rglob("*") if path.is_file()]
    found = {}
    for index, path in enumerate(files):
        folder = tmp_path / str(index)
        shutil.copytree(tmp_path / "whole", folder)
        (folder / path).unlink() if damage == "deleted" else (folder / path).write_bytes(b"")
        iterator, expected = toy.make_iterator(), toy.make_iterator()
        with Checkpoints(folder, read_only=True, report=lambda _: None) as checkpoints:
            restored = checkpoints.restore_latest(toy.make_state(), iterator)
        assert restored is not None
        found[str(path.relative_to("2"))] = restored.step
        chex.assert_trees_all_equal(restored.state, toy.at(toy.make_state(), restored.step))
        for _ in range(restored.step):
            next(expected)
        chex.assert_trees_all_equal(next(iterator), next(expected))
    assert {1, 2} == set(found.values())
    assert found["state/_METADATA"] == found["state/manifest.ocdbt"] == 1


def test_a_damaged_summary_costs_only_the_rank(tmp_path: Path, toy: ModuleType) -> None:
    toy.save(tmp_path, {1: {"mean_iou": 0.1}, 2: {"mean_iou": 0.2}})
    (tmp_path / "2" / "summary" / "metadata").write_text('{"metr')
    with Checkpoints(tmp_path) as checkpoints:
        restored = checkpoints.restore_latest(toy.make_state())
        assert restored is not None
        assert (restored.step, restored.metrics, checkpoints.best_step) == (2, {}, 1)


def test_where_none_can_be_read_the_first_error_is_raised(tmp_path: Path, toy: ModuleType) -> None:
    toy.save(tmp_path, {1: None, 2: None})
    shutil.rmtree(tmp_path / "1")
    (tmp_path / "1" / "state").mkdir(parents=True)
    next((tmp_path / "2" / "iterator").glob("*.json")).write_text("{")
    with Checkpoints(tmp_path) as checkpoints, pytest.raises(json.JSONDecodeError) as raised:
        checkpoints.restore_latest(toy.make_state(), toy.make_iterator())
    assert f"in {tmp_path} could be restored. If the model" in raised.value.__notes__[0]
    assert "delete the folder to start anew" in raised.value.__notes__[0]
    assert toy.kept(tmp_path) == [1, 2]  # nothing is set aside where nothing replaces it


def test_read_only_changes_nothing(tmp_path: Path, toy: ModuleType) -> None:
    toy.save(tmp_path, {1: {"mean_iou": 0.1}, 2: None})
    unfinished = tmp_path / "3.orbax-checkpoint-tmp"  # of a training that is saving right now
    unfinished.mkdir()
    _truncate_all(tmp_path / "2")
    before = sorted(path for path in tmp_path.rglob("*"))
    with Checkpoints(tmp_path, read_only=True, report=lambda _: None) as checkpoints:
        assert checkpoints.restore_best(toy.make_state()).step == 1
        latest = checkpoints.restore_latest(toy.make_state())
        with pytest.raises(RuntimeError, match="was opened read_only, step 3 cannot be saved there"):
            checkpoints.save(3, toy.make_state(), toy.make_iterator())
    assert latest is not None
    assert latest.step == 1
    assert sorted(path for path in tmp_path.rglob("*")) == before


def test_what_a_killed_save_left_is_no_checkpoint(tmp_path: Path, toy: ModuleType) -> None:
    toy.save(tmp_path, {1: None})
    shutil.copytree(tmp_path / "1", tmp_path / "2.orbax-checkpoint-tmp")
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.steps == [1]
        checkpoints.save(2, toy.make_state(), toy.make_iterator())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2"]
