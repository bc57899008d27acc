"""A damaged or unfinished checkpoint harms no other: the previous one is restored, and nothing overwritten."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import chex
import jax.numpy as jnp
import numpy as np
import pytest

from smoothjax.training import Checkpoints, TrainState

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
    """Whichever file of the newest is damaged, the restored state is right: the newest one if the file is no loss."""
    toy.save(tmp_path / "whole", {1: None, 2: None})
    files = [path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole" / "2").rglob("*") if path.is_file()]
    batches, following = toy.make_iterator(), {}
    for step in range(3):
        following[step] = next(batches)
    found = {}
    for index, path in enumerate(files):
        folder = tmp_path / str(index)
        shutil.copytree(tmp_path / "whole", folder)
        (folder / path).unlink() if damage == "deleted" else (folder / path).write_bytes(b"")
        iterator = toy.make_iterator()
        with Checkpoints(folder, read_only=True, report=lambda _: None) as checkpoints:
            restored = checkpoints.restore_latest(toy.make_state(), iterator)
        assert restored is not None
        found[str(path.relative_to("2"))] = restored.step
        chex.assert_trees_all_equal(restored.state, toy.at(toy.make_state(), restored.step))
        chex.assert_trees_all_equal(next(iterator), following[restored.step])
    assert {1, 2} == set(found.values())
    assert found["state/_METADATA"] == found["state/manifest.ocdbt"] == 1


@pytest.mark.parametrize(
    "text",
    [
        '{"metr',
        "[]",
        "null",
        '{"metrics": 3}',
        '{"metrics": {"mean_iou": "high"}}',
        '{"metrics": {"mean_iou": [0.9]}}',
        '{"metrics": {"mean_iou": true}}',
        f'{{"metrics": {{"mean_iou": 1{400 * "0"}}}}}',
        100_000 * "[",
    ],
    ids=lambda text: text[:40],
)
def test_a_damaged_summary_costs_only_the_rank(text: str, tmp_path: Path, toy: ModuleType) -> None:
    toy.save(tmp_path, {1: {"mean_iou": 0.1}, 2: {"mean_iou": 0.2}})
    (tmp_path / "2" / "summary" / "metadata").write_text(text)
    with Checkpoints(tmp_path) as checkpoints:
        restored = checkpoints.restore_latest(toy.make_state())
        assert restored is not None
        assert (restored.step, restored.metrics, checkpoints.best_step) == (2, {}, 1)


def test_where_none_can_be_read_one_error_has_all_reasons(tmp_path: Path, toy: ModuleType) -> None:
    toy.save(tmp_path, {1: None, 2: None})
    shutil.rmtree(tmp_path / "1")
    (tmp_path / "1" / "state").mkdir(parents=True)
    next((tmp_path / "2" / "iterator").glob("*.json")).write_text("{")
    with Checkpoints(tmp_path) as checkpoints, pytest.raises(ValueError, match="no checkpoint in") as raised:
        checkpoints.restore_latest(toy.make_state(), toy.make_iterator())
    first, newest, oldest, remedy = str(raised.value).splitlines()
    assert first == f"Checkpoints: no checkpoint in {tmp_path} can be restored:"
    assert newest.startswith("  step 2: ValueError: ")
    assert newest.endswith("process_0-of-1.json is not what was saved")
    assert oldest.startswith("  step 1: FileNotFoundError: ")
    assert remedy.endswith("if the files are damaged, delete this one.")
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
        checkpoints.save(2, toy.at(toy.make_state(), 2), toy.make_iterator())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2"]


@pytest.mark.parametrize(
    "text",
    ["", "[]", '"x"', "null", '{"commit_timestamp_nsecs": "x"}', '{"commit_timestamp_nsecs": 1e40}', '{"metrics": 1}'],
)
def test_what_a_checkpoint_says_of_itself_locks_no_other_out(text: str, tmp_path: Path, toy: ModuleType) -> None:
    """One file with a wrong type once kept the whole folder from opening."""
    toy.save(tmp_path, {1: {"mean_iou": 0.1}, 2: {"mean_iou": 0.2}})
    (tmp_path / "2" / "_CHECKPOINT_METADATA").write_text(text)
    with Checkpoints(tmp_path, report=lambda _: None) as checkpoints:
        restored = checkpoints.restore_latest(toy.make_state(), iterator := toy.make_iterator())
        assert restored is not None
        chex.assert_trees_all_equal(restored.state, toy.at(toy.make_state(), restored.step))
        for step in range(restored.step + 1, 5):
            checkpoints.save(step, toy.at(toy.make_state(), step), iterator)


def _flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 0x10
    path.write_bytes(content)


def test_a_flipped_bit_is_found(tmp_path: Path, toy: ModuleType) -> None:
    """Arrays have no checksum on disk: a changed parameter would be silently restored, and trained further."""
    # Small arrays lie in the tree of the storage, which has checksums; constant ones are compressed to nothing.
    kernel = jnp.asarray(np.random.default_rng(0).standard_normal(5000), jnp.float32)
    states = [TrainState(jnp.int32(step), {"kernel": kernel + step}, {}, ()) for step in (1, 2)]
    with Checkpoints(tmp_path) as checkpoints:
        for step, state in enumerate(states, 1):
            checkpoints.save(step, state, toy.make_iterator(), metrics={"mean_iou": 0.1 * step})
    data = max((tmp_path / "2" / "state").rglob("d/*"), key=lambda path: path.stat().st_size)
    _flip(data, data.stat().st_size // 2)
    said: list[str] = []
    with Checkpoints(tmp_path, read_only=True, report=said.append) as checkpoints:
        for restored in (checkpoints.restore_latest(states[0]), checkpoints.restore_best(states[0])):
            assert restored is not None
            assert restored.step == 1
            chex.assert_trees_all_equal(restored.state, states[0])
    assert len(said) == 2
    for line in said:
        assert re.search(r"array params/kernel is float32\[5000\] \w{8} and was saved as float32\[5000\] \w{8}\)", line)


def test_a_position_that_changed_is_found(tmp_path: Path, toy: ModuleType) -> None:
    """Another number in the iterator's file is still a valid position, but of other batches."""
    toy.save(tmp_path, {1: None, 2: None})
    path = next((tmp_path / "2" / "iterator").glob("*.json"))
    path.write_text(path.read_text().replace("2", "3"))
    with Checkpoints(tmp_path, report=lambda _: None) as checkpoints:
        restored = checkpoints.restore_latest(toy.make_state(), toy.make_iterator())
    assert restored is not None
    assert restored.step == 1


def test_a_renamed_checkpoint_is_not_taken_for_another_step(tmp_path: Path, toy: ModuleType) -> None:
    toy.save(tmp_path, {1: None, 2: None})
    (tmp_path / "2").rename(tmp_path / "7")
    said: list[str] = []
    with Checkpoints(tmp_path, report=said.append) as checkpoints:
        restored = checkpoints.restore_latest(toy.make_state())
    assert restored is not None
    assert restored.step == 1
    assert "the folder is named 7, the state in it is of step 2" in said[0]


def test_a_damaged_best_gives_way_to_the_next_best(tmp_path: Path, toy: ModuleType) -> None:
    toy.save(tmp_path, {1: {"mean_iou": 0.9}, 2: {"mean_iou": 0.2}, 3: {"mean_iou": 0.3}})
    _truncate_arrays(tmp_path / "1")
    said: list[str] = []
    with Checkpoints(tmp_path, read_only=True, report=said.append) as checkpoints:
        assert checkpoints.restore_best(toy.make_state()).step == 3
    assert said[0].startswith(f"checkpoint {tmp_path / '1'} is damaged (")
