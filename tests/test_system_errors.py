"""Errors of the file system: one sentence that names the place, the rule and the remedy, in every command line."""

import errno
import os

import numpy as np
import pytest
from PIL import Image

from experiments.common.status import status_of
from experiments.figures import main as figures
from experiments.runs import main as runs
from experiments.tables.__main__ import main as tables
from smoothjax.data import read_image
from smoothjax.datasets.__main__ import main as data
from smoothjax.diagnose.__main__ import main as diagnose
from smoothjax.files import check_writable, explain, write_whole

_NUMBERS = (
    *(errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOTDIR),
    *(errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP, errno.EMFILE, errno.EIO),
)


def _error(number, *places):
    return OSError(number, os.strerror(number), *places)


@pytest.mark.parametrize("number", _NUMBERS, ids=errno.errorcode.get)
def test_the_place_and_a_remedy_take_the_place_of_a_number(number):
    """`[Errno 30] Read-only file system: '/x/.grid.png.0f3a'` says neither what to do nor a name that anyone gave."""
    text = explain(_error(number, "nowhere/grid.png"))
    place, colon, remedy = text.partition(": ")
    assert place.startswith("nowhere/grid.png ")
    assert colon
    assert remedy
    assert "Errno" not in text
    assert explain(_error(number)).startswith("a file ")


def test_permissions_tell_reading_from_writing(tmp_path, monkeypatch):
    """Python's error is the same for both."""
    path = tmp_path / "a.png"
    assert "a.png cannot be written, since you lack the permission: " in explain(_error(errno.EACCES, str(path)))
    path.touch()
    assert "a.png cannot be written, " in explain(_error(errno.EACCES, str(path)))
    monkeypatch.setattr("os.access", lambda place, mode: mode == os.X_OK)
    assert "a.png cannot be opened, " in explain(_error(errno.EACCES, str(path)))


def test_an_image_without_permission_is_not_called_damaged(tmp_path, monkeypatch):
    """The remedy was to replace or remove the file."""

    def deny(path, *_, **__):
        raise _error(errno.EACCES, str(path))

    monkeypatch.setattr("pathlib.Path.open", deny)
    (tmp_path / "a.png").touch()
    with pytest.raises(ValueError, match=r"a\.png cannot be .*, since you lack the permission: ") as caught:
        read_image(tmp_path / "a.png")
    assert "remove" not in str(caught.value)


def test_other_errors_keep_their_words():
    assert explain(OSError("the run is in use")) == "the run is in use"
    assert (
        explain(OSError(errno.ENOSPC, "the disk is full, nothing is left", "out"))
        == "out: the disk is full, nothing is left"
    )
    assert explain(_error(errno.ENOTCONN, "a.png")) == f"a.png: {os.strerror(errno.ENOTCONN)}"
    assert explain(KeyError("a")) == "'a'"


@pytest.mark.parametrize("fails", ["open", "replace"])
def test_a_file_that_cannot_be_written_is_named(fails, tmp_path, monkeypatch):
    """Not the temporary one beside it, which nobody knows; and a full disk names none."""

    def fail(*_):
        raise _error(errno.ENOSPC)

    (tmp_path / "a.txt").write_text("before")
    monkeypatch.setattr(f"os.{fails}", fail)
    with pytest.raises(OSError, match="No space left") as caught:
        write_whole(tmp_path / "a.txt", "after")
    monkeypatch.undo()
    assert caught.value.filename == str(tmp_path / "a.txt")
    assert caught.value.errno == errno.ENOSPC
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "before"


def test_an_error_in_words_of_its_own_keeps_them(tmp_path, monkeypatch):
    """It has no number, and would be called None."""

    def fail(*_):
        raise OSError("the storage sleeps")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match=r"^the storage sleeps$"):
        write_whole(tmp_path / "a.txt", "after")


def test_places_that_can_be_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").touch()
    (tmp_path / "link").symlink_to("nowhere")
    for place in ("a.txt", "b.txt", "new/folder/b.txt", ".", tmp_path, "link"):
        check_writable(place, name="--out")
    with pytest.raises(PermissionError, match=r"^--out link/b cannot be written, since .*/link is no folder that you"):
        check_writable("link/b", name="--out")
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(PermissionError, match=r"^--out new/b cannot be written, since /.* is no folder that you may"):
        check_writable("new/b", name="--out")


@pytest.mark.parametrize("main", [runs, tables, figures], ids=["runs", "tables", "figures"])
def test_no_command_line_ends_in_a_traceback(main, capsys):
    """`experiments.runs` did: it had a way of its own to end."""
    assert main(["x" * 300]) == 1
    assert (
        capsys.readouterr().err
        == f"error: {'x' * 300} cannot be opened, since its name is too long: name a shorter one\n"
    )


def _images(folder):
    for kind in ("images", "labels"):
        (folder / "train" / kind).mkdir(parents=True)
        Image.fromarray(np.zeros((64, 64), np.uint8)).save(folder / "train" / kind / "a.png")
    (folder / "classes.yaml").write_text("ground: [1, 2, 3]")


def test_every_command_line_explains(tmp_path, monkeypatch, capsys):
    """`data show --out` on a read-only disk, and its siblings: before anything is computed, or at the end."""
    monkeypatch.chdir(tmp_path)
    _images(tmp_path / "in")
    show = ["show", "in", "--out", "a.png"]
    picture = ["picture", "in/train/images/a.png", "--out", "a.png"]

    def study():
        write_whole("a.png", "")

    for run in (lambda: data(show), lambda: diagnose(picture), lambda: status_of(study)):
        with monkeypatch.context() as patched:
            original = os.open

            def read_only(path, flags, *mode, original=original, **options):
                if flags & os.O_CREAT:
                    raise _error(errno.EROFS, str(path))
                return original(path, flags, *mode, **options)

            patched.setattr("os.open", read_only)
            assert run() > 0
        err = capsys.readouterr().err
        assert err == "error: a.png cannot be written, since its file system is read-only: name another place\n"
    monkeypatch.setattr("smoothjax.data.FolderSource.__getitem__", lambda *_: pytest.fail("went on to draw"))
    for main in (data, diagnose):
        arguments = show if main is data else picture
        assert main([*arguments[:-1], "in/classes.yaml/a.png"]) > 0
        assert " cannot be written, since " in capsys.readouterr().err
    assert data(["show", "in", "--images", "0"]) == 1
    assert capsys.readouterr().err == "error: --images must be at least 1, got 0: 8 is the default\n"
    assert data(["show", "in", "--out", "a.txt"]) == 1
    assert "--out must end in .png, .pdf, .svg or .jpg, got a.txt" in capsys.readouterr().err
