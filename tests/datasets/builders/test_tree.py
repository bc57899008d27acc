"""Folders and archives as one tree."""

import os
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from smoothjax.datasets.builders import SourceTree
from tests.datasets.archives import tarred, unpack, zipped


@pytest.fixture
def make(tmp_path):
    """Opens trees, and closes them after the test."""
    opened = []

    def open_tree(root, archives=("*.zip", "*.tar*")):
        opened.append(SourceTree(root, archives, tmp_path / "scratch"))
        return opened[-1]

    yield open_tree
    for tree in opened:
        tree.close()


def test_folders_and_archives_merge(tmp_path, make):
    root = unpack(tmp_path / "in", {"a/1.png": b"folder", "a/b/2.txt": b"2", "a/.hidden.png": b"", "a/notes.txt": b""})
    zipped(root / "x.zip", {"a/1.png": b"archive", "a/3.PNG": b"3", "__MACOSX/a/._3.png": b"", "top.txt": b"t"})
    tarred(root / "y.tar", {"./a/c/4.png": b"4"})
    tree = make(root)
    pictures = tree.files("a", (".png",))
    assert {name: file.read() for name, file in pictures.items()} == {"1.png": b"folder", "3.PNG": b"3"}
    assert tree.folders("a") == ["b", "c"]
    assert tree.folders("") == ["a"]
    assert list(tree.walk("a", (".png",))) == ["1.png", "3.PNG", "c/4.png"]
    assert tree.files("a")["1.png"].path == os.path.join(root, "a", "1.png")
    assert tree.files("a/c")["4.png"].path == f"{root}/y.tar:./a/c/4.png"
    assert tree.file("top.txt") is not None
    assert tree.file("a/none") is None
    assert tree.is_folder("a/c")
    assert tree.has("a/b/*.txt")
    assert not tree.has("a/b/*.png")
    assert tree.locate(["z", "a"], "c") == "a"
    assert tree.locate(["z"]) is None
    assert tree.files("z") == {}


def test_only_the_archives_asked_for(tmp_path, make):
    zipped(tmp_path / "in/x.zip", {"x.txt": b""})
    zipped(tmp_path / "in/y.zip", {"y.txt": b""})
    assert list(make(tmp_path / "in", ("x*.zip",)).files("")) == ["x.txt", "x.zip", "y.zip"]


@pytest.mark.parametrize("compression", ["", "gz", "bz2", "xz"])
def test_many_threads(tmp_path, make, compression):
    files = {f"{i:02d}": os.urandom(5000 + i) for i in range(50)}
    for path in (tarred(tmp_path / "x.tar", files, compression), zipped(tmp_path / "x.zip", files)):
        found = make(path).files("")
        with ThreadPoolExecutor(8) as pool:
            contents = list(pool.map(lambda name: found[name].read(), sorted(files) * 4))  # noqa: B023
        assert contents == [files[name] for name in sorted(files)] * 4


def test_a_damaged_member(tmp_path, make):
    path = zipped(tmp_path / "x.zip", {"a": b"first" * 100, "b": b"second" * 100})
    content = path.read_bytes()
    path.write_bytes(content.replace(b"firstfirst", b"fiXstfirst", 1))
    files = make(path).files("")
    assert files["b"].read() == b"second" * 100
    with pytest.raises(ValueError, match=r"x\.zip:a: cannot be read from the archive \(Bad CRC-32.*download it again"):
        files["a"].read()
    assert zipfile.is_zipfile(path)


def test_a_tar_that_ends_too_early(tmp_path, make):
    path = tarred(tmp_path / "x.tar", {"a": b"first" * 1000, "b": b"second" * 1000})
    path.write_bytes(path.read_bytes()[:8000])
    with pytest.raises(ValueError, match=r"x\.tar.* \(.*\); download it again"):
        [file.read() for file in make(path).files("").values()]
